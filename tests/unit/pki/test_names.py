"""Names of people and addresses, as they go into certificates."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.der import decoder

from shared.pki import der
from shared.pki.names import (
    MAX_NAME_BYTES,
    SMTP_UTF8_MAILBOX,
    UnusableAddress,
    clean,
    cut,
    mailbox_name,
    principal_name,
    rfc4514,
    split_address,
    subject,
)


@given(st.text(max_size=200))
def test_a_cut_name_fits_and_is_the_beginning_of_the_name(text: str) -> None:
    name = clean(text)

    short = cut(name)

    assert len(short.encode()) <= MAX_NAME_BYTES
    assert name.startswith(short)
    assert short == name or len(name.encode()) > MAX_NAME_BYTES


@given(st.text(max_size=200))
def test_a_clean_name_is_one_line_of_printable_characters_and_stays_so(text: str) -> None:
    name = clean(text)

    assert clean(name) == name
    assert not any(character in name for character in "\0\r\n\t\x7f\u202e\u2066\ud800")
    assert name == name.strip()
    name.encode()


def test_a_character_is_never_parted_from_its_combining_marks() -> None:
    name = "x" * 61 + "q\u0323\u0307"  # 62 octets, and two marks of two octets each

    assert cut(name) == "x" * 61


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("Ada.Lovelace@Contoso.COM", "Ada.Lovelace@contoso.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("o'brien+tag@contoso.com", "o'brien+tag@contoso.com"),
    ],
)
def test_the_domain_of_an_address_becomes_ascii(address: str, expected: str) -> None:
    assert mailbox_name(address) == x509.RFC822Name(expected)


def test_only_a_local_part_beyond_ascii_needs_the_other_form() -> None:
    name = mailbox_name("jo\u0308rg@bücher.example")

    assert name == x509.OtherName(SMTP_UTF8_MAILBOX, der.utf8_string("jörg@xn--bcher-kva.example"))


@pytest.mark.parametrize(
    "address",
    [
        "", "ada", "@contoso.com", "ada@", "ada@-", "a da@contoso.com", "ada\n@contoso.com",
        "x" * 65 + "@contoso.com", "ada@" + "a" * 64 + ".com", "ada@con toso.com", "ada@\ud800.com", "ada@..com",
    ],
)  # fmt: skip
def test_an_address_that_a_certificate_cannot_hold_is_told(address: str) -> None:
    with pytest.raises(UnusableAddress):
        split_address(address)


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_told_not_to_be(address: str) -> None:
    try:
        name = mailbox_name(address)
    except UnusableAddress:
        return
    if isinstance(name, x509.RFC822Name):
        assert name.value.isascii()


def test_a_principal_name_is_a_utf8_string() -> None:
    assert principal_name("zoë@contoso.com").value == b"\x0c\x10zo\xc3\xab@contoso.com"


def test_a_subject_holds_only_what_there_is() -> None:
    oid = x509.NameOID
    name = subject((oid.GIVEN_NAME, "Ada"), (oid.SURNAME, None), (oid.COMMON_NAME, ""), (oid.SERIAL_NUMBER, "7"))

    assert rfc4514(name) == "serialNumber=7,givenName=Ada"


@given(st.binary(max_size=70_000))
def test_an_element_is_as_long_as_it_says(content: bytes) -> None:
    encoded = der.octet_string(content)

    assert der.element_length(encoded + b"more") == len(encoded)
    assert list(der.elements(der.sequence(encoded, encoded))) == [encoded, encoded]


@given(st.tuples(st.integers(0, 2), st.integers(0, 39)), st.lists(st.integers(0, 2**64), min_size=1, max_size=10))
def test_an_object_identifier_is_read_back(arcs: tuple[int, int], others: list[int]) -> None:
    dotted = ".".join(map(str, (*arcs, *others)))

    extension = der.sequence(der.object_identifier(dotted), der.octet_string(b""))

    found, rest = decoder.decode(extension)
    assert (str(found[0]), rest) == (dotted, b"")


@given(st.binary(max_size=40))
def test_no_bytes_make_the_reader_read_beyond_them(encoded: bytes) -> None:
    try:
        assert der.element_length(encoded) <= len(encoded)
        assert sum(map(len, der.elements(encoded))) <= len(encoded)
    except ValueError:
        pass
