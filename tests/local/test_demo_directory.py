"""The demo's directory holds what makes directories hard, and is the same in each run."""

import unicodedata

import pytest

from local.demo_directory import DOMAIN, DemoDirectory, fill
from local.entra.control import EntraEmulator, Snapshot, SnapshotUser


@pytest.fixture(scope="module")
def filled(entra: EntraEmulator) -> tuple[DemoDirectory, Snapshot]:
    tenant = entra.new_tenant()
    return fill(tenant), tenant.snapshot()


@pytest.fixture(scope="module")
def made(filled: tuple[DemoDirectory, Snapshot]) -> DemoDirectory:
    return filled[0]


@pytest.fixture(scope="module")
def people(filled: tuple[DemoDirectory, Snapshot]) -> list[SnapshotUser]:
    return list(filled[1].users.values())


def test_some_two_hundred_people_live_at_contoso(people: list[SnapshotUser]) -> None:
    assert 190 <= len(people) <= 230
    assert all(person.user_principal_name.endswith(f"@{DOMAIN}") for person in people)
    assert all(person.user_principal_name.isascii() for person in people)
    assert max(len(person.user_principal_name) for person in people) <= 113


@pytest.mark.parametrize(
    "script",
    [
        "LATIN",
        "CYRILLIC",
        "GREEK",
        "ARABIC",
        "HEBREW",
        "DEVANAGARI",
        "THAI",
        "CJK",
        "HIRAGANA",
        "HANGUL",
        "ARMENIAN",
        "GEORGIAN",
        "TAMIL",
        "ETHIOPIC",
    ],
)
def test_their_names_are_of_many_scripts(people: list[SnapshotUser], script: str) -> None:
    assert any(unicodedata.name(char, "").startswith(script) for p in people for char in p.properties["displayName"])


def test_every_awkward_kind_of_account_is_there(people: list[SnapshotUser]) -> None:
    properties = [person.properties for person in people]

    assert sum(len(each["displayName"]) > 64 for each in properties) >= 4
    assert any("givenName" in each and "surname" not in each for each in properties)
    assert any("mail" not in each for each in properties)
    assert any("mail" not in each and each["proxyAddresses"] for each in properties)
    assert sum("#EXT#" in each["userPrincipalName"] and each["userType"] == "Guest" for each in properties) >= 5
    assert sum("onPremisesSecurityIdentifier" in each for each in properties) >= 40
    assert any("'" in each["userPrincipalName"] for each in properties)
    assert {person.state for person in people} == {"active", "disabled", "deleted"}


def test_security_identifiers_are_nobody_elses(people: list[SnapshotUser]) -> None:
    found = [sid for person in people if (sid := person.properties.get("onPremisesSecurityIdentifier"))]

    assert len(found) == len(set(found))


def test_groups_are_nested_and_administrators_are_protected_through_nesting(
    made: DemoDirectory, people: list[SnapshotUser]
) -> None:
    groups_of = {person.user_principal_name: person.groups for person in people}

    assert made.groups["All staff"].id in groups_of[f"alice.hartley@{DOMAIN}"]
    assert made.protected_group.id in groups_of[f"lee.haneul@{DOMAIN}"]
    assert made.protected_group.id in groups_of[f"nino.beridze@{DOMAIN}"]
    assert made.protected_group.id not in groups_of[f"alice.hartley@{DOMAIN}"]


def test_it_is_the_same_in_each_run(entra: EntraEmulator, filled: tuple[DemoDirectory, Snapshot]) -> None:
    tenant = entra.new_tenant()
    fill(tenant)

    again = tenant.snapshot()
    assert {user.id: user.groups for user in again.users.values()} == {
        user.id: user.groups for user in filled[1].users.values()
    }
