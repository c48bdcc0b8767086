"""`python -m local.key_vault --port 0 --tls-dir DIR`: runs the emulator until SIGTERM.

Prints one JSON line when ready: control_url, ca_path, ca_bundle_path and control_key. Vaults are opened through the
control interface, each on a port of its own.
"""

import argparse
import secrets
from pathlib import Path

from local.emulator_process import announce, stop_when_told
from local.key_vault.server import KeyVaultServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.key_vault", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of the control interface; 0 takes a free one")
    parser.add_argument("--tls-dir", type=Path, required=True, help="the TLS files; made when there are none")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does")
    arguments = parser.parse_args()
    control_key = secrets.token_urlsafe(24)
    server = KeyVaultServer(arguments.tls_dir, control_key, arguments.port)
    stop_when_told(server.stop, arguments.until_stdin_closes)
    announce(
        {
            "control_url": server.url,
            "ca_path": str(server.files.root.resolve()),
            "ca_bundle_path": str(server.files.bundle.resolve()),
            "control_key": control_key,
        }
    )
    server.serve()


if __name__ == "__main__":
    main()
