"""`python -m shared.api.openapi` prints the description of the app, as docs/openapi.json has it."""

import json
import sys

import function_app  # noqa: F401  (registers all routes)
from shared.api.openapi.document import description
from shared.api.routes import routes

json.dump(description(routes()), sys.stdout, ensure_ascii=False, indent=1)
sys.stdout.write("\n")
