"""A private key that is elsewhere signs like a local one and refuses everything else."""

import copy

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from shared.pki.keys import KeyType, PrivateKey, generate_key, sign, verify
from shared.pki.signing.remote_key import remote_private_key


def remote(local: PrivateKey) -> PrivateKey:
    return remote_private_key(local.public_key(), lambda data, algorithm: sign(local, data))


@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.P_256, KeyType.P_384, KeyType.P_521])
def test_it_signs_and_tells_its_type(key_type: KeyType) -> None:
    key = remote(generate_key(key_type))

    verify(key.public_key(), sign(key, b"data"), b"data")
    assert KeyType.of(key) is key_type
    assert copy.deepcopy(copy.copy(key)) is key


def test_it_refuses_other_paddings_and_hashes() -> None:
    rsa_key, ec_key = remote(generate_key(KeyType.RSA_2048)), remote(generate_key(KeyType.P_384))
    assert isinstance(rsa_key, rsa.RSAPrivateKey)
    assert isinstance(ec_key, ec.EllipticCurvePrivateKey)

    with pytest.raises(UnsupportedAlgorithm):
        rsa_key.sign(b"", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    with pytest.raises(UnsupportedAlgorithm):
        rsa_key.sign(b"", padding.PKCS1v15(), hashes.SHA512())
    with pytest.raises(UnsupportedAlgorithm):
        ec_key.sign(b"", ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.P_256])
def test_it_never_gives_its_private_half(key_type: KeyType) -> None:
    key = remote(generate_key(key_type))

    with pytest.raises(UnsupportedAlgorithm):
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(UnsupportedAlgorithm):
        key.private_numbers()
