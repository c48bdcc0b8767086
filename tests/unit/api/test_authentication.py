"""How an Authorization header becomes an identity. API tokens have tests of their own, on real storage."""

from datetime import UTC, datetime
from typing import cast

import pytest

from shared.api.api_tokens import ApiTokens
from shared.api.authentication import Authenticator, Forbidden, Unauthenticated
from shared.api.permissions import EVERYTHING, Permission, permissions_of
from shared.context import Actor, ActorKind
from shared.entra.tokens.errors import KeysUnavailable
from shared.entra.tokens.issuers import IssuerSource, issuers_of_tenant
from shared.entra.tokens.key_discovery import DiscoveryFailed, PublishedKeys, published_keys
from shared.entra.tokens.signing_keys import SigningKeyStore
from shared.entra.tokens.validator import TokenValidator, ValidatorPolicy
from tests.attack.forger import CLIENT, ROLE, USER, World, jwk, rsa_key

TENANT = "7e4a0000-0000-4000-8000-00000000000a"
GLOBAL = "https://login.microsoftonline.com"
APP = "a0d1e0ce-0000-4000-8000-000000000001"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORLD = World(
    TENANT,
    f"https://sts.windows.net/{TENANT}/",
    f"{GLOBAL}/{TENANT}/v2.0",
    APP,
    "",
    "true",
    rsa_key("true"),
    NOON.timestamp,
)
NO_API_TOKENS = cast(ApiTokens, None)
"""None of these tests gets as far as looking for one."""


def authenticator(*clients: str, down: bool = False) -> Authenticator:
    def store(source: IssuerSource) -> SigningKeyStore:
        def fetch() -> PublishedKeys:
            if down:
                raise DiscoveryFailed("down")
            return published_keys({"keys": [jwk("true", WORLD.key)]}, source, str(source.issuer), TENANT)

        return SigningKeyStore(source, fetch, clock=lambda: NOON)

    policy = ValidatorPolicy(issuers_of_tenant(GLOBAL, TENANT), frozenset({APP, f"api://{APP}"}))
    return Authenticator(TokenValidator(policy, store, clock=lambda: NOON), NO_API_TOKENS, frozenset(clients))


def test_a_user_is_named_by_object_id_and_a_service_by_client_id() -> None:
    user = authenticator().authenticate([f"Bearer {WORLD.token()}"])
    app = authenticator().authenticate([f"Bearer {WORLD.token(kind='app', version=1)}"])

    assert user.actor == Actor(ActorKind.USER, USER, "ada@contoso.example")
    assert app.actor == Actor(ActorKind.APP, CLIENT)
    assert user.permissions == app.permissions == EVERYTHING


def test_two_people_of_one_address_are_two_people() -> None:
    guest = "99999999-0000-4000-8000-000000000009"
    member = authenticator().authenticate([f"Bearer {WORLD.token(upn='ada@contoso.example')}"])
    other = authenticator().authenticate([f"Bearer {WORLD.token(upn='ada@contoso.example', oid=guest)}"])

    assert (member.actor.id, other.actor.id) == (USER, guest)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_the_scheme_is_read_as_rfc_9110_says(scheme: str) -> None:
    assert authenticator().authenticate([scheme + WORLD.token()])


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "{token}",
        "Bearer{token}",
        "Bearer\t{token}",
        " Bearer {token}",
        "Bearer {token} ",
        "Bearer {token}\n",
        "Bearer Bearer {token}",
        "Bearer {token}, Bearer {token}",
        "Bearer {token},{token}",
        "Bearer {token} {token}",
        "Bearer {token};x=1",
        'Bearer "{token}"',
        "DPoP {token}",
        "Bearer é",
    ],
)
def test_anything_but_one_bearer_token_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        authenticator().authenticate([header.replace("{token}", WORLD.token())])

    assert refused.value.headers["WWW-Authenticate"].startswith('Bearer error="invalid_')


def test_two_headers_are_refused_even_if_both_are_right() -> None:
    header = f"Bearer {WORLD.token()}"
    with pytest.raises(Unauthenticated):
        authenticator().authenticate([header, header])


def test_without_credentials_the_challenge_names_no_error() -> None:
    with pytest.raises(Unauthenticated) as refused:
        authenticator().authenticate([])

    assert refused.value.message == "Unauthenticated."
    assert refused.value.headers == {"WWW-Authenticate": 'Bearer realm="entra-pki"'}


def test_the_refusal_of_a_token_says_what_to_mend() -> None:
    with pytest.raises(Unauthenticated) as refused:
        authenticator().authenticate([f"Bearer {WORLD.token(exp=int(NOON.timestamp()) - 3600, iat=0, nbf=0)}"])

    assert refused.value.message == "Unauthenticated."
    assert refused.value.details == {"detail": "The token has expired.", "error": "token_expired"}
    assert refused.value.headers == {
        "WWW-Authenticate": 'Bearer error="invalid_token", error_description="The token has expired."'
    }


def test_a_client_that_is_not_on_the_list_is_forbidden() -> None:
    allowed = authenticator("11111111-0000-4000-8000-000000000000", CLIENT.upper())
    assert allowed.authenticate([f"Bearer {WORLD.token()}"]).actor.id == USER
    for token in (WORLD.token(), WORLD.token(kind="app"), WORLD.token(version=1)):
        with pytest.raises(Forbidden) as refused:
            authenticator("11111111-0000-4000-8000-000000000000").authenticate([f"Bearer {token}"])
        assert refused.value.message == "This action is unauthorized."


def test_when_keys_cannot_be_had_the_caller_is_not_called_unauthenticated() -> None:
    with pytest.raises(KeysUnavailable) as refused:
        authenticator(down=True).authenticate([f"Bearer {WORLD.token()}"])
    assert refused.value.status == 503


@pytest.mark.parametrize("permission", Permission)
def test_each_permission_is_enough_for_its_own_part_only(permission: Permission) -> None:
    identity = authenticator().authenticate([f"Bearer {WORLD.token(roles=[str(permission), 'something else'])}"])

    for other in Permission:
        if other is permission or permission is Permission.MANAGE:
            identity.require(other)
        else:
            with pytest.raises(Forbidden) as refused:
                identity.require(other)
            assert str(other) in refused.value.details["detail"]
            assert 'error="insufficient_scope"' in refused.value.headers["WWW-Authenticate"]


def test_permissions_are_compared_exactly() -> None:
    assert permissions_of([ROLE]) == EVERYTHING
    assert permissions_of([ROLE.upper(), f"{ROLE} ", "*", "", "entra:*", "ENTRA:READ"]) == frozenset()
    assert permissions_of(["entra:read", "entra:read", "pki:issue"]) == {Permission.READ, Permission.ISSUE}
