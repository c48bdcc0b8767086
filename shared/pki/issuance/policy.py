"""Who may get which certificate: the installation's own rules, as plain values and the checks that read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from shared.directory.records.certificate import CertificateType
from shared.directory.records.user import User
from shared.errors import FieldError
from shared.pki.errors import (
    UserDeleted,
    UserInactive,
    UserNotEntitled,
    UserNotSynchronized,
    UserProtected,
)
from shared.pki.keys import KeyType

MAX_VALIDITY_DAYS = 3650


@dataclass(frozen=True, kw_only=True)
class IssuancePolicy:
    """The settings that decide about issuance. Group ids are lower-case GUIDs, domains lower case.

    Attributes:
        max_validity_days: by type; a type not named may have 3650 days.
        allowed_group_ids: by type; a type not named, or with no groups, is for everybody.
        denied_group_ids: members are never issued to (administrators).
        min_rsa_bits: for every RSA key that is certified.
        mail_domains: whose addresses may be certified; empty: any.
        policy_oids: the certificate policies that every certificate names.
        public_url: the base of the URLs of issuer certificate, CRL and OCSP; None leaves them out.
        client_auth_mail: whether `client_auth` certificates name the mail address too.
        code_signing_requires_csr: whether keys for code signing must come from the requester (hardware).
        renewal_overlap: how long a renewed certificate stays valid beside its successor.
    """

    allowed_types: frozenset[CertificateType] = frozenset(CertificateType)
    max_validity_days: Mapping[CertificateType, int] = field(default_factory=dict)
    allowed_group_ids: Mapping[CertificateType, frozenset[str]] = field(default_factory=dict)
    denied_group_ids: frozenset[str] = frozenset()
    min_rsa_bits: int = 2048
    mail_domains: frozenset[str] = frozenset()
    policy_oids: tuple[str, ...] = ()
    public_url: str | None = None
    client_auth_mail: bool = False
    code_signing_requires_csr: bool = False
    renewal_overlap: timedelta = timedelta(days=7)

    def longest_validity(self, certificate_type: CertificateType) -> int:
        """Days."""
        return self.max_validity_days.get(certificate_type, MAX_VALIDITY_DAYS)

    def check_request(self, certificate_type: CertificateType, validity_days: int, *, has_csr: bool) -> None:
        """What can be said of an order without looking at anything else. Raises FieldError."""
        if certificate_type not in self.allowed_types:
            raise FieldError("certificate_type", f"This CA does not issue {certificate_type} certificates.")
        longest = self.longest_validity(certificate_type)
        if not 1 <= validity_days <= longest:
            raise FieldError(
                "validity_days", f"The validity days field must be between 1 and {longest} for {certificate_type}."
            )
        if certificate_type is CertificateType.CODE_SIGNING and self.code_signing_requires_csr and not has_csr:
            raise FieldError(
                "csr", "The csr field is required for code_signing: the key must be made and kept in hardware."
            )

    def check_key(self, key_type: KeyType, field_name: str) -> None:
        """Raises FieldError where the key is smaller than this installation wants."""
        if key_type.is_rsa and key_type.bits < self.min_rsa_bits:
            raise FieldError(field_name, f"RSA keys must have at least {self.min_rsa_bits} bits here.")

    def check_user(self, user: User, certificate_type: CertificateType) -> None:
        """Whether the user, as the directory has it, may get a certificate of this type now.

        Raises UserNotSynchronized, UserDeleted, UserInactive, UserProtected or UserNotEntitled.
        """
        if not user.is_synchronized or user.user_principal_name is None:
            raise UserNotSynchronized(user.name)
        if user.deletion is not None:
            raise UserDeleted(user.name)
        if not user.is_active or user.revocation_pending:
            raise UserInactive(user.name)
        self._check_groups(user, certificate_type)

    def _check_groups(self, user: User, certificate_type: CertificateType) -> None:
        groups = frozenset(user.group_ids)
        if self.denied_group_ids and user.synced_at is None:
            raise UserProtected(
                f"The groups of {user.name} are not known, so it cannot be told whether the user is protected: "
                "synchronize the user first."
            )
        if denied := self.denied_group_ids & groups:
            raise UserProtected(
                f"{user.name} is a member of the protected group {min(denied)}; "
                "certificates for its members are not issued through this API."
            )
        allowed = self.allowed_group_ids.get(certificate_type, frozenset())
        if allowed and not allowed & groups:
            raise UserNotEntitled(user.name, certificate_type)
