"""SoftHSM2, OpenDNSSEC's software token: PKCS#11 without hardware (Debian: `apt-get install softhsm2`)."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
PIN = "648219"


@dataclass(frozen=True)
class SoftHsm:
    """A token of the tests' own. The module reads where its tokens are once per process, so there is one folder."""

    module: str
    token: str = "entra-pki"
    other_token: str = "never-logged-in"
    pin: str = PIN


def missing_softhsm() -> str | None:
    """Why the PKCS#11 tests cannot run here; None if they can."""
    try:
        import pkcs11  # noqa: F401
    except ImportError:
        return "python-pkcs11 is not installed (pip install -r requirements-pkcs11.txt)"
    if shutil.which("softhsm2-util") is None or _module() is None:
        return "SoftHSM2 is not installed (Debian: apt-get install softhsm2)"
    return None


def start_softhsm(folder: Path) -> SoftHsm:
    """Makes two tokens in `folder` and points this process's module at it."""
    module = _module()
    assert module is not None
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    hsm = SoftHsm(module)
    for token in (hsm.token, hsm.other_token):
        command = ["softhsm2-util", "--init-token", "--free", "--label", token, "--pin", PIN, "--so-pin", PIN]
        subprocess.run(command, check=True, capture_output=True)
    return hsm


def _module() -> str | None:
    found = (path for path in (os.environ.get("SOFTHSM2_MODULE", ""), *MODULES) if path and Path(path).exists())
    return next(found, None)
