"""Records and requests that ledger tests tell their stories with."""

import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar

from shared.context import Actor, ActorKind, Context, Deadline
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.base import Record
from shared.directory.records.user import ObjectIdLink, User, object_id_key, user_key


@dataclass(frozen=True, kw_only=True)
class Note(Record):
    """Something small, with an id."""

    KIND: ClassVar[str] = "note"
    SEQUENCE: ClassVar[str | None] = "note"
    REPLICATED: ClassVar[tuple[str, ...]] = ("text",)

    id: int
    text: str

    @property
    def key(self) -> str:
        return note_key(self.id)


@dataclass(frozen=True, kw_only=True)
class Counter(Record):
    """Something that loses updates if anything can."""

    KIND: ClassVar[str] = "counter"

    name: str
    value: int

    @property
    def key(self) -> str:
        return counter_key(self.name)


@dataclass(frozen=True, kw_only=True)
class Photo(Record):
    """Something large."""

    KIND: ClassVar[str] = "photo"

    id: int
    data: bytes

    @property
    def key(self) -> str:
        return f"photo|{self.id:010d}"


def note_key(note_id: int) -> str:
    return f"note|{note_id:010d}"


def counter_key(name: str) -> str:
    return f"counter|{name}"


def context(request_id: str | None = None) -> Context:
    return Context(Actor(ActorKind.OPERATOR, "tester"), request_id or uuid.uuid4().hex)


def soon(seconds: float = 20) -> Deadline:
    return Deadline.after(timedelta(seconds=seconds))


def write_note(text: str, request_id: str | None = None) -> Request[int]:
    """Answers with the new note's id."""

    def decide(tx: Transaction) -> int:
        note = Note(id=tx.next_id("note"), text=text)
        tx.put(note)
        return note.id

    return Request("note.written", context(request_id), decide)


def take_photo(data: bytes) -> Request[None]:
    def decide(tx: Transaction) -> None:
        tx.put(Photo(id=tx.next_id("photo"), data=data))

    return Request("photo.taken", context(), decide)


def change_note(note_id: int, text: str) -> Request[None]:
    def decide(tx: Transaction) -> None:
        note = tx.get(Note, note_key(note_id))
        assert note is not None
        tx.put(replace(note, text=text))

    return Request("note.changed", context(), decide, reads=((Note, note_key(note_id)),))


def count_up(name: str, request_id: str | None = None) -> Request[int]:
    """Answers with the counter's new value."""

    def decide(tx: Transaction) -> int:
        counter = tx.get(Counter, counter_key(name)) or Counter(name=name, value=0)
        tx.put(replace(counter, value=counter.value + 1))
        return counter.value + 1

    return Request("counter.up", context(request_id), decide, reads=((Counter, counter_key(name)),))


def meet_user(object_id: str, request_id: str | None = None) -> Request[int]:
    """Creates the user, or counts one more visit in `employee_id`. Answers with the local id."""

    def decide(tx: Transaction) -> int:
        link = tx.get(ObjectIdLink, object_id_key(object_id))
        if link is None:
            user = User(
                id=tx.next_id("user"),
                object_id=object_id,
                name="Ada",
                is_active=True,
                employee_id="1",
                created_at=tx.time,
                updated_at=tx.time,
            )
            tx.put(ObjectIdLink(object_id=object_id, user_id=user.id))
        else:
            known = tx.get(User, user_key(link.user_id))
            assert known is not None
            user = replace(known, employee_id=str(visits(known) + 1), updated_at=tx.time)
        tx.put(user)
        return user.id

    reads = ((ObjectIdLink, object_id_key(object_id)),)
    return Request("user.met", context(request_id), decide, reads)


def visits(user: User) -> int:
    return int(user.employee_id or 0)


def logged_requests(ledger: Ledger) -> dict[str, int]:
    """How often each request id stands in the log."""
    found: dict[str, int] = {}
    for row in ledger.log(0):
        for operation in row.operations:
            found[operation.request_id] = found.get(operation.request_id, 0) + 1
    return found
