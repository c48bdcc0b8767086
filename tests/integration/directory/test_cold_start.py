"""A cold start pays only for what it uses: a small directory is served without the SDK for blobs."""

import subprocess
import sys
import textwrap
import uuid
from datetime import timedelta
from pathlib import Path

from local.azurite.azurite import Azurite
from local.processes import REPOSITORY
from local.stack import clean_environment
from shared.api.api_tokens import ApiTokens
from shared.context import REQUEST_BUDGET, Actor, ActorKind, Context, Deadline
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from tests.support.people import user

FIRST_REQUEST = """
    import sys
    import function_app
    import azure.functions as func
    from functions.list_users import list_users
    from local.functions_host.invocation import InvocationContext

    url = "https://localhost/api/v1/entra-id/users?search=lovelace"
    request = func.HttpRequest("GET", url, headers={"authorization": f"Bearer {sys.argv[1]}"}, body=b"")
    reply = list_users(request, InvocationContext("", "list_users", ""))
    print(reply.status_code, b"Ada Lovelace" in reply.get_body(), "azure.storage.blob" in sys.modules)
"""


def test_a_young_instance_lists_a_small_directory_without_importing_the_blob_sdk(
    azurite: Azurite, tables: TableStore, ledger: Ledger, tenant_id: str, tmp_path: Path
) -> None:
    context = Context(Actor(ActorKind.OPERATOR, "test"), "request", Deadline.after(REQUEST_BUDGET))
    token = ApiTokens(ledger, StateStore(tables, tenant_id)).create("test", ["*"], timedelta(days=1), context)

    def add_ada(tx: Transaction) -> None:
        tx.put(user(tx.next_id("user")))

    ledger.commit(Request("user.created", context, add_ada), Deadline.after(REQUEST_BUDGET))
    settings = {
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "AzureWebJobsStorage": azurite.connection_string,
        "ENTRA_TENANT_ID": tenant_id,
        "ENTRA_CLIENT_ID": str(uuid.uuid4()),
        "ENTRA_CLIENT_SECRET": "unused",
    }

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FIRST_REQUEST), token.plain_text],
        cwd=REPOSITORY,
        env=clean_environment(tmp_path) | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.stdout.split() == ["200", "True", "False"], done.stdout + done.stderr
