"""The queue of requests: order, sharing, deadlines, and who is told what."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from shared.directory.commit_queue import CommitQueue, Committed, Pending, Request
from shared.directory.errors import LedgerBusy, OutcomeUnknown
from tests.support.ledger_story import context, soon

DONE: Committed[None] = Committed(None, 1, datetime(2026, 2, 28, tzinfo=UTC))
OpenRequests = Callable[[], list[Pending]]


def a_request(name: str = "x", seconds: float = 10) -> Pending:
    return Pending(Request(name, context(), lambda tx: None), soon(seconds))


def test_requests_are_served_in_the_order_of_their_arrival() -> None:
    served: list[str] = []

    def commit_first(open_requests: OpenRequests) -> None:
        pending = open_requests()[0]
        served.append(pending.request.action)
        pending.settle(DONE)

    CommitQueue(commit_first).submit([a_request(name) for name in "abcde"])

    assert served == list("abcde")


def test_what_arrives_during_a_commit_shares_the_next() -> None:
    shared: list[int] = []
    first_runs, others_wait = threading.Event(), threading.Event()

    def commit_open(open_requests: OpenRequests) -> None:
        requests = open_requests()
        shared.append(len(requests))
        first_runs.set()
        others_wait.wait(5)
        for pending in requests:
            pending.settle(DONE)

    queue = CommitQueue(commit_open)
    threads = [threading.Thread(target=queue.submit, args=([a_request()],)) for _ in range(6)]
    threads[0].start()
    first_runs.wait(5)
    for thread in threads[1:]:
        thread.start()
    while len(queue.open_requests()) < 6:
        time.sleep(0.001)
    others_wait.set()
    for thread in threads:
        thread.join()

    assert shared == [1, 5]


def test_a_request_still_waiting_at_its_deadline_is_not_applied_and_its_caller_knows() -> None:
    release = threading.Event()

    def commit_slowly(open_requests: OpenRequests) -> None:
        pending = open_requests()[0]
        release.wait(5)
        pending.settle(DONE)

    queue = CommitQueue(commit_slowly)
    slow, hurried = a_request("slow"), a_request("hurried", seconds=0.05)
    threading.Thread(target=queue.submit, args=([slow],)).start()
    queue.submit([hurried])

    assert isinstance(hurried.error, LedgerBusy)
    assert not hurried.take_off()
    release.set()


def test_a_request_in_flight_at_its_deadline_may_have_been_applied_and_its_caller_knows() -> None:
    release = threading.Event()

    def commit_slowly(open_requests: OpenRequests) -> None:
        pending = open_requests()[0]
        assert pending.take_off()
        release.wait(5)
        pending.land()
        pending.settle(DONE)

    hurried = a_request(seconds=0.05)
    CommitQueue(commit_slowly).submit([hurried])
    release.set()

    assert isinstance(hurried.error, OutcomeUnknown)


def test_a_defect_of_the_writer_reaches_every_caller() -> None:
    def broken(open_requests: OpenRequests) -> None:
        raise RuntimeError("a defect")

    requests = [a_request(), a_request()]
    CommitQueue(broken).submit(requests)

    assert [str(pending.error) for pending in requests] == ["a defect", "a defect"]
