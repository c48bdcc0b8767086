"""What a caller asks of the CA, and what it gets back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.directory.records.certificate import Certificate, CertificateType
from shared.directory.records.user import User


class KeyFormat(StrEnum):
    """How a key that was made here is handed out."""

    PEM = "pem"
    PKCS12 = "pkcs12"


class Pkcs12Encryption(StrEnum):
    MODERN = "modern"
    """AES-256-CBC with PBKDF2 and SHA-256."""
    LEGACY = "legacy"
    """3DES and SHA-1, for Windows before Server 2019 / 10 1709 and macOS before 15."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One certificate for one user.

    Attributes:
        validity_days: 1 to 3650.
        key_size: bits of the RSA key to make here; None if `csr` is given.
        csr: PKCS#10, PEM; only its public key counts. None if `key_size` is given.
        renews: the id of the certificate in whose place this one is ordered; None for none.
        pkcs12_password: encrypts the private key, PEM too; None leaves a PEM key bare and has one made for PKCS#12.
    """

    user_id: int
    certificate_type: CertificateType
    validity_days: int
    key_size: int | None = None
    csr: str | None = None
    format: KeyFormat = KeyFormat.PEM
    pkcs12_password: str | None = field(default=None, repr=False)
    pkcs12_encryption: Pkcs12Encryption = Pkcs12Encryption.MODERN
    renews: int | None = None

    def __post_init__(self) -> None:
        if (self.key_size is None) == (self.csr is None):
            raise ValueError("an order has either a key size or a CSR")

    @property
    def sha256(self) -> str:
        """Names the order's content, without the password: that must not be guessable from what is stored."""
        content = {
            "user_id": self.user_id,
            "certificate_type": self.certificate_type,
            "validity_days": self.validity_days,
            "key_size": self.key_size,
            "csr": self.csr,
            "format": self.format,
            "pkcs12_encryption": self.pkcs12_encryption,
            "renews": self.renews,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate that is in the directory as issued, and what goes with it to the caller, once.

    Attributes:
        certificate: the record; `der` is there.
        pem: the certificate.
        chain_pem: the issuer's certificate and those above it, the root last.
        private_key_pem: PKCS#8, encrypted if a password was given; None with a CSR, with PKCS#12, and in a replay.
        pkcs12: key, certificate and chain; None unless asked for, and in a replay.
        pkcs12_password: the one that was made here; None if the caller gave it.
        replayed: this request had been answered before; the certificate is the same, the key has gone.
        warnings: sentences about what is legal but unwise.
        user_ids: ready values for Entra's `certificateUserIds`, by form (`shared.pki.user_ids`).
    """

    certificate: Certificate
    user: User
    pem: str
    chain_pem: str
    private_key_pem: str | None = field(default=None, repr=False)
    pkcs12: bytes | None = field(default=None, repr=False)
    pkcs12_password: str | None = field(default=None, repr=False)
    replayed: bool = False
    warnings: tuple[str, ...] = ()
    user_ids: Mapping[str, str] = field(default_factory=dict)
