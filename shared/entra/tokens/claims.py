"""What the claims of an Entra token must be: two tables of rules, and what is taken from a token that keeps them.

Microsoft's account of the claims: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from shared.entra.clouds import GRAPH_AUDIENCES
from shared.entra.tokens.errors import TokenError, TokenRejected
from shared.entra.tokens.issuers import GUID, TokenVersion, canonical_issuer

LEEWAY = timedelta(seconds=60)
"""Clocks drift; RFC 7519 4.1.4 allows a small leeway."""
LONGEST_LIFE = timedelta(hours=29)
"""Tokens under continuous access evaluation live up to 28 hours
(https://learn.microsoft.com/entra/identity/conditional-access/concept-continuous-access-evaluation)."""
LATEST_TIME = 253_402_300_799
"""The last second of the year 9999, after which no date can be told."""

Claims = Mapping[str, Any]


class TokenType(StrEnum):
    USER = "user"
    """An access token for a person who signed in (delegated), with at least one scope."""
    APP = "app"
    """An access token for a service itself."""
    ID = "id"
    """An ID token: says who signed in, authorises nothing."""

    @property
    def is_access(self) -> bool:
        return self is not TokenType.ID


@dataclass(frozen=True, slots=True)
class Expected:
    """What the claims are compared with: one issuer and what is accepted from it. Durations in seconds.

    v2 tokens always name the app id in `aud`; only v1 tokens may name the app id URI.
    """

    issuer: str
    tenant_id: str
    version: TokenVersion
    audiences: frozenset[str]
    client_claim: str
    leeway: float
    longest_life: float

    @classmethod
    def of(
        cls,
        issuer: str,
        tenant_id: str,
        version: TokenVersion,
        audiences: frozenset[str],
        *,
        leeway: timedelta = LEEWAY,
        longest_life: timedelta = LONGEST_LIFE,
    ) -> "Expected":
        app_ids = frozenset(filter(GUID.fullmatch, audiences))
        is_v2 = version is TokenVersion.V2
        return cls(
            issuer=issuer,
            tenant_id=tenant_id,
            version=version,
            audiences=app_ids if is_v2 else audiences,
            client_claim="azp" if is_v2 else "appid",
            leeway=leeway.total_seconds(),
            longest_life=longest_life.total_seconds(),
        )


class ValidToken(NamedTuple):
    """The claims of a valid token that others may rely on. Only (`tenant_id`, `object_id`) identifies a user.

    A named tuple, because one is made for every token and a frozen dataclass of this size takes three times as long.

    Attributes:
        issued_at, expires_at: seconds since the epoch, as in the token.
        roles: app roles granted in the audience's registration.
        groups: object ids, or what else the registration emits; none where `groups_overage` says there were too many.
        scopes: delegated permissions, the words of `scp`.
    """

    subject: str
    object_id: str
    tenant_id: str
    audience: str
    issuer: str
    version: TokenVersion
    token_type: TokenType
    client_id: str | None
    user_principal_name: str | None
    email: str | None
    name: str | None
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    groups_overage: bool
    scopes: tuple[str, ...]
    issued_at: int
    expires_at: int


class ClaimRule(NamedTuple):
    """A claim, the check it must pass (claims, what is expected, now in seconds), and the code where it does not."""

    claim: str
    check: Callable[[Claims, Expected, float], bool]
    error: TokenError


def enforce(rules: tuple[ClaimRule, ...], claims: Claims, expected: Expected, now: float) -> None:
    """Raises TokenRejected with the error of the first rule that is broken."""
    for _, check, error in rules:
        if not check(claims, expected, now):
            raise TokenRejected(error)


def issuer_is_trusted(claims: Claims, expected: Expected, _: float) -> bool:
    issuer = claims.get("iss")
    return issuer == expected.issuer or (type(issuer) is str and canonical_issuer(issuer) == expected.issuer)


def tenant_is_the_issuers(claims: Claims, expected: Expected, _: float) -> bool:
    tenant = claims.get("tid")
    return type(tenant) is str and tenant.lower() == expected.tenant_id


def version_is_the_issuers(claims: Claims, expected: Expected, _: float) -> bool:
    return bool(claims.get("ver") == expected.version)


def is_not_for_graph(claims: Claims, *_: object) -> bool:
    audience = claims.get("aud")
    return type(audience) is not str or audience not in GRAPH_AUDIENCES


def audience_is_accepted(claims: Claims, expected: Expected, _: float) -> bool:
    audience = claims.get("aud")
    return type(audience) is str and audience in expected.audiences


def times_are_whole_numbers_in_order(claims: Claims, *_: object) -> bool:
    exp, iat, nbf = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
    return (
        type(exp) is type(iat) is type(nbf) is int  # type(), not isinstance: True is an int too
        and 0 <= iat < exp <= LATEST_TIME
        and 0 <= nbf < exp
    )


def is_not_expired(claims: Claims, expected: Expected, now: float) -> bool:
    return bool(now < claims["exp"] + expected.leeway)


def is_already_valid(claims: Claims, expected: Expected, now: float) -> bool:
    latest = now + expected.leeway
    return bool(claims["iat"] <= latest and claims.get("nbf", 0) <= latest)


def life_is_not_too_long(claims: Claims, expected: Expected, _: float) -> bool:
    iat = claims["iat"]
    return bool(claims["exp"] - min(iat, claims.get("nbf", iat)) <= expected.longest_life)


def object_id_is_a_guid(claims: Claims, *_: object) -> bool:
    return _is_guid(claims.get("oid"))


def client_is_a_guid(claims: Claims, expected: Expected, _: float) -> bool:
    client = expected.client_claim
    return client not in claims or _is_guid(claims[client])


def _is_guid(value: object) -> bool:
    return type(value) is str and GUID.fullmatch(value) is not None


def roles_and_groups_are_lists(claims: Claims, *_: object) -> bool:
    return type(claims.get("roles", [])) is list and type(claims.get("groups", [])) is list


def identifiers_are_printable(claims: Claims, *_: object) -> bool:
    """All are strings, and none holds control or direction marks, lone surrogates or NUL: one look at all of them."""
    given = claims.get
    try:
        return "".join(
            (
                claims["sub"],
                given("upn", ""),
                given("preferred_username", ""),
                given("unique_name", ""),
                given("email", ""),
                given("scp", ""),
                *given("roles", ()),
            )
        ).isprintable()
    except (KeyError, TypeError):  # no sub, or something is not a string
        return False


def subject_is_not_empty(claims: Claims, *_: object) -> bool:
    return bool(claims["sub"])


def names_are_texts(claims: Claims, *_: object) -> bool:
    """Names of people and groups may hold direction marks and joined emoji; only NUL, where some readers stop, not."""
    try:
        return "\0" not in "".join((claims.get("name", ""), *claims.get("groups", ())))
    except TypeError:
        return False


def overage_is_an_object(claims: Claims, *_: object) -> bool:
    return type(claims.get("_claim_names", {})) is dict


AUDIENCE_RULES: tuple[ClaimRule, ...] = (
    ClaimRule("aud", is_not_for_graph, TokenError.GRAPH_TOKEN),  # Microsoft: access-tokens#validate-tokens
    ClaimRule("aud", audience_is_accepted, TokenError.WRONG_AUDIENCE),  # RFC 7519 4.1.3
)

BEFORE_THE_SIGNATURE: tuple[ClaimRule, ...] = (
    ClaimRule("iss", issuer_is_trusted, TokenError.WRONG_ISSUER),  # OpenID Connect Core 3.1.3.7 (2)
    ClaimRule("tid", tenant_is_the_issuers, TokenError.WRONG_TENANT),  # Microsoft: access-tokens#validate-the-issuer
    ClaimRule("ver", version_is_the_issuers, TokenError.WRONG_VERSION),  # Microsoft: access-token-claims-reference
    *AUDIENCE_RULES,
)
"""Cheap, and enough to refuse what was never meant for us, before any key is looked for."""

AFTER_THE_SIGNATURE: tuple[ClaimRule, ...] = (
    ClaimRule("exp, iat, nbf", times_are_whole_numbers_in_order, TokenError.MALFORMED_TIMES),  # RFC 7519 2
    ClaimRule("exp", is_not_expired, TokenError.TOKEN_EXPIRED),  # RFC 7519 4.1.4
    ClaimRule("nbf, iat", is_already_valid, TokenError.TOKEN_NOT_YET_VALID),  # RFC 7519 4.1.5
    ClaimRule("exp, iat, nbf", life_is_not_too_long, TokenError.LIFETIME_TOO_LONG),  # RFC 8725 3.8, in spirit
    ClaimRule("oid", object_id_is_a_guid, TokenError.MALFORMED_CLAIMS),
    ClaimRule("azp, appid", client_is_a_guid, TokenError.MALFORMED_CLAIMS),
    ClaimRule("roles, groups", roles_and_groups_are_lists, TokenError.MALFORMED_CLAIMS),
    ClaimRule(
        "sub, upn, preferred_username, unique_name, email, scp, roles",
        identifiers_are_printable,
        TokenError.MALFORMED_CLAIMS,
    ),
    ClaimRule("sub", subject_is_not_empty, TokenError.MALFORMED_CLAIMS),  # RFC 7519 4.1.2
    ClaimRule("_claim_names", overage_is_an_object, TokenError.MALFORMED_CLAIMS),
    ClaimRule("name, groups", names_are_texts, TokenError.MALFORMED_CLAIMS),
)
"""Told only of tokens whose signature is right, so that a forger learns nothing from them."""


def valid_token(claims: Claims, expected: Expected) -> ValidToken:
    """What is taken from claims that passed both tables."""
    given = claims.get
    client_id = given(expected.client_claim)
    scopes = tuple(given("scp", "").split())
    return ValidToken(  # in the order of the fields: named arguments double the time that this takes
        claims["sub"],
        claims["oid"].lower(),
        expected.tenant_id,
        claims["aud"],
        expected.issuer,
        expected.version,
        _token_type(claims, client_id, scopes),
        client_id and client_id.lower(),
        given("upn") or given("preferred_username") or given("unique_name"),
        given("email"),
        given("name"),
        tuple(given("roles", ())),
        tuple(given("groups", ())),
        _has_groups_overage(claims),
        scopes,
        claims["iat"],
        claims["exp"],
    )


def _token_type(claims: Claims, client_id: str | None, scopes: tuple[str, ...]) -> TokenType:
    """Access tokens name the client that asked for them; ID tokens are for their audience itself.

    A delegated token without a scope grants nothing to its client, so it is not taken for an access token.
    """
    if client_id is None:
        return TokenType.ID
    if scopes:
        return TokenType.USER
    kind = claims.get("idtyp")  # an optional claim; without it, an app is its own subject
    if kind == "app" or (kind is None and claims["sub"] == claims["oid"]):
        return TokenType.APP
    return TokenType.ID


def _has_groups_overage(claims: Claims) -> bool:
    """Too many groups for a token: Entra names a place to fetch them from, which nobody here ever calls
    (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference#groups-overage-claim)."""
    return (
        "groups" in claims.get("_claim_names", ())
        or claims.get("hasgroups", False) in (True, "true")
        or "groups:src1" in claims
    )
