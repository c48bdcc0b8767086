"""Other people's checkers on our certificates: OpenSSL and GnuTLS; pkilint is `shared.cli.pkilint_report`."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


def openssl_refusals(root_pem: Path, certificates: Sequence[Path], purpose: str = "any") -> str:
    """What `openssl verify -x509_strict` prints about the certificates that it does not accept; empty if none."""
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(root_pem)]
    found = subprocess.run([*command, *map(str, certificates)], capture_output=True, text=True, check=False)
    refused = [line for line in found.stdout.splitlines() if not line.endswith(": OK")]
    accepted = len(found.stdout.splitlines()) - len(refused)
    if found.returncode == 0 and accepted == len(certificates):
        return ""
    return "\n".join([*refused, found.stderr.strip(), f"{accepted} of {len(certificates)} accepted"])


def has_gnutls() -> bool:
    return shutil.which("certtool") is not None


def gnutls_refusal(chain_pem: str) -> str:
    """What `certtool --verify-chain` says of a chain that it does not accept (leaf first, root last); else empty."""
    found = subprocess.run(["certtool", "--verify-chain"], input=chain_pem, capture_output=True, text=True, check=False)
    accepted = found.returncode == 0 and "Chain verification output: Verified." in found.stdout
    return "" if accepted else found.stdout[-400:] + found.stderr
