"""How the app signs in to Entra, with an unchanged msal against the emulator."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from local.entra import faults
from local.entra.control import Tenant
from local.entra.faults import Point
from shared.entra.credentials import ClientCertificate, ClientSecret, EntraCredentials, ManagedIdentity, Proof
from shared.entra.graph.errors import GraphAuthenticationFailed


def credentials(tenant: Tenant, proof: Proof) -> EntraCredentials:
    return EntraCredentials(
        authority_host=tenant.url,
        tenant_id=tenant.id,
        client_id=tenant.client_id,
        graph_host=tenant.url,
        proof=proof,
        known_authority=False,
    )


def certificate_file(path: Path, passphrase: str | None) -> str:
    """Writes key and certificate to one PEM file; returns the certificate."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    protection = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    path.write_bytes(pem + certificate)
    return certificate.decode()


def test_a_secret_gives_a_token_that_is_kept(tenant: Tenant) -> None:
    source = credentials(tenant, ClientSecret(tenant.client_secret))
    assert source.graph_token() == source.graph_token()
    assert tenant.traffic().requests["token"] == 1


def test_a_fresh_token_is_another_one(tenant: Tenant) -> None:
    source = credentials(tenant, ClientSecret(tenant.client_secret))
    source.graph_token()
    source.graph_token(fresh=True)
    assert tenant.traffic().requests["token"] == 2


@pytest.mark.parametrize("passphrase", [None, "open sesame"])
def test_a_certificate_gives_a_token(tenant: Tenant, tmp_path: Path, passphrase: str | None) -> None:
    file = tmp_path / "app.pem"
    tenant.add_client_certificate(certificate_file(file, passphrase))
    assert credentials(tenant, ClientCertificate(file, passphrase)).graph_token()


def test_an_unknown_certificate_is_refused(tenant: Tenant, tmp_path: Path) -> None:
    certificate_file(tmp_path / "app.pem", None)
    with pytest.raises(GraphAuthenticationFailed, match="refused this app's sign-in"):
        credentials(tenant, ClientCertificate(tmp_path / "app.pem")).graph_token()


def test_a_missing_certificate_file_is_told(tenant: Tenant, tmp_path: Path) -> None:
    with pytest.raises(GraphAuthenticationFailed, match="FileNotFoundError"):
        credentials(tenant, ClientCertificate(tmp_path / "none.pem")).graph_token()


def test_an_authority_that_does_not_answer_is_told_and_asked_again_next_time(tenant: Tenant) -> None:
    source = credentials(tenant, ClientSecret(tenant.client_secret))
    tenant.arm(faults.failing(503, at=Point.DISCOVERY, times=20))
    with pytest.raises(GraphAuthenticationFailed):
        source.graph_token()
    tenant.disarm()
    assert source.graph_token()


@pytest.mark.parametrize("proof", [ClientSecret("hunter2"), ClientCertificate(Path("x"), "hunter2"), ManagedIdentity()])
def test_no_proof_shows_its_secret(proof: Proof) -> None:
    assert "hunter2" not in repr(proof)
