"""What requests would decide: their values and refusals, and nothing in the table."""

from shared.context import Actor, ActorKind, Context
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.user import Group, group_key
from shared.errors import AppError

STAFF = "11111111-1111-1111-1111-111111111111"


class Refused(AppError):
    status, code = 409, "refused"


def test_each_request_is_decided_alone_and_nothing_is_written(ledger: Ledger) -> None:
    context = Context(Actor(ActorKind.OPERATOR, "tests"), "request")

    def create(tx: Transaction) -> int:
        assert tx.get(Group, group_key(STAFF)) is None, "an earlier rehearsal was seen"
        tx.put(Group(object_id=STAFF, display_name="Staff"))
        return tx.next_id("user")

    def refuse(tx: Transaction) -> int:
        raise Refused("no")

    requests = [Request(f"test.{decide.__name__}", context, decide) for decide in (create, refuse, create)]
    first, second, third = ledger.rehearse(requests, context.deadline)

    assert (first, third) == (1, 1)
    assert isinstance(second, Refused)
    assert ledger.head().seq == 0
    assert ledger.get(Group, group_key(STAFF)) is None
