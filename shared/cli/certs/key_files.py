"""Keys made at the command line: on disk before a certificate is ordered for them, so that no interruption loses one.

Files are readable by their owner only. The CA gets a CSR, as from any other requester.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from shared.cli.bulk_file import LineRefused
from shared.cli.console import iso
from shared.pki.issuance.key_delivery import pack
from shared.pki.issuance.order import Issued, KeyFormat, Order
from shared.pki.keys import KeyType, PrivateKey, generate_key, signature_hash
from shared.private_folder import private_folder

KEY_TYPES = tuple(kind.value for kind in KeyType)

UNKNOWN_CSR = "still to come"
"""A CSR that does not matter yet."""

out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for keys and certificates; made if it is not there.",
)
key_option = click.option(
    "--key", "key_type", type=click.Choice(KEY_TYPES), help="Keys made here [default: the settings' RSA key size]."
)
pkcs12_option = click.option(
    "--pkcs12", is_flag=True, help="Key and certificates as one .p12 file, its password in a file beside it."
)


class KeyFiles:
    """The files of one certificate: `NAME.key.pem` and `.csr.pem`, then `.crt.pem` or `.p12` with `.p12.password`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._base = folder / name

    def csr(self, key_type: KeyType) -> str:
        """A request for the key in the folder, which is made if it is not there. Again the same, if called again.

        Raises LineRefused where an earlier run has finished files of this name: a key is never overwritten.
        """
        key_file, csr_file = self._file(".key.pem"), self._file(".csr.pem")
        if not csr_file.exists():
            if self._file(".crt.pem").exists():
                raise LineRefused(f"{self._base} has the files of another run: name another folder.")
            key = self._key() if key_file.exists() else generate_key(key_type)
            _write(key_file, _pkcs8(key))
            _write(csr_file, _request(key))
        return csr_file.read_text(encoding="ascii")

    def keep(self, issued: Issued, order: Order, *, pkcs12: bool) -> list[str]:
        """Writes what was issued for the key; the names of the files. The key's own file goes into a PKCS#12."""
        certificate = self._file(".crt.pem")
        _write(certificate, (issued.pem + issued.chain_pem).encode())
        if not pkcs12:
            return [str(certificate)]
        packed, password = self._file(".p12"), self._file(".p12.password")
        leaf = x509.load_pem_x509_certificate(issued.pem.encode())
        chain = x509.load_pem_x509_certificates(issued.chain_pem.encode())
        name = issued.user.user_principal_name or issued.user.name
        made = pack(self._key(), replace(order, format=KeyFormat.PKCS12), leaf, chain, name)
        _write(password, (made.made_password or "").encode())
        _write(packed, made.pkcs12 or b"")
        return [str(certificate), str(packed), str(password)]

    def keep_certificate(self, issued: Issued) -> list[str]:
        """Writes what was issued for somebody else's key."""
        certificate = self._file(".crt.pem")
        _write(certificate, (issued.pem + issued.chain_pem).encode())
        return [str(certificate)]

    def tidy(self, *, pkcs12: bool) -> None:
        """Once the result is on record: the request has done its work, and a PKCS#12 holds the key."""
        self._file(".csr.pem").unlink(missing_ok=True)
        if pkcs12:
            self._file(".key.pem").unlink(missing_ok=True)

    def _file(self, ending: str) -> Path:
        return self._base.with_name(self._base.name + ending)

    def _key(self) -> PrivateKey:
        key = serialization.load_pem_private_key(self._file(".key.pem").read_bytes(), None)
        assert KeyType.of(key) is not None  # we wrote it
        return key  # type: ignore[return-value]


def out_folder(folder: Path | None, *, dry_run: bool) -> Path:
    """The folder of --out, nobody else's. Raises click.UsageError where it is needed and missing, FolderNotPrivate."""
    if dry_run:
        return Path()
    if folder is None:
        raise click.UsageError("--out says where keys and certificates go.")
    return private_folder(folder)


def deliver(
    files: KeyFiles,
    own_csr: str | None,
    key_type: KeyType,
    pkcs12: bool,
    order: Callable[[str], Order],
    place: Callable[[Order], Issued],
) -> Mapping[str, Any]:
    """Makes a key unless there is a CSR, orders, and writes what comes; returns what to put on record of it."""
    wanted = order(own_csr or files.csr(key_type))
    issued = place(wanted)
    kept = files.keep_certificate(issued) if own_csr else files.keep(issued, wanted, pkcs12=pkcs12)
    return {
        "certificate_id": issued.certificate.id,
        "user_id": issued.user.id,
        "serial_number": issued.certificate.serial_number,
        "not_after": iso(issued.certificate.not_after),
        "warnings": list(issued.warnings),
        "files": kept,
    }


def _pkcs8(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _request(key: PrivateKey) -> bytes:
    """Its subject is not looked at: names come from the directory."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "manage.py")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, signature_hash(key))
    return request.public_bytes(serialization.Encoding.PEM)


def _write(file: Path, content: bytes) -> None:
    """All of it or nothing, on the disk when this returns."""
    draft = file.with_name(file.name + ".part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
