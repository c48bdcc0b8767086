"""What the validator says of tokens that are valid, what it remembers, and which issuers it learns of."""

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.entra.tokens.claims import TokenType, ValidToken
from shared.entra.tokens.errors import SENTENCES, KeysUnavailable, TokenError, TokenRejected
from shared.entra.tokens.issuers import IssuerSource, TokenVersion, issuer_by_discovery, issuers_of_tenant
from shared.entra.tokens.key_discovery import DiscoveryFailed, PublishedKeys, published_keys
from shared.entra.tokens.signing_keys import SigningKeyStore
from shared.entra.tokens.validator import TokenValidator, ValidatorPolicy
from shared.entra.tokens.verdict_cache import VerdictCache
from shared.errors import FieldError
from tests.attack.forger import ABSENT, CLIENT, OTHER_TENANT, ROLE, USER, World, jwk, rsa_key

TENANT = "7e4a0000-0000-4000-8000-00000000000a"
GLOBAL = "https://login.microsoftonline.com"
LAPTOP = "https://127.0.0.1:4443"
APP = "a0d1e0ce-0000-4000-8000-000000000001"


@dataclass
class Office:
    """A tenant's authority whose keys and clock the test moves, and a validator of its tokens."""

    authority: str = GLOBAL
    now: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)
    published: list[str] = field(default_factory=lambda: ["true"])
    down: bool = False
    asked: list[str] = field(default_factory=list)
    verdicts: VerdictCache = field(default_factory=VerdictCache)

    @property
    def world(self) -> World:
        v2 = f"{self.authority}/{TENANT}/v2.0"
        v1 = f"{LAPTOP}/{TENANT}/" if self.authority == LAPTOP else f"https://sts.windows.net/{TENANT}/"
        return World(TENANT, v1, v2, APP, "", "true", rsa_key("true"), self.now.timestamp)

    def store(self, source: IssuerSource) -> SigningKeyStore:
        def fetch() -> PublishedKeys:
            self.asked.append(source.metadata_url)
            if self.down:
                raise DiscoveryFailed("down")
            entries = [jwk(name, rsa_key(name)) for name in self.published]
            issuer = self.world.v2_issuer if source.version is TokenVersion.V2 else self.world.v1_issuer
            return published_keys({"keys": entries}, source, source.issuer or issuer, TENANT)

        return SigningKeyStore(source, fetch, clock=lambda: self.now, in_background=lambda work: work())

    def validator(self, *more: IssuerSource) -> TokenValidator:
        issuers = (*issuers_of_tenant(self.authority, TENANT), *more)
        policy = ValidatorPolicy(issuers, frozenset({APP, f"api://{APP}"}))
        return TokenValidator(policy, self.store, clock=lambda: self.now, verdicts=self.verdicts)


@pytest.fixture
def office() -> Office:
    return Office()


def rejection(validator: TokenValidator, token: str, **arguments: str) -> TokenError:
    with pytest.raises(TokenRejected) as rejected:
        validator.validate(token, **arguments)
    return rejected.value.error


def test_a_users_token_is_told_claim_by_claim(office: Office) -> None:
    now = int(office.now.timestamp())
    assert office.validator().validate(office.world.token(email="ada@mail.example")) == ValidToken(
        subject="q1w2e3r4t5y6u7i8o9p0",
        object_id=USER,
        tenant_id=TENANT,
        audience=APP,
        issuer=f"{GLOBAL}/{TENANT}/v2.0",
        version=TokenVersion.V2,
        token_type=TokenType.USER,
        client_id=CLIENT,
        user_principal_name="ada@contoso.example",
        email="ada@mail.example",
        name="Ada Lovelace",
        roles=(ROLE,),
        groups=("6c1f9bbd-0f0e-4b0e-9b0e-000000000001",),
        groups_overage=False,
        scopes=("access_as_user",),
        issued_at=now,
        expires_at=now + 3900,
    )


def test_what_a_token_does_not_say_is_empty(office: Office) -> None:
    token = office.validator().validate(office.world.token(kind="app", roles=ABSENT))
    assert (token.token_type, token.roles, token.groups, token.scopes) == (TokenType.APP, (), (), ())
    assert (token.user_principal_name, token.email, token.name) == (None, None, None)


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"upn": "a@x.example", "preferred_username": "b@x.example", "unique_name": "c@x.example"}, "a@x.example"),
        ({"preferred_username": "b@x.example", "unique_name": "c@x.example"}, "b@x.example"),
        ({"preferred_username": ABSENT, "unique_name": "c@x.example"}, "c@x.example"),
        ({"preferred_username": ABSENT, "email": "d@x.example"}, None),
    ],
)
def test_the_upn_is_taken_from_the_first_claim_that_has_it(office: Office, claims: dict[str, str], name: str) -> None:
    assert office.validator().validate(office.world.token(**claims)).user_principal_name == name


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, TokenType.USER),
        ({"version": 1}, TokenType.USER),
        ({"kind": "app"}, TokenType.APP),
        ({"kind": "app", "version": 1}, TokenType.APP),
        ({"kind": "app", "idtyp": ABSENT}, TokenType.APP),
        ({"kind": "app", "sub": "other"}, TokenType.APP),
        ({"kind": "app", "idtyp": "user"}, TokenType.ID),
        ({"kind": "app", "idtyp": ABSENT, "sub": "other"}, TokenType.ID),
        ({"kind": "id"}, TokenType.ID),
        ({"kind": "id", "version": 1}, TokenType.ID),
        ({"scp": " "}, TokenType.ID),
    ],
)
def test_the_type_of_a_token_is_told(office: Office, changes: dict[str, str], kind: TokenType) -> None:
    validator, token = office.validator(), office.world.token(**changes)
    right, wrong = ("access", "id") if kind.is_access else ("id", "access")

    assert validator.validate(token).token_type is kind
    assert validator.validate(token, expected_type=right).token_type is kind
    assert rejection(validator, token, expected_type=wrong) is TokenError.WRONG_TOKEN_TYPE


