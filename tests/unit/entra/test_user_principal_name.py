"""What counts as a user principal name, which are the same, and how they are written into URLs."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.entra.user_principal_name import (
    UserPrincipalNameInvalid,
    filter_in,
    fold,
    key_segment,
    require_user_principal_name,
)


@pytest.mark.parametrize(
    "name",
    ["ada@contoso.example", "ada_contoso.com#EXT#@contoso.onmicrosoft.com", "$ada@x.y", "o'brien@x.y", "a/b%c@x.y"],
)
def test_the_forms_that_entra_uses_are_accepted(name: str) -> None:
    assert require_user_principal_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ada",
        "@x.y",
        "ada@",
        "ada@x@y",
        "a\nda@x.y",
        "ada@x.y\x00",
        "ada@x.y\x7f",
        " ada@x.y",
        "ada@x.y ",
        "\ud800@x.y",
        "a" * 320 + "@x.y",
    ],
)
def test_what_cannot_be_a_name_is_refused_before_anything_is_asked(name: str) -> None:
    with pytest.raises(UserPrincipalNameInvalid):
        require_user_principal_name(name)


def test_only_ascii_letters_are_folded() -> None:
    assert fold("Ada@Contoso.Example") == "ada@contoso.example"
    assert fold("\u212aelvin@x.y") != fold("kelvin@x.y")
    assert fold("straße@x.y") != fold("strasse@x.y")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_no_character_of_a_name_can_change_what_the_url_asks_for(name: str) -> None:
    url = f"https://graph.example/v1.0/{key_segment(name)}?$select=id"

    parts = urlsplit(url)

    assert parts.path.count("/") == 2
    assert parts.query == "$select=id"
    assert not parts.fragment
    literal = unquote(parts.path).removeprefix("/v1.0/users('").removesuffix("')")
    assert literal.replace("''", "'") == name


def test_apostrophes_are_doubled_in_filters() -> None:
    assert filter_in(["o'brien@x.y", "ada@x.y"]) == "userPrincipalName in ('o''brien@x.y','ada@x.y')"
