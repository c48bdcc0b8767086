"""A key store's raw signature becomes cryptography's, and what cannot be a signature is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from shared.pki.keys import KeyType, generate_key, sign, verify
from shared.pki.signing.raw_signature import MalformedSignature, from_raw

EC_TYPES = [KeyType.P_256, KeyType.P_384, KeyType.P_521]


@pytest.mark.parametrize("key_type", EC_TYPES)
def test_r_and_s_become_der_whatever_their_leading_octets(key_type: KeyType) -> None:
    key = generate_key(key_type)
    size = (key.key_size + 7) // 8

    for number in range(40):  # leading zeros and leading ones, which DER drops and pads, come up in some of them
        data = b"data %d" % number
        r, s = decode_dss_signature(sign(key, data))
        verify(key.public_key(), from_raw(key.public_key(), r.to_bytes(size) + s.to_bytes(size)), data)


def test_an_rsa_signature_stays_as_it_is() -> None:
    key = generate_key(KeyType.RSA_2048)
    signature = sign(key, b"data")

    assert from_raw(key.public_key(), signature) == signature


@pytest.mark.parametrize("length", [0, 1, 63, 65, 72, 128])
def test_r_and_s_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(MalformedSignature, match=f"{length} octets instead of 64"):
        from_raw(generate_key(KeyType.P_256).public_key(), b"\1" * length)


@pytest.mark.parametrize("length", [0, 255, 257, 512])
def test_an_rsa_signature_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(MalformedSignature, match=f"{length} octets instead of 256"):
        from_raw(generate_key(KeyType.RSA_2048).public_key(), b"\1" * length)


@pytest.mark.parametrize("key_type", EC_TYPES)
def test_numbers_outside_the_group_are_refused(key_type: KeyType) -> None:
    public = generate_key(key_type).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    size = (public.key_size + 7) // 8
    one, zero, order = (number.to_bytes(size) for number in (1, 0, public.curve.group_order))

    for raw in (zero + one, one + zero, order + one, one + order):
        with pytest.raises(MalformedSignature, match="outside the group"):
            from_raw(public, raw)


def test_a_number_above_the_modulus_is_refused() -> None:
    with pytest.raises(MalformedSignature, match="above the modulus"):
        from_raw(generate_key(KeyType.RSA_2048).public_key(), b"\xff" * 256)


@pytest.mark.parametrize("nothing", [None, "text", 7])
def test_what_is_no_octets_is_refused(nothing: object) -> None:
    with pytest.raises(MalformedSignature, match="of type"):
        from_raw(generate_key(KeyType.P_256).public_key(), nothing)
