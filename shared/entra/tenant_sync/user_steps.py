"""The tenant sync's steps with users: listing, changes, and those who have to be asked for one by one."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.context import Deadline
from shared.directory.records.user import EntraDeletion
from shared.entra.entra_user import EntraUser, EntraUserMalformed
from shared.entra.graph.collections import STEP_TIME, Page, object_id_or_none, removal_in
from shared.entra.graph.errors import GraphNotFound
from shared.entra.graph.users import READ_USERS
from shared.entra.tenant_sync.group_changes import GroupChange, Operation
from shared.entra.tenant_sync.group_steps import LISTINGS, TOLERANCE, TOLERANCE_SHARE
from shared.entra.tenant_sync.id_set import IdSet
from shared.entra.tenant_sync.known_users import KnownUser, KnownUsers, fingerprint_of
from shared.entra.tenant_sync.report import Counts, Phase
from shared.entra.tenant_sync.work import ListingNotCredible, SyncWork
from shared.entra.tenant_sync.writer import Written
from shared.entra.user_changes import Sighting
from shared.errors import AppError

RECHECKS_AT_ONCE = 100
"""Users asked for one by one in a step: five batches, and five more for their groups."""
CHANGES_AT_ONCE = 970
"""Changed users of one step, about: ten transactions."""
MANY_CHANGES, SCAN_FACTOR = 2000, 50
"""A point read costs about as much as scanning a hundred rows."""
FEW = 500
"""So many users may be asked for one by one, even if they are most of the tenant."""


class UserSteps:
    """Each method does one step and leaves the round at the next. Close it after the last."""

    def __init__(self, work: SyncWork) -> None:
        self._work = work
        self._known: KnownUsers | None = None
        self._ids: KnownUsers | None = None
        self._seen = IdSet(work.round.seen)
        self._asked = 0

    def close(self) -> None:
        for known in (self._known, self._ids):
            if known is not None:
                known.close()
        self._known = self._ids = None

    # --- The listing ---

    def listing_page(self) -> None:
        """A page of users, compared with what the directory holds; after the last, those to be asked for alone."""
        work, current = self._work, self._work.round
        collections = work.collections.user_listings(work.policy.group_ids)
        if current.collection == len(collections):
            return self.look_again() if work.checkpoint.rechecks else self._end_listing()
        scoped = bool(work.policy.group_ids)
        try:
            page = work.collections.page(current.link or collections[current.collection], READ_USERS, eventual=scoped)
        except GraphNotFound as error:
            raise ListingNotCredible("A group of ENTRA_SYNC_GROUP_IDS does not exist in Entra.") from error
        if page.next_link:
            work.collections.fetch_ahead(page.next_link, READ_USERS, eventual=scoped)
        self._compare(page)
        current.seen = self._seen.to_bytes()
        current.listed += len(page.objects)
        current.link = page.next_link
        current.collection += page.next_link is None
        return None

    def _compare(self, page: Page) -> None:
        work = self._work
        users = self._parsed(page)
        known = self._index().find(list(users))
        unchanged = 0
        sightings: list[Sighting] = []
        for object_id, user in users.items():
            group_ids = work.graph.groups_of(object_id)
            record = known.get(object_id)
            if record is not None and self._is_same(record, user, group_ids):
                self._seen.add(record.id)
                work.checkpoint.broken.pop(object_id, None)
                unchanged += 1
            else:
                known_id = record.id if record else None
                sightings.append(_listed(user, group_ids, page.asked_at, known_id))
        work.add_counts(Counts(unchanged=unchanged))
        self.record(sightings)

    def _is_same(self, record: KnownUser, user: EntraUser, group_ids: tuple[str, ...]) -> bool:
        in_scope = self._work.changes.in_scope(group_ids)
        return not user.absent and record.fingerprint == fingerprint_of(user, group_ids, in_scope)

    def _note(self, written: Written) -> None:
        records = [each.after for each in written.recorded.values()]
        self._seen.update(user.id for user in records)
        self._seen.update(written.at_stake)
        if self._known is not None:
            self._known.note(records)

    def _index(self) -> KnownUsers:
        if self._known is None:
            self._known = KnownUsers.read(self._work.ledger)
        return self._known

    def _end_listing(self) -> None:
        """Decides whether the listing was whole, and who was not in it."""
        work, current = self._work, self._work.round
        seen = len(self._seen)
        scoped = bool(work.policy.group_ids)
        unlisted = self._unlisted_members() if scoped else []
        missing = len(unlisted) if scoped else work.collections.count_users() - seen - len(work.checkpoint.broken)
        if missing > 0 and current.listing < LISTINGS:
            current.listing += 1
            current.begin_listing()
            return
        absent = self._absent()
        nobody = not seen and not scoped  # no tenant is without users
        vanished = len(absent) > max(seen, FEW) or (absent and not seen)
        if missing > max(TOLERANCE, TOLERANCE_SHARE * seen) or nobody or (vanished and not work.accept_removals):
            current.enter(Phase.USERS)
            raise ListingNotCredible(
                f"Entra lists {seen} users, counts {max(0, missing)} more, and leaves out {len(absent)} known ones."
            )
        work.doubt(absent)
        work.checkpoint.population = sum(1 for user in self._index() if user.deletion is None)
        work.look_again(unlisted)
        current.enter(Phase.GROUP_CHANGES)

    def _absent(self) -> list[int]:
        """Local ids of users believed to be there, or restorable, who were not listed."""
        broken = self._work.checkpoint.broken
        return [
            user.id
            for user in self._index()
            if user.deletion is not EntraDeletion.HARD and user.id not in self._seen and user.object_id not in broken
        ]

    def _unlisted_members(self) -> list[str]:
        """Users who by the group graph are in the scope, and were not listed with it."""
        work, graph = self._work, self._work.graph.graph
        scope = [node for group_id in work.policy.group_ids if (node := graph.nodes.find(group_id)) is not None]
        members = [graph.nodes.object_id(node) for node in graph.below(scope) if not graph.is_group(node)]
        known = self._index().find(members)
        broken = work.checkpoint.broken
        return [
            each for each in members if each not in broken and (each not in known or known[each].id not in self._seen)
        ]

    # --- Changes ---

    def changes_page(self) -> None:
        """Some pages of the users' delta: they are small, and transactions better full."""
        current = self._work.round
        link = current.link or current.users_link
        assert link is not None
        page = self._changes(link)
        while page.next_link and len(page.objects) < CHANGES_AT_ONCE:
            following = self._changes(page.next_link)
            page = replace(following, objects=page.objects + following.objects, asked_at=page.asked_at)
        if page.objects:
            self._apply_changes(page)
        current.listed += len(page.objects)
        current.link = page.next_link
        if page.delta_link is not None:
            current.users_next = page.delta_link
            current.enter(Phase.MEMBERSHIPS)

    def _changes(self, link: str) -> Page:
        page = self._work.collections.page(link, READ_USERS)
        if page.next_link:
            self._work.collections.fetch_ahead(page.next_link, READ_USERS)
        elif page.delta_link is None:
            raise ListingNotCredible("Entra's changes of users end without a link to the next ones.")
        return page

    def _apply_changes(self, page: Page) -> None:
        work = self._work
        last = {object_id: data for data in page.objects if (object_id := object_id_or_none(data))}
        alive = replace(page, objects=[data for data in last.values() if not removal_in(data)])
        users = self._parsed(alive)
        known = self._local_ids(list(last))
        self._work.doubt(known[object_id] for object_id in last if object_id in known and removal_in(last[object_id]))
        work.look_again([object_id for object_id in users if object_id not in known and self._may_be_ours(object_id)])
        sightings = [
            _listed(user, None, page.asked_at, known[object_id])
            for object_id, user in users.items()
            if object_id in known
        ]
        work.note_written(work.writer.record(sightings))

    def _local_ids(self, object_ids: Sequence[str]) -> dict[str, int]:
        """Point reads for a few; where very many users have changed, one scan of all costs less."""
        self._asked += len(object_ids)
        if self._ids is None and self._asked > MANY_CHANGES:
            users = self._work.ledger.head().next_ids.get("user", 1) - 1
            if users < SCAN_FACTOR * self._asked:
                self._ids = KnownUsers.read_ids(self._work.ledger)
        if self._ids is None:
            return self._work.writer.local_ids(object_ids)
        return {object_id: user.id for object_id, user in self._ids.find(object_ids).items()}

    def _may_be_ours(self, object_id: str) -> bool:
        """Whether a user unknown here belongs here: everybody does, or by the group graph."""
        work = self._work
        return not work.policy.group_ids or work.changes.in_scope(work.graph.groups_of(object_id))

    def _parsed(self, page: Page) -> dict[str, EntraUser]:
        """The page's users by object id, of several descriptions the last; broken ones are to be asked for alone."""
        users: dict[str, EntraUser] = {}
        for data in page.objects:
            try:
                user = EntraUser.from_graph(data)
                users[user.object_id] = user
            except EntraUserMalformed as error:
                if error.object_id:
                    self._work.look_again([error.object_id])
                else:
                    self._work.note_broken("", error.code, error.message)
        return users

    # --- One by one ---

    def look_again(self) -> None:
        """Asks for some users by object id, with their direct groups, and records what they are."""
        work = self._work
        chunk = work.checkpoint.rechecks[:RECHECKS_AT_ONCE]
        asked_at = work.now()
        found = work.users.by_ids(chunk, Deadline.after(STEP_TIME))
        users: dict[str, EntraUser] = {}
        gone: list[str] = []
        for object_id, answer in found.items():
            if isinstance(answer, EntraUser):
                users[object_id] = answer
            elif isinstance(answer, EntraUserMalformed):
                work.note_broken(object_id, answer.code, answer.message)
            elif isinstance(answer, AppError):
                raise answer
            else:
                gone.append(object_id)
        self._record_or_doubt(self.read_groups(users, asked_at))
        self._note_gone(gone)
        work.checkpoint.rechecks = work.checkpoint.rechecks[len(chunk) :]

    def read_groups(self, users: dict[str, EntraUser], asked_at: datetime) -> list[Sighting]:
        """Users who were just read by themselves, with the groups that they are in by now."""
        work = self._work
        parents = work.collections.parents("users", list(users))
        work.graph.apply(
            GroupChange(Operation.SET_PARENTS, object_id, groups)
            for object_id, groups in parents.items()
            if groups is not None
        )
        known = work.writer.local_ids(list(users))
        return [
            Sighting(user, work.graph.groups_of(object_id), asked_at, known.get(object_id), touch=False, sparing=True)
            for object_id, user in users.items()
        ]

    def record(self, sightings: Sequence[Sighting]) -> Written:
        written = self._work.writer.record(sightings)
        self._work.note_written(written)
        self._note(written)
        return written

    def _record_or_doubt(self, sightings: Sequence[Sighting]) -> None:
        """Records those in the scope; who is known and no longer in it seems to be leaving."""
        changes = self._work.changes
        ours = [sighting for sighting in sightings if changes.in_scope(sighting.group_ids or ())]
        self.record(ours)
        doubtful = {s.known_id for s in sightings if s.known_id is not None}.difference(s.known_id for s in ours)
        self._work.doubt(each for each in doubtful if each is not None)

    def _note_gone(self, object_ids: Sequence[str]) -> None:
        self._work.doubt(self._work.writer.local_ids(object_ids).values())
        for object_id in object_ids:
            self._work.checkpoint.broken.pop(object_id, None)


def _listed(user: EntraUser, group_ids: tuple[str, ...] | None, asked_at: datetime, known_id: int | None) -> Sighting:
    """A user in a list, or among changes: what it would take away, a closer look has to confirm."""
    return Sighting(user, group_ids, asked_at, known_id, touch=False, cautious=True, sparing=True)
