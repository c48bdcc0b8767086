"""PKCS#10 requests (RFC 2986): proof that the requester has the private key, and nothing else is believed of them."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from shared.errors import FieldError
from shared.pki.good_key import BadKey, check_public_key
from shared.pki.keys import KeyType, PublicKey

MAX_CSR_LENGTH = 20_000
_BEGIN = ("-----BEGIN CERTIFICATE REQUEST-----", "-----BEGIN NEW CERTIFICATE REQUEST-----")


def key_of_csr(pem: str) -> tuple[PublicKey, KeyType]:
    """The key that the request proves possession of. Raises FieldError("csr") with a sentence on what is wrong."""
    request = _parse(pem)
    try:
        proven = request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise _wrong("its signature cannot be checked: use SHA-256 or stronger with RSA or ECDSA.") from error
    if not proven:
        raise _wrong("its signature is not that of its own key, so possession of the key is not proven.")
    try:
        return check_public_key(request.public_key())
    except BadKey as error:
        raise FieldError("csr", str(error)) from error
    except (UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise _wrong("its public key cannot be read.") from error


def _parse(pem: str) -> x509.CertificateSigningRequest:
    text = pem.strip()
    if len(text) > MAX_CSR_LENGTH:
        raise _wrong(f"it is longer than {MAX_CSR_LENGTH} characters.")
    if not text.isascii() or not text.startswith(_BEGIN) or text.count("-----BEGIN") != 1:
        raise _wrong("it must be one PEM block: -----BEGIN CERTIFICATE REQUEST-----.")
    try:
        return x509.load_pem_x509_csr(text.encode("ascii"))
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm, TypeError) as error:
        raise _wrong("it cannot be parsed: it must be a whole PKCS#10 request of version 1 in DER.") from error


def _wrong(reason: str) -> FieldError:
    return FieldError("csr", f"The csr field is not usable: {reason}")
