"""The app's functions in this process, asked for once: azure-functions refuses to name them a second time."""

from collections.abc import Mapping

from azure.functions.decorators.core import Trigger

from function_app import app

TRIGGERS: Mapping[str, Trigger | None] = {
    str(function.get_function_name()): function.get_trigger() for function in app.get_functions()
}
"""By the function's name."""
