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


class EntryWriter:
    """Collects entries; `entries` counts them."""

    def __init__(self) -> None:
        self.entries = 0
        self._encoded = bytearray()
        self._second = -1
        self._time = b""

    def add(self, serial_number: bytes, revoked_at: datetime, reason: RevocationReason) -> None:
        """One more. `serial_number`: big-endian, not negative, at most 20 octets once leading zeros are gone."""
        second = int(revoked_at.timestamp())
        if second != self._second:
            self._second, self._time = second, der.time(datetime.fromtimestamp(second, UTC))
        digits = serial_number.lstrip(b"\0") or b"\0"
        if digits[0] & 0x80:
            digits = b"\0" + digits
        rest = self._time + _EXTENSIONS[reason]
        # Every length here is below 128, so each takes one octet: at most 2 + 21 + 17 + 14.
        self._encoded += bytes((0x30, 2 + len(digits) + len(rest), 0x02, len(digits))) + digits + rest
        self.entries += 1

    def revoked_certificates(self) -> bytes:
        """`revokedCertificates`; nothing where there is no entry (RFC 5280 5.1.2.6: then it MUST be absent)."""
        return der.tlv(0x30, bytes(self._encoded)) if self.entries else b""
