"""TLS for the laptop's servers: a root certificate that can vouch for localhost only, and one server certificate.

The root's private key lives in memory while the server certificate is signed and is then discarded, so a
machine that trusts the root trusts nothing but these files.
"""

import datetime
import ipaddress
import os
import secrets
import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT_NAME = "Entra PKI laptop root (localhost only)"
LIFE = datetime.timedelta(days=365)  # below the 825 days that Apple's and Chromium's verifiers accept
RENEW_BEFORE = datetime.timedelta(days=7)
LOOPBACK = ipaddress.IPv4Address("127.0.0.1")


@dataclass(frozen=True)
class TlsFiles:
    """Where the PEM files are: the root alone, the root among the public ones, and the server's certificate and key."""

    root: Path
    bundle: Path
    certificate: Path
    key: Path

    @classmethod
    def under(cls, folder: Path) -> "TlsFiles":
        return cls(folder / "root.pem", folder / "ca-bundle.pem", folder / "server.pem", folder / "server-key.pem")

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


def ensure(folder: Path) -> TlsFiles:
    """Returns the files under `folder`, made anew when absent or about to expire; safe against a second process."""
    files = TlsFiles.under(folder)
    if _usable(files):
        return files
    fresh = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}")
    fresh.mkdir(parents=True, mode=0o700)
    _write(TlsFiles.under(fresh))
    if folder.exists() and not _usable(files):
        shutil.rmtree(folder)
    try:
        fresh.rename(folder)
    except OSError:  # another process was first: its files are as good
        shutil.rmtree(fresh)
    return files


def issue_server_certificate(
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePublicKey,
    names: list[x509.GeneralName],
) -> x509.Certificate:
    """A TLS server certificate for `names` under `root`; clients refuse it where the root's constraints forbid them."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name("localhost"))
        .issuer_name(root.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(root.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .sign(root_key, hashes.SHA256())
    )


def issue_root(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A self-signed root whose name constraints (RFC 5280, 4.2.1.10) allow localhost and 127.0.0.1 and nothing else."""
    now = datetime.datetime.now(datetime.UTC)
    permitted = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Network(LOOPBACK))]
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_name(ROOT_NAME))
        .issuer_name(_name(ROOT_NAME))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, **usage), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _write(files: TlsFiles) -> None:
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = issue_root(root_key)
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(LOOPBACK)]
    certificate = issue_server_certificate(root, root_key, key.public_key(), names)
    root_pem = root.public_bytes(serialization.Encoding.PEM)
    files.root.write_bytes(root_pem)
    files.bundle.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + root_pem)
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(files.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(private)


def _usable(files: TlsFiles) -> bool:
    if not all(path.exists() for path in (files.root, files.bundle, files.certificate, files.key)):
        return False
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    return certificate.not_valid_after_utc - RENEW_BEFORE > datetime.datetime.now(datetime.UTC)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
