"""The emulator as a program: it says where it is, guards its controls, keeps its root, and leaves nothing behind."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from local.control_client import ControlError
from local.entra.bulk import BulkLoad
from local.entra.control import EntraEmulator, Tenant
from local.processes import REPOSITORY


def started(state_folder: Path, *options: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
    command = [sys.executable, "-m", "local.entra", "--port", "0", "--state-dir", str(state_folder), *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def closed(process: subprocess.Popen[str]) -> int:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    return process.wait(10)


def test_it_announces_itself_in_one_line_and_ends_on_sigterm(tmp_path: Path) -> None:
    process, ready = started(tmp_path)
    try:
        assert ready["url"].startswith("https://127.0.0.1:")
        assert Path(ready["ca_path"]).is_relative_to(tmp_path)
        assert requests.get(ready["url"], verify=ready["ca_path"], timeout=10).status_code == 404
    finally:
        process.terminate()
        assert closed(process) == 0


def test_it_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    process, _ = started(tmp_path, "--until-stdin-closes")

    assert closed(process) == 0


def test_it_comes_back_with_the_same_root(tmp_path: Path) -> None:
    with EntraEmulator.start(tmp_path) as first:
        root = first.ca_path.read_bytes()
    with EntraEmulator.start(tmp_path) as second:
        assert second.ca_path.read_bytes() == root
        assert os.path.commonpath([second.tls_folder, tmp_path]) == str(tmp_path)


def test_the_controls_need_their_key(entra: EntraEmulator) -> None:
    for headers in ({}, {"X-Control-Key": "guess"}):
        url = f"{entra.url}/_control/tenants.create"
        assert requests.post(url, json={}, headers=headers, verify=str(entra.ca_path), timeout=10).status_code == 403


def test_a_wrong_control_call_says_what_is_wrong(entra: EntraEmulator, tenant: Tenant) -> None:
    with pytest.raises(ControlError, match="exists"):
        entra.new_tenant(tenant.id)
    with pytest.raises(ControlError, match="there is no object"):
        tenant.delete("f3c5bb5a-3d2e-4c9e-8f5e-0123456789ab")
    with pytest.raises(ControlError, match="belongs to"):
        tenant.add_user("ada@contoso.example")
        tenant.add_user("ADA@contoso.example")


def test_a_forgotten_tenant_is_gone(entra: EntraEmulator) -> None:
    tenant = entra.new_tenant()
    entra.forget_tenant(tenant)

    with pytest.raises(ControlError, match="no such tenant"):
        tenant.traffic()


def test_a_large_directory_loads_quickly_and_the_same_way_for_the_same_seed(entra: EntraEmulator) -> None:
    plan = BulkLoad(users=20_000, groups=200, groups_per_user=5, seed=3)
    one, two = entra.new_tenant(), entra.new_tenant()
    began = time.monotonic()
    one.load(plan)
    seconds = time.monotonic() - began
    two.load(plan)

    first, second = one.snapshot(), two.snapshot()
    entra.forget_tenant(one)
    entra.forget_tenant(two)
    assert seconds < 10
    assert first.groups == second.groups
    assert len(first.users) == 20_000
    assert all(len(user.groups) >= 5 for user in first.users.values())
    assert any(len(user.groups) > 5 for user in first.users.values())


def test_the_snapshot_tells_states_and_transitive_groups(tenant: Tenant) -> None:
    ada, bob, cleo, dan = (tenant.add_user(f"{name}@contoso.example") for name in ("ada", "bob", "cleo", "dan"))
    inner, outer, role = tenant.add_group("inner"), tenant.add_group("outer"), tenant.add_directory_role("role")
    tenant.add_member(inner, ada, bob)
    tenant.add_member(outer, inner)
    tenant.add_member(role, ada)
    tenant.disable(ada)
    tenant.delete(bob)
    tenant.purge(cleo)

    truth = tenant.snapshot()

    assert {user.id: user.state for user in truth.users.values()} == {
        ada.id: "disabled",
        bob.id: "deleted",
        dan.id: "active",
    }
    assert truth.users[ada.id].groups == {inner.id, outer.id}
    assert truth.users[bob.id].groups == set()
    assert truth.groups[inner.id].members == {ada.id}
    assert truth.purged == {cleo.id}
