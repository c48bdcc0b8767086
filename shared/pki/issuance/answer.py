"""From a certificate in the directory to what its caller gets: PEM, chain, warnings, Entra's user ids, and the key."""

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from shared.directory.records.certificate import Certificate
from shared.directory.records.user import User
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.issuance.holder import security_identifier
from shared.pki.issuance.key_delivery import PackedKey, pack
from shared.pki.issuance.order import Issued, Order
from shared.pki.issuance.profiles import PROFILES
from shared.pki.keys import PrivateKey
from shared.pki.user_ids import certificate_user_ids

NO_KEY = PackedKey()


def pack_key(
    key: PrivateKey | None, order: Order, record: Certificate, user: User, issuer: IssuerMaterial
) -> PackedKey:
    """The key that was made here, as the order wants it; nothing where the requester has the key."""
    if key is None:
        return NO_KEY
    chain = (issuer.certificate, *issuer.parents)
    return pack(key, order, _parsed(record), chain, user.user_principal_name or user.name)


def answer(record: Certificate, user: User, issuer: IssuerMaterial, key: PackedKey = NO_KEY) -> Issued:
    """`record`: one that has its DER."""
    certificate = _parsed(record)
    return Issued(
        certificate=record,
        user=user,
        pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        chain_pem=issuer.chain_pem,
        private_key_pem=key.pem,
        pkcs12=key.pkcs12,
        pkcs12_password=key.made_password,
        warnings=_warnings(record, user),
        user_ids=certificate_user_ids(certificate, record.user_principal_name),
    )


def _parsed(record: Certificate) -> x509.Certificate:
    return x509.load_der_x509_certificate(record.der or b"")


def _warnings(record: Certificate, user: User) -> tuple[str, ...]:
    if record.certificate_type is None:
        return ()
    profile = PROFILES[record.certificate_type]
    found = [warn(record) for warn in profile.warnings]
    if profile.security_identifier and record.security_identifier is None:
        found.append(security_identifier(user)[1])
    return tuple(warning for warning in found if warning)
