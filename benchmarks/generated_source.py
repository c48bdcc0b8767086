"""A directory that exists only as a recipe: feeds a replica with a population without ever holding it in memory."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from benchmarks.population import NOW, certificates, users
from shared.context import Actor, ActorKind
from shared.directory.head import Head, empty_head
from shared.directory.log import LogOperation, LogRow, changed, log_row
from shared.directory.records.base import Record, Row
from shared.directory.records.certificate import Certificate
from shared.directory.records.user import User

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class GeneratedSource:
    """`users_count` users and `certificates_count` certificates; `change` adds log rows.

    Attributes:
        seconds: spent here, making up people and log rows; not the replica's.
    """

    def __init__(self, tenant_id: str, users_count: int, certificates_count: int) -> None:
        self._users_count = users_count
        self._certificates_count = certificates_count
        next_ids = {"user": users_count + 1, "certificate": certificates_count + 1}
        self._start = replace(empty_head(tenant_id).head, next_ids=next_ids)
        self._log: list[LogRow] = []
        self.seconds = 0.0

    def change(self, count: int) -> None:
        """As many log rows, a user each, all over the ids: every fourth is renamed, the others are only seen again."""
        head = self.head()
        previous = head.last_hash
        for number in range(count):
            changed_user = replace(self._user(1 + number * 7919 % self._users_count, number), synced_at=NOW)
            operation = LogOperation(
                "user.synced",
                Actor(ActorKind.TIMER, "benchmark"),
                "request",
                (changed(changed_user.key, changed_user.to_row(), changed_user.replicated_row()),),
            )
            row = log_row(head.seq + 1 + number, NOW, "commit", previous, self._start.next_ids, (operation,))
            self._log.append(row)
            previous = row.hash

    def _user(self, user_id: int, number: int) -> User:
        (user,) = users(1, first_id=user_id)
        return replace(user, name=f"{user.name} {number}") if number % 4 == 0 else user

    def head(self) -> Head:
        if not self._log:
            return self._start
        last = self._log[-1]
        return Head(last.seq, last.time, last.hash, last.next_ids)

    def get(self, kind: type[R], key: str) -> R | None:
        raise NotImplementedError(f"nobody asks for {kind.KIND} {key}")

    def get_many(self, kind: type[R], keys: Sequence[str]) -> dict[str, R]:
        raise NotImplementedError(f"nobody asks for {kind.KIND} {len(keys)} times")

    def scan(self, kind: type[R], *, start: str | None = None, end: str | None = None) -> Iterator[R]:
        raise NotImplementedError(f"nobody asks for {kind.KIND} from {start} to {end}")

    def replicated_rows(self, kind: type[Record]) -> Iterator[Row]:
        made: Iterator[Record] = iter(())
        if kind is User:
            made = users(self._users_count)
        elif kind is Certificate:
            made = certificates(self._certificates_count, self._users_count)
        return self._timed(record.replicated_row() for record in made)

    def log(self, after: int, until: int | None = None) -> Iterator[LogRow]:
        return iter(self._log[after : len(self._log) if until is None else until])

    def _timed(self, made: Iterator[T]) -> Iterator[T]:
        clock = time.perf_counter
        while True:
            started = clock()
            following = next(made, None)
            self.seconds += clock() - started
            if following is None:
                return
            yield following
