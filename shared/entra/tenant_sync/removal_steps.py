"""The tenant sync's last step: users who seem to have left, or to lose certificates, are asked for by themselves, and
if it is too much, an operator decides.

An identity provider that answered "no users" for one night has cost others everybody's accounts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from shared.context import Deadline
from shared.directory.records.user import EntraDeletion, User, user_key
from shared.entra.entra_user import EntraUser
from shared.entra.graph.collections import STEP_TIME
from shared.entra.tenant_sync.removal_guard import RemovalGuard, Removals, TooMany
from shared.entra.tenant_sync.report import Held, Phase
from shared.entra.tenant_sync.user_requests import Departure
from shared.entra.tenant_sync.user_steps import UserSteps
from shared.entra.tenant_sync.work import SyncWork
from shared.entra.user_changes import Sighting
from shared.errors import AppError

CONFIRMED_AT_ONCE = 100

Loss = Departure | Sighting
"""What takes something from a user."""


class RemovalSteps:
    """Confirms and records what is taken from users."""

    def __init__(self, work: SyncWork, users: UserSteps) -> None:
        self._work = work
        self._users = users

    def remove(self) -> None:
        """All that is confirmed, or nothing if it is too much."""
        work = self._work
        guard = RemovalGuard(work.ledger, work.policy, work.checkpoint.population, work.now())
        losses: list[Loss] = []
        removals = Removals()
        for chunk in _chunks(work.checkpoint.leavers, CONFIRMED_AT_ONCE):
            work.renew()
            confirmed = self._confirm(chunk)
            if work.accept_removals:
                self._record(confirmed)
                continue
            losses += confirmed
            removals += Removals.of(work.writer.rehearse(confirmed))
            if objection := guard.objection(removals):
                self._hold(removals, objection)
                return
        self._record(losses)
        work.checkpoint.held = None
        work.round.enter(Phase.FINISH)

    def _confirm(self, local_ids: Sequence[int]) -> list[Loss]:
        """Who of them is gone, out of the scope, or loses certificates; the others are recorded as they are found."""
        work = self._work
        asked_at = work.now()
        rows = work.ledger.get_many(User, [user_key(user_id) for user_id in local_ids])
        users = {user.object_id: user for user in rows.values() if user.object_id}
        answers = work.users.by_ids(list(users), Deadline.after(STEP_TIME))
        alive: dict[str, EntraUser] = {}
        losses: list[Loss] = []
        for object_id, answer in answers.items():
            if isinstance(answer, EntraUser):
                alive[object_id] = answer
            elif isinstance(answer, EntraDeletion):
                losses.append(Departure(object_id, users[object_id].id, answer, asked_at))
            else:
                self._note_error(object_id, answer)
        sightings = self._users.read_groups(alive, asked_at) if alive else []
        here = {each.known_id: each for each in sightings if work.changes.in_scope(each.group_ids or ())}
        at_stake = self._users.record(list(here.values())).at_stake
        staying = here.keys() - set(at_stake)
        losses += [replace(each, sparing=False) for each in sightings if each.known_id not in staying]
        losing = {each.known_id for each in losses}
        self._stay(user_id for user_id in local_ids if user_id not in losing)
        return losses

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

    def _record(self, losses: Sequence[Loss]) -> None:
        work = self._work
        for start in range(0, len(losses), CONFIRMED_AT_ONCE):
            if start:
                work.breathe()
            chunk = losses[start : start + CONFIRMED_AT_ONCE]
            work.note_written(work.writer.record([each for each in chunk if isinstance(each, Departure)]))
            self._users.record([each for each in chunk if isinstance(each, Sighting)])
            self._stay(each.known_id for each in chunk if each.known_id is not None)

    def _hold(self, removals: Removals, objection: TooMany) -> None:
        checkpoint = self._work.checkpoint
        since = checkpoint.held.since if checkpoint.held else self._work.now()
        checkpoint.held = Held(since, removals.users, objection.limit, objection.reason, removals.certificates)
        self._work.round.enter(Phase.FINISH)


def _chunks(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    iterator = iter(numbers)
    while chunk := list(islice(iterator, size)):
        yield chunk
