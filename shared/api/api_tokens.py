"""API tokens for callers without an Entra identity, with Laravel Sanctum's format and semantics.

A token is `{id}|epki_{40 random letters and digits}{CRC-32 of these}`. It is shown once; a SHA-256 stays. The CRC lets
secret scanners tell a token from chance; here it saves the look-up of mistyped ones.
"""

import hashlib
import hmac
import logging
import re
import secrets
import string
import threading
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.api.permissions import Permission
from shared.context import Clock, Context, system_clock
from shared.directory.ledger import Ledger, Request
from shared.directory.records.api_token import ApiToken, api_token_key
from shared.directory.records.base import format_time, parse_time
from shared.directory.state import StateStore
from shared.directory.transaction import Transaction
from shared.errors import AppError, FieldError
from shared.telemetry.recorder import recorder

log = logging.getLogger("entra_pki.api.tokens")

PREFIX = "epki_"
SECRET_LENGTH = 40  # 238 bits
ALPHABET = string.ascii_letters + string.digits
SHAPE = re.compile(rf"([1-9][0-9]{{0,9}})\|{PREFIX}([A-Za-z0-9]{{{SECRET_LENGTH}}})([0-9a-f]{{8}})")
EVERY_ABILITY = "*"
MAX_NAME_LENGTH = 100
USED_AT_INTERVAL = timedelta(minutes=1)
NO_SECRET = "0" * 64  # what is compared with when there is no such token, so that both refusals do the same work


class ApiTokenNotFound(AppError):
    status, code = 404, "api_token_not_found"

    def __init__(self, token_id: int) -> None:
        super().__init__(f"There is no API token {token_id}.")


@dataclass(frozen=True)
class NewApiToken:
    """`plain_text` is the token itself: to be shown once and forgotten."""

    token: ApiToken
    plain_text: str

    def __repr__(self) -> str:
        return f"NewApiToken({self.token!r})"


class ApiTokens:
    """Makes, checks, lists and revokes API tokens. Safe to share between threads."""

    def __init__(
        self,
        ledger: Ledger,
        state: StateStore,
        *,
        clock: Clock = system_clock,
        random_choice: Callable[[str], str] = secrets.choice,
    ) -> None:
        self._ledger = ledger
        self._state = state
        self._clock = clock
        self._random_choice = random_choice
        self._noted: dict[int, datetime] = {}
        self._noting = threading.Lock()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="token-use")

    def create(self, name: str, abilities: Sequence[str], life: timedelta | None, context: Context) -> NewApiToken:
        """Makes a token. `life` None: it never expires. Raises FieldError for an unknown ability or a bad name."""
        _check(name, abilities, life)
        entropy = "".join(self._random_choice(ALPHABET) for _ in range(SECRET_LENGTH))
        secret = f"{PREFIX}{entropy}{_checksum(entropy)}"

        def decide(tx: Transaction) -> ApiToken:
            token = ApiToken(
                id=tx.next_id(ApiToken.SEQUENCE),
                name=name,
                abilities=tuple(dict.fromkeys(abilities)),
                secret_sha256=_sha256(secret),
                created_by=context.actor.id,
                created_at=tx.time,
                expires_at=None if life is None else tx.time + life,
            )
            tx.put(token)
            return token

        token = self._ledger.commit(Request("token.created", context, decide), context.deadline).value
        return NewApiToken(token, f"{token.id}|{secret}")

    def find(self, plain_text: str) -> ApiToken | None:
        """The usable token that this text is, or None: the same work and the same answer for every reason."""
        parsed = _parse(plain_text)
        if parsed is None:
            return None
        token_id, secret = parsed
        token = self._ledger.get(ApiToken, api_token_key(token_id))
        matches = hmac.compare_digest(token.secret_sha256 if token else NO_SECRET, _sha256(secret))
        now = self._clock()
        if token is None or not matches or not token.is_usable(now):
            return None
        self._note_use(token.id, now)
        return token

    def list(self) -> list[ApiToken]:
        """All that were ever made, by id."""
        return list(self._ledger.scan(ApiToken))

    def last_used_at(self, token_id: int) -> datetime | None:
        """To the minute."""
        state = self._state.get(_used_name(token_id))
        return None if state is None else parse_time(state.data.decode())

    def revoke(self, token_id: int, context: Context) -> ApiToken:
        """Ends a token for good; one that has ended already stays as it is. Raises ApiTokenNotFound."""

        def decide(tx: Transaction) -> ApiToken:
            token = tx.get(ApiToken, api_token_key(token_id))
            if token is None:
                raise ApiTokenNotFound(token_id)
            revoked = token if token.revoked_at else replace(token, revoked_at=tx.time)
            tx.put(revoked)
            return revoked

        return self._ledger.commit(Request("token.revoked", context, decide), context.deadline).value

    def _note_use(self, token_id: int, now: datetime) -> None:
        """At most once a minute, beside the request: it neither waits for this nor fails with it."""
        with self._noting:
            noted = self._noted.get(token_id)
            if noted is not None and now - noted < USED_AT_INTERVAL:
                return
            self._noted[token_id] = now
        self._writer.submit(recorder().carried(self._write_use), token_id, now)

    def _write_use(self, token_id: int, now: datetime) -> None:
        try:
            noted = self.last_used_at(token_id)  # perhaps by another process
            if noted is None or now - noted >= USED_AT_INTERVAL:
                self._state.put(_used_name(token_id), format_time(now).encode())
        except Exception as error:  # noqa: BLE001  (a statistic, not worth a request)
            log.warning("the use of API token %s could not be noted: %s", token_id, error)


def _parse(plain_text: str) -> tuple[int, str] | None:
    shape = SHAPE.fullmatch(plain_text)
    if shape is None:
        return None
    token_id, entropy, checksum = shape.groups()
    if checksum != _checksum(entropy):
        return None
    return int(token_id), f"{PREFIX}{entropy}{checksum}"


def _check(name: str, abilities: Sequence[str], life: timedelta | None) -> None:
    if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise FieldError("name", f"The name field must be 1 to {MAX_NAME_LENGTH} printable characters.")
    known = {EVERY_ABILITY, *Permission}
    if not abilities or not set(abilities) <= known:
        raise FieldError("abilities", f"The abilities field must name some of: {', '.join(sorted(known))}.")
    if life is not None and life <= timedelta():
        raise FieldError("days", "The days field must be at least 1.")


def _checksum(entropy: str) -> str:
    return f"{zlib.crc32(entropy.encode()):08x}"


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _used_name(token_id: int) -> str:
    return f"token-used|{token_id:010d}"
