"""A purge leaves nothing of a person in tables, log, snapshots and replicas, wherever it dies, and the audit knows."""

import errno
import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import shared.services
from local.azurite.azurite import Azurite
from shared.cli.certs import command as certs
from shared.cli.users import command
from shared.context import Actor, ActorKind, Context
from shared.directory.audit import verify
from shared.directory.blobs import BlobStore
from shared.directory.erasure import ERASED, erased_user
from shared.directory.errors import UserNotFound
from shared.directory.ledger import Request, Transaction
from shared.directory.log import PURGE, decode_log_row, encode_log_row, log_key
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    RevocationReason,
)
from shared.directory.records.purge import UnfinishedPurge
from shared.directory.records.user import EntraDeletion, User
from shared.directory.replica import source
from shared.directory.replica.queries import UserQuery
from shared.directory.replica.replica import Replica
from shared.directory.rows import decode_row, encode_row
from shared.directory.tables import TableStore
from shared.pki.certificate_view import CertificateViews
from shared.pki.issuance.reservation import confirm
from shared.pki.revocation.departures import DeparturePolicy, Departures
from shared.pki.revocation.purge import UserNotGone, UserPurge
from shared.pki.revocation.revocation import Revocation
from tests.support.crls import TestCrls, reasons, soon
from tests.support.pki import POLICY, TestCa, a_user, context, order
from tests.support.purges import (
    Assignment,
    issue,
    leave,
    person,
    purge_and_die,
    rename,
    snapshot_store,
    traces_in_blobs,
    traces_in_files,
    traces_in_tables,
)


@pytest.fixture
def blobs(azurite: Azurite, tenant_id: str) -> BlobStore:
    """A container of the test's own, so that all of it can be searched."""
    store = BlobStore.from_connection_string(azurite.connection_string, f"purge-{tenant_id}")
    store.create_if_missing()
    return store


@pytest.fixture
def purge(ca: TestCa, blobs: BlobStore, tables: TableStore, tenant_id: str) -> UserPurge:
    return UserPurge(ca.ledger, snapshot_store(blobs, tables, tenant_id))


@pytest.fixture
def instance(
    ca: TestCa, blobs: BlobStore, tables: TableStore, tenant_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Replica]]:
    """An instance of the app by its name, with a temp folder of that name, in a directory that counts as large."""
    monkeypatch.setattr(source, "LARGE", 0)
    opened: list[Replica] = []

    def start(name: str) -> Replica:
        store = snapshot_store(blobs, tables, tenant_id)
        opened.append(Replica(ca.ledger, tmp_path / name, tenant_id, snapshots=store))
        opened[-1].prepare(soon())
        return opened[-1]

    yield start
    for replica in opened:
        replica.close()


def test_no_trace_is_left_in_any_row_log_row_snapshot_or_replica(
    ca: TestCa,
    purge: UserPurge,
    instance: Callable[[str], Replica],
    blobs: BlobStore,
    tables: TableStore,
    tmp_path: Path,
) -> None:
    bystander = ca.add_user(name="Somebody Else")
    issue(ca, bystander)
    user = person(ca)
    following, idle = instance("following"), instance("idle")
    assert following.publish_snapshot(soon()) is not None
    leave(ca, user)
    following.catch_up(soon())
    found = traces_in_tables(tables, ca.ledger.tenant_id)
    assert user.key in found and {key.partition("|")[0] for key in found} == {"user", "cert", "log"}
    assert traces_in_blobs(blobs) and traces_in_files(tmp_path / "following") and traces_in_files(tmp_path / "idle")

    report = purge.run(user.id, context())

    assert (report.certificates, report.revoked, report.snapshots) == (3, 3, 1)
    assert traces_in_tables(tables, ca.ledger.tenant_id) == set()
    assert traces_in_blobs(blobs) == set()
    for replica, name in ((following, "following"), (idle, "idle")):
        assert replica_after(replica, tmp_path / name) == [ERASED, bystander.name]
    assert following.publish_snapshot(soon()) is not None
    assert traces_in_blobs(blobs) == set()
    assert not verify(ca.ledger.partition).findings


