"""Anchors: every day the CA signs the hash of the last log row, and the signature goes where no writer of the log is.

Whoever can write the table can rewrite the whole log so that its chain is whole again. An anchor shows it: the hash
that was signed is another. They have a container of their own, `<table>-anchors`, so that it can be made immutable.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature

from shared.context import Clock, Context, system_clock
from shared.directory.blobs import BlobDamaged, BlobStore
from shared.directory.ledger import Ledger
from shared.directory.log import genesis_hash, log_key
from shared.directory.records.base import format_time, parse_time
from shared.directory.records.crl import Restore
from shared.directory.records.issuer import Issuer
from shared.errors import AppError
from shared.pki.authority.authority import Authority
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.errors import CaNotInitialized
from shared.pki.keys import PublicKey, sign, verify

PREFACE = "entra-pki anchor of the log. This text is no certificate, no CRL and no OCSP response."
"""A signed text begins so. All else that a CA key signs is DER and begins with the byte 30 hex."""
_STATEMENT = re.compile(
    re.escape(PREFACE) + r"\ntenant: (?P<tenant_id>[0-9a-f-]{36})\nlog row: (?P<seq>[0-9]{1,16})"
    r"\nsha256: (?P<hash>[0-9a-f]{64})\nsigned at: (?P<signed_at>[0-9TZ:.-]{27})\nissuer: (?P<issuer_id>[0-9a-f]{16})\n"
)


class LogNotAnchored(AppError):
    """The log does not continue what was signed last; nothing is signed until somebody has looked."""

    status, code = 500, "log_not_intact"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The log does not go on from the hash that was signed last: look at {key} (`manage.py audit verify`)."
        )


@dataclass(frozen=True, slots=True)
class Anchor:
    """That log row `seq` had this hash at `signed_at`, says the issuer."""

    tenant_id: str
    seq: int
    hash: str
    signed_at: datetime
    issuer_id: str

    def statement(self) -> str:
        """What is signed, as UTF-8."""
        return (
            f"{PREFACE}\ntenant: {self.tenant_id}\nlog row: {self.seq}\nsha256: {self.hash}\n"
            f"signed at: {format_time(self.signed_at)}\nissuer: {self.issuer_id}\n"
        )

    @classmethod
    def parse(cls, statement: str) -> "Anchor":
        """The inverse of `statement`. Raises ValueError."""
        found = _STATEMENT.fullmatch(statement)
        if found is None:
            raise ValueError("not the statement of an anchor")
        signed_at = parse_time(found["signed_at"])
        return cls(found["tenant_id"], int(found["seq"]), found["hash"], signed_at, found["issuer_id"])


@dataclass(frozen=True, slots=True)
class FoundAnchors:
    """What the container holds of this tenant, by log row.

    Attributes:
        good: signed by an issuer of this directory; the log must agree with them.
        left_behind: good, but of log rows that a restore has done away with, signed before it.
        problems: blobs that are no anchors, or not signed by any issuer of this directory; a sentence each.
    """

    good: tuple[Anchor, ...]
    left_behind: tuple[Anchor, ...]
    problems: tuple[str, ...]


class LogAnchors:
    """Raises what storage and signing backend raise."""

    def __init__(
        self, ledger: Ledger, authority: Callable[[], Authority], blobs: BlobStore, *, clock: Clock = system_clock
    ) -> None:
        """`authority` is asked for to sign only: whoever checks needs no key. `blobs`: the container for anchors."""
        self._ledger = ledger
        self._authority = authority
        self._blobs = blobs
        self._clock = clock

    def sign(self, context: Context) -> Anchor | None:
        """Signs where the log is now, having followed it from the last anchor. None: nothing new, or no issuer yet.

        Raises: LogNotAnchored.
        """
        head, authority = self._ledger.head(), self._authority()
        try:
            issuer = authority.active()
        except CaNotInitialized:
            return None
        self._blobs.create_if_missing()
        last = self._last_good()
        if head.seq == 0 or (last is not None and last.seq == head.seq):
            return None
        self._follow(last, head.seq, head.last_hash)
        anchor = Anchor(self._ledger.tenant_id, head.seq, head.last_hash, self._clock(), issuer.id)
        statement = anchor.statement().encode()
        signature = sign(authority.signing_key(issuer, context.deadline), statement)
        verify(issuer.public_key, signature, statement)
        content = {"statement": statement.decode(), "signature": base64.b64encode(signature).decode()}
        encoded = json.dumps(content, indent=1).encode()
        self._blobs.put_new(f"{self._folder}{head.seq:016d}-{hashlib.sha256(encoded).hexdigest()[:16]}", encoded)
        return anchor

    def found(self, newest: int | None = None) -> FoundAnchors:
        """All anchors, or so many of the newest, each with its signature checked."""
        good, left_behind, problems = list[Anchor](), list[Anchor](), list[str]()
        names = self._names()
        for name, anchor, is_left_behind in self._checked(names if newest is None else names[-newest:]):
            if anchor is None:
                problems.append(f"{name} is no anchor that an issuer of this directory signed.")
            else:
                (left_behind if is_left_behind else good).append(anchor)
        return FoundAnchors(tuple(good), tuple(left_behind), tuple(problems))

    def _last_good(self) -> Anchor | None:
        newest_first = self._checked(reversed(self._names()))
        return next((anchor for _, anchor, is_left_behind in newest_first if anchor and not is_left_behind), None)

    def _checked(self, names: Iterable[str]) -> Iterator[tuple[str, Anchor | None, bool]]:
        """Each name with its anchor, None if it is none, and whether a restore left it behind."""
        restores = list(self._ledger.scan(Restore))
        keys = {issuer.id: IssuerMaterial.of(issuer).public_key for issuer in self._ledger.scan(Issuer) if issuer.der}
        for name in names:
            try:
                anchor = self._verified(self._blobs.get(name), keys)
            except (ValueError, KeyError, TypeError, InvalidSignature, BlobDamaged):
                yield name, None, False
            else:
                yield name, anchor, _is_left_behind(anchor, restores)

    @property
    def _folder(self) -> str:
        return f"{self._ledger.tenant_id}/"

    def _names(self) -> list[str]:
        """Of this tenant's blobs: by name is by log row."""
        return sorted(blob.name for blob in self._blobs.list(self._folder)) if self._blobs.exists() else []

    def _verified(self, content: bytes | None, keys: Mapping[str, PublicKey]) -> Anchor:
        fields = json.loads(content or b"")
        statement, signature = str(fields["statement"]), base64.b64decode(fields["signature"], validate=True)
        anchor = Anchor.parse(statement)
        verify(keys[anchor.issuer_id], signature, statement.encode())
        if anchor.tenant_id != self._ledger.tenant_id:
            raise ValueError("of another tenant")
        return anchor

    def _follow(self, last: Anchor | None, seq: int, expected: str) -> None:
        """From what was signed last to the row that is to be signed, each row hashes and follows as it should."""
        previous = genesis_hash(self._ledger.tenant_id) if last is None else last.hash
        for row in self._ledger.log(0 if last is None else last.seq, seq):
            if row.previous_hash != previous or row.computed_hash() != row.hash:
                raise LogNotAnchored(row.key)
            previous = row.hash
        if previous != expected:
            raise LogNotAnchored(log_key(seq))


def _is_left_behind(anchor: Anchor, restores: Sequence[Restore]) -> bool:
    return any(
        restore.last_seq is not None and anchor.seq > restore.last_seq and anchor.signed_at <= restore.reconciled_at
        for restore in restores
    )
