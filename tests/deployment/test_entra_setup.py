"""infra/entra/setup.py, against an `az` that plays the tenant: it does what is missing, once, and says what."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.entra import setup
from shared.api.permissions import Permission
from shared.entra.graph.users import READ_GROUPS, READ_USERS

FAKE_AZ = Path(__file__).with_name("fake_az.py")
GRAPH = {
    "id": "graph",
    "appId": setup.GRAPH_APP_ID,
    "appRoles": [{"id": f"id of {value}", "value": value} for value in ("Mail.Read", *setup.GRAPH_PERMISSIONS)],
}


class Tenant:
    """The state of the tenant that the `az` on the PATH plays."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.write(applications=[], servicePrincipals=[GRAPH], assignments=[], kinds={}, calls=[], busy=0)

    def write(self, **changes: Any) -> None:
        state = self.read() if self._file.exists() else {}
        self._file.write_text(json.dumps(state | changes))

    def read(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._file.read_text())
        return state

    @property
    def writes(self) -> list[str]:
        """What was asked for other than reading, since the last look."""
        calls = [call for call in self.read()["calls"] if call[0] == "rest" and "get" not in call]
        self.write(calls=[])
        return [f"{call[2]} {call[4].rpartition('/v1.0/')[2].partition('/')[0]}" for call in calls]


@pytest.fixture
def tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    az = tmp_path / "az"
    az.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{FAKE_AZ}' \"$@\"\n")
    az.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("FAKE_AZ_STATE", str(tmp_path / "tenant.json"))
    monkeypatch.setattr(setup, "PAUSE_SECONDS", 0)
    return Tenant(tmp_path / "tenant.json")


def test_the_roles_are_the_permissions_that_the_app_knows() -> None:
    assert {role["value"] for role in setup.WANTED["appRoles"]} == set(Permission)
    ids = [role["id"] for role in setup.WANTED["appRoles"]]
    assert len(set(ids)) == len(ids)


def test_the_identity_is_granted_what_the_app_names_when_it_is_refused() -> None:
    assert set(setup.GRAPH_PERMISSIONS) == {READ_USERS, READ_GROUPS}


def test_a_registration_is_made_whole_and_the_second_run_does_nothing(
    tenant: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    setup.main(["register"])

    (application,) = tenant.read()["applications"]
    assert application["displayName"] == "Entra PKI"
    assert application["identifierUris"] == [f"api://{application['appId']}"]
    assert application["api"]["requestedAccessTokenVersion"] == 2
    (_, principal) = tenant.read()["servicePrincipals"]
    assert principal["appRoleAssignmentRequired"] is True
    assert f"ENTRA_CLIENT_ID={application['appId']}" in capsys.readouterr().out
    assert tenant.writes == ["post applications", "patch applications", "post servicePrincipals"]

    setup.main(["register"])

    assert tenant.writes == []
    assert capsys.readouterr().out.count("there already") == 2


@pytest.mark.parametrize("registered", [False, True])
def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    tenant: Tenant, capsys: pytest.CaptureFixture[str], registered: bool
) -> None:
    if registered:
        setup.main(["register"])
        (application,) = tenant.read()["applications"]
        tenant.write(applications=[application | {"appRoles": []}], kinds={"app": "servicePrincipal"}, calls=[])

    setup.main(["register", "--dry-run"])

    assert tenant.writes == []
    told = "would set appRoles of the app registration" if registered else "would make the app registration Entra PKI"
    assert told in capsys.readouterr().out


def test_a_registration_is_mended_and_what_others_put_there_stays(tenant: Tenant) -> None:
    setup.main(["register"])
    (application,) = tenant.read()["applications"]
    theirs = {"id": "theirs", "value": "theirs"}
    changed = {**application["appRoles"][0], "isEnabled": False}
    application |= {"appRoles": [theirs, changed], "identifierUris": ["https://contoso.example"]}
    tenant.write(applications=[application], calls=[])

    setup.main(["register"])

    (mended,) = tenant.read()["applications"]
    assert {role["value"] for role in mended["appRoles"]} == {"theirs", *Permission}
    assert all(role.get("isEnabled", True) for role in mended["appRoles"])
    assert mended["identifierUris"] == ["https://contoso.example", f"api://{application['appId']}"]
    assert tenant.writes == ["patch applications"]


def test_a_name_with_an_apostrophe_is_found_again(tenant: Tenant) -> None:
    setup.main(["register", "--name", "Contoso's CA"])
    setup.main(["register", "--name", "Contoso's CA"])

    assert len(tenant.read()["applications"]) == 1


def test_two_registrations_of_one_name_are_not_touched(tenant: Tenant) -> None:
    twin = {"displayName": "Entra PKI"}
    tenant.write(applications=[twin, twin])

    with pytest.raises(SystemExit, match="There are 2 app registrations Entra PKI"):
        setup.main(["register"])

    assert tenant.writes == []


def test_the_identity_gets_what_the_sync_reads_with_and_nothing_else(tenant: Tenant) -> None:
    tenant.write(kinds={"the-app": "servicePrincipal"})

    setup.main(["grant", "the-app"])
    setup.main(["grant", "the-app"])

    assert [each["appRoleId"] for each in tenant.read()["assignments"]] == [
        "id of User.Read.All",
        "id of GroupMember.Read.All",
    ]


@pytest.mark.parametrize("kind", ["user", "group", "servicePrincipal"])
def test_a_role_is_assigned_once(tenant: Tenant, kind: str) -> None:
    tenant.write(kinds={"ada": kind})
    setup.main(["register"])

    setup.main(["assign", "ada"])
    setup.main(["assign", "ada"])
    setup.main(["assign", "ada", "--role", "entra:read"])

    ids = {role["value"]: role["id"] for role in setup.WANTED["appRoles"]}
    assert [each["appRoleId"] for each in tenant.read()["assignments"]] == [
        ids["manage-entra-integration"],
        ids["entra:read"],
    ]


def test_a_role_that_there_is_not_is_refused_with_those_that_there_are(tenant: Tenant) -> None:
    tenant.write(kinds={"ada": "user"})
    setup.main(["register"])

    with pytest.raises(SystemExit, match=r"the role pki:all.*pki:issue"):
        setup.main(["assign", "ada", "--role", "pki:all"])


def test_what_entra_does_not_know_yet_is_tried_again(tenant: Tenant) -> None:
    tenant.write(busy=3)

    setup.main(["register"])

    assert len(tenant.read()["applications"]) == 1


def test_it_gives_up_in_the_words_of_az(tenant: Tenant) -> None:
    tenant.write(busy=100)

    with pytest.raises(SystemExit, match="Request_ResourceNotFound"):
        setup.main(["register"])


def test_without_az_it_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(SystemExit, match="Azure CLI is needed"):
        setup.main(["grant", "the-app"])
