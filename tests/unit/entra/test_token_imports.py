"""A cold start pays for the validator only what it uses: no HTTP client, no Azure SDK, no other package of the app."""

import subprocess
import sys

UNWANTED = ("requests", "urllib3", "msal", "jwt", "azure", "shared.api", "shared.pki")


def test_the_validator_imports_neither_network_nor_other_packages() -> None:
    program = f"import sys, shared.entra.tokens.validator; print([m for m in {UNWANTED} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
