"""What a tenant sync has learned about users, and the ledger requests that record it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.context import Context
from shared.directory.ledger import Request, Transaction
from shared.directory.records.base import Record
from shared.directory.records.user import EntraDeletion, ObjectIdLink, User, object_id_key, user_key
from shared.entra.user_changes import Recorded, Sighting, UserChanges


@dataclass(frozen=True, slots=True)
class Departure:
    """A user confirmed to have left; `known_id` is the local id."""

    object_id: str
    known_id: int
    deletion: EntraDeletion
    asked_at: datetime

    @property
    def reads(self) -> Sequence[tuple[type[Record], str]]:
        return _reads(self.object_id, self.known_id)


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's groups as the group graph has them."""

    object_id: str
    known_id: int
    group_ids: tuple[str, ...]
    asked_at: datetime

    @property
    def reads(self) -> Sequence[tuple[type[Record], str]]:
        return _reads(self.object_id, self.known_id)


News = Sighting | Departure | Membership
UserRequest = Request[Recorded | None]


def object_id_of(news: News) -> str:
    return news.user.object_id if isinstance(news, Sighting) else news.object_id


def rows_of(news: News) -> int:
    """How many rows of a transaction it takes: a new user has a link as well."""
    return 1 if news.known_id is not None else 2


def user_request(changes: UserChanges, news: News, context: Context) -> UserRequest:
    def decide(tx: Transaction) -> Recorded | None:
        match news:
            case Sighting():
                return changes.record_sighting(tx, news)
            case Departure():
                return changes.record_deletion(tx, news.object_id, news.deletion, news.asked_at)
            case Membership():
                return changes.record_groups(tx, news.object_id, news.group_ids, news.asked_at)

    return Request(_ACTIONS[type(news)], context, decide, reads=news.reads)


_ACTIONS: dict[type[News], str] = {Sighting: "user.synced", Departure: "user.left", Membership: "user.regrouped"}


def _reads(object_id: str, known_id: int) -> Sequence[tuple[type[Record], str]]:
    return [(User, user_key(known_id)), (ObjectIdLink, object_id_key(object_id))]
