"""CRLs: which one of an issuer is current, which numbers are used up, and revocations that only a CRL remembers."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from shared.directory.records.base import Record
from shared.directory.records.certificate import RevocationReason


@dataclass(frozen=True, kw_only=True)
class CrlPointer(Record):
    """`crl|<issuer>`: the published CRL of one issuer, and the last number that a rebuild was given.

    Numbers and what they cover are given out together, so that a higher number never covers less. A rebuild that
    dies leaves a gap.
    """

    KIND: ClassVar[str] = "crl"

    issuer_id: str
    last_number: int
    """The last number given to a rebuild, published or not."""
    last_seq: int
    """The log position that the CRL of that number covers."""
    last_this_update: datetime
    """thisUpdate of the CRL of that number: never earlier than that of one before it."""

    number: int | None = None
    """The published one; None as long as there is none. So for all that follow."""
    seq: int | None = None
    sha256: str | None = None
    """Of the DER, lower-case hex."""
    size: int | None = None
    """Bytes of the DER."""
    entries: int | None = None
    this_update: datetime | None = None
    next_update: datetime | None = None
    built_at: datetime | None = None
    """By the clock of the process that made it."""
    contents_sha256: str | None = None
    """Of what the directory said was revoked, the entries left out for their age included."""

    @property
    def key(self) -> str:
        return crl_key(self.issuer_id)


@dataclass(frozen=True, kw_only=True)
class CarriedRevocation(Record):
    """`carried|<issuer>|<serial number>`: an entry of an earlier CRL whose certificate the directory does not know.

    They come from a CRL that was published after the backup that the directory was restored from.
    """

    KIND: ClassVar[str] = "carried"

    issuer_id: str
    serial_number: str
    """Lower-case hex, an even number of digits."""
    revoked_at: datetime
    reason: RevocationReason

    @property
    def key(self) -> str:
        return carried_key(self.issuer_id, self.serial_number)


@dataclass(frozen=True, kw_only=True)
class Restore(Record):
    """`restore|<number>`: the directory was restored, and ids that may have been given out meanwhile were skipped."""

    KIND: ClassVar[str] = "restore"

    id: int
    reconciled_at: datetime
    skipped_ids: int
    last_seq: int | None = None
    """The last log row of what was restored; None where that was not noted. Later ones of the same numbers are lost."""

    @property
    def key(self) -> str:
        return f"restore|{self.id:010d}"


def crl_key(issuer_id: str) -> str:
    return f"crl|{issuer_id}"


def carried_key(issuer_id: str, serial_number: str) -> str:
    return f"{carried_prefix(issuer_id)}{serial_number}"


def carried_prefix(issuer_id: str) -> str:
    return f"carried|{issuer_id}|"
