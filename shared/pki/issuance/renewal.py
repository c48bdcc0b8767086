"""Renewal: another certificate of the same type for the same user, in the place of one that is about to end.

It is an issuance like any other (`cycle.py`): names come from the directory as it is today, policy, limits and key are
checked anew, and nothing is copied from the old certificate but its type and its length.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from shared.context import Context
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import Certificate, CertificateKind, certificate_key
from shared.pki.errors import CertificateNotFound
from shared.pki.issuance.cycle import Issuance
from shared.pki.issuance.order import Issued, KeyFormat, Order, Pkcs12Encryption
from shared.pki.issuance.policy import IssuancePolicy
from shared.pki.keys import KeyType

KEY_SIZES = (2048, 3072, 4096)


@dataclass(frozen=True, kw_only=True)
class RenewalOrder:
    """What a caller may say about the new certificate; see `Order`. None: as the old one was.

    Attributes:
        validity_days: None: as many as the old one had, or the most that is allowed by now.
        key_size: of a key to make here, unless there is a `csr`; None: as the old key if that was RSA.
    """

    certificate_id: int
    validity_days: int | None = None
    key_size: int | None = None
    csr: str | None = None
    format: KeyFormat = KeyFormat.PEM
    pkcs12_password: str | None = field(default=None, repr=False)
    pkcs12_encryption: Pkcs12Encryption = Pkcs12Encryption.MODERN


class Renewal:
    """Renews certificates. Safe to share between threads."""

    def __init__(self, ledger: Ledger, issuance: Issuance, policy: IssuancePolicy, default_key_size: int) -> None:
        self._ledger = ledger
        self._issuance = issuance
        self._policy = policy
        self._default_key_size = default_key_size

    def renew(self, wanted: RenewalOrder, context: Context, *, idempotency_key: str | None = None) -> Issued:
        """Issues the successor; the old certificate is revoked as superseded when the policy's overlap ends.

        Raises: CertificateNotFound, NotRenewable, AlreadyRenewed, RenewalInFlight, and what `Issuance.issue` raises.
        """
        old = self._ledger.get(Certificate, certificate_key(wanted.certificate_id))
        if old is None or old.kind is not CertificateKind.ENTRA_USER:
            raise CertificateNotFound(wanted.certificate_id)
        return self._issuance.issue(self.order(old, wanted), context, idempotency_key=idempotency_key)

    def order(self, old: Certificate, wanted: RenewalOrder) -> Order:
        """The order for the successor of `old`, a user's certificate."""
        if old.user_id is None or old.certificate_type is None:
            raise CertificateNotFound(old.id)
        days = round((old.not_after - old.not_before) / timedelta(days=1))
        return Order(
            user_id=old.user_id,
            certificate_type=old.certificate_type,
            validity_days=wanted.validity_days or min(days, self._policy.longest_validity(old.certificate_type)),
            key_size=None if wanted.csr else wanted.key_size or self._key_size(old),
            csr=wanted.csr,
            format=wanted.format,
            pkcs12_password=wanted.pkcs12_password,
            pkcs12_encryption=wanted.pkcs12_encryption,
            renews=old.id,
        )

    def _key_size(self, old: Certificate) -> int:
        before = old.key_size if KeyType(old.key_type).is_rsa else self._default_key_size
        return next(size for size in KEY_SIZES if size >= max(before, self._policy.min_rsa_bits))
