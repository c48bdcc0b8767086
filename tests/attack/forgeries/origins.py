"""Rows 15 to 20, 41: which tenant, issuer and audience the token names, and of what type it is."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.attack.forger import ABSENT, CLIENT, EVIL, OTHER_TENANT, World, as_json, b64
from tests.attack.forgeries.case import AUDIENCE, GRAPH, ISSUER, TENANT, VALID, VERSION, Forgery, case, each

Value = Callable[[World], Any]


def forgeries() -> Iterator[Forgery]:
    yield from other_tenants()
    yield from tenant_spellings()
    yield from issuers()
    yield from versions()
    yield from audiences()
    yield from token_types()
    yield from graph_tokens()
    yield from audiences_of_other_services()


def _in_other_tenant(world: World, issuer: str) -> str:
    return issuer.replace(world.tenant_id, OTHER_TENANT)


def other_tenants() -> Iterator[Forgery]:
    yield case(15, "v2", ISSUER, lambda w: w.token(iss=_in_other_tenant(w, w.v2_issuer), tid=OTHER_TENANT))
    yield case(15, "v1", ISSUER, lambda w: w.token(version=1, iss=_in_other_tenant(w, w.v1_issuer), tid=OTHER_TENANT))
    yield case(15, "foreign-iss-our-tid", ISSUER, lambda w: w.token(iss=_in_other_tenant(w, w.v2_issuer)))
    yield case(15, "our-iss-foreign-tid", TENANT, lambda w: w.token(tid=OTHER_TENANT))


TENANT_SPELLINGS: Mapping[str, Value] = {
    "missing": lambda w: ABSENT,
    "null": lambda w: None,
    "empty": lambda w: "",
    "word": lambda w: "contoso",
    "domain": lambda w: "contoso.onmicrosoft.com",
    "common": lambda w: "common",
    "integer": lambda w: 7,
    "braces": lambda w: "{" + w.tenant_id + "}",
    "without-hyphens": lambda w: w.tenant_id.replace("-", ""),
    "urn": lambda w: f"urn:uuid:{w.tenant_id}",
    "space": lambda w: f"{w.tenant_id} ",
    "newline": lambda w: f"{w.tenant_id}\n",
    "list": lambda w: [w.tenant_id],
}


def tenant_spellings() -> Iterator[Forgery]:
    yield from each(16, TENANT, TENANT_SPELLINGS, lambda w, tid: w.token(tid=tid(w)))
    yield from each(16, VALID, {"v1": 1, "v2": 2}, _upper_case_tenant, prefix="upper-case-in-both-")
    yield case(16, "upper-case-tid", VALID, lambda w: w.token(tid=w.tenant_id.upper()))


def _upper_case_tenant(world: World, version: int) -> str:
    upper = world.tenant_id.upper()
    issuer = world.claims(version=version)["iss"].replace(world.tenant_id, upper)
    return world.token(version=version, tid=upper, iss=issuer)


def _host(world: World) -> str:
    return world.v2_issuer.split("/")[2]


def _name(world: World) -> str:
    return _host(world).partition(":")[0]


ISSUERS: Mapping[str, Value] = {
    "with-slash": lambda w: w.v2_issuer + "/",
    "http": lambda w: w.v2_issuer.replace("https:", "http:"),
    "upper-case-scheme": lambda w: w.v2_issuer.replace("https:", "HTTPS:"),
    "upper-case-path": lambda w: w.v2_issuer.replace("/v2.0", "/V2.0"),
    "upper-case-host": lambda w: w.v2_issuer.replace(_host(w), "LOGIN.MICROSOFTONLINE.COM"),
    "dot-segments": lambda w: w.v2_issuer.replace("/v2.0", f"/../{w.tenant_id}/v2.0"),
    "evil-suffix": lambda w: w.v2_issuer.replace(_host(w), _name(w) + ".evil.com"),
    "evil-prefix": lambda w: w.v2_issuer.replace(_host(w), "evil-" + _host(w)),
    "user-information": lambda w: w.v2_issuer.replace("https://", "https://evil.com@"),
    "as-user-information": lambda w: w.v2_issuer.replace(_host(w), _host(w) + "@evil.com"),
    "inside-a-query": lambda w: f"{EVIL}/?{w.v2_issuer}",
    "query": lambda w: w.v2_issuer + "?x",
    "fragment": lambda w: w.v2_issuer + "#x",
    "other-port": lambda w: w.v2_issuer.replace(_host(w), _name(w) + ":444"),
    "shorter": lambda w: w.v2_issuer[:-1],
    "longer": lambda w: w.v2_issuer + "0",
    "space": lambda w: " " + w.v2_issuer,
    "nul": lambda w: w.v2_issuer + "\0",
    "backslash": lambda w: w.v2_issuer.replace("/v2.0", "\\v2.0"),
    "percent": lambda w: w.v2_issuer.replace("/v2.0", "%2Fv2.0"),
    "list": lambda w: [w.v2_issuer],
    "object": lambda w: {"iss": w.v2_issuer},
    "null": lambda w: None,
    "number": lambda w: 1,
    "empty": lambda w: "",
    "missing": lambda w: ABSENT,
    "placeholder": lambda w: w.v2_issuer.replace(w.tenant_id, "{tenantid}"),
    "common": lambda w: w.v2_issuer.replace(w.tenant_id, "common"),
    "us-government": lambda w: f"https://login.microsoftonline.us/{w.tenant_id}/v2.0",
    "china": lambda w: f"https://login.partner.microsoftonline.cn/{w.tenant_id}/v2.0",
    "china-v1": lambda w: f"https://sts.chinacloudapi.cn/{w.tenant_id}/",
    "external-id": lambda w: f"https://{w.tenant_id}.ciamlogin.com/{w.tenant_id}/v2.0",
    "adfs": lambda w: f"https://{_host(w)}/adfs",
}


def issuers() -> Iterator[Forgery]:
    yield from each(17, ISSUER, ISSUERS, lambda w, issuer: w.token(iss=issuer(w)))
    v1: dict[str, Value] = {
        "without-slash": lambda w: w.v1_issuer.rstrip("/"),
        "two-slashes": lambda w: w.v1_issuer + "/",
        "http": lambda w: w.v1_issuer.replace("https:", "http:"),
    }
    yield from each(17, ISSUER, v1, lambda w, issuer: w.token(version=1, iss=issuer(w)), prefix="v1-")


def versions() -> Iterator[Forgery]:
    yield case(17, "v1-issuer-ver-2", VERSION, lambda w: w.token(iss=w.v1_issuer))
    yield case(17, "v2-issuer-ver-1", VERSION, lambda w: w.token(version=1, iss=w.v2_issuer))
    values: list[Any] = [2, "2", "2.00", None, ["2.0"]]
    named = {json.dumps(value): value for value in values} | {"missing": ABSENT}
    yield from each(17, VERSION, named, lambda w, ver: w.token(ver=ver), prefix="ver-")


AUDIENCES: Mapping[str, Value] = {
    "list-of-ours": lambda w: [w.audience],
    "list-with-ours": lambda w: [EVIL, w.audience],
    "object": lambda w: {w.audience: w.audience},
    "null": lambda w: None,
    "empty": lambda w: "",
    "missing": lambda w: ABSENT,
    "number": lambda w: 1,
    "upper-case": lambda w: w.audience.upper(),
    "shorter": lambda w: w.audience[:-1],
    "longer": lambda w: w.audience + "0",
    "space": lambda w: w.audience + " ",
    "several-in-one": lambda w: f"{w.audience},{EVIL}",
    "spn": lambda w: f"spn:{w.audience}",
    "uri-in-v2": lambda w: w.uri,
    "another-app": lambda w: CLIENT,
}


def audiences() -> Iterator[Forgery]:
    yield from each(18, AUDIENCE, AUDIENCES, lambda w, audience: w.token(aud=audience(w)))
    v1: dict[str, Value] = {"uri-with-slash": lambda w: w.uri + "/", "uri-upper-case": lambda w: w.uri.upper()}
    yield from each(18, AUDIENCE, v1, lambda w, audience: w.token(version=1, aud=audience(w)), prefix="v1-")
    yield case(18, "id-token-of-another-client", AUDIENCE, lambda w: w.token(kind="id", aud=CLIENT))
    yield case(18, "v1-client-id-is-fine", VALID, lambda w: w.token(version=1))
    yield case(18, "v1-uri-is-fine", VALID, lambda w: w.token(version=1, aud=w.uri))
    graphs = (
        "https://graph.microsoft.com",
        "https://graph.microsoft.com/",
        "00000003-0000-0000-c000-000000000000",
        "https://graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
    )
    yield from each(18, GRAPH, {graph: graph for graph in graphs}, lambda w, graph: w.token(aud=graph))


def token_types() -> Iterator[Forgery]:
    changes: dict[str, dict[str, Any]] = {
        "id-token": {"kind": "id"},
        "id-token-v1": {"kind": "id", "version": 1},
        "id-token-with-scp": {"kind": "id", "scp": "access_as_user"},
        "client-claim-of-the-other-version": {"azp": ABSENT, "appid": CLIENT},
        "without-client": {"azp": ABSENT},
        "without-scope": {"scp": ABSENT},
        "empty-scope": {"scp": ""},
        "blank-scope": {"scp": "  "},
        "without-scope-but-called-user": {"scp": ABSENT, "idtyp": "user"},
    }
    yield from each(19, VALID, changes, lambda w, change: w.token(**change), bearer=401)


def graph_tokens() -> Iterator[Forgery]:
    nonces: dict[str, Any] = {"text": "abc", "null": None, "number": 1}
    yield from each(20, GRAPH, nonces, lambda w, nonce: w.signed(w.header(nonce=nonce), w.claims()), prefix="nonce-")
    yield case(20, "as-entra-makes-them", GRAPH, _graph_token)


def _graph_token(world: World) -> str:
    """Signed over the hash of the nonce that is sent."""
    payload = b64(as_json(world.claims(aud="https://graph.microsoft.com")))
    hashed = b64(as_json(world.header(nonce=b64(hashlib.sha256(b"abc").digest()))))
    signature = world.resigned(f"{hashed}.{payload}").rpartition(".")[2]
    return f"{b64(as_json(world.header(nonce='abc')))}.{payload}.{signature}"


def audiences_of_other_services() -> Iterator[Forgery]:
    """Our role, defined by the owner of another app that validate-token serves too."""
    changes: dict[str, dict[str, Any]] = {"user": {}, "app": {"kind": "app"}, "v1": {"version": 1}}
    yield from each(41, VALID, changes, lambda w, change: w.token(aud=w.other_audience, **change), bearer=401)
