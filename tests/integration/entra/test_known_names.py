"""Finding the former owner of a name in the replica."""

from pathlib import Path

from local.entra.control import Tenant, new_user
from shared.context import Context
from shared.directory.ledger import Ledger
from shared.directory.replica.replica import Replica
from shared.entra.graph import GraphClient
from shared.entra.known_names import KnownNames
from shared.entra.user_sync import UserSync


def test_only_the_exact_name_counts_whatever_its_case(
    tenant: Tenant, ledger: Ledger, graph: GraphClient, context: Context, tmp_path: Path
) -> None:
    names = KnownNames(Replica(ledger, tmp_path, tenant.id))
    users = tenant.add_users([new_user(name) for name in ("Ada@x.example", "bada@x.example", "adäa@x.example")])
    sync = UserSync(ledger, graph, known_by_name=names)
    sync.sync_many([user.user_principal_name for user in users], context)

    assert list(names(["ada@x.example"])) == [users[0].id]
    assert list(names(["nobody@x.example", "bada@x.example"])) == [users[1].id]


def test_the_former_owner_of_a_name_is_looked_after(
    tenant: Tenant, ledger: Ledger, graph: GraphClient, context: Context, tmp_path: Path
) -> None:
    replica = Replica(ledger, tmp_path, tenant.id)
    sync = UserSync(ledger, graph, known_by_name=KnownNames(replica))
    old = tenant.add_user("ada@x.example")
    sync.sync("ada@x.example", context)
    tenant.delete(old)
    new = tenant.add_user("ada@x.example")

    sync.sync("ada@x.example", context)

    assert list(KnownNames(replica)(["ada@x.example"])) == [new.id]
