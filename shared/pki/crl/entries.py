"""The entries of a CRL as DER, written one after the other.

cryptography's builder copies its list for every entry added; here an entry costs the same however many there are.
"""

from datetime import UTC, datetime

from shared.directory.records.certificate import RevocationReason
from shared.pki import der

REASON_CODES = {
    RevocationReason.UNSPECIFIED: 0,
    RevocationReason.KEY_COMPROMISE: 1,
    RevocationReason.CA_COMPROMISE: 2,
    RevocationReason.AFFILIATION_CHANGED: 3,
    RevocationReason.SUPERSEDED: 4,
    RevocationReason.CESSATION_OF_OPERATION: 5,
    RevocationReason.CERTIFICATE_HOLD: 6,
    RevocationReason.PRIVILEGE_WITHDRAWN: 9,
    RevocationReason.AA_COMPROMISE: 10,
}
"""CRLReason, RFC 5280 5.3.1. There is no removeFromCRL (8): it is for delta CRLs."""

_REASON_CODE = bytes.fromhex("0603551d15")  # id-ce-cRLReasons 2.5.29.21


def _extensions(reason: RevocationReason) -> bytes:
    """`crlEntryExtensions`; nothing for `unspecified`, which SHOULD be left out (RFC 5280 5.3.1)."""
    if reason is RevocationReason.UNSPECIFIED:
        return b""
    code = der.enumerated(REASON_CODES[reason])
    return der.sequence(der.sequence(_REASON_CODE, der.octet_string(code)))


_EXTENSIONS = {reason: _extensions(reason) for reason in RevocationReason}


_DAY = 24 * 60 * 60


class EntryWriter:
    """Collects entries; `entries` counts them."""

    def __init__(self) -> None:
        self.entries = 0
        self._encoded = bytearray()
        self._days: dict[int, bytes] = {}

    def add(self, serial_number: bytes, revoked_at: datetime, reason: RevocationReason) -> None:
        """One more. `serial_number`: big-endian, not negative, at most 20 octets once leading zeros are gone."""
        digits = serial_number.lstrip(b"\0") or b"\0"
        if digits[0] & 0x80:
            digits = b"\0" + digits
        rest = self._time(revoked_at) + _EXTENSIONS[reason]
        # Every length here is below 128, so each takes one octet: at most 2 + 21 + 17 + 14.
        self._encoded += b"\x30%c\x02%c%b%b" % (2 + len(digits) + len(rest), len(digits), digits, rest)
        self.entries += 1

    def revoked_certificates(self) -> bytes:
        """`revokedCertificates`; nothing where there is no entry (RFC 5280 5.1.2.6: then it MUST be absent)."""
        return der.tlv(0x30, bytes(self._encoded)) if self.entries else b""

    def _time(self, moment: datetime) -> bytes:
        """As `der.time`; formatting a date is most of an entry's work, so each day is formatted once."""
        day, second = divmod(int(moment.timestamp()), _DAY)
        date = self._days.get(day)
        if date is None:
            midnight = der.time(datetime.fromtimestamp(day * _DAY, UTC))
            date = self._days[day] = midnight.removesuffix(b"000000Z")
        minute, second = divmod(second, 60)
        return b"%b%02d%02d%02dZ" % (date, *divmod(minute, 60), second)
