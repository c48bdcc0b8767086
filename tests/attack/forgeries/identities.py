"""Rows 31, 33 to 35, 38, 40: who the token says somebody is, what it lets him do, and what it smuggles in."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.attack.forger import ABSENT, EVIL, OTHER_TENANT, ROLE, USER, World
from tests.attack.forgeries.case import CLAIMS, ISSUER, KEY_ID, MALFORMED, VALID, Forgery, case, each, with_claim


def forgeries() -> Iterator[Forgery]:
    yield from roles()
    yield from groups_overage()
    yield from missing_identities()
    yield from borrowed_names()
    yield from api_tokens()
    yield from smuggled_characters()


def roles() -> Iterator[Forgery]:
    malformed: dict[str, Any] = {
        "text": ROLE,
        "object": {ROLE: True},
        "nested": [[ROLE]],
        "null": None,
        "true": True,
        "with-nul": [ROLE + "\0"],
        "with-number": [ROLE, 1],
        "with-null": [ROLE, None],
    }
    yield from each(31, CLAIMS, malformed, lambda w, value: w.token(roles=value), prefix="roles-")
    powerless: dict[str, Any] = {
        "missing": ABSENT,
        "empty": [],
        "prefixed": [f"x-{ROLE}", f"{ROLE}.read"],
        "other-case": [ROLE.upper(), ROLE.title()],
        "spaces": [f" {ROLE}", f"{ROLE} "],
        "several-in-one": [f"{ROLE},entra:read", f"admin {ROLE}"],
        "look-alike": [ROLE.replace("a", "а")],
        "star": ["*"],
        "empty-text": [""],
        "narrower": ["entra:sync"],
    }
    yield from each(31, VALID, powerless, lambda w, value: w.token(roles=value), prefix="roles-", bearer=403)
    elsewhere: dict[str, dict[str, Any]] = {
        "scp": {"scp": ROLE},
        "wids": {"wids": [ROLE]},
        "groups": {"groups": [ROLE]},
        "role": {"role": [ROLE]},
        "abilities": {"abilities": ["*"]},
    }
    yield from each(31, VALID, elsewhere, lambda w, m: w.token(roles=ABSENT, **m), prefix="only-in-", bearer=403)
    yield case(31, "app-with-the-role-may", VALID, lambda w: w.token(kind="app"))
    yield case(31, "user-with-the-role-may", VALID, World.token)


def groups_overage() -> Iterator[Forgery]:
    sources = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": f"{EVIL}/groups"}}}
    yield case(33, "attackers-claim-source", VALID, lambda w: w.token(groups=ABSENT, **sources))
    yield case(33, "hasgroups", VALID, lambda w: w.token(groups=ABSENT, hasgroups=True))
    odd: dict[str, Any] = {"text": "groups", "list": ["groups"], "null": None}
    yield from each(33, CLAIMS, odd, lambda w, value: w.token(_claim_names=value), prefix="claim-names-")


def missing_identities() -> Iterator[Forgery]:
    no_guids: dict[str, Any] = {
        "null": None,
        "empty": "",
        "word": "ada",
        "upn": "ada@contoso.example",
        "braces": f"{{{USER}}}",
        "without-hyphens": USER.replace("-", ""),
        "newline": f"{USER}\n",
        "list": [USER],
        "number": 1,
    }
    for claim in ("oid", "azp"):
        yield from each(34, CLAIMS, no_guids, partial(with_claim, claim), prefix=f"{claim}-")
    yield case(34, "oid-missing", CLAIMS, lambda w: w.token(oid=ABSENT))
    subjects: dict[str, Any] = {"missing": ABSENT, "null": None, "empty": "", "number": 1, "list": ["x"]}
    yield from each(34, CLAIMS, subjects, lambda w, value: w.token(sub=value), prefix="sub-")


def borrowed_names() -> Iterator[Forgery]:
    victim = {"upn": "admin@contoso.example", "email": "admin@contoso.example"}
    yield case(
        35,
        "in-a-foreign-tenant",
        ISSUER,
        lambda w: w.token(tid=OTHER_TENANT, iss=w.v2_issuer.replace(w.tenant_id, OTHER_TENANT), **victim),
    )
    yield case(35, "in-a-guest's-token", VALID, lambda w: w.token(idp=EVIL, roles=[], **victim), bearer=403)
    yield case(35, "list-of-addresses", CLAIMS, lambda w: w.token(email=["admin@contoso.example"]))


def api_tokens() -> Iterator[Forgery]:
    yield case(38, "api-token", "not_an_entra_token", lambda w: "1|epki_" + "a" * 48)
    yield case(38, "jwt-behind-an-id", MALFORMED, lambda w: "1|" + w.token())
    yield case(38, "bar-inside", MALFORMED, lambda w: w.token().replace(".", "|.", 1))
    yield case(38, "bar-at-the-end", MALFORMED, lambda w: w.token() + "|")


def smuggled_characters() -> Iterator[Forgery]:
    names = {"html": "<script>alert(1)</script>", "crlf": "Ada\r\nSet-Cookie: x=1", "log-line": "Ada\n[ERROR] forged"}
    yield from each(40, VALID, names, lambda w, name: w.token(name=name), prefix="name-")
    addresses = {"crlf": "ada\r\nX: y@contoso.example", "terminal": "\x1b[2Jada@contoso.example"}
    yield from each(40, CLAIMS, addresses, lambda w, upn: w.token(upn=upn), prefix="upn-")
    yield case(40, "kid-crlf", KEY_ID, lambda w: w.signed(w.header(kid="a\r\nb"), w.claims()))
    yield case(40, "iss-crlf", ISSUER, lambda w: w.token(iss=w.v2_issuer + "\r\nX: y"))
