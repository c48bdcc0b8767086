"""`python -m local.functions_host`: serves the Functions app of a folder until SIGTERM.

Prints one JSON line with its URL and function names when it is ready; logs to standard error.
"""

import argparse
import logging
import os
import sys
from datetime import timedelta
from pathlib import Path

from local.emulator_process import announce, stop_when_told
from local.functions_host.app_settings import LocalSettings, route_prefix
from local.functions_host.functions import index_functions
from local.functions_host.host import HTTP_TIMEOUT, FunctionsHost
from local.processes import REPOSITORY


def main() -> None:
    arguments = _arguments()
    root: Path = arguments.root.resolve()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    logging.getLogger("azure").setLevel(logging.WARNING)

    settings = LocalSettings.read(arguments.settings or root / "local.settings.json")
    settings.apply(os.environ)
    os.chdir(root)
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != REPOSITORY]
    index = index_functions(root)
    port = settings.port if arguments.port is None else arguments.port
    timeout = timedelta(seconds=arguments.http_timeout)
    host = FunctionsHost(index, route_prefix(root / "host.json"), port, timeout)
    stop_when_told(host.stop, arguments.until_stdin_closes)
    announce({"url": host.url, "functions": index.names})
    host.serve()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.functions_host", description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="the folder of function_app.py and host.json")
    parser.add_argument("--settings", type=Path, help="another file than the folder's local.settings.json")
    parser.add_argument("--port", type=int, help="where to listen; 0 takes a free port; default: local.settings.json's")
    parser.add_argument(
        "--http-timeout", type=float, default=HTTP_TIMEOUT.total_seconds(), help="seconds until an HTTP reply is cut"
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does")
    return parser.parse_args()


main()
