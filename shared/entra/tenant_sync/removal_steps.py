"""The tenant sync's last step: users who seem to have left are asked for by themselves, and if they are too many, an
operator decides.

An identity provider that answered "no users" for one night has cost others everybody's accounts.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from shared.context import Deadline
from shared.directory.records.user import EntraDeletion, User, user_key
from shared.entra.entra_user import EntraUser
from shared.entra.graph.collections import STEP_TIME
from shared.entra.tenant_sync.report import Held, Phase
from shared.entra.tenant_sync.user_steps import UserSteps
from shared.entra.tenant_sync.work import SyncWork
from shared.entra.tenant_sync.writer import Departure
from shared.entra.user_changes import Sighting
from shared.errors import AppError

CONFIRMED_AT_ONCE = 100


class RemovalSteps:
    """Confirms and records departures."""

    def __init__(self, work: SyncWork, users: UserSteps) -> None:
        self._work = work
        self._users = users

    def remove(self) -> None:
        """All who are confirmed to have left, or nobody if they are too many."""
        work = self._work
        limit = self._limit()
        departed: list[Departure | Sighting] = []
        losses = 0
        for chunk in _chunks(work.checkpoint.leavers, CONFIRMED_AT_ONCE):
            work.renew()
            confirmed, new_losses = self._confirm(chunk)
            departed += confirmed
            losses += new_losses
            if work.accept_removals:
                self._record(departed)
                departed = []
            elif losses > limit:
                self._hold(losses, limit)
                return
        self._record(departed)
        work.checkpoint.held = None
        work.round.enter(Phase.FINISH)

    def _limit(self) -> int:
        """The configured number or share, whichever is more, but never more than half of all users."""
        policy, population = self._work.policy, self._work.checkpoint.population
        configured = max(policy.max_removals, int(policy.max_removals_share * population))
        return min(configured, max(1, population // 2))

    def _confirm(self, local_ids: Sequence[int]) -> tuple[list[Departure | Sighting], int]:
        """Who is gone, or out of the scope, and how many of them lose something; the others are recorded as found."""
        work = self._work
        asked_at = work.now()
        rows = work.ledger.get_many(User, [user_key(user_id) for user_id in local_ids])
        users = {user.object_id: user for user in rows.values() if user.object_id}
        answers = work.users.by_ids(list(users), Deadline.after(STEP_TIME))
        alive: dict[str, EntraUser] = {}
        leaving: dict[int, Departure | Sighting] = {}
        for object_id, answer in answers.items():
            if isinstance(answer, EntraUser):
                alive[object_id] = answer
            elif isinstance(answer, EntraDeletion):
                leaving[users[object_id].id] = Departure(object_id, users[object_id].id, answer)
            else:
                self._note_error(object_id, answer)
        sightings = self._users.read_groups(alive, asked_at) if alive else []
        strays = {users[s.user.object_id].id: s for s in sightings if not work.changes.in_scope(s.group_ids or ())}
        self._users.record([sighting for sighting in sightings if sighting not in strays.values()])
        leaving.update(strays)
        self._stay([user_id for user_id in local_ids if user_id not in leaving])
        losses = [user for user in users.values() if user.id in leaving and user.deletion is None and user.in_scope]
        return list(leaving.values()), len(losses)

    def _note_error(self, object_id: str, error: AppError) -> None:
        """A record that is there but broken means that the user has not left; anything else ends the run."""
        if error.code != "entra_user_malformed":
            raise error
        self._work.note_broken(object_id, error.code, error.message)

    def _stay(self, local_ids: Iterable[int]) -> None:
        leavers = self._work.checkpoint.leavers
        for user_id in local_ids:
            leavers.discard(user_id)
        self._work.checkpoint.leaving = leavers.to_bytes()

    def _record(self, leaving: Sequence[Departure | Sighting]) -> None:
        work = self._work
        for start in range(0, len(leaving), CONFIRMED_AT_ONCE):
            if start:
                work.breathe()
            chunk = leaving[start : start + CONFIRMED_AT_ONCE]
            work.note_written(
                work.writer.departures([each for each in chunk if isinstance(each, Departure)], work.now())
            )
            self._users.record([each for each in chunk if isinstance(each, Sighting)])
            self._stay([each.known_id for each in chunk if each.known_id is not None])

    def _hold(self, losses: int, limit: int) -> None:
        checkpoint = self._work.checkpoint
        since = checkpoint.held.since if checkpoint.held else self._work.now()
        reason = (
            f"More than {limit} users seem to have left Entra at once. Nobody was removed. If that is right, run "
            "`python manage.py sync --accept-removals`."
        )
        checkpoint.held = Held(since, losses, limit, reason)
        self._work.round.enter(Phase.FINISH)


def _chunks(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    iterator = iter(numbers)
    while chunk := list(islice(iterator, size)):
        yield chunk
