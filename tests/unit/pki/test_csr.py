"""Whatever is sent as a CSR: its proven key, or a sentence about it; never anything else."""

import base64
import random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import AttributeOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import FieldError
from shared.pki import der
from shared.pki.issuance.csr import MAX_CSR_LENGTH, key_of_csr
from shared.pki.keys import KeyType, generate_key, sign, spki_der
from tests.support.issuers import key_of
from tests.support.pki import make_csr

EC = generate_key(KeyType.P_256)
GOOD = make_csr(EC)
GOOD_DER = x509.load_pem_x509_csr(GOOD.encode()).public_bytes(serialization.Encoding.DER)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ignored")])


def pem(body: bytes, label: str = "CERTIFICATE REQUEST") -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(body).decode()}-----END {label}-----\n"


def refusal(csr: str) -> str:
    with pytest.raises(FieldError) as caught:
        key_of_csr(csr)
    (sentences,) = (caught.value.errors or {}).values()
    assert list(caught.value.errors or {}) == ["csr"]
    assert sentences[0].endswith(".")
    assert len(sentences[0]) > 20
    return sentences[0]


@pytest.mark.parametrize("key_type", [pytest.param(key_type, id=key_type) for key_type in KeyType])
def test_the_proven_key_is_found(key_type: KeyType) -> None:
    key = key_of(key_type)

    public, found = key_of_csr(make_csr(key))

    assert found is key_type
    assert spki_der(public) == spki_der(key.public_key())


def test_other_ways_of_writing_it_are_fine() -> None:
    for written in (
        GOOD.replace("\n", "\r\n"),
        "\n\n" + GOOD + "  \n",
        GOOD.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
        pem(GOOD_DER),
    ):
        assert key_of_csr(written)[1] is KeyType.P_256


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "hello", "-----BEGIN CERTIFICATE REQUEST-----", "-----BEGIN CERTIFICATE REQUEST-----\n", GOOD + GOOD,
        GOOD.replace("CERTIFICATE REQUEST", "CERTIFICATE"), GOOD.replace("M", "é", 1), GOOD.replace("\n", "\n\0", 1),
        pem(b""), pem(b"\x30\x00"), pem(b"\x30\x80\x00\x00"), pem(b"\x30\x84\xff\xff\xff\xff"),
        pem(GOOD_DER + b"\x00"), pem(GOOD_DER[:-1]), pem(GOOD_DER[::-1]),
        GOOD.replace("QUEST-----\nM", "QUEST-----\n*"), "\ud800",
        "-----BEGIN CERTIFICATE REQUEST-----\n" + "A" * (MAX_CSR_LENGTH + 1),
    ],
    ids=range(19),
)  # fmt: skip
def test_what_is_no_csr_is_told(text: str) -> None:
    refusal(text)


def test_a_csr_signed_by_another_key_proves_nothing() -> None:
    info = next(der.elements(GOOD_DER))
    forged = der.sequence(
        info, list(der.elements(GOOD_DER))[1], der.bit_string(sign(generate_key(KeyType.P_256), info))
    )

    assert "not proven" in refusal(pem(forged))


def test_a_csr_whose_contents_were_changed_proves_nothing() -> None:
    changed = GOOD_DER.replace(b"ignored", b"forged!")
    assert changed != GOOD_DER

    assert "not proven" in refusal(pem(changed))


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(65537, 2056),
        rsa.generate_private_key(3, 2048),
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.BrainpoolP384R1()),
        dsa.generate_private_key(2048),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=["RSA-1024", "RSA-2056", "e=3", "secp256k1", "P-224", "brainpool", "DSA", "Ed25519", "Ed448"],
)
def test_odd_keys_are_refused(key: object) -> None:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder(NAME).sign(key, algorithm)  # type: ignore[arg-type]

    refusal(request.public_bytes(serialization.Encoding.PEM).decode())


def test_a_point_that_is_not_on_the_curve_is_refused() -> None:
    point = EC.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    off = point[:-1] + bytes([point[-1] ^ 1])

    refusal(pem(GOOD_DER.replace(point, off)))
    refusal(pem(GOOD_DER.replace(point, b"\x04" + bytes(64))))


def test_attributes_and_extensions_are_not_even_looked_at() -> None:
    builder = (
        x509.CertificateSigningRequestBuilder(NAME)
        .add_extension(x509.BasicConstraints(True, 9), True)
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2"), b"\xff\xff"), True)
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"secret")
    )
    request = builder.sign(EC, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    assert key_of_csr(request)[1] is KeyType.P_256


def test_duplicate_attributes_do_no_harm() -> None:
    version, subject, spki, *_ = der.elements(next(der.elements(GOOD_DER)))
    password = der.sequence(
        bytes.fromhex("06092a864886f70d010907"), der.tlv(0x31, der.utf8_string("a") + der.utf8_string("b"))
    )
    info = der.sequence(version, subject, spki, der.tlv(0xA0, password * 3))
    request = der.sequence(info, list(der.elements(GOOD_DER))[1], der.bit_string(sign(EC, info)))

    assert key_of_csr(pem(request))[1] is KeyType.P_256


@pytest.mark.parametrize("seed", range(8))
def test_no_damage_to_the_bytes_makes_anything_but_a_sentence(seed: int) -> None:
    """400 mutations a seed: bits flipped, pieces cut, repeated and exchanged, in RSA and EC requests."""
    chance = random.Random(seed)
    originals = [
        GOOD_DER,
        x509.load_pem_x509_csr(make_csr(key_of(KeyType.RSA_2048)).encode()).public_bytes(serialization.Encoding.DER),
    ]
    for _ in range(400):
        body = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 4)):
            _damage(body, chance)
        try:
            key_of_csr(pem(bytes(body)))
        except FieldError as error:
            assert list(error.errors or {}) == ["csr"]


def _damage(body: bytearray, chance: random.Random) -> None:
    at, to = sorted(chance.randrange(len(body) + 1) for _ in range(2))
    match chance.randrange(4):
        case 0 if body:
            body[min(at, len(body) - 1)] ^= 1 << chance.randrange(8)
        case 1:
            del body[at:to]
        case 2:
            body[at:at] = body[at:to]
        case _:
            body[at:to] = chance.randbytes(to - at)
    if not body:
        body.append(0x30)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(max_size=300), st.binary(max_size=300).map(pem)))
def test_no_text_makes_anything_but_a_sentence(text: str) -> None:
    with pytest.raises(FieldError):
        key_of_csr(text)
