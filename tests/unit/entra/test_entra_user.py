"""How Graph's description of a user becomes ours, and what is too broken to."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.directory.records.user import User
from shared.entra.entra_user import SELECT, EntraUser, EntraUserMalformed
from shared.entra.user_changes import alive_fields

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OBJECT_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def graph_user(**properties: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(SELECT.split(","))
    required = {"id": OBJECT_ID, "userPrincipalName": "ada@contoso.example", "accountEnabled": True}
    return empty | required | properties


def known(**fields: Any) -> User:
    values: dict[str, Any] = {"id": 7, "name": "Ada", "is_active": True, "created_at": NOW, "updated_at": NOW}
    return User(**(values | fields))


def test_the_name_is_the_display_name_else_both_names_else_the_upn() -> None:
    assert EntraUser.from_graph(graph_user(displayName="Ada L.", givenName="Ada")).name == "Ada L."
    assert EntraUser.from_graph(graph_user(givenName="Ada", surname="Lovelace")).name == "Ada Lovelace"
    assert EntraUser.from_graph(graph_user(surname="Lovelace")).name == "Lovelace"
    assert EntraUser.from_graph(graph_user()).name == "ada@contoso.example"


def test_the_email_is_the_mail_else_the_primary_proxy_address_else_a_deliverable_upn() -> None:
    proxies = ["smtp:second@contoso.example", "X500:/o=x", "SMTP:first@contoso.example"]
    assert EntraUser.from_graph(graph_user(mail="a@b.example", proxyAddresses=proxies)).email == "a@b.example"
    assert EntraUser.from_graph(graph_user(proxyAddresses=proxies)).email == "first@contoso.example"
    assert EntraUser.from_graph(graph_user()).email == "ada@contoso.example"


def test_a_guest_upn_is_not_an_email() -> None:
    guest = graph_user(userPrincipalName="ada_x.com#EXT#@contoso.onmicrosoft.com", userType="Guest")
    assert EntraUser.from_graph(guest).email is None


def test_a_mail_that_is_no_address_is_passed_over() -> None:
    assert EntraUser.from_graph(graph_user(mail="not an address")).email == "ada@contoso.example"


def test_ids_are_brought_to_lower_case() -> None:
    assert EntraUser.from_graph(graph_user(id=OBJECT_ID.upper())).object_id == OBJECT_ID


def test_times_may_have_seven_decimals() -> None:
    user = EntraUser.from_graph(graph_user(createdDateTime="2020-02-03T04:05:06.1234567Z"))
    assert user.entra_created_at == datetime(2020, 2, 3, 4, 5, 6, 123456, tzinfo=UTC)


def test_control_characters_and_lone_surrogates_in_names_are_replaced() -> None:
    user = EntraUser.from_graph(graph_user(displayName="Ada\r\nLove\x00lace\ud800"))
    assert user.name == "Ada  Love lace\ufffd"


@pytest.mark.parametrize(
    "properties",
    [
        {"id": None},
        {"id": "7"},
        {"id": "{0f8fad5b-d9cb-469f-a165-70867728950}"},
        {"userPrincipalName": None},
        {"userPrincipalName": "ada"},
        {"userPrincipalName": "a@b@c"},
        {"userPrincipalName": "a\u0007da@x.y"},
        {"accountEnabled": None},
        {"accountEnabled": "true"},
        {"displayName": 5},
        {"displayName": "x" * 1025},
        {"proxyAddresses": "SMTP:a@b.c"},
        {"proxyAddresses": ["smtp:" + "x" * 900] * 200},
        {"createdDateTime": "yesterday"},
        {"createdDateTime": 5},
    ],
)
def test_a_broken_description_is_refused(properties: dict[str, Any]) -> None:
    with pytest.raises(EntraUserMalformed):
        EntraUser.from_graph(graph_user(**properties))


ANYTHING = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.text(max_size=5), max_size=3)


@given(st.dictionaries(st.sampled_from(SELECT.split(",")), ANYTHING, max_size=6))
def test_whatever_graph_sends_is_parsed_or_refused(properties: dict[str, Any]) -> None:
    try:
        user = EntraUser.from_graph(graph_user(**properties))
    except EntraUserMalformed:
        return
    assert "@" in user.user_principal_name
    known(**alive_fields(user, (), True)).to_row()


def test_only_a_user_enabled_and_in_the_scope_is_active() -> None:
    enabled, disabled = (EntraUser.from_graph(graph_user(accountEnabled=flag)) for flag in (True, False))
    assert alive_fields(enabled, (), True)["is_active"]
    assert not alive_fields(enabled, (), False)["is_active"]
    assert not alive_fields(disabled, (), True)["is_active"]


def test_a_property_that_is_missing_although_we_know_a_value_is_noticed() -> None:
    data = graph_user(surname=None)
    del data["jobTitle"], data["mail"]

    lost = EntraUser.from_graph(data).lost_fields(known(name="ada@contoso.example", job_title="Analyst", surname="L"))

    assert lost == {"job_title"}