@pytest.mark.parametrize(
    ("claims", "overage"),
    [
        ({}, False),
        ({"_claim_names": {}}, False),
        ({"_claim_names": {"roles": "src1"}}, False),
        ({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://evil.example"}}}, True),
        ({"hasgroups": True}, True),
        ({"hasgroups": "true"}, True),
        ({"hasgroups": False}, False),
        ({"groups:src1": "https://evil.example"}, True),
    ],
)
def test_too_many_groups_are_told_and_not_fetched(office: Office, claims: dict[str, object], overage: bool) -> None:
    assert office.validator().validate(office.world.token(**claims)).groups_overage is overage
    assert all(url.startswith(GLOBAL) for url in office.asked)


def test_identifiers_are_told_in_lower_case(office: Office) -> None:
    token = office.validator().validate(
        office.world.token(
            oid=USER.upper(), azp=CLIENT.upper(), tid=TENANT.upper(), iss=f"{GLOBAL}/{TENANT.upper()}/v2.0"
        )
    )
    assert (token.object_id, token.client_id, token.tenant_id) == (USER, CLIENT, TENANT)
    assert token.issuer == f"{GLOBAL}/{TENANT}/v2.0"


def test_one_of_the_audiences_can_be_asked_for(office: Office) -> None:
    validator = office.validator()
    v1 = office.world.token(version=1, aud=f"api://{APP}")
    assert validator.validate(v1, audience=f"api://{APP}").audience == f"api://{APP}"
    assert rejection(validator, v1, audience=APP) is TokenError.WRONG_AUDIENCE
    with pytest.raises(FieldError) as refused:
        validator.validate(v1, audience=CLIENT)
    assert refused.value.errors == {"audience": ["The selected audience is invalid."]}


@pytest.mark.parametrize(("after", "valid"), [(3900 + 59.999, True), (3900 + 60, False), (-60, True), (-61, False)])
def test_the_leeway_is_a_minute_on_both_sides(office: Office, after: float, valid: bool) -> None:
    token = office.world.token()
    office.now += timedelta(seconds=after)
    if valid:
        assert office.validator().validate(token)
    else:
        error = TokenError.TOKEN_EXPIRED if after > 0 else TokenError.TOKEN_NOT_YET_VALID
        assert rejection(office.validator(), token) is error


def test_a_valid_verdict_is_remembered_for_five_minutes_at_most(office: Office) -> None:
    validator, token = office.validator(), office.world.token()
    first = validator.validate(token)
    assert validator.validate(token) is first
    office.now += timedelta(minutes=5) - timedelta(microseconds=1)
    assert validator.validate(token) is first
    office.now += timedelta(microseconds=1)
    again = validator.validate(token)
    assert again == first and again is not first


def test_a_verdict_is_forgotten_when_its_token_expires(office: Office) -> None:
    now = int(office.now.timestamp())
    validator, token = office.validator(), office.world.token(exp=now + 30, iat=now - 30, nbf=now - 30)
    first = validator.validate(token)
    office.now += timedelta(seconds=29)
    assert validator.validate(token) is first
    office.now += timedelta(seconds=60)
    assert validator.validate(token) is not first
    office.now += timedelta(seconds=1)
    assert rejection(validator, token) is TokenError.TOKEN_EXPIRED


def test_a_verdict_is_forgotten_when_its_key_goes(office: Office) -> None:
    validator = office.validator()
    validator.validate(office.world.token())
    office.published = ["next"]
    for _ in range(3):
        office.now += timedelta(hours=1)
        token = office.world.token()
        assert validator.validate(token)
        next_key = replace(office.world, kid="next", key=rsa_key("next"))
        validator.validate(next_key.token())
    assert rejection(validator, token) is TokenError.UNKNOWN_SIGNING_KEY
    assert len(office.verdicts) > 0


def test_a_remembered_verdict_still_answers_for_audience_and_type(office: Office) -> None:
    validator, token = office.validator(), office.world.token()
    validator.validate(token)
    assert rejection(validator, token, audience=f"api://{APP}") is TokenError.WRONG_AUDIENCE
    assert rejection(validator, token, expected_type="id") is TokenError.WRONG_TOKEN_TYPE


def test_refusals_are_not_remembered(office: Office) -> None:
    validator, token = office.validator(), office.world.token(nbf=int(office.now.timestamp()) + 90)
    rejection(validator, token)
    assert len(office.verdicts) == 0
    office.now += timedelta(seconds=30)
    assert validator.validate(token)


def test_the_memory_of_verdicts_is_bounded_by_number_and_size(office: Office) -> None:
    office.verdicts = VerdictCache(max_verdicts=5, max_token_bytes=10**6)
    tokens = [office.world.token(uti=str(at)) for at in range(8)]
    validator = office.validator()
    found = [validator.validate(token) for token in tokens]
    assert len(office.verdicts) == 5
    assert validator.validate(tokens[7]) is found[7]
    assert validator.validate(tokens[0]) is not found[0]

    office.verdicts = VerdictCache(max_verdicts=100, max_token_bytes=3 * len(tokens[0]))
    validator = office.validator()
    for token in tokens:
        validator.validate(token)
    assert len(office.verdicts) == 3


def test_without_keys_nobody_is_called_invalid(office: Office) -> None:
    office.down = True
    with pytest.raises(KeysUnavailable):
        office.validator().validate(office.world.token())


def test_what_cannot_be_ours_is_refused_without_asking_for_keys(office: Office) -> None:
    validator, world = office.validator(), office.world
    for token in (world.token(aud=CLIENT), world.token(tid=OTHER_TENANT), world.token(iss="https://evil.example"), "x"):
        rejection(validator, token)
    assert office.asked == []


def test_each_version_asks_for_the_keys_of_its_own_document(office: Office) -> None:
    office.validator().validate(office.world.token(version=1))
    assert office.asked == [f"{GLOBAL}/{TENANT}/.well-known/openid-configuration"]


def test_the_issuers_of_another_authority_are_learned_by_discovery(office: Office) -> None:
    office.authority = LAPTOP
    validator = office.validator()
    assert rejection(validator, office.world.token(iss="https://evil.example")) is TokenError.WRONG_ISSUER
    assert office.asked == []
    assert validator.validate(office.world.token()).issuer == f"{LAPTOP}/{TENANT}/v2.0"
    assert validator.validate(office.world.token(version=1)).issuer == f"{LAPTOP}/{TENANT}/"
    assert rejection(validator, office.world.token(iss=f"https://evil.example/{TENANT}")) is TokenError.WRONG_ISSUER
    assert len(office.asked) == 2


def test_a_wrong_audience_is_told_before_the_issuer_is_learned(office: Office) -> None:
    office.authority = LAPTOP
    validator = office.validator()
    assert rejection(validator, office.world.token(aud=CLIENT)) is TokenError.WRONG_AUDIENCE
    assert rejection(validator, office.world.token(aud="https://graph.microsoft.com")) is TokenError.GRAPH_TOKEN
    assert office.asked == []


def test_while_discovery_is_down_a_token_of_the_tenant_is_neither_valid_nor_invalid(office: Office) -> None:
    office.authority, office.down = LAPTOP, True
    validator = office.validator()
    with pytest.raises(KeysUnavailable):
        validator.validate(office.world.token())
    office.down = False
    office.now += timedelta(minutes=1)
    assert validator.validate(office.world.token())


def test_one_custom_issuer_that_is_down_does_not_harm_the_others(office: Office) -> None:
    office.authority = LAPTOP
    broken = issuer_by_discovery("https://login.broken.example/x/v2.0")
    office.down = True
    validator = office.validator(broken)
    with pytest.raises(KeysUnavailable):
        validator.validate(office.world.token())
    office.down = False
    office.now += timedelta(minutes=1)
    assert validator.validate(office.world.token())


def test_a_policy_that_could_never_be_right_is_refused() -> None:
    issuers = issuers_of_tenant(GLOBAL, TENANT)
    for audiences in (frozenset[str](), frozenset({""}), frozenset({APP, "https://graph.microsoft.com"})):
        with pytest.raises(ValueError, match="validat"):
            ValidatorPolicy(issuers, audiences)
    with pytest.raises(ValueError, match="issuer"):
        ValidatorPolicy((), frozenset({APP}))
    for leeway in (timedelta(seconds=-1), timedelta(hours=1)):
        with pytest.raises(ValueError, match="leeway"):
            ValidatorPolicy(issuers, frozenset({APP}), leeway=leeway)


def test_tokens_are_named_in_the_log_by_a_short_hash_only(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = office.world.token(aud=CLIENT, name="<script>")
    rejection(office.validator(), token)
    office.validator().validate(office.world.token())

    assert "wrong_audience" in caplog.text
    assert not any(segment[:20] in caplog.text for segment in token.split("."))
    assert CLIENT not in caplog.text and "script" not in caplog.text


def test_every_error_has_a_sentence_fit_for_a_header() -> None:
    assert set(SENTENCES) == set(TokenError)
    assert all(
        sentence.isascii() and sentence.isprintable() and not set(sentence) & {'"', "\\"}
        for sentence in SENTENCES.values()
    )
