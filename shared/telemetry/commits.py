"""The ledger's work, observed: commits as callers see them, their transactions, and what becomes of certificates."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from shared.telemetry import names
from shared.telemetry.recorder import Origin, Recorder, Span, error_type, recorder

APPLIED, LOST, UNKNOWN, REFUSED = "applied", "lost", "unknown", "refused"
DECIDED_AGAIN, SENT_AGAIN = "decided_again", "sent_again"


class Waiting(Protocol):
    """A request that waits for its commit."""

    error: BaseException | None
    origin: Origin | None


def observed_commit(requests: Sequence[Waiting]) -> AbstractContextManager[None]:
    """The time from handing requests in until all are settled."""
    active = recorder()
    return _recorded_commit(active, requests) if active.recording else nullcontext()


@contextmanager
def _recorded_commit(active: Recorder, requests: Sequence[Waiting]) -> Iterator[None]:
    started = time.perf_counter()
    with active.span("ledger.commit", attributes={"entra_pki.ledger.requests": len(requests)}) as span:
        for request in requests:
            request.origin = active.origin
        yield
        error = next((request.error for request in requests if request.error is not None), None)
        failed = {} if error is None else {names.ERROR_TYPE: error_type(error)}
        if error is not None:
            span.fail(error_type(error))
        active.measure(names.COMMIT_DURATION, time.perf_counter() - started, failed)


def observed_transaction(requests: Sequence[Waiting]) -> AbstractContextManager[Span]:
    """One attempt to bring the open requests into the table: below the first of them, linked to the others."""
    active = recorder()
    if not active.recording:
        return active.span("ledger.transaction")
    origins = dict.fromkeys(request.origin for request in requests if request.origin is not None)
    first, *others = origins or (None,)
    return active.span("ledger.transaction", parent=first, links=others)


def count_transaction(outcome: str) -> None:
    recorder().count(names.TRANSACTIONS, {names.OUTCOME: outcome})


def count_retry(reason: str) -> None:
    recorder().count(names.RETRIES, {names.REASON: reason})


Row = Mapping[str, Any]


def count_certificates(changes: Iterable[tuple[Row | None, Row | None]]) -> None:
    """Counts what a committed transaction did to certificates, by their rows before and after."""
    active = recorder()
    for before, after in changes:
        change = None if after is None else _change(None if before is None else before["status"], after["status"])
        if change is not None and after is not None:
            attributes = {names.CHANGE: change, names.CERTIFICATE_TYPE: after.get("certificate_type") or after["kind"]}
            if change == "revoked":
                attributes[names.REVOCATION_REASON] = after.get("revocation_reason") or "unspecified"
            active.count(names.CERTIFICATES, attributes)


def _change(before: str | None, after: str) -> str | None:
    """`issued`, `held`, `released` or `revoked`; None where the status stays, or nothing was ever handed out."""
    if before == after or after == "pending":
        return None
    if after == "issued":
        return "released" if before == "held" else "issued"
    return after
