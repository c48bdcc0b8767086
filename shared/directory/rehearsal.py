"""What requests would decide, without deciding it: for a dry run, and for weighing changes before they are made."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from shared.context import Deadline
from shared.directory.commit_queue import Request
from shared.directory.head import Head
from shared.directory.partition import Partition
from shared.directory.transaction import Snapshot, Staged, Transaction
from shared.errors import AppError

T = TypeVar("T")


def rehearse(
    partition: Partition, head: Head, now: datetime, requests: Sequence[Request[T]], deadline: Deadline
) -> Iterator[T | AppError]:
    """The value or the refusal of each request, alone, on the rows as they are from now on. Writes nothing."""
    snapshot = Snapshot(partition, head.next_ids, deadline)
    snapshot.load(key for request in requests for _, key in request.reads)
    for request in requests:
        try:
            yield request.decide(Transaction(snapshot, Staged(), max(now, head.time)))
        except AppError as error:
            yield error
