"""Users with a past to be purged, and a search for what is left of them, byte by byte."""

import base64
import binascii
import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.directory.blobs import BlobStore
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.certificate import CertificateType
from shared.directory.records.user import EntraDeletion, User
from shared.directory.replica.snapshots import SnapshotStore
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.errors import AppError
from shared.pki.errors import BackendUnavailable
from shared.pki.revocation.purge import UserPurge
from tests.support.pki import TestCa, context, order

WORDS = ("quackenbush", "wilhelmina", "pumpernickel", "w.quack", "s-1-5-21-1004336348", "chief yodeller")
"""Of the person, folded: the names borne one after the other, an address, the SID, the job."""
SID = "S-1-5-21-1004336348-1177238915-682003330-1234"
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")


def person(ca: TestCa) -> User:
    """Somebody who had another name, got certificates of each type, and one that was not signed."""
    user = ca.add_user(
        name="Wilhelmina Pumpernickel",
        given_name="Wilhelmina",
        surname="Pumpernickel",
        user_principal_name="w.pumpernickel@contoso.example",
        mail="w.pumpernickel@contoso.example",
        email="w.pumpernickel@contoso.example",
        on_premises_security_identifier=SID,
        job_title="Chief Yodeller",
    )
    issue(ca, user)
    user = ca.change_user(
        user,
        name="Wilhelmina Quackenbush",
        surname="Quackenbush",
        user_principal_name="w.quackenbush@contoso.example",
        mail="w.quackenbush@contoso.example",
        email="w.quackenbush@contoso.example",
        proxy_addresses=("SMTP:w.quackenbush@contoso.example", "smtp:w.quack@contoso.example"),
    )
    issue(ca, user)
    issue(ca, user, CertificateType.EMAIL_PROTECTION)
    _fail_to_issue(ca, user)
    return user


def issue(ca: TestCa, user: User, kind: CertificateType = CertificateType.CLIENT_AUTH) -> None:
    ca.issuance.issue(order(user, certificate_type=kind), context())


def _fail_to_issue(ca: TestCa, user: User) -> None:
    """A reservation that is withdrawn: only the log remembers it."""

    def down(*_: object) -> None:
        raise BackendUnavailable("The key vault is down.")

    original = ca.issuance._signing_key
    ca.issuance._signing_key = down  # type: ignore[method-assign,assignment]
    try:
        issue(ca, user)
    except AppError:
        return
    finally:
        ca.issuance._signing_key = original  # type: ignore[method-assign]


def leave(ca: TestCa, user: User) -> None:
    """The user is deleted in Entra for good; certificates stay as they are, as those of exempt users do."""
    ca.change_user(user, is_active=False, deletion=EntraDeletion.HARD)


def snapshot_store(blobs: BlobStore, tables: TableStore, tenant_id: str) -> SnapshotStore:
    return SnapshotStore(blobs, StateStore(tables, tenant_id), tenant_id)


# --- Traces ---


def traces_in_tables(tables: TableStore, tenant_id: str) -> set[str]:
    """The keys of the rows, of the ledger and of the state beside it, in which a word of the person is left."""
    found = set()
    for partition in (tenant_id, f"{tenant_id}|state"):
        for entity in tables.query(partition, "", None):
            if has_trace(json.dumps(entity, ensure_ascii=False).encode()):
                found.add(str(entity["RowKey"]))
    return found


def traces_in_blobs(blobs: BlobStore) -> set[str]:
    return {blob.name for blob in list(blobs.list("")) if has_trace(blobs.get(blob.name) or b"")}


def traces_in_files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and has_trace(path.read_bytes())}


def has_trace(data: bytes) -> bool:
    """Whether one of the words is in it, in whatever case, as UTF-8 or UTF-16, or inside base64."""
    return any(_has_word(each) for each in (data, *_decoded(data)))


def _has_word(data: bytes) -> bool:
    folded = data.lower()
    return any(word.encode(coding) in folded for word in WORDS for coding in ("utf-8", "utf-16-le", "utf-16-be"))


def _decoded(data: bytes) -> Iterator[bytes]:
    for match in _BASE64.finditer(data.decode("latin-1")):
        try:
            yield base64.b64decode(match[0])
        except binascii.Error:
            continue


# --- Lives of a purge that is killed ---


@dataclass(frozen=True)
class Assignment:
    connection_string: str
    container: str
    tenant_id: str
    user_id: int


def purge_and_die(assignment: Assignment) -> None:
    """Goes on with the purge, and kills its process (SIGKILL) as soon as something was written or deleted."""
    tables = TableStore.from_connection_string(assignment.connection_string, "directory")
    blobs = BlobStore.from_connection_string(assignment.connection_string, assignment.container)
    for owner, method in ((tables, "transact"), (tables, "put"), (tables, "delete"), (blobs, "delete")):
        _die_after(owner, method)
    purge = UserPurge(Ledger(tables, assignment.tenant_id), snapshot_store(blobs, tables, assignment.tenant_id))
    purge.run(assignment.user_id, context())


def _die_after(owner: Any, method: str) -> None:
    original = getattr(owner, method)

    def and_die(*arguments: Any, **options: Any) -> Any:
        original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, and_die)


def rename(user: User, name: str) -> Request[None]:
    def decide(tx: Transaction) -> None:
        current = tx.get(User, user.key)
        assert current is not None
        tx.put(replace(current, name=name))

    return Request("user.synced", context(), decide, ((User, user.key),))
