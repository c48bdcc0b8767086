"""API tokens on real storage: Sanctum's format and semantics, and what operators see of them."""

import hashlib
import json
import logging
import re
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

import shared.services
from local.azurite.azurite import Azurite
from shared.api.api_tokens import ApiTokenNotFound, ApiTokens
from shared.api.authentication import Authenticator, Unauthenticated
from shared.api.permissions import EVERYTHING, Permission
from shared.cli.token import command
from shared.context import Actor, ActorKind, Context, Deadline
from shared.directory.ledger import Ledger
from shared.directory.records.api_token import ApiToken, api_token_key
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.errors import FieldError

DAY = timedelta(days=1)
OPERATOR = Actor(ActorKind.OPERATOR, "grace")


@dataclass
class Desk:
    """Where tokens are made and shown. Time is moved by hand."""

    ledger: Ledger
    state: StateStore
    now: datetime

    def tokens(self) -> ApiTokens:
        return ApiTokens(self.ledger, self.state, clock=lambda: self.now)

    def context(self) -> Context:
        return Context(OPERATOR, "request", Deadline.after(timedelta(seconds=30)))

    def make(self, *abilities: str, life: timedelta | None = DAY) -> str:
        return self.tokens().create("monitoring", abilities or ("*",), life, self.context()).plain_text

    def authenticate(self, plain_text: str) -> str:
        try:
            authenticator = Authenticator(None, self.tokens(), frozenset())  # type: ignore[arg-type]  # no Entra tokens
            return str(authenticator.authenticate([f"Bearer {plain_text}"]).actor.id)
        except Unauthenticated as refused:
            assert refused.details == {"detail": "The API token is unknown, revoked or expired."}
            return "refused"


@pytest.fixture
def desk(ledger: Ledger, tables: TableStore, tenant_id: str) -> Desk:
    return Desk(ledger, StateStore(tables, tenant_id), datetime.now(UTC))


def test_a_token_has_sanctums_format_with_our_prefix_and_a_checksum(desk: Desk) -> None:
    parts = re.fullmatch(r"(\d+)\|epki_([A-Za-z0-9]{40})([0-9a-f]{8})", desk.make())

    assert parts is not None
    assert parts[1] == "1"
    assert int(parts[3], 16) == zlib.crc32(parts[2].encode())
    assert (
        f"{zlib.crc32(b'The quick brown fox jumped over the lazy dog.'):08x}" == f"{2191738434:08x}"
    )  # php.net, crc32()


def test_only_a_hash_of_the_secret_is_kept(desk: Desk) -> None:
    plain_text = desk.make()
    record = desk.ledger.get(ApiToken, api_token_key(1))

    assert record is not None
    assert record.secret_sha256 == hashlib.sha256(plain_text.partition("|")[2].encode()).hexdigest()
    assert plain_text.partition("|")[2] not in repr(list(desk.ledger.log(0))) + repr(record)


def test_a_token_acts_under_its_id_and_name_with_its_abilities(desk: Desk) -> None:
    authenticator = Authenticator(None, desk.tokens(), frozenset())  # type: ignore[arg-type]  # no Entra tokens here
    everything = authenticator.authenticate([f"Bearer {desk.make('*')}"])
    narrow = authenticator.authenticate([f"Bearer {desk.make('entra:read', 'pki:issue')}"])
    manager = authenticator.authenticate([f"Bearer {desk.make('manage-entra-integration')}"])

    assert everything.actor == Actor(ActorKind.API_TOKEN, "1", "monitoring")
    assert everything.permissions == manager.permissions == EVERYTHING
    assert narrow.permissions == {Permission.READ, Permission.ISSUE}


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
        lambda token: token.replace("1|", "2|"),
        lambda token: token.replace("1|", "01|"),
        lambda token: token.replace("1|", "1||"),
        lambda token: token.replace("1|", "|"),
        lambda token: token.replace("epki_", ""),
        lambda token: token.replace("epki_", "EPKI_"),
        lambda token: token + "a",
        lambda token: "1|",
        lambda token: "1|epki_",
        lambda token: "99999999999|" + token[2:],
        lambda token: "1|epki_" + "a" * 40 + f"{zlib.crc32(b'a' * 40):08x}",
        lambda token: "١" + token[1:],
    ],
)
def test_nothing_but_the_very_token_is_accepted(desk: Desk, change: Callable[[str], str]) -> None:
    token = desk.make()
    assert desk.authenticate(token) == "1"
    assert desk.tokens().find(change(token)) is None


def test_an_expired_token_is_refused(desk: Desk) -> None:
    token = desk.make(life=DAY)
    desk.now += DAY - timedelta(minutes=1)
    assert desk.authenticate(token) == "1"
    desk.now += timedelta(minutes=2)
    assert desk.authenticate(token) == "refused"


def test_a_token_without_an_end_does_not_expire(desk: Desk) -> None:
    token = desk.make(life=None)
    desk.now += 5000 * DAY
    assert desk.authenticate(token) == "1"


def test_a_revoked_token_is_refused_at_once_in_every_process(desk: Desk) -> None:
    token, other = desk.make(), desk.make()
    elsewhere = desk.tokens()
    assert elsewhere.find(token)
    revoked = desk.tokens().revoke(1, desk.context())

    assert elsewhere.find(token) is None
    assert elsewhere.find(other)
    assert desk.tokens().revoke(1, desk.context()) == revoked
    with pytest.raises(ApiTokenNotFound):
        desk.tokens().revoke(3, desk.context())


