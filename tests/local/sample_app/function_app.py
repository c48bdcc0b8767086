"""A Functions app with one function for each habit of the host that the tests look at."""

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import azure.functions as func
import iniconfig
from azure.functions.timer import TimerRequest

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
ticks: list[dict[str, object]] = []


def as_json(value: object) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(value, sort_keys=True), mimetype="application/json")


@app.route("echo/{*rest}", methods=["GET", "POST", "HEAD"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(
        {
            "method": req.method,
            "url": req.url,
            "headers": {name: req.headers[name] for name in req.headers},
            "params": dict(req.params),
            "route_params": dict(req.route_params),
            "body": req.get_body().decode("latin-1"),
        }
    )


@app.function_name("b_special")
@app.route("order/special")
def special(req: func.HttpRequest) -> func.HttpResponse:
    return as_json("b_special")


@app.function_name("a_any")
@app.route("order/{name}")
def anything(req: func.HttpRequest) -> func.HttpResponse:
    return as_json("a_any")


@app.route("users/{user:int}/{part?}", methods=["GET"])
def user(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(dict(req.route_params))


@app.route("ca/{issuer}.crt", methods=["GET"])
def issuer(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(dict(req.route_params))


@app.route("none")
def returns_none(req: func.HttpRequest) -> func.HttpResponse:
    return None  # type: ignore[return-value]


@app.route("raises")
def raises(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("a secret that no caller may see")


@app.route("text")
def text(req: func.HttpRequest) -> str:
    return "plain ünïcode"


@app.route("headers")
def headers(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse("", headers={"X-Twice": "first"})
    response.headers.add("x-twice", "last")
    response.headers.add("Set-Cookie", "a=1; Path=/")
    response.headers.add("Set-Cookie", "b=2; Path=/")
    return response


@app.route("unicode-header")
def unicode_header(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("", headers={"X-Name": "Łukasz"})


@app.route("sleep/{seconds}")
def sleep(req: func.HttpRequest) -> func.HttpResponse:
    time.sleep(float(req.route_params["seconds"]))
    return func.HttpResponse("slept")


@app.route("no-content", methods=["POST"])
def no_content(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)


@app.route("process")
def process(req: func.HttpRequest) -> func.HttpResponse:
    return as_json({"path": sys.path, "iniconfig": iniconfig.__file__, "folder": str(Path.cwd())})


@app.route("setting/{name}")
def setting(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(os.environ.get(req.route_params["name"]))


@app.timer_trigger("timer", "%TICK_SCHEDULE%")
def tick(timer: TimerRequest) -> None:
    ticks.append({"at": time.time(), "past_due": timer.past_due, "status": timer.schedule_status})


@app.timer_trigger("timer", "0 0 0 29 2 *", use_monitor=False)
def leap(timer: TimerRequest) -> None:
    ticks.append({"status": timer.schedule_status})


@app.timer_trigger("timer", "0 0 0 29 2 *")
def failing(timer: func.TimerRequest) -> None:
    raise RuntimeError("the timer's own failure")


@app.timer_trigger("timer", "0 0 0 29 2 *")
def slow(timer: func.TimerRequest) -> None:
    time.sleep(1.5)


@app.timer_trigger("timer", "0 0 0 29 2 *", run_on_startup=True)
def at_start(timer: func.TimerRequest) -> None:
    ticks.append({"at_start": True})


@app.timer_trigger("timer", "%NOT_SET%")
def without_setting(timer: func.TimerRequest) -> None:
    ticks.append({"never": True})


@app.route("ticks")
def show_ticks(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(ticks)


def takes_call(handler: Callable[[str], str]) -> Callable[[func.HttpRequest], str]:
    @functools.wraps(handler)
    def trigger(req: func.HttpRequest) -> str:
        return handler(req.url)

    return trigger


if "WITH_WRAPPED" in os.environ:  # Microsoft's worker refuses the whole app for it

    @app.route("wrapped")
    @takes_call
    def wrapped(call: str) -> str:
        return call
