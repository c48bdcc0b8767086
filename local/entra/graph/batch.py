"""POST /$batch: up to 20 requests in one, each answered, throttled and counted on its own.

Source: https://learn.microsoft.com/graph/json-batching.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from local.entra.graph.errors import bad_request
from local.https_server import Reply

MAX_REQUESTS = 20


@dataclass(frozen=True)
class SubRequest:
    id: str
    method: str
    url: str
    headers: Mapping[str, str]
    depends_on: tuple[str, ...] = ()


Answer = Callable[[SubRequest], Reply]


def answer_batch(body: bytes, answer: Answer, random: Random) -> dict[str, Any]:
    """Answers every sub-request and shuffles the answers. Raises GraphError 400 when the batch itself is malformed."""
    replies: dict[str, Reply] = {}
    for request in _parsed(body):
        if any(not 200 <= replies[other].status < 300 for other in request.depends_on if other in replies):
            error = {"error": {"code": "FailedDependency", "message": "A request that this one depends on failed."}}
            replies[request.id] = Reply.json(error, 424)
        else:
            replies[request.id] = answer(request)
    responses = [_response(request_id, reply) for request_id, reply in replies.items()]
    random.shuffle(responses)
    return {"responses": responses}


def _parsed(body: bytes) -> list[SubRequest]:
    try:
        document = json.loads(body)
    except ValueError:
        raise bad_request("Unable to read JSON request payload. Please ensure Content-Type header is set.") from None
    requests = document.get("requests") if isinstance(document, dict) else None
    if not isinstance(requests, list) or not requests:
        raise bad_request("Invalid batch payload format.")
    if len(requests) > MAX_REQUESTS:
        raise bad_request(f"Number of batch request steps exceeds the maximum value of {MAX_REQUESTS}.")
    parsed = [_sub_request(item) for item in requests]
    seen: set[str] = set()
    for request in parsed:
        if request.id.lower() in seen:
            raise bad_request(f"Request Id '{request.id}' has to be unique in a batch.")
        if any(other.lower() not in seen for other in request.depends_on):
            raise bad_request(f"Request '{request.id}' depends on a request that does not come before it.")
        seen.add(request.id.lower())
    return parsed


def _sub_request(item: Any) -> SubRequest:
    if not isinstance(item, dict):
        raise bad_request("Invalid batch payload format.")
    for name in ("id", "method", "url"):
        if not isinstance(item.get(name), str) or not item[name]:
            raise bad_request(f"Each batch request has to have a '{name}' that is a non-empty string.")
    url = item["url"]
    if "://" in url:
        raise bad_request(f"Invalid Url: '{url}' is not relative.")
    headers = item.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise bad_request("The headers of a batch request have to be strings.")
    lowered = {name.lower(): value for name, value in headers.items()}
    if "body" in item and "content-type" not in lowered:
        raise bad_request("A batch request with a body has to have a Content-Type header.")
    depends_on = item.get("dependsOn", [])
    if not isinstance(depends_on, list) or not all(isinstance(other, str) for other in depends_on):
        raise bad_request("dependsOn has to be a list of request ids.")
    return SubRequest(item["id"], item["method"].upper(), "/" + url.lstrip("/"), lowered, tuple(depends_on))


def _response(request_id: str, reply: Reply) -> dict[str, Any]:
    headers = {"Content-Type": reply.content_type, "Cache-Control": "no-cache"} | dict(reply.headers)
    return {"id": request_id, "status": reply.status, "headers": headers, "body": json.loads(reply.body or b"null")}