def test_making_and_revoking_are_in_the_log_with_who_did_it(desk: Desk) -> None:
    desk.make()
    desk.tokens().revoke(1, desk.context())

    operations = [operation for row in desk.ledger.log(0) for operation in row.operations]
    assert [(o.action, o.actor) for o in operations] == [("token.created", OPERATOR), ("token.revoked", OPERATOR)]


def test_unknown_and_wrong_tokens_cost_the_same_look_ups_and_malformed_ones_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, other = desk.make(), desk.make()
    looked: list[str] = []
    get = desk.ledger.get

    def counted(kind: type[ApiToken], key: str) -> ApiToken | None:
        looked.append(key)
        return get(kind, key)

    monkeypatch.setattr(desk.ledger, "get", counted)
    for token in ("777|" + real[2:], "1|" + other[2:]):
        assert desk.tokens().find(token) is None
    for malformed in ("1|" + "a" * 53, "1|epki_" + "a" * 48, real.replace("epki_", "")):
        assert desk.tokens().find(malformed) is None
    assert looked == ["token|0000000777", "token|0000000001"]


def _wait_for_writer(tokens: ApiTokens) -> None:
    tokens._writer.submit(lambda: None).result(10)


def test_the_last_use_is_noted_once_a_minute_over_all_processes(desk: Desk) -> None:
    token = desk.make()
    here, there = desk.tokens(), desk.tokens()
    first = desk.now
    notes = []
    for seconds in (0, 30, 59, 61, 90):
        desk.now = first + timedelta(seconds=seconds)
        for tokens in (here, there):
            assert tokens.find(token)
            _wait_for_writer(tokens)
        notes.append(here.last_used_at(1))

    assert notes == [first] * 3 + [first + timedelta(seconds=61)] * 2


def test_a_note_that_cannot_be_written_fails_no_request(
    desk: Desk, azurite: Azurite, caplog: pytest.LogCaptureFixture
) -> None:
    token = desk.make()
    desk.state = StateStore(TableStore.from_connection_string(azurite.connection_string, "missing"), "x")
    tokens = desk.tokens()
    with caplog.at_level(logging.WARNING):
        assert tokens.find(token)
        _wait_for_writer(tokens)
    assert "could not be noted" in caplog.text and token not in caplog.text


def test_a_slow_note_makes_no_request_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    token, tokens, release = desk.make(), desk.tokens(), threading.Event()
    monkeypatch.setattr(desk.state, "get", lambda _: release.wait(20))
    assert tokens.find(token)
    release.set()


@pytest.mark.parametrize(
    ("name", "abilities", "life", "field"),
    [
        ("", ["*"], DAY, "name"),
        ("  ", ["*"], DAY, "name"),
        ("x" * 101, ["*"], DAY, "name"),
        ("a\nb", ["*"], DAY, "name"),
        ("x", [], DAY, "abilities"),
        ("x", ["everything"], DAY, "abilities"),
        ("x", ["entra:read", "ENTRA:READ"], DAY, "abilities"),
        ("x", ["*"], timedelta(), "days"),
    ],
)
def test_what_makes_no_sense_is_not_made(
    desk: Desk, name: str, abilities: list[str], life: timedelta, field: str
) -> None:
    with pytest.raises(FieldError) as refused:
        desk.tokens().create(name, abilities, life, desk.context())
    assert list(refused.value.errors or {}) == [field]
    assert desk.tokens().list() == []


# --- The command ------------------------------------------------------------------------------------------------------

Run = Callable[..., Result]


@pytest.fixture
def run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Run:
    tokens = desk.tokens()
    monkeypatch.setattr(shared.services, "services", lambda: SimpleNamespace(api_tokens=tokens))

    def invoke(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(command, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return invoke


def test_an_operator_makes_lists_and_revokes_tokens(desk: Desk, run: Run) -> None:
    made = json.loads(run("create", "--name", "ci [bold]", "--ability", "entra:read", "--days", "7", "--json").stdout)
    assert desk.authenticate(made["token"]) == "1"
    assert datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"]) == 7 * DAY

    run("create", "--name", "other", "--ability", "*")
    listed = json.loads(run("list", "--json").stdout)
    assert [(token["id"], token["name"], token["abilities"]) for token in listed] == [
        (1, "ci [bold]", ["entra:read"]),
        (2, "other", ["*"]),
    ]
    assert made["token"] not in json.dumps(listed) and "sha256" not in json.dumps(listed)

    assert "1 (ci [bold]) is revoked" in run("revoke", "1").stdout
    assert desk.authenticate(made["token"]) == "refused"
    assert "ci [bold]" in run("list").stdout


def test_the_command_shows_the_token_once(run: Run) -> None:
    assert re.match(r"1\|epki_[A-Za-z0-9]{48}\n", run("create", "--name", "x", "--ability", "*").stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "--name", "x"],
        ["create", "--ability", "*"],
        ["create", "--name", "x", "--ability", "all"],
        ["create", "--name", "x", "--ability", "*", "--days", "0"],
        ["revoke", "x"],
    ],
)
def test_a_wrong_command_line_makes_nothing(desk: Desk, run: Run, arguments: list[str]) -> None:
    run(*arguments, code=2)
    assert desk.tokens().list() == []


def test_revoking_what_is_not_there_is_told(run: Run) -> None:
    with pytest.raises(ApiTokenNotFound, match="There is no API token 5"):
        run("revoke", "5")
