"""Many GETs in few requests: JSON batching, twenty to a batch, each answer judged and retried on its own.

https://learn.microsoft.com/graph/json-batching
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shared.context import Deadline
from shared.entra.graph.client import GraphClient, error_code, failure
from shared.entra.graph.errors import GraphError, GraphReplyInvalid
from shared.entra.graph.throttle import RETRIED_STATUSES
from shared.entra.graph.transport import Json, case_insensitive
from shared.telemetry.calls import Peer, count_throttle
from shared.telemetry.recorder import recorder

BATCH_SIZE = 20
PARALLEL_BATCHES = 4
"""Batches under way at once, of one call: the waits add up to the slowest, and Graph's bucket does not jump."""


@dataclass(frozen=True, slots=True)
class BatchReply:
    """The answer to one GET of a batch.

    `body` is what a success or an error said, empty where that was no JSON object.
    """

    status: int
    headers: Mapping[str, str]
    body: Json

    def json(self, permission: str) -> Json:
        """The body of a success; raises the same errors as GraphClient.get otherwise."""
        if self.status == 200:
            return self.body
        raise failure(self.status, error_code(self.body), permission)


def batch(
    graph: GraphClient, urls: Sequence[str], deadline: Deadline, *, permission: str, eventual: bool = False
) -> list[BatchReply]:
    """GETs all these URLs, relative to Graph's version root (`/users/…`), and answers in their order.

    Replies of 429 and 5xx inside a batch are asked again, only those, until the deadline; the last such reply is
    returned then. Raises the errors of shared.entra.graph.errors only where a batch as a whole fails.
    """
    chunks = [urls[start : start + BATCH_SIZE] for start in range(0, len(urls), BATCH_SIZE)]

    def run(chunk: Sequence[str]) -> list[BatchReply]:
        return _run_chunk(graph, chunk, deadline, permission, eventual)

    if len(chunks) <= 1:
        replies = [run(chunk) for chunk in chunks]
    else:
        with ThreadPoolExecutor(min(PARALLEL_BATCHES, len(chunks)), thread_name_prefix="graph-batch") as pool:
            replies = list(pool.map(recorder().carried(run), chunks))
    return [reply for chunk in replies for reply in chunk]


def _run_chunk(
    graph: GraphClient, urls: Sequence[str], deadline: Deadline, permission: str, eventual: bool
) -> list[BatchReply]:
    replies: dict[int, BatchReply] = {}
    pending = list(range(len(urls)))
    attempt = 0
    renewed = False
    while pending:
        attempt += 1
        try:
            replies |= _post(graph, {index: urls[index] for index in pending}, deadline, permission, eventual)
        except GraphError:
            if attempt == 1:
                raise
            break  # what the parts said before stands
        pending = [index for index in pending if replies[index].status in RETRIED_STATUSES | {401}]
        refused = [index for index in pending if replies[index].status == 401]
        if refused and not renewed:
            graph.renew_token()
            renewed = True
        elif refused or not _pause(graph, [replies[index] for index in pending], attempt, deadline):
            break
    return [replies[index] for index in range(len(urls))]


def _pause(graph: GraphClient, replies: Sequence[BatchReply], attempt: int, deadline: Deadline) -> bool:
    """Waits as long as the most patient of these replies wants. False if the deadline would come first."""
    wait = max((graph.retry_wait(reply.status, attempt, reply.headers) for reply in replies), default=0.0)
    if wait >= deadline.remaining:
        return False
    if replies:
        graph.pause(wait, deadline, throttled=any(reply.status == 429 for reply in replies))
    return True


def _post(
    graph: GraphClient, urls: Mapping[int, str], deadline: Deadline, permission: str, eventual: bool
) -> dict[int, BatchReply]:
    extra: Json = {"headers": {"ConsistencyLevel": "eventual"}} if eventual else {}
    requests = [{"id": str(index), "method": "GET", "url": url, **extra} for index, url in urls.items()]
    body = json.dumps({"requests": requests}).encode()
    reply = graph.post(graph.url("/$batch"), body, deadline, permission=permission)
    answered = _parse(reply, set(urls))
    graph.note_batched(len(answered), [each.headers for each in answered.values()])
    for _ in filter(lambda each: each.status == 429, answered.values()):
        count_throttle(Peer.GRAPH)
    return answered


def _parse(reply: Json, expected: set[int]) -> dict[int, BatchReply]:
    """Sub-replies come in any order; each id asked for must be there exactly once."""
    responses = reply.get("responses")
    if not isinstance(responses, list):
        raise GraphReplyInvalid("a batch without responses")
    answered: dict[int, BatchReply] = {}
    for response in responses:
        index, answer = _parse_one(response)
        if index not in expected or index in answered:
            raise GraphReplyInvalid("a batch with a foreign or repeated response")
        answered[index] = answer
    if len(answered) != len(expected):
        raise GraphReplyInvalid("a batch with missing responses")
    return answered


def _parse_one(response: object) -> tuple[int, BatchReply]:
    if not isinstance(response, dict):
        raise GraphReplyInvalid("a batch response that is not an object")
    name, status, body = response.get("id"), response.get("status"), response.get("body")
    if not isinstance(name, str) or not name.isdecimal() or type(status) is not int:
        raise GraphReplyInvalid("a batch response without id or status")
    if not isinstance(body, dict):
        if status == 200:
            raise GraphReplyInvalid("a batch response without a JSON body")
        body = {}
    return int(name), BatchReply(status, case_insensitive(response.get("headers")), body)
