"""OCSP on the wire (RFC 6960 4): requests are read with asn1crypto, replies written as DER.

cryptography's own classes take one certificate for each request; clients may ask for several.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from asn1crypto import core, ocsp

from shared.directory.records.certificate import RevocationReason
from shared.pki import der
from shared.pki.crl.entries import REASON_CODES

MAX_REQUEST_BYTES = 16 * 1024
MAX_CERTIFICATES = 16
MAX_NONCE_BYTES = 128  # RFC 9654 2.1: 1 to 128 octets, all else is refused

_NONCE = bytes.fromhex("06092b0601050507300102")  # id-pkix-ocsp-nonce 1.3.6.1.5.5.7.48.1.2
_BASIC = bytes.fromhex("06092b0601050507300101")  # id-pkix-ocsp-basic 1.3.6.1.5.5.7.48.1.1
_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_NULL = b"\x05\x00"
_GOOD, _UNKNOWN = b"\x80\x00", b"\x82\x00"  # [0] and [2] IMPLICIT NULL
_HASHES = {"sha1": bytes.fromhex("06052b0e03021a"), "sha256": bytes.fromhex("0609608648016503040201")}


class MalformedOcspRequest(ValueError):
    """Not an OCSP request, or not one that this responder takes."""


class ResponseStatus(IntEnum):
    """OCSPResponseStatus, RFC 6960 4.2.1."""

    SUCCESSFUL = 0
    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


@dataclass(frozen=True)
class CertId:
    """Which certificate is asked for, as the client names it.

    Attributes:
        algorithm: `sha1`, `sha256`, or another one's name or OID.
        has_parameters: whether the AlgorithmIdentifier has its NULL; repeated in the reply, for clients compare.
        serial_number: the contents of the INTEGER.
    """

    algorithm: str
    has_parameters: bool
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial_number: bytes

    def encode(self) -> bytes:
        """Raises KeyError for an algorithm other than SHA-1 and SHA-256."""
        return der.sequence(
            der.sequence(_HASHES[self.algorithm], _NULL if self.has_parameters else b""),
            der.octet_string(self.issuer_name_hash),
            der.octet_string(self.issuer_key_hash),
            der.tlv(0x02, self.serial_number),
        )


@dataclass(frozen=True)
class OcspRequest:
    """1 to 16 certificates, and the nonce if the client sent one. A signature on the request is not looked at."""

    certificates: tuple[CertId, ...]
    nonce: bytes | None


@dataclass(frozen=True)
class Good:
    """Issued, and neither revoked nor on hold."""


@dataclass(frozen=True)
class Revoked:
    at: datetime
    reason: RevocationReason


@dataclass(frozen=True)
class Unknown:
    """Never issued, or not known to be."""


CertStatus = Good | Revoked | Unknown


def decode_request(encoded: bytes) -> OcspRequest:
    """Raises MalformedOcspRequest."""
    if not 0 < len(encoded) <= MAX_REQUEST_BYTES:
        raise MalformedOcspRequest("of no sensible length")
    try:
        return _request(ocsp.OCSPRequest.load(encoded, strict=True)["tbs_request"])
    except MalformedOcspRequest:
        raise
    except Exception as error:  # whatever the parser stumbles over, it is the request that is wrong
        raise MalformedOcspRequest(str(error)) from error


def _request(tbs: Any) -> OcspRequest:
    if tbs["version"].native != "v1":
        raise MalformedOcspRequest("not of version 1")
    requests = tbs["request_list"]
    if not 1 <= len(requests) <= MAX_CERTIFICATES:
        raise MalformedOcspRequest(f"not 1 to {MAX_CERTIFICATES} certificates")
    for request in requests:
        _refuse_critical(request["single_request_extensions"])
    return OcspRequest(tuple(_cert_id(request["req_cert"]) for request in requests), _nonce(tbs["request_extensions"]))


def _cert_id(cert_id: Any) -> CertId:
    algorithm = cert_id["hash_algorithm"]
    parameters = algorithm["parameters"]
    absent = isinstance(parameters, core.Void)
    if not absent and parameters.dump() != _NULL:
        raise MalformedOcspRequest("hash parameters")
    serial_number = cert_id["serial_number"]
    if serial_number.native is None or not serial_number.contents:
        raise MalformedOcspRequest("no serial number")
    return CertId(
        algorithm["algorithm"].native,
        not absent,
        cert_id["issuer_name_hash"].native,
        cert_id["issuer_key_hash"].native,
        serial_number.contents,
    )


def _nonce(extensions: Any) -> bytes | None:
    if isinstance(extensions, core.Void):
        return None
    nonces = [extension for extension in extensions if extension["extn_id"].native == "nonce"]
    _refuse_critical([extension for extension in extensions if extension["extn_id"].native != "nonce"])
    if not nonces:
        return None
    nonce: bytes = core.OctetString.load(nonces[0]["extn_value"].contents, strict=True).native
    if len(nonces) > 1 or not 1 <= len(nonce) <= MAX_NONCE_BYTES:
        raise MalformedOcspRequest("not one nonce of 1 to 128 octets")
    return nonce


def _refuse_critical(extensions: Any) -> None:
    """RFC 6960 4.4: unknown extensions are passed over unless they are critical."""
    if not isinstance(extensions, core.Void) and any(extension["critical"].native for extension in extensions):
        raise MalformedOcspRequest("a critical extension that is not supported")


def error_response(status: ResponseStatus) -> bytes:
    """A reply without an answer, and therefore without a signature."""
    return der.sequence(der.enumerated(status))


def response_data(
    responder_key_hash: bytes,
    produced_at: datetime,
    next_update: datetime,
    answers: Sequence[tuple[CertId, CertStatus]],
    nonce: bytes | None,
) -> bytes:
    """ResponseData, to be signed. All answers are as of `produced_at`.

    `responder_key_hash`: SHA-1 of the responder's key, as ResponderID byKey wants it.
    """
    this_update = der.generalized_time(produced_at)
    until = der.explicit(0, der.generalized_time(next_update))
    singles = (der.sequence(cert_id.encode(), _status(status), this_update, until) for cert_id, status in answers)
    extensions = b""
    if nonce is not None:
        extension = der.sequence(_NONCE, der.octet_string(der.octet_string(nonce)))
        extensions = der.explicit(1, der.sequence(extension))
    responder_id = der.explicit(2, der.octet_string(responder_key_hash))
    return der.sequence(responder_id, this_update, der.sequence(*singles), extensions)


def response(data: bytes, signature: bytes, certificate: bytes) -> bytes:
    """The whole reply. `signature`: ECDSA with SHA-256 over `data`; `certificate`: the responder's, DER."""
    basic = der.sequence(
        data, _ECDSA_WITH_SHA256, der.bit_string(signature), der.explicit(0, der.sequence(certificate))
    )
    return der.sequence(
        der.enumerated(ResponseStatus.SUCCESSFUL), der.explicit(0, der.sequence(_BASIC, der.octet_string(basic)))
    )


def _status(status: CertStatus) -> bytes:
    if isinstance(status, Revoked):
        reason = b""
        if status.reason is not RevocationReason.UNSPECIFIED:
            reason = der.explicit(0, der.enumerated(REASON_CODES[status.reason]))
        return der.tlv(0xA1, der.generalized_time(status.at) + reason)
    return _GOOD if isinstance(status, Good) else _UNKNOWN


def key_bits(spki: bytes) -> bytes:
    """What key hashes are of: the BIT STRING of a SubjectPublicKeyInfo without its header and its unused-bits octet."""
    _, bit_string = der.elements(spki)
    return bit_string[der.header_length(bit_string) + 1 :]


def hashed(algorithm: str, content: bytes) -> bytes:
    """`algorithm`: sha1 or sha256; as a name for something, not for security (RFC 6960 4.1.1)."""
    return hashlib.new(algorithm, content, usedforsecurity=False).digest()
