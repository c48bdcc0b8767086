"""The least that a function app can be: what the benchmarks hold ours against."""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="empty", methods=["GET", "POST"])
def empty(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  (the worker wants the trigger's parameter)
    return func.HttpResponse('{"status": "ok"}', mimetype="application/json")
