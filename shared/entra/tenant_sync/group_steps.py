"""The tenant sync's steps with groups: snapshot, changes, and telling the users' records of them."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from shared.directory.records.user import Group
from shared.entra.graph.collections import GroupEdit, group_edits, groups_in
from shared.entra.graph.users import READ_GROUPS
from shared.entra.group_names import GroupName
from shared.entra.tenant_sync.group_changes import GroupChange, Operation
from shared.entra.tenant_sync.report import Phase
from shared.entra.tenant_sync.user_requests import Membership
from shared.entra.tenant_sync.work import ListingNotCredible, SyncWork

LISTINGS = 2
"""Times a listing is read when the count says that it lacks something."""
TOLERANCE = 20
TOLERANCE_SHARE = 0.005
"""Counts are eventually consistent: so many missing, or this share, are the normal difference."""
GROUPS_AT_ONCE = 80
"""Groups whose members are held at once: four batches, asked for side by side."""
MEMBERSHIP_CHUNK = 485
"""Users told of their groups in one step: five transactions."""


class GroupSteps:
    """Each method does one step and leaves the round at the next."""

    def __init__(self, work: SyncWork) -> None:
        self._work = work
        self._stored: dict[str, str] | None = None
        self._affected: list[int] | None = None

    def snapshot_page(self) -> None:
        """A page of groups with all their members."""
        work = self._work
        page = work.collections.page(work.round.link or work.collections.groups_url(), READ_GROUPS)
        if page.next_link:
            work.collections.fetch_ahead(page.next_link, READ_GROUPS)
        groups = groups_in(page)
        for start in range(0, len(groups), GROUPS_AT_ONCE):
            work.renew()
            some = [group.object_id for group in groups[start : start + GROUPS_AT_ONCE]]
            work.graph.apply(self._membership_changes(some))
        work.writer.names(self._news(groups))
        work.round.listed += len(groups)
        work.round.link = page.next_link
        if page.next_link is None:
            self._end_snapshot()

    def changes_page(self) -> None:
        """A page of the groups' delta."""
        work = self._work
        link = work.round.link or work.round.groups_link
        assert link is not None
        page = work.collections.page(link, READ_GROUPS)
        if page.next_link:
            work.collections.fetch_ahead(page.next_link, READ_GROUPS)
        edits = group_edits(page)
        if edits:
            self._apply_edits(edits)
        if page.next_link is None and page.delta_link is None:
            raise ListingNotCredible("Entra's changes of groups end without a link to the next ones.")
        work.round.link = page.next_link
        if page.delta_link is not None:
            work.round.groups_next = page.delta_link
            work.round.enter(Phase.USER_CHANGES)

    def tell_members(self) -> None:
        """Some of the users whose groups have changed."""
        work = self._work
        if self._affected is None:
            self._affected = work.graph.affected if work.graph.has_news else []
        start = bisect_left(self._affected, work.round.position)
        chunk = self._affected[start : start + MEMBERSHIP_CHUNK]
        if chunk:
            self._tell(chunk)
            work.round.position = chunk[-1] + 1
        if start + len(chunk) == len(self._affected):
            self._affected = None
            work.graph.told()
            work.round.enter(Phase.REMOVALS)

    def _membership_changes(self, group_ids: Sequence[str]) -> list[GroupChange]:
        changes: list[GroupChange] = []
        for group_id, members in self._work.collections.members(group_ids).items():
            if members is None:
                changes.append(GroupChange(Operation.DEAD, group_id))
            else:
                changes += [
                    GroupChange(Operation.LIVE, group_id),
                    GroupChange(Operation.SET_MEMBERS, group_id, members),
                ]
        return changes

    def _news(self, groups: Iterable[Group]) -> list[GroupName]:
        """Names not stored yet, in a snapshot: all stored ones are read at once, the first time."""
        if self._stored is None:
            self._stored = {group.object_id: group.display_name for group in self._work.ledger.scan(Group)}
        stored = self._stored
        news = [
            GroupName(group, group.object_id in stored)
            for group in groups
            if group.display_name and stored.get(group.object_id) != group.display_name
        ]
        stored.update((name.group.object_id, name.group.display_name) for name in news)
        return news

    def _end_snapshot(self) -> None:
        work = self._work
        missing = work.collections.count_groups() - work.round.listed
        if missing > 0 and work.round.listing < LISTINGS:
            work.round.listing += 1
            work.round.begin_listing()
            return
        if missing > max(TOLERANCE, TOLERANCE_SHARE * work.round.listed):
            work.round.enter(Phase.GROUPS)
            raise ListingNotCredible(f"Entra lists {work.round.listed} groups but counts {missing} more.")
        graph = work.graph.graph
        self._news([])
        live = {graph.nodes.object_id(group) for group in graph.groups}
        gone = [group_id for group_id in self._stored or () if group_id not in live]
        if gone and not live and not work.accept_removals:
            work.round.enter(Phase.GROUPS)
            raise ListingNotCredible(f"Entra lists no groups, but {len(gone)} were there.")
        work.writer.forget_groups(gone)
        self._stored = None
        work.graph.settle()
        work.round.enter(Phase.USERS)

    def _apply_edits(self, edits: Sequence[GroupEdit]) -> None:
        work, graph = self._work, self._work.graph.graph
        changes: list[GroupChange] = []
        for edit in edits:
            if edit.removed:
                changes.append(GroupChange(Operation.DEAD, edit.object_id))
            if edit.came:
                changes.append(GroupChange(Operation.ADD_MEMBERS, edit.object_id, edit.came))
            if edit.went:
                changes.append(GroupChange(Operation.REMOVE_MEMBERS, edit.object_id, edit.went))
        final = {edit.object_id: edit for edit in edits}
        alive = [group_id for group_id, edit in final.items() if not edit.removed]
        nodes = {group_id: graph.nodes.find(group_id) for group_id in alive}
        strange = [group_id for group_id, node in nodes.items() if node is None or not graph.is_live(node)]
        changes += self._appeared(strange)
        work.graph.apply(changes)
        news = work.names.news(self._named(final))
        work.writer.names(news)
        work.names.remember(name.group for name in news)
        gone = [group_id for group_id, edit in final.items() if edit.removed]
        work.writer.forget_groups(gone)
        work.names.forget(gone)

    def _named(self, edits: Mapping[str, GroupEdit]) -> list[Group]:
        """The groups that are there, with their names; every group has one, so one left out is asked for."""
        named = [Group(object_id=each.object_id, display_name=each.name) for each in edits.values() if each.name]
        nameless = [each.object_id for each in edits.values() if not each.removed and not each.name]
        return named + self._work.collections.group_names(nameless)

    def _appeared(self, group_ids: Sequence[str]) -> list[GroupChange]:
        """New and restored groups: a restored one may have come back with edges that nobody reports."""
        if not group_ids:
            return []
        changes = self._membership_changes(group_ids)
        for group_id, parents in self._work.collections.parents("groups", group_ids).items():
            if parents is not None:
                changes.append(GroupChange(Operation.SET_PARENTS, group_id, parents))
        return changes

    def _tell(self, nodes: Sequence[int]) -> None:
        work, graph = self._work, self._work.graph.graph
        asked_at = work.now()
        users = [graph.nodes.object_id(node) for node in nodes if not graph.is_group(node)]
        known = work.writer.local_ids(users)
        groups_of = {object_id: work.graph.groups_of(object_id) for object_id in users}
        memberships = [
            Membership(object_id, user_id, groups_of[object_id], asked_at) for object_id, user_id in known.items()
        ]
        work.note_written(work.writer.record(memberships))
        if work.policy.group_ids:
            unknown = [object_id for object_id in users if object_id not in known]
            work.look_again([each for each in unknown if work.changes.in_scope(groups_of[each])])
