"""Field errors: Laravel's words, all fields at once, strict types."""

from typing import Any

import pytest
from pydantic import BaseModel

from shared.api.errors import MalformedIdempotencyKey
from shared.api.idempotency import idempotency_key
from shared.api.requests.issuance import ProvisionCertificate
from shared.api.requests.tokens import ValidateToken
from shared.api.requests.users import BulkSyncUsers, ListUsers, SyncUser
from shared.api.validation import ValidationFailed, validated


def errors(model: type[BaseModel], members: dict[str, Any]) -> dict[str, list[str]]:
    with pytest.raises(ValidationFailed) as caught:
        validated(model, members)
    assert caught.value.errors is not None
    return {field: list(messages) for field, messages in caught.value.errors.items()}


def test_the_message_is_the_first_error_and_counts_the_others() -> None:
    with pytest.raises(ValidationFailed) as caught:
        validated(ProvisionCertificate, {"validity_days": 0, "key_size": 1024})

    assert caught.value.message == "The user id field is required. (and 2 more errors)"
    assert caught.value.errors == {
        "user_id": ["The user id field is required."],
        "validity_days": ["The validity days field must be at least 1."],
        "key_size": ["The selected key size is invalid."],
    }


def test_one_more_error_is_singular() -> None:
    with pytest.raises(ValidationFailed, match=r"^The user id field is required\. \(and 1 more error\)$"):
        validated(ProvisionCertificate, {"validity_days": 3651})


@pytest.mark.parametrize("value", ["5", 5.0, True, [5], {}])
def test_an_integer_is_an_integer(value: Any) -> None:
    assert errors(ProvisionCertificate, {"user_id": value}) == {"user_id": ["The user id field must be an integer."]}


@pytest.mark.parametrize("value", [None, ""])
def test_null_and_empty_mean_missing(value: Any) -> None:
    assert errors(SyncUser, {"user_principal_name": value}) == {
        "user_principal_name": ["The user principal name field is required."]
    }


def test_an_unknown_member_is_refused() -> None:
    assert errors(SyncUser, {"user_principal_name": "a@b.example", "admin": True}) == {
        "admin": ["The admin field is prohibited."]
    }


@pytest.mark.parametrize(
    "upn",
    [
        "ada",
        "@b.example",
        "a@",
        "a@@b.example",
        "a@b@c.example",
        "a b@c.example",
        "a\u0000@b.example",
        "a@b..example",
        "a@.example",
        "x" * 310 + "@contoso.example",
    ],
)
def test_what_cannot_be_a_user_principal_name_is_refused(upn: str) -> None:
    assert errors(SyncUser, {"user_principal_name": upn}) == {
        "user_principal_name": ["The user principal name field must be a valid email address."]
    }


@pytest.mark.parametrize(
    "upn", ["o'brien@contoso.example", "$x@contoso.example", "bob_fabrikam.example#EXT#@contoso.example", "ž@č.example"]
)
def test_odd_but_real_user_principal_names_are_taken(upn: str) -> None:
    assert validated(SyncUser, {"user_principal_name": f" {upn} "}).user_principal_name == upn


def test_an_error_in_a_list_names_its_position() -> None:
    found = errors(BulkSyncUsers, {"user_principal_names": ["a@b.example", "nope", 3]})

    assert found == {
        "user_principal_names.1": ["The user_principal_names.1 field must be a valid email address."],
        "user_principal_names.2": ["The user_principal_names.2 field must be a string."],
    }


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "The user principal names field must have at least 1 items."),
        (["a@b.example"] * 51, "The user principal names field must not have more than 50 items."),
        ("a@b.example", "The user principal names field must be an array."),
    ],
)
def test_a_bulk_sync_takes_one_to_fifty_names(names: Any, sentence: str) -> None:
    assert errors(BulkSyncUsers, {"user_principal_names": names}) == {"user_principal_names": [sentence]}