def replica_after(replica: Replica, folder: Path) -> list[str]:
    """The names on the first page, once the replica's file has been replaced by one without traces."""
    replica.catch_up(soon())
    names = sorted(user.name for user in replica.users(UserQuery(search="e")).items)
    deadline = time.monotonic() + 60
    while traces_in_files(folder):
        assert time.monotonic() < deadline, "the old file is still there"
        time.sleep(0.05)
        replica.prepare(soon())
    assert sorted(user.name for user in replica.users(UserQuery(search="e")).items) == names
    return names


def test_where_there_is_no_room_for_two_replicas_the_old_one_goes_first(
    ca: TestCa, purge: UserPurge, instance: Callable[[str], Replica], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = person(ca)
    leave(ca, user)
    replica = instance("cramped")
    purge.run(user.id, context())
    attempts: list[Path] = []

    def full(_: Path, path: Path, *__: object) -> None:
        attempts.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shared.directory.replica.keeping.copy", full)
        replica.catch_up(soon())
        replica._keeper.wait(soon())

    assert len(attempts) == 1
    assert traces_in_files(tmp_path / "cramped") == set()
    replica.prepare(soon())
    assert [found.name for found in replica.users(UserQuery()).items] == [ERASED]


def test_an_upload_that_a_purge_overtakes_is_deleted_again(
    ca: TestCa,
    purge: UserPurge,
    instance: Callable[[str], Replica],
    blobs: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = person(ca)
    leave(ca, user)
    replica = instance("slow")
    upload = BlobStore.put_new

    def overtaken(store: BlobStore, name: str, data: Any) -> Any:
        purge.run(user.id, context())
        return upload(store, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, "put_new", overtaken)
        assert replica.publish_snapshot(soon()) is None

    assert list(blobs.list("")) == []


def test_certificates_are_revoked_and_keep_the_facts_of_their_lives(
    ca: TestCa, purge: UserPurge, blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.pki.revocation.purge.AT_ONCE", 2)
    user = person(ca)
    compromised, held, live = ca.certificates()
    revocation = Revocation(ca.ledger, Departures(DeparturePolicy()))
    revocation.revoke(compromised.id, RevocationReason.KEY_COMPROMISE, context(), comment="says W. Quackenbush")
    revocation.revoke(held.id, RevocationReason.CERTIFICATE_HOLD, context())
    leave(ca, user)
    before = {each.id: each for each in ca.certificates()}

    purge.run(user.id, context())

    after = {each.id: each for each in ca.certificates()}
    for number, certificate in after.items():
        for name in ("serial_number", "fingerprint", "public_key_sha256", "tbs_sha256", "not_after", "issued_at"):
            assert getattr(certificate, name) == getattr(before[number], name)
        assert (certificate.subject, certificate.der, certificate.revocation_comment) == (ERASED, None, None)
    ceased = (CertificateStatus.REVOKED, RevocationReason.CESSATION_OF_OPERATION)
    assert [(after[each.id].status, after[each.id].revocation_reason) for each in (held, live)] == [ceased, ceased]
    assert after[held.id].revoked_at == before[held.id].revoked_at
    assert after[compromised.id].revocation_reason is RevocationReason.KEY_COMPROMISE
    crls = TestCrls.of(ca, blobs, tmp_path / "replica")
    crls.publish()
    assert reasons(crls.current()) == {
        compromised.serial_number: "keyCompromise",
        held.serial_number: "cessationOfOperation",
        live.serial_number: "cessationOfOperation",
    }


def test_the_audit_tells_a_redaction_from_an_alteration(ca: TestCa, purge: UserPurge, tables: TableStore) -> None:
    user, other = person(ca), ca.add_user(name="Somebody Else")
    leave(ca, user)
    assert verify(ca.ledger.partition).redactions == ()

    report = purge.run(user.id, context())

    audit = verify(ca.ledger.partition)
    assert audit.findings == ()
    by_key = {redaction.key: redaction for redaction in audit.redactions}
    named = {certificate.key for certificate in ca.certificates()} | {user.key}
    assert named < set(by_key) and len(by_key) == len(named) + 1  # and one that was never signed
    assert sum(redaction.copies for redaction in audit.redactions) == report.log_copies
    purging = decode_log_row(by_key[user.key].purged_by, row_of(tables, ca, by_key[user.key].purged_by))
    assert {operation.action for operation in purging.operations} == {PURGE}

    erase_from_log(tables, ca, other.key)
    (finding,) = verify(ca.ledger.partition).findings
    assert finding.problem == f"altered: the data of {other.key} are missing"


def test_data_missing_from_after_the_purge_are_an_alteration(ca: TestCa, purge: UserPurge, tables: TableStore) -> None:
    user = person(ca)
    leave(ca, user)
    purge.run(user.id, context())
    back = ca.change_user(user, name="Wilhelmina Returned", deletion=None, is_active=True, purged_at=None)

    erase_from_log(tables, ca, back.key)

    assert [finding.problem for finding in verify(ca.ledger.partition).findings] == [
        f"altered: the data of {user.key} are missing"
    ]


def row_of(tables: TableStore, ca: TestCa, key: str) -> Any:
    entity = tables.get(ca.ledger.tenant_id, key)
    assert entity is not None
    return decode_row(entity)


def erase_from_log(tables: TableStore, ca: TestCa, key: str) -> None:
    """As somebody with the storage key could: takes the data of the last change of a record out of the log."""
    *_, seq = (
        row.seq
        for row in ca.ledger.log(0)
        for operation in row.operations
        for change in operation.changes
        if change.key == key and change.data
    )
    log = decode_log_row(log_key(seq), row_of(tables, ca, log_key(seq)))
    operations = tuple(
        replace(each, changes=tuple(replace(change, data=None) for change in each.changes)) for each in log.operations
    )
    tables.put(ca.ledger.tenant_id, log.key, encode_row(encode_log_row(replace(log, operations=operations))), None)


def test_a_purge_that_is_killed_after_each_thing_it_does_is_gone_on_with_to_its_end(
    ca: TestCa,
    purge: UserPurge,
    azurite: Azurite,
    blobs: BlobStore,
    tables: TableStore,
    instance: Callable[[str], Replica],
    tmp_path: Path,
) -> None:
    user = person(ca)
    replica = instance("following")
    assert replica.publish_snapshot(soon()) is not None
    leave(ca, user)
    assignment = Assignment(azurite.connection_string, f"purge-{ca.ledger.tenant_id}", ca.ledger.tenant_id, user.id)
    mp = multiprocessing.get_context("forkserver")
    mp.set_forkserver_preload(["tests.support.purges", "azure.data.tables", "azure.storage.blob"])

    codes: list[int | None] = []
    unfinished = 0
    while codes[-1:] != [0]:
        life = mp.Process(target=purge_and_die, args=(assignment,))
        life.start()
        life.join()
        codes.append(life.exitcode)
        audit = verify(ca.ledger.partition)
        assert audit.findings == ()
        assert audit.unfinished_purges == tuple(row.user_id for row in ca.ledger.scan(UnfinishedPurge))
        assert len(codes) < 40, codes

        unfinished += len(audit.unfinished_purges)
    print(f"\n{len(codes)} lives, {codes.count(-9)} killed")
    assert unfinished >= len(codes) - 2
    assert set(codes[:-1]) == {-9} and len(codes) > 10
    assert list(ca.ledger.scan(UnfinishedPurge)) == []
    assert traces_in_tables(tables, ca.ledger.tenant_id) == set()
    assert traces_in_blobs(blobs) == set()
    assert replica_after(replica, tmp_path / "following") == [ERASED]


def test_once_it_is_done_there_is_nothing_left_to_do(ca: TestCa, purge: UserPurge) -> None:
    user = person(ca)
    leave(ca, user)
    first = purge.run(user.id, context())
    head = ca.ledger.head()

    again = purge.run(user.id, context())

    assert (again.erased_at, again.certificates, again.log_copies) == (first.erased_at, 0, 0)
    assert ca.ledger.head() == head
    assert not purge.outlook(user.id).unfinished


def test_users_whose_traces_share_log_rows_can_be_purged_at_once(
    ca: TestCa, purge: UserPurge, tables: TableStore
) -> None:
    users = [ca.add_user(name=f"Wilhelmina Quackenbush {number}") for number in range(3)]
    for spelling in ("Quackenbush", "Pumpernickel", "Quackenbush-Pumpernickel"):
        for result in ca.ledger.commit_all([rename(user, f"{spelling} {user.id}") for user in users], soon()):
            assert not isinstance(result, Exception)
    for user in users:
        leave(ca, user)
    failures: list[BaseException] = []

    def run(user: User) -> None:
        try:
            purge.run(user.id, context())
        except BaseException as error:  # noqa: BLE001  (handed to the test's thread)
            failures.append(error)

    threads = [threading.Thread(target=run, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert traces_in_tables(tables, ca.ledger.tenant_id) == set()
    assert verify(ca.ledger.partition).findings == ()


def test_a_purge_that_another_one_overtakes_at_a_log_row_undoes_nothing_of_it(
    ca: TestCa, purge: UserPurge, tables: TableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (ca.add_user(name=f"Wilhelmina Quackenbush {number}") for number in range(2))
    ca.ledger.commit_all([rename(user, f"Pumpernickel {user.id}") for user in (first, second)], soon())
    shared_row = log_key(ca.ledger.head().seq)
    for user in (first, second):
        leave(ca, user)
    write = TableStore.put

    def overtaken(store: TableStore, partition: str, key: str, *arguments: Any) -> str:
        if key == shared_row:
            monkeypatch.setattr(TableStore, "put", write)
            purge.run(second.id, context())
        return write(store, partition, key, *arguments)

    monkeypatch.setattr(TableStore, "put", overtaken)

    purge.run(first.id, context())

    assert traces_in_tables(tables, ca.ledger.tenant_id) == set()
    assert verify(ca.ledger.partition).findings == ()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "which would bring the data back"),
        ({"is_active": False, "account_enabled": False}, "which would bring the data back"),
        ({"is_active": False, "in_scope": False}, "which would bring the data back"),
        ({"is_active": False, "deletion": EntraDeletion.SOFT}, "in the recycle bin"),
    ],
)
def test_whom_entra_still_knows_is_not_purged(ca: TestCa, purge: UserPurge, state: dict[str, Any], said: str) -> None:
    user = ca.add_user(**state)

    with pytest.raises(UserNotGone, match=said):
        purge.run(user.id, context())

    assert ca.ledger.get(User, user.key) == user


def test_nobody_can_purge_whoever_never_was(purge: UserPurge) -> None:
    with pytest.raises(UserNotFound):
        purge.run(4711, context())


def test_local_users_can_be_purged_at_any_time(ca: TestCa, purge: UserPurge, tables: TableStore) -> None:
    user = ca.add_user(object_id=None, name="Wilhelmina Quackenbush")

    purge.run(user.id, context())

    assert traces_in_tables(tables, ca.ledger.tenant_id) == set()


def test_a_signature_that_comes_after_the_purge_brings_nothing_back(ca: TestCa, purge: UserPurge) -> None:
    user = person(ca)
    signed = ca.certificates()[0]
    pending = changed(ca, signed, status=CertificateStatus.PENDING, issued_at=None)
    leave(ca, user)
    purge.run(user.id, context())

    assert signed.der is not None and signed.fingerprint is not None
    late = confirm(pending, signed.der, signed.fingerprint, POLICY, context())
    outcome = ca.ledger.commit(late, soon()).value

    assert outcome.refusal is not None
    assert outcome.certificate.der is None and outcome.certificate.fingerprint == signed.fingerprint


def changed(ca: TestCa, certificate: Certificate, **changes: Any) -> Certificate:
    def decide(tx: Transaction) -> Certificate:
        after = replace(certificate, **changes)
        tx.put(after)
        return after

    return ca.ledger.commit(Request("test", context(), decide, ((Certificate, certificate.key),)), soon()).value


def test_what_the_user_did_stays_in_the_audit_and_is_counted(ca: TestCa, purge: UserPurge) -> None:
    user = ca.add_user(name="Wilhelmina Quackenbush")
    assert user.object_id is not None
    themselves = Context(Actor(ActorKind.USER, user.object_id, "Wilhelmina Quackenbush"), "by themselves")
    certificate = ca.issuance.issue(order(user), themselves).certificate
    leave(ca, user)

    report = purge.run(user.id, context())

    assert report.acted == 2  # reserved and confirmed
    erased = ca.certificate(certificate.id)
    assert (erased.requester_id, erased.requester_name) == (user.object_id, "")


FACTS = {
    *("id", "kind", "user_id", "certificate_type", "status", "issuer_id", "issuer", "serial_number", "not_before"),
    *("not_after", "key_type", "key_size", "key_origin", "public_key_sha256", "requester_kind", "requester_id"),
    *("tbs_sha256", "sign_before", "fingerprint", "issued_at", "revoked_at", "revocation_reason", "revocation_source"),
    *("renews", "renewed_by", "notice_days", "noticed_at", "created_at", "updated_at"),
}
PERSONAL = {
    *("subject", "user_principal_name", "email", "security_identifier", "requester_name", "tbs", "der"),
    "revocation_comment",
}


def test_each_property_of_a_certificate_is_a_fact_that_stays_or_personal_and_erased() -> None:
    assert {field.name for field in fields(Certificate)} == FACTS | PERSONAL


def test_of_a_user_only_what_names_nobody_stays() -> None:
    user = a_user(7, deletion=EntraDeletion.HARD, group_ids=("0" * 8 + "-0000-0000-0000-" + "0" * 12,))

    erased = erased_user(user, user.updated_at)

    left = {field.name for field in fields(User) if getattr(erased, field.name)}
    assert left == {
        *("id", "object_id", "name", "account_enabled", "in_scope", "deletion", "purged_at"),
        *("synced_at", "created_at", "updated_at"),
    }


# --- manage.py users purge ---

Run = Callable[..., Result]


@pytest.fixture
def run(ca: TestCa, purge: UserPurge, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(shared.services, "services", lambda: SimpleNamespace(ledger=ca.ledger, user_purge=purge))
    return lambda *arguments, **options: CliRunner().invoke(command, ["purge", *arguments], **options)


def test_the_command_says_what_it_will_do_and_does_it_only_after_a_yes(ca: TestCa, run: Run) -> None:
    user = person(ca)
    leave(ca, user)

    refused = run(str(user.id), input="n\n")

    assert refused.exit_code == 1
    said = " ".join(refused.stderr.split())
    assert "Wilhelmina Quackenbush (w.quackenbush@contoso.example). Certificates: 3, of which 3 are not revoked" in said
    assert ca.ledger.get(User, user.key) == replace(user, is_active=False, deletion=EntraDeletion.HARD)

    done = run(str(user.id), input="y\n")

    assert done.exit_code == 0, done.output
    assert "Certificates erased: 3, of which revoked now: 3." in " ".join(done.stdout.split())
    assert "There was nothing left to erase." in " ".join(run(str(user.id)).stdout.split())


def test_an_erased_certificate_cannot_be_exported_and_the_command_says_why(
    ca: TestCa, purge: UserPurge, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = person(ca)
    leave(ca, user)
    purge.run(user.id, context())
    views = CertificateViews(ca.ledger, ca.authority)
    monkeypatch.setattr(shared.services, "services", lambda: SimpleNamespace(certificate_views=views))

    for what in ("export", "lint"):
        refused = CliRunner().invoke(certs, [what, "1"])
        assert "The certificate 1 was erased: its user was purged." in refused.stderr
    shown = json.loads(CliRunner().invoke(certs, ["show", "1", "--json"]).stdout)
    assert (shown["subject"], shown["status"]) == (ERASED, "revoked")


def test_the_command_reports_as_json(ca: TestCa, run: Run) -> None:
    user = person(ca)
    leave(ca, user)

    report = json.loads(run(str(user.id), "--yes", "--json").stdout)

    assert (report["user_id"], report["certificates"], report["revoked"]) == (user.id, 3, 3)
    assert report["erased_at"].endswith("Z") and report["log_copies"] > 5
