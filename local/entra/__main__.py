"""`python -m local.entra --port 0 --state-dir DIR`: runs the emulator until SIGTERM.

Prints one JSON line when ready: url, ca_path, ca_bundle_path, tls_dir and control_key.
"""

import argparse
import secrets
from pathlib import Path

from local.emulator_process import announce, stop_when_told
from local.entra.server import EntraServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.entra", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state-dir", type=Path, required=True, help="where the TLS files are kept")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does")
    arguments = parser.parse_args()
    control_key = secrets.token_urlsafe(24)
    server = EntraServer(arguments.state_dir, control_key, arguments.port)
    stop_when_told(server.stop, arguments.until_stdin_closes)
    announce(
        {
            "url": server.url,
            "ca_path": str(server.files.root.resolve()),
            "ca_bundle_path": str(server.files.bundle.resolve()),
            "tls_dir": str(server.files.root.resolve().parent),
            "control_key": control_key,
        }
    )
    server.serve()


if __name__ == "__main__":
    main()