def test_a_csr_excludes_a_key_size_and_a_pkcs12() -> None:
    found = errors(ProvisionCertificate, {"user_id": 1, "csr": "-----BEGIN", "key_size": 2048, "format": "pkcs12"})

    assert set(found) == {"csr"}
    assert set(errors(ProvisionCertificate, {"user_id": 1, "csr": "x", "format": "pkcs12"})) == {"format"}


def test_a_password_shorter_than_sixteen_characters_is_refused() -> None:
    found = errors(ProvisionCertificate, {"user_id": 1, "format": "pkcs12", "pkcs12_password": "short"})

    assert found == {"pkcs12_password": ["The pkcs12 password field must be at least 16 characters."]}


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (
            {"csr": "x", "pkcs12_password": "x" * 16},
            "The pkcs12 password field cannot be combined with a CSR: the private key is not here.",
        ),
        (
            {"pkcs12_encryption": "legacy"},
            "The pkcs12 encryption field cannot be legacy with the format pem: it is for pkcs12.",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused(members: dict[str, Any], sentence: str) -> None:
    (field,) = members.keys() - {"csr"}
    assert errors(ProvisionCertificate, {"user_id": 1, **members}) == {field: [sentence]}


def test_a_password_encrypts_a_pem_key_made_here_too() -> None:
    assert validated(ProvisionCertificate, {"user_id": 1, "pkcs12_password": "x" * 16}).pkcs12_password
    assert validated(ProvisionCertificate, {"user_id": 1, "format": "pkcs12", "pkcs12_encryption": "legacy"})


@pytest.mark.parametrize("key", ["a", "7d0b5c1e-4a61", '"quoted"', "~" * 255, None])
def test_an_idempotency_key_is_taken_as_it_came(key: str | None) -> None:
    assert idempotency_key(key) == key


@pytest.mark.parametrize("key", ["", " ", "a b", "a,b", "a\n", "é", "\x00", "x" * 256])
def test_what_is_no_idempotency_key_is_refused(key: str) -> None:
    with pytest.raises(MalformedIdempotencyKey):
        idempotency_key(key)


def test_spaces_around_a_query_value_do_not_count() -> None:
    query = validated(ListUsers, {"search": "  ", "per_page": " 5 ", "recently_synced": " "})

    assert (query.search, query.per_page, query.recently_synced) == (None, 5, 24)
    assert validated(ListUsers, {"search": " ada l "}).search == "ada l"


def test_only_access_or_id_can_be_expected_of_a_token() -> None:
    assert errors(ValidateToken, {"token": "x", "expected_type": "refresh"}) == {
        "expected_type": ["The selected expected type is invalid."]
    }


def test_a_query_present_but_empty_is_a_day_for_recently_synced_and_nothing_for_the_others() -> None:
    query = validated(ListUsers, {"recently_synced": "", "active": "", "search": "", "unknown": "x"})

    assert (query.recently_synced, query.active, query.search) == (24, None, None)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_a_boolean_in_the_query_is_a_word_or_a_digit(text: str, value: bool) -> None:
    assert validated(ListUsers, {"active": text}).active is value


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"active": "yes"}, "The active field must be true or false."),
        ({"per_page": "0"}, "The per page field must be at least 1."),
        ({"per_page": "101"}, "The per page field must not be greater than 100."),
        ({"page": "1.5"}, "The page field must be an integer."),
        ({"page": "-1"}, "The page field must be an integer."),
        ({"page": "٣"}, "The page field must be an integer."),
        ({"search": "x" * 256}, "The search field must not be greater than 255 characters."),
        ({"search": "\x00"}, "The search field must not have control characters."),
        ({"search": "ada\t"}, "The search field must not have control characters."),
        ({"search": "\u0301"}, "The search field has nothing that can be searched for."),
        ({"search": "\u3000"}, "The search field has nothing that can be searched for."),
        ({"sort": "email"}, "The selected sort is invalid."),
    ],
)
def test_a_wrong_query_is_a_sentence(query: dict[str, str], sentence: str) -> None:
    (field,) = query
    assert errors(ListUsers, query) == {field: [sentence]}
