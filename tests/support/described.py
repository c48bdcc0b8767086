"""Holds replies of a running app to the API's description: status, code, type, headers, body, and nothing beside it."""

import copy
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from openapi_schema_validator import OAS31Validator

import function_app  # noqa: F401  (registers the routes that are described)
from shared.api.openapi.document import description
from shared.api.routes import routes

HOST_ONLY = frozenset({404, 405})
"""Statuses of addresses and methods that are no operation."""


@cache
def described() -> dict[str, Any]:
    return description(routes())


def undescribed(reply: requests.Response) -> list[str]:
    """What the description does not say of this reply; empty where all is well."""
    method = str(reply.request.method)
    path = urlsplit(str(reply.request.url)).path
    operation = _operation("GET" if method == "HEAD" else method, path)
    where = f"{method} {path} answered {reply.status_code}"
    if operation is None:
        return [] if reply.status_code in HOST_ONLY else [f"{where}, and is no operation"]
    response = operation["responses"].get(str(reply.status_code))
    if response is None:
        return [f"{where}, which is not among {', '.join(operation['responses'])}"]
    missing = [name for name in response["headers"] if _is_required(name) and name not in reply.headers]
    problems = [f"{where} without {name}" for name in missing]
    if method == "HEAD" or "content" not in response:
        return problems
    return problems + [f"{where}: {problem}" for problem in _wrong_in_content(reply, response["content"])]


def _wrong_in_content(reply: requests.Response, content: dict[str, Any]) -> list[str]:
    media_type = reply.headers["Content-Type"].partition(";")[0]
    if media_type not in content:
        return [] if "text/*" in content and media_type.startswith("text/") else [f"is {media_type}"]
    expected = content[media_type]
    if "schema" not in expected:
        return []
    body = reply.json()
    problems = [
        f"{'.'.join(map(str, error.absolute_path)) or 'body'}: {error.message}"
        for error in OAS31Validator(_strict(expected["schema"]["$ref"])).iter_errors(body)
    ]
    if reply.status_code >= 400 and media_type == "application/json" and "examples" in expected:
        known = expected["examples"]
        if body["code"] not in known:
            problems.append(f"the code {body['code']} is not among {', '.join(known)}")
    return problems


@cache
def _strict(reference: str) -> dict[str, Any]:
    """The schema with all it refers to, taking no member that it does not name; errors may have some of their own."""
    components = copy.deepcopy(described()["components"])
    for name, schema in components["schemas"].items():
        if "properties" in schema and name != "Problem":
            schema.setdefault("additionalProperties", False)
    return {"$ref": reference, "components": components}


@cache
def _finder() -> Any:
    return schemathesis.openapi.from_dict(described())


def _operation(method: str, path: str) -> dict[str, Any] | None:
    found = _finder().find_operation_by_path(method, path)
    if found is None:
        return None
    operation: dict[str, Any] = described()["paths"][found.path][method.lower()]
    return operation


def _is_required(header: str) -> bool:
    return bool(described()["components"]["headers"][header].get("required"))
