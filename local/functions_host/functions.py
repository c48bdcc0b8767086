"""Indexes a Python v2 app: what functions it has, by the decorators' own model in azure-functions."""

import importlib
import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.functions import FunctionRegister
from azure.functions.decorators.core import Trigger
from azure.functions.decorators.function_app import Function
from azure.functions.decorators.http import HttpTrigger
from azure.functions.decorators.timer import TimerTrigger

from local.functions_host.invocation import CONTEXT
from local.functions_host.ncrontab import InvalidSchedule, Schedule
from local.functions_host.routes import InvalidTemplate, RouteTemplate

log = logging.getLogger("functions_host")

SCRIPT = "function_app"


class InvalidFunction(ValueError):
    """A function that the host cannot load. The others work without it."""


@dataclass(frozen=True)
class HttpFunction:
    name: str
    handler: Callable[..., Any]
    argument: str
    route: RouteTemplate
    methods: frozenset[str] | None
    """Upper-case; None takes every method."""


@dataclass(frozen=True)
class TimerFunction:
    name: str
    handler: Callable[..., Any]
    argument: str
    schedule: Schedule
    run_on_startup: bool
    use_monitor: bool


@dataclass(frozen=True)
class FunctionIndex:
    """The app's functions. The host tries routes in the order of names, so that is the order here."""

    http: tuple[HttpFunction, ...]
    timers: tuple[TimerFunction, ...]

    @property
    def names(self) -> list[str]:
        return [*(function.name for function in self.http), *(timer.name for timer in self.timers)]


def index_functions(root: Path) -> FunctionIndex:
    """Imports function_app.py under `root` and reads its functions.

    The app root goes to the end of sys.path, as in the real worker: a module of the app never hides an installed one.

    Raises: whatever the import raises; ValueError when there is not exactly one app.
    """
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != root.resolve()]
    sys.path.append(str(root.resolve()))
    module = importlib.import_module(SCRIPT)
    apps = [value for value in vars(module).values() if isinstance(value, FunctionRegister)]
    if len(apps) != 1:
        raise ValueError(f"{SCRIPT}.py must define one function app; it defines {len(apps)}.")
    loaded = [function for function in map(_load, apps[0].get_functions()) if function is not None]
    http = [function for function in loaded if isinstance(function, HttpFunction)]
    timers = [function for function in loaded if isinstance(function, TimerFunction)]
    return FunctionIndex(tuple(sorted(http, key=_name)), tuple(sorted(timers, key=_name)))


def _name(function: HttpFunction | TimerFunction) -> str:
    return function.name


def _load(function: Function) -> HttpFunction | TimerFunction | None:
    name = function.get_function_name() or "?"
    try:
        return _read(name, function.get_user_function(), function.get_trigger())
    except (InvalidFunction, InvalidTemplate, InvalidSchedule) as error:
        log.error("The '%s' function is in error: %s", name, error)
        return None


def _read(name: str, handler: Callable[..., Any], trigger: Trigger | None) -> HttpFunction | TimerFunction:
    if not isinstance(trigger, HttpTrigger | TimerTrigger):
        raise InvalidFunction("this host knows HTTP and timer triggers only.")
    if inspect.iscoroutinefunction(handler):
        raise InvalidFunction("async functions are not supported by this host.")
    _check_parameters(handler, trigger.name)
    if isinstance(trigger, HttpTrigger):
        methods = frozenset(str(method).upper() for method in trigger.methods) if trigger.methods else None
        return HttpFunction(name, handler, trigger.name, RouteTemplate.parse(trigger.route or name), methods)
    schedule = Schedule.parse(trigger.schedule)
    return TimerFunction(
        name, handler, trigger.name, schedule, bool(trigger.run_on_startup), trigger.use_monitor is not False
    )


def _check_parameters(handler: Callable[..., Any], bound: str) -> None:
    """The worker compares the handler's parameters, read through `__wrapped__`, with the function's bindings."""
    declared = set(inspect.signature(handler).parameters)
    if declared - {CONTEXT} != {bound}:
        raise InvalidFunction(
            f"its parameters {sorted(declared)} are not those of its bindings, ['{bound}']; "
            "functools.wraps around another signature has the same effect."
        )
