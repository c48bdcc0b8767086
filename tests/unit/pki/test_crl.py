"""CRLs as bytes: our streaming writer against cryptography's builder, and other people's checkers."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.directory.records.certificate import RevocationReason
from shared.pki import der
from shared.pki.crl.entries import EntryWriter
from shared.pki.crl.revocation_list import LIFE, PUBLISHED_EVERY, CrlDraft, to_pem
from shared.pki.errors import SignatureRefused
from shared.pki.keys import KeyType, signature_hash
from tests.support.issuers import LooseIssuer, key_of
from tests.support.revocation_checkers import crl_findings, gnutls_crl_refusal, has_gnutls, openssl_crl_refusal

NEXT_CRL_PUBLISH = ObjectIdentifier("1.3.6.1.4.1.311.21.4")
THIS_UPDATE = datetime.now(UTC).replace(microsecond=0)
"""Now: GnuTLS checks a CRL's times and cannot be told another one."""
Entry = tuple[int, datetime, RevocationReason]

entries = st.lists(
    st.tuples(
        st.integers(1, 2**159 - 1) | st.sampled_from([1, 127, 128, 255, 256, 2**64, 2**159 - 1]),
        st.integers(946684800, 4102444800).map(lambda second: datetime.fromtimestamp(second, UTC)),
        st.sampled_from(list(RevocationReason)),
    ),
    max_size=30,
)


def draft_of(listed: list[Entry], issuer: LooseIssuer, *, number: int = 1, **changes: datetime) -> CrlDraft:
    writer = EntryWriter()
    for serial_number, revoked_at, reason in listed:
        writer.add(bytes.fromhex(f"{serial_number:040x}"), revoked_at, reason)
    assert writer.entries == len(listed)
    return CrlDraft(
        issuer=issuer.material,
        number=number,
        this_update=THIS_UPDATE,
        next_update=THIS_UPDATE + LIFE,
        next_publish=THIS_UPDATE + PUBLISHED_EVERY,
        revoked_certificates=writer.revoked_certificates(),
        **changes,
    )


def by_cryptography(listed: list[Entry], issuer: LooseIssuer, *, number: int = 1) -> bytes:
    """The same CRL by cryptography's builder."""
    publish = der.time(THIS_UPDATE + PUBLISHED_EVERY)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.material.name)
        .last_update(THIS_UPDATE)
        .next_update(THIS_UPDATE + LIFE)
        .add_extension(x509.AuthorityKeyIdentifier(issuer.material.key_identifier.digest, None, None), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.UnrecognizedExtension(NEXT_CRL_PUBLISH, publish), critical=False)
    )
    for serial_number, revoked_at, reason in listed:
        entry = x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(revoked_at)
        if reason is not RevocationReason.UNSPECIFIED:
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(reason.value)), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, signature_hash(issuer.key)).tbs_certlist_bytes


@given(listed=entries, number=st.integers(1, 2**150))
@settings(deadline=None, max_examples=60)
def test_every_byte_that_is_signed_is_as_cryptography_would_have_it(listed: list[Entry], number: int) -> None:
    issuer = LooseIssuer.make(KeyType.P_256, now=THIS_UPDATE)

    assert draft_of(listed, issuer, number=number).tbs() == by_cryptography(listed, issuer, number=number)


@pytest.mark.parametrize("key_type", list(KeyType))
def test_each_kind_of_issuer_s_key_signs_with_its_own_algorithm(key_type: KeyType) -> None:
    issuer = LooseIssuer.make(key_type, now=THIS_UPDATE)

    crl = x509.load_der_x509_crl(draft_of([], issuer).sign(issuer.key))

    assert crl.is_signature_valid(issuer.material.public_key)
    assert crl.signature_hash_algorithm is not None
    assert crl.signature_hash_algorithm.name == signature_hash(issuer.key).name


def test_no_entry_means_no_list(issuer: LooseIssuer) -> None:
    """RFC 5280 5.1.2.6: without revoked certificates the list MUST be absent."""
    tbs = list(der.elements(draft_of([], issuer).tbs()))

    assert len(tbs) == 6
    assert tbs[5][0] == 0xA0


def test_times_from_2050_on_are_generalized_times(issuer: LooseIssuer) -> None:
    late = datetime(2050, 1, 1, tzinfo=UTC)
    listed = [(1, late - timedelta(seconds=1), RevocationReason.UNSPECIFIED), (2, late, RevocationReason.UNSPECIFIED)]

    tbs = draft_of(listed, issuer).tbs()

    assert b"\x17\x0d491231235959Z" in tbs
    assert b"\x18\x0f20500101000000Z" in tbs


def test_expired_certs_on_crl_is_a_generalized_time(issuer: LooseIssuer) -> None:
    crl = x509.load_der_x509_crl(draft_of([], issuer, expired_since=THIS_UPDATE).sign(issuer.key))

    extension = crl.extensions.get_extension_for_oid(ObjectIdentifier("2.5.29.60"))
    assert not extension.critical
    assert extension.value.public_bytes() == der.generalized_time(THIS_UPDATE)


def test_a_signature_by_another_key_is_never_published(issuer: LooseIssuer) -> None:
    with pytest.raises(SignatureRefused):
        draft_of([], issuer).sign(key_of(KeyType.P_256, "another"))


@pytest.mark.parametrize("count", [0, 1, 100])
@pytest.mark.parametrize("key_type", [KeyType.RSA_3072, KeyType.P_256, KeyType.P_384])
def test_pkilint_openssl_and_gnutls_find_nothing_wrong(tmp_path: Path, key_type: KeyType, count: int) -> None:
    issuer, chance = LooseIssuer.make(key_type, now=THIS_UPDATE), random.Random(count)
    listed = [
        (chance.getrandbits(158) + 1, THIS_UPDATE - timedelta(seconds=n), chance.choice(list(RevocationReason)))
        for n in range(count)
    ]
    crl = draft_of(listed, issuer, expired_since=THIS_UPDATE - timedelta(days=365)).sign(issuer.key)

    assert crl_findings(crl) == []
    assert openssl_crl_refusal(issuer.material.pem, crl, tmp_path) == ""
    if has_gnutls():
        assert gnutls_crl_refusal(issuer.material.pem, crl, tmp_path) == ""


def test_pem_is_the_same_crl(issuer: LooseIssuer) -> None:
    crl = draft_of([(5, THIS_UPDATE, RevocationReason.SUPERSEDED)], issuer).sign(issuer.key)

    parsed = x509.load_pem_x509_crl(to_pem(crl))

    assert parsed.public_bytes(serialization.Encoding.DER) == crl


@pytest.fixture
def issuer() -> LooseIssuer:
    return LooseIssuer.make(KeyType.P_256, now=THIS_UPDATE)
