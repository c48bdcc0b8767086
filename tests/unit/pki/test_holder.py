"""What a certificate may vouch for: SIDs of ordinary accounts, primary addresses, names that are still the user's."""

from dataclasses import replace
from typing import Any

import pytest

from shared.pki.issuance.holder import addresses, primary_address, security_identifier, still_names
from tests.support.people import certificate
from tests.support.pki import a_user

SID = "S-1-5-21-3623811015-3361044348-30300820-1013"


@pytest.mark.parametrize("sid", [SID, "S-1-5-21-0-0-0-1000", "S-1-5-21-4294967295-1-2-4294967295"])
def test_the_sid_of_an_ordinary_account_is_certified(sid: str) -> None:
    assert security_identifier(a_user(1, on_premises_security_identifier=sid)) == (sid, None)


@pytest.mark.parametrize(
    "sid",
    [
        "S-1-5-21-1-2-3-500", "S-1-5-21-1-2-3-512", "S-1-5-21-1-2-3-999", "S-1-5-18", "S-1-5-32-544",
        "S-1-12-1-1-2-3-1104", "s-1-5-21-1-2-3-1104", "S-1-5-21-1-2-3-1104 ", "S-1-5-21-1-2-3-1104\n",
        "S-1-5-21-1-2-3-01104", "S-1-5-21-1-2-1104", "S-1-5-21-1-2-3-4-1104", "S-1-5-21-4294967296-2-3-1104",
        "S-1-5-21-1-2-3-4294967296", "S-1-5-21-١-2-3-1104", "S-1-5-21--1-2-3-1104",
    ],
)  # fmt: skip
def test_any_other_sid_is_left_out_with_a_warning(sid: str) -> None:
    certified, warning = security_identifier(a_user(1, on_premises_security_identifier=sid))

    assert certified is None
    assert warning is not None
    assert warning.endswith("left out.")


@pytest.mark.parametrize("sid", [None, ""])
def test_no_sid_is_nothing_to_warn_about(sid: str | None) -> None:
    assert security_identifier(a_user(1, on_premises_security_identifier=sid)) == (None, None)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"mail": "ada@contoso.com"}, "ada@contoso.com"),
        ({"mail": None}, None),
        ({"mail": ""}, None),
        ({"mail": "free text", "proxy_addresses": ("SMTP:ada@contoso.com",)}, "ada@contoso.com"),
        ({"mail": "ada@contoso.com", "proxy_addresses": ("smtp:alias@contoso.com",)}, None),
        ({"mail": "ada@contoso.com", "proxy_addresses": ("SIP:ada@contoso.com", "X500:/o=a")}, "ada@contoso.com"),
    ],
)
def test_the_primary_address_is_exchanges_where_there_is_one(attributes: dict[str, Any], expected: str | None) -> None:
    assert primary_address(a_user(1, **attributes)) == expected


def test_all_addresses_are_compared_in_one_case() -> None:
    user = a_user(1, mail="Ada@Contoso.com", proxy_addresses=("SMTP:ADA.L@contoso.com", "SIP:x@contoso.com"))

    assert addresses(user) == {"ada@contoso.com", "ada.l@contoso.com"}


ADA = a_user(
    1,
    user_principal_name="Ada@contoso.com",
    mail="ada@bücher.de",
    proxy_addresses=("SMTP:ada@bücher.de", "smtp:old@contoso.com"),
    on_premises_security_identifier=SID,
)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"user_principal_name": "ada@CONTOSO.com"},
        {"email": "ada@xn--bcher-kva.de"},
        {"email": "Old@contoso.com"},
        {"security_identifier": SID},
    ],
)
def test_what_is_still_the_users_stays_vouched_for(fields: dict[str, Any]) -> None:
    assert still_names(certificate(1, 1, **{"user_principal_name": None, **fields}), ADA)


@pytest.mark.parametrize(
    "fields",
    [
        {"user_principal_name": "countess@contoso.com"},
        {"email": "eve@contoso.com"},
        {"security_identifier": SID[:-1] + "4"},
    ],
)
def test_what_is_no_longer_the_users_is_noticed(fields: dict[str, Any]) -> None:
    assert not still_names(certificate(1, 1, **{"user_principal_name": None, **fields}), ADA)


def test_a_user_stripped_of_everything_is_no_longer_named() -> None:
    bare = replace(ADA, user_principal_name=None, mail=None, proxy_addresses=(), on_premises_security_identifier=None)

    for fields in (
        {"user_principal_name": "ada@contoso.com"},
        {"email": "ada@contoso.com"},
        {"security_identifier": SID},
    ):
        assert not still_names(certificate(1, 1, **fields), bare)
