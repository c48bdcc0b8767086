"""The software backend keeps the contract, and its files to itself."""

import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from shared.context import Deadline
from shared.pki.errors import BackendMisconfigured
from shared.pki.keys import KeyType, generate_key
from shared.pki.signing.base import SigningBackend
from shared.pki.signing.software import SoftwareBackend
from tests.support.signing_contract import SigningContract, soon

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ca" / "issuer.pem"


class TestSoftwareBackend(SigningContract):
    @pytest.fixture
    def backend(self, path: Path) -> SigningBackend:
        return SoftwareBackend(path, PASSPHRASE)

    @pytest.fixture
    def reopen(self, path: Path) -> Callable[[], SigningBackend]:
        return lambda: SoftwareBackend(path, PASSPHRASE)


def test_the_key_file_is_encrypted_and_for_its_owner_only(path: Path) -> None:
    SoftwareBackend(path, PASSPHRASE).provide_key(KeyType.P_256, soon())

    assert b"ENCRYPTED PRIVATE KEY" in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["issuer.pem"]


def test_a_wrong_passphrase_is_told_without_telling_it(path: Path) -> None:
    reference = SoftwareBackend(path, PASSPHRASE).provide_key(KeyType.P_256, soon())

    with pytest.raises(BackendMisconfigured, match="CA_SOFTWARE_KEY_PASSPHRASE") as caught:
        SoftwareBackend(path, "something else").check(reference, soon())

    assert "something else" not in caught.value.message


def test_an_unencrypted_key_file_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(
        generate_key(KeyType.P_256).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )

    with pytest.raises(BackendMisconfigured, match="not encrypted"):
        SoftwareBackend(path, PASSPHRASE).provide_key(KeyType.P_256, soon())


def test_a_file_replaced_by_another_key_is_noticed(path: Path) -> None:
    reference = SoftwareBackend(path, PASSPHRASE).provide_key(KeyType.P_256, soon())
    path.unlink()
    SoftwareBackend(path, PASSPHRASE).provide_key(KeyType.P_256, soon())

    with pytest.raises(BackendMisconfigured, match="another key"):
        SoftwareBackend(path, PASSPHRASE).signing_key(reference, soon())


def test_health_notices_that_the_file_has_gone_although_the_key_is_loaded(path: Path) -> None:
    backend = SoftwareBackend(path, PASSPHRASE)
    reference = backend.provide_key(KeyType.P_256, soon())
    backend.check(reference, soon())
    path.unlink()

    with pytest.raises(BackendMisconfigured, match="has gone"):
        backend.check(reference, soon())


def test_a_reference_cannot_lead_out_of_the_folder(path: Path) -> None:
    backend = SoftwareBackend(path, PASSPHRASE)
    reference = backend.provide_key(KeyType.P_256, soon())

    with pytest.raises(BackendMisconfigured, match="no key file"):
        backend.signing_key(f"../ca/{reference}", soon())


def test_an_empty_passphrase_is_refused(path: Path) -> None:
    with pytest.raises(BackendMisconfigured, match="CA_SOFTWARE_KEY_PASSPHRASE"):
        SoftwareBackend.from_settings({"CA_SOFTWARE_KEY_PATH": str(path)})


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("a file where the folder should be")

    with pytest.raises(BackendMisconfigured, match="cannot be written"):
        SoftwareBackend(tmp_path / "ca" / "issuer.pem", PASSPHRASE).provide_key(KeyType.P_256, soon())


def test_a_key_is_read_from_its_file_once(path: Path) -> None:
    backend = SoftwareBackend(path, PASSPHRASE)
    reference = backend.provide_key(KeyType.P_256, soon())

    assert backend.signing_key(reference, soon()) is backend.signing_key(
        reference, Deadline.after(timedelta(seconds=1))
    )
