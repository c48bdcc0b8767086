"""The documentation page brings the Swagger UI that its lock file pins, licence included."""

import gzip
import json
from pathlib import Path

from shared.api.documentation import ASSETS, FOLDER

LOCK = Path(__file__).parents[3] / "local" / "swagger_ui" / "package-lock.json"


def test_swagger_ui_is_of_the_version_in_the_lock_file() -> None:
    lock = json.loads(LOCK.read_text(encoding="utf-8"))
    version = lock["packages"]["node_modules/swagger-ui-dist"]["version"]
    program = gzip.decompress(ASSETS["swagger-ui-bundle.js"][0].read_bytes()).decode()

    assert f'"{version}"' in program


def test_what_is_not_ours_comes_with_its_licences() -> None:
    licences = {path.name for path in (FOLDER / "swagger-ui").iterdir() if path.suffix != ".gz"}

    assert licences == {"LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"}
