"""Remembers valid verdicts for a while, under the token's SHA-256, so that a token seen before costs one hash.

Refusals are never remembered, and neither are tokens themselves.
"""

import threading
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.entra.tokens.claims import ValidToken
from shared.entra.tokens.jwk_policy import SigningKey
from shared.entra.tokens.signing_keys import SigningKeyStore

LONGEST = timedelta(minutes=5)
MAX_VERDICTS = 10_000
MAX_TOKEN_BYTES = 16 * 1024 * 1024
"""Of all tokens remembered, added up: what a verdict holds grows with its token, so this bounds the memory."""


class Verdict(NamedTuple):
    """A valid token, until when it may be taken as such, and the key that this hangs on."""

    token: ValidToken
    until: datetime
    key: SigningKey
    store: SigningKeyStore
    size: int


class VerdictCache:
    """Shared by threads. The oldest verdicts go first."""

    def __init__(self, *, max_verdicts: int = MAX_VERDICTS, max_token_bytes: int = MAX_TOKEN_BYTES) -> None:
        self._max_verdicts = max_verdicts
        self._max_token_bytes = max_token_bytes
        self._verdicts: dict[bytes, Verdict] = {}
        self._token_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._verdicts)

    def get(self, fingerprint: bytes) -> Verdict | None:
        """What was remembered, which may be outdated."""
        return self._verdicts.get(fingerprint)

    def put(self, fingerprint: bytes, verdict: Verdict) -> None:
        with self._lock:
            self._forget(fingerprint)
            self._verdicts[fingerprint] = verdict
            self._token_bytes += verdict.size
            while len(self._verdicts) > self._max_verdicts or self._token_bytes > self._max_token_bytes:
                self._forget(next(iter(self._verdicts)))

    def forget(self, fingerprint: bytes) -> None:
        with self._lock:
            self._forget(fingerprint)

    def _forget(self, fingerprint: bytes) -> None:
        gone = self._verdicts.pop(fingerprint, None)
        if gone is not None:
            self._token_bytes -= gone.size
