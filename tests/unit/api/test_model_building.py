"""Models are built when they are first used, which may be by many threads at once."""

import subprocess
import sys

PROGRAM = """
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

import function_app
from shared.api.routes import routes

THREADS = 16
sys.setswitchinterval(1e-6)
models = [model for route in routes() for model in (route.body, route.query, route.reply) if model]
assert models and not any(model.__pydantic_complete__ for model in models), "models are built by the import"
together = threading.Barrier(THREADS)


def use(_):
    together.wait()
    for model in models:
        try:
            model.model_validate({"unknown": "1"})
        except ValidationError:
            pass


with ThreadPoolExecutor(THREADS) as pool:
    list(pool.map(use, range(THREADS)))
assert all(model.__pydantic_complete__ for model in models)
"""


def test_many_threads_may_use_models_first_at_the_same_time() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=120)

    assert (done.returncode, done.stderr) == (0, "")
