"""The laptop's root certificate vouches for localhost and for nothing else, and cannot sign any more."""

import ipaddress
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from local import tls


def verified_by_openssl(folder: Path, name: x509.GeneralName) -> str:
    """What `openssl verify` says of a certificate for `name` under a root made as the laptop's is."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = tls.issue_root(root_key)
    certificate = tls.issue_server_certificate(root, root_key, key.public_key(), [name])
    (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (folder / "leaf.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    command = ["openssl", "verify", "-x509_strict", "-CAfile", str(folder / "root.pem"), str(folder / "leaf.pem")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout + answer.stderr


@pytest.mark.parametrize("name", [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
def test_the_root_vouches_for_localhost(tmp_path: Path, name: x509.GeneralName) -> None:
    assert ": OK" in verified_by_openssl(tmp_path, name)


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("login.microsoftonline.com"),
        x509.DNSName("localhost.evil.example"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.2")),
        x509.IPAddress(ipaddress.ip_address("20.190.128.1")),
    ],
)
def test_the_root_vouches_for_nothing_else(tmp_path: Path, name: x509.GeneralName) -> None:
    assert "permitted subtree violation" in verified_by_openssl(tmp_path, name)


def test_the_root_key_is_nowhere_on_disk(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path / "tls")

    root = x509.load_pem_x509_certificate(files.root.read_bytes())
    private_files = [path for path in (tmp_path / "tls").iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    server_key = x509.load_pem_x509_certificate(files.certificate.read_bytes()).public_key()
    assert private_files == [files.key]
    assert root.public_key() != server_key
    assert files.key.stat().st_mode & 0o077 == 0


def test_the_files_are_kept_while_they_are_good(tmp_path: Path) -> None:
    first = tls.ensure(tmp_path / "tls").root.read_bytes()

    assert tls.ensure(tmp_path / "tls").root.read_bytes() == first


def test_an_expiring_certificate_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tls, "LIFE", tls.RENEW_BEFORE / 2)
        first = tls.ensure(tmp_path / "tls").root.read_bytes()

    assert tls.ensure(tmp_path / "tls").root.read_bytes() != first


def test_two_that_start_at_once_end_up_with_the_same_files(tmp_path: Path) -> None:
    seen: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: seen.append(tls.ensure(tmp_path / "tls").root.read_bytes())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(seen)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tls"]


def test_the_bundle_holds_the_public_roots_too(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path / "tls")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.bundle)
    subjects = [str(root["subject"]) for root in context.get_ca_certs()]
    assert len(subjects) > 100
    assert any(tls.ROOT_NAME in subject for subject in subjects)
