"""OCSP on the wire: what asn1crypto and cryptography say of it, and what becomes of requests that are none."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import core
from asn1crypto import ocsp as asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import OCSPNonce, ReasonFlags, SubjectKeyIdentifier, ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.directory.records.certificate import RevocationReason
from shared.pki import der
from shared.pki.keys import KeyType, PublicKey, spki_der
from shared.pki.ocsp.codec import (
    MAX_CERTIFICATES,
    CertId,
    CertStatus,
    Good,
    MalformedOcspRequest,
    OcspRequest,
    ResponseStatus,
    Revoked,
    Unknown,
    decode_request,
    error_response,
    hashed,
    key_bits,
    response,
    response_data,
)
from tests.support.issuers import LooseIssuer, key_of

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def a_request(count: int = 1, nonce: bytes | None = None, algorithm: str = "sha1", **extension: object) -> bytes:
    """By asn1crypto, which can ask for several certificates."""
    size = 20 if algorithm == "sha1" else 32
    requests = [
        {
            "req_cert": {
                "hash_algorithm": {"algorithm": algorithm},
                "issuer_name_hash": b"n" * size,
                "issuer_key_hash": b"k" * size,
                "serial_number": 1000 + number,
            }
        }
        for number in range(count)
    ]
    tbs: dict[str, object] = {"request_list": requests}
    if nonce is not None:
        value = core.ParsableOctetString(core.OctetString(nonce).dump())
        tbs["request_extensions"] = [{"extn_id": "nonce", "extn_value": value, **extension}]
    return bytes(asn1.OCSPRequest({"tbs_request": tbs}).dump())


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()])
def test_a_request_by_cryptography_is_understood(algorithm: hashes.HashAlgorithm) -> None:
    size = algorithm.digest_size
    built = (
        ocsp.OCSPRequestBuilder()
        .add_certificate_by_hash(b"n" * size, b"k" * size, 0xABCDEF, algorithm)
        .add_extension(OCSPNonce(b"0123456789"), critical=False)
        .build()
    )
    encoded = built.public_bytes(serialization.Encoding.DER)

    decoded = decode_request(encoded)

    assert decoded.nonce == b"0123456789"
    (cert_id,) = decoded.certificates
    assert cert_id.algorithm == algorithm.name
    assert (cert_id.issuer_name_hash, cert_id.issuer_key_hash) == (b"n" * size, b"k" * size)
    assert int.from_bytes(cert_id.serial_number, "big") == 0xABCDEF
    assert cert_id.encode() in encoded


def test_up_to_16_certificates_are_taken() -> None:
    decoded = decode_request(a_request(MAX_CERTIFICATES))

    assert [int.from_bytes(each.serial_number, "big") for each in decoded.certificates] == list(range(1000, 1016))


@pytest.mark.parametrize("length", [1, 32, 128])
def test_nonces_of_1_to_128_octets_are_taken(length: int) -> None:
    assert decode_request(a_request(nonce=b"n" * length)).nonce == b"n" * length


MALFORMED = {
    "empty": b"",
    "not DER": b"GET / HTTP/1.1",
    "cut off": a_request()[:-1],
    "with something after it": a_request() + b"\0",
    "for no certificate": a_request(0),
    "for 17 certificates": a_request(MAX_CERTIFICATES + 1),
    "with an empty nonce": a_request(nonce=b""),
    "with a nonce of 129 octets": a_request(nonce=b"n" * 129),
    "with an unknown critical extension": a_request(nonce=b"n", extn_id="1.2.3.4", critical=True),
    "17 KiB long": a_request(nonce=b"n" * 17 * 1024),
    "a sequence of nothing": b"\x30\x00",
    "nested without end": b"\x30\x80" * 2000,
}


@pytest.mark.parametrize("what", list(MALFORMED))
def test_a_malformed_request_is_called_so(what: str) -> None:
    with pytest.raises(MalformedOcspRequest):
        decode_request(MALFORMED[what])


def test_an_unknown_extension_that_is_not_critical_is_passed_over() -> None:
    assert decode_request(a_request(nonce=b"n", extn_id="1.2.3.4")).nonce is None


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_request_or_malformed(data: bytes) -> None:
    _decode_or_refuse(data)


def test_damaged_requests_are_requests_or_malformed() -> None:
    """Every kind of damage that a fuzzer does: bits turned, bytes removed, doubled and made up, lengths changed."""
    chance = random.Random(6960)
    originals = [a_request(), a_request(3, nonce=b"n" * 32), a_request(2, algorithm="sha256", nonce=b"x")]
    accepted = 0
    for _ in range(4000):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            match chance.randrange(5):
                case 0:
                    data[at] ^= 1 << chance.randrange(8)
                case 1:
                    data[at] = chance.choice((0x00, 0x30, 0x7F, 0x80, 0x84, 0xA0, 0xFF, 0x02, 0x04, 0x05))
                case 2:
                    del data[at : at + chance.randint(1, 5)]
                case 3:
                    data[at:at] = data[at : at + chance.randint(1, 30)]
                case 4:
                    data[at:at] = chance.randbytes(chance.randint(1, 8))
            data = data or bytearray(b"\x30")
        accepted += _decode_or_refuse(bytes(data)) is not None
    assert 0 < accepted < 4000


def _decode_or_refuse(data: bytes) -> OcspRequest | None:
    try:
        request = decode_request(data)
    except MalformedOcspRequest:
        return None
    for cert_id in request.certificates:
        if cert_id.algorithm in ("sha1", "sha256"):
            asn1.CertId.load(cert_id.encode(), strict=True).native  # noqa: B018  (parses all of it)
    return request


STATUSES: list[CertStatus] = [
    Good(),
    Unknown(),
    Revoked(NOW - timedelta(days=1), RevocationReason.UNSPECIFIED),
    *(Revoked(NOW - timedelta(days=1), reason) for reason in RevocationReason),
]


@pytest.mark.parametrize("nonce", [None, b"n" * 32])
def test_a_reply_reads_back_as_what_was_answered(nonce: bytes | None) -> None:
    ids = [CertId("sha256", False, b"n" * 32, b"k" * 32, bytes([1, n])) for n in range(len(STATUSES))]
    data = response_data(b"h" * 20, NOW, LATER, list(zip(ids, STATUSES, strict=True)), nonce)

    parsed = ocsp.load_der_ocsp_response(response(data, b"signature", LooseIssuer.make(KeyType.P_256).material.der))

    assert parsed.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
    assert parsed.tbs_response_bytes == data
    assert parsed.responder_key_hash == b"h" * 20
    assert parsed.produced_at_utc == NOW
    assert [extension.value.nonce for extension in parsed.extensions] == ([nonce] if nonce else [])
    for single, cert_id, status in zip(parsed.responses, ids, STATUSES, strict=True):
        assert single.serial_number == int.from_bytes(cert_id.serial_number, "big")
        assert (single.this_update_utc, single.next_update_utc) == (NOW, LATER)
        assert single.certificate_status.name == type(status).__name__.upper()
        if isinstance(status, Revoked):
            assert single.revocation_time_utc == status.at
            expected = None if status.reason is RevocationReason.UNSPECIFIED else ReasonFlags(status.reason.value)
            assert single.revocation_reason is expected


@pytest.mark.parametrize("status", [each for each in ResponseStatus if each is not ResponseStatus.SUCCESSFUL])
def test_an_error_has_its_status_and_nothing_else(status: ResponseStatus) -> None:
    parsed = asn1.OCSPResponse.load(error_response(status), strict=True)

    assert int(parsed["response_status"]) == status
    assert parsed["response_bytes"].native is None


@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.P_256, KeyType.P_521])
def test_key_hashes_are_of_the_key_s_bits(key_type: KeyType) -> None:
    key: PublicKey = key_of(key_type).public_key()

    assert hashed("sha1", key_bits(spki_der(key))) == SubjectKeyIdentifier.from_public_key(key).digest


def test_hash_parameters_are_repeated_as_they_came() -> None:
    """GnuTLS and OpenSSL compare the CertID of the reply with their own."""
    plain, null = (CertId("sha1", has, b"n" * 20, b"k" * 20, b"\1").encode() for has in (False, True))

    assert len(null) == len(plain) + 2
    assert next(der.elements(null)).endswith(b"\x05\x00")
