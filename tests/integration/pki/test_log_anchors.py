"""The CA signs where the log is; whoever rewrites the log afterwards cannot make it agree with that."""

import base64
import json
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import shared.services
from local.azurite.azurite import Azurite
from shared.cli.audit import command
from shared.directory.backup import Restoration, Tally, back_up, verify_backup
from shared.directory.blobs import BlobStore
from shared.directory.head import HEAD_KEY, decode_head, encode_head
from shared.directory.ledger import Ledger
from shared.directory.log import decode_log_row, encode_log_row, log_key
from shared.directory.rows import decode_row, encode_row
from shared.directory.tables import TableStore
from shared.pki.authority.authority import Authority
from shared.pki.authority.log_anchors import PREFACE, Anchor, LogAnchors, LogNotAnchored
from shared.pki.keys import KeyType, sign
from shared.pki.revocation.reconciliation import Reconciliation
from tests.support.issuers import key_of
from tests.support.pki import TestCa, context, software_backend
from tests.support.restores import new_table


@dataclass
class Anchored:
    ca: TestCa
    tables: TableStore
    blobs: BlobStore

    @property
    def anchors(self) -> LogAnchors:
        """As a process of its own would see them."""
        return LogAnchors(self.ca.ledger, lambda: self.ca.authority, self.blobs)

    def sign(self) -> Anchor:
        anchor = self.anchors.sign(context())
        assert anchor is not None
        return anchor

    def forge(self, seq: int) -> None:
        """Rewrites the log from this row on, as somebody with the storage key can: afterwards the chain is whole."""
        tenant_id, previous = self.ca.ledger.tenant_id, ""
        for number in range(seq, self.ca.ledger.head().seq + 1):
            entity = self.tables.get(tenant_id, log_key(number))
            assert entity is not None
            row = decode_log_row(log_key(number), decode_row(entity))
            row = replace(row, commit_id=uuid.uuid4().hex, previous_hash=previous or row.previous_hash)
            row = replace(row, hash=row.computed_hash())
            previous = row.hash
            self.tables.put(tenant_id, row.key, encode_row(encode_log_row(row)), None)
        entity = self.tables.get(tenant_id, HEAD_KEY)
        assert entity is not None
        head = replace(decode_head(entity).head, last_hash=previous)
        self.tables.put(tenant_id, HEAD_KEY, encode_row(encode_head(head)), None)

    def audit(self, monkeypatch: pytest.MonkeyPatch) -> Result:
        services = SimpleNamespace(ledger=self.ca.ledger, log_anchors=self.anchors)
        monkeypatch.setattr(shared.services, "services", lambda: services)
        return CliRunner().invoke(command, ["verify", "--json"])


@pytest.fixture
def anchored(azurite: Azurite, tables: TableStore, ledger: Ledger, tmp_path: Path) -> Anchored:
    """A CA with a user, and an empty container of the test's own."""
    ca = TestCa.on(ledger, software_backend(tmp_path)).initialize()
    ca.add_user()
    return Anchored(ca, tables, BlobStore.from_connection_string(azurite.connection_string, f"a{uuid.uuid4().hex}"))


def findings(result: Result) -> list[Any]:
    return [(finding["key"], finding["problem"]) for finding in json.loads(result.stdout)["findings"]]


def test_an_honest_log_agrees_with_what_was_signed(anchored: Anchored, monkeypatch: pytest.MonkeyPatch) -> None:
    first = anchored.sign()
    anchored.ca.add_user()
    second = anchored.sign()

    result = anchored.audit(monkeypatch)

    assert result.exit_code == 0, result.stdout
    assert [anchor["seq"] for anchor in json.loads(result.stdout)["anchors"]["good"]] == [first.seq, second.seq]
    assert second.hash == anchored.ca.ledger.head().last_hash


def test_nothing_is_signed_twice_or_for_an_empty_directory(anchored: Anchored, ledger: Ledger) -> None:
    anchored.sign()

    assert anchored.anchors.sign(context()) is None
    empty = Ledger(anchored.tables, str(uuid.uuid4()))
    assert (
        LogAnchors(empty, lambda: Authority(empty, anchored.ca.backend, "software"), anchored.blobs).sign(context())
        is None
    )


def test_a_rewritten_log_is_found_though_its_chain_is_whole(
    anchored: Anchored, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor = anchored.sign()
    anchored.forge(2)

    result = anchored.audit(monkeypatch)

    assert result.exit_code == 1
    assert findings(result) == [(log_key(anchor.seq), "its hash is not the one that was signed")]


def test_nothing_is_signed_over_a_log_that_does_not_go_on_from_the_last_signature(anchored: Anchored) -> None:
    anchored.sign()
    anchored.forge(2)
    anchored.ca.add_user()

    with pytest.raises(LogNotAnchored):
        anchored.anchors.sign(context())


def test_a_forged_anchor_is_none(anchored: Anchored, monkeypatch: pytest.MonkeyPatch) -> None:
    true = anchored.sign()
    forged = replace(true, hash="0" * 64).statement()
    key = key_of(KeyType.P_256, "forger")
    for number, statement in enumerate((forged, "anything")):
        signature = base64.b64encode(sign(key, statement.encode())).decode()
        content = json.dumps({"statement": statement, "signature": signature}).encode()
        anchored.blobs.put_new(f"{true.tenant_id}/forged-{number}", content)
    anchored.blobs._client.upload_blob(f"{true.tenant_id}/overwritten", b"with other tools")

    result = anchored.audit(monkeypatch)

    assert result.exit_code == 1
    told = json.loads(result.stdout)["anchors"]
    assert len(told["problems"]) == 3
    assert [anchor["hash"] for anchor in told["good"]] == [true.hash]


def test_what_a_restore_left_behind_is_told_apart_and_signing_goes_on(
    anchored: Anchored, azurite: Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = anchored.sign()
    ca, path, tally = anchored.ca, tmp_path / "backup.gz", Tally()
    back_up(ca.ledger.partition, path)
    ca.add_user()
    lost = anchored.sign()
    target = new_table(azurite.connection_string)

    def reconcile(ledger: Ledger) -> None:
        authority = Authority(ledger, ca.backend, "software")
        crls = BlobStore.from_connection_string(azurite.connection_string, f"c{uuid.uuid4().hex}")
        crls.create_if_missing()
        Reconciliation(ledger, authority, crls).run([], 10, context(), skip_numbers=10)

    Restoration(target, ca.ledger.tenant_id).run(path, verify_backup(path, tally), tally, reconcile, context())
    tally.close()
    after = Anchored(TestCa.on(Ledger(target, ca.ledger.tenant_id), ca.backend), target, anchored.blobs)
    after.ca.add_user()

    new = after.sign()
    result = after.audit(monkeypatch)

    assert result.exit_code == 0, result.stdout
    told = json.loads(result.stdout)["anchors"]
    assert [anchor["seq"] for anchor in told["good"]] == [kept.seq, new.seq]
    assert [anchor["hash"] for anchor in told["left_behind"]] == [lost.hash]


def test_what_is_signed_can_never_pass_for_anything_else(anchored: Anchored) -> None:
    anchor = anchored.sign()

    assert anchor.statement().startswith(PREFACE)
    assert PREFACE.encode()[0] != 0x30  # SEQUENCE, as all DER that a CA signs begins
    assert Anchor.parse(anchor.statement()) == anchor
