"""Each of the CA's own rules catches the mistake that it is there for, and every rule is tried."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from shared.directory.records.certificate import CertificateType
from shared.pki import der
from shared.pki.errors import LintFailed
from shared.pki.issuance.lint import RULES, lint
from shared.pki.issuance.policy import IssuancePolicy
from shared.pki.issuance.profiles import SECURITY_IDENTIFIER_EXTENSION, security_identifier_extension
from shared.pki.issuance.user_certificate import UserCertificate
from shared.pki.keys import KeyType
from shared.pki.tbs import Draft
from tests.support.issuers import LooseIssuer, key_of
from tests.support.pki import POLICY, a_user

ISSUER = LooseIssuer.make(KeyType.P_256)
EC, RSA = key_of(KeyType.P_256, "leaf").public_key(), key_of(KeyType.RSA_2048, "leaf").public_key()


def intended(
    certificate_type: CertificateType = CertificateType.CLIENT_AUTH, key: Any = EC, issuer: LooseIssuer = ISSUER
) -> UserCertificate:
    return issuer.intend(a_user(7, name="Ada Lovelace"), certificate_type, key, POLICY)


@dataclass
class Parts:
    """A good certificate taken apart, to be put together wrongly."""

    subject: x509.Name
    issuer: x509.Name
    key: Any
    serial_number: int
    not_before: Any
    not_after: Any
    extensions: dict[x509.ObjectIdentifier, tuple[x509.ExtensionType, bool]]

    @classmethod
    def of(cls, one: UserCertificate) -> "Parts":
        good = one.draft(POLICY).certificate
        extensions = {extension.oid: (extension.value, extension.critical) for extension in good.extensions}
        return cls(
            good.subject,
            good.issuer,
            good.public_key(),
            good.serial_number,
            good.not_valid_before_utc,
            good.not_valid_after_utc,
            extensions,
        )

    def draft(self) -> Draft:
        builder = x509.CertificateBuilder(
            self.issuer, self.subject, self.key, self.serial_number, self.not_before, self.not_after
        )
        for extension, critical in self.extensions.values():
            builder = builder.add_extension(extension, critical)
        certificate = builder.sign(ISSUER.key, hashes.SHA256())
        return Draft(certificate.tbs_certificate_bytes, ISSUER.material.public_key)

    def put(self, extension: x509.ExtensionType, critical: bool = False) -> None:
        self.extensions[extension.oid] = (extension, critical)


def key_usage(**set_bits: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: set_bits.get(name, False) for name in names})


def named(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    with warnings.catch_warnings(action="ignore"):
        return x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in attributes])


def reencoded(name: x509.Name) -> x509.Name:
    """The same name to a reader, in other string types."""
    kind = x509.name._ASN1Type.PrintableString
    return x509.Name([x509.NameAttribute(one.oid, one.value, kind) for one in name])


def _set(**fields: Any) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        for name, value in fields.items():
            setattr(parts, name, value)

    return change


def _put(extension: x509.ExtensionType, critical: bool = False) -> Callable[[Parts], None]:
    return lambda parts: parts.put(extension, critical)


def _drop(oid: x509.ObjectIdentifier) -> Callable[[Parts], None]:
    return lambda parts: parts.extensions.pop(oid) and None


def _make_critical(oid: x509.ObjectIdentifier) -> Callable[[Parts], None]:
    return lambda parts: parts.put(parts.extensions[oid][0], True)


GOOD = intended()
OTHER_ISSUER = LooseIssuer.make(KeyType.P_384, "Another CA")
ANY_USAGE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
EVE = x509.SubjectAlternativeName([x509.RFC822Name("eve@contoso.com")])
POINT = x509.DistributionPoint([x509.UniformResourceIdentifier("https://pki.contoso.com/crl")], None, None, None)
MISTAKES: list[tuple[str, Callable[[Parts], None], str]] = [
    ("serial of 160 bits", _set(serial_number=(1 << 159) - 1), "not the reserved one"),
    ("another serial", _set(serial_number=12345), "not the reserved one"),
    ("a day longer", _set(not_after=GOOD.validity.not_after + timedelta(days=1)), "not the ordered one in whole"),
    ("longer than its issuer", _set(not_after=ISSUER.material.not_after + timedelta(seconds=1)), "outlives its issuer"),
    ("before its issuer", _set(not_before=ISSUER.material.not_before - timedelta(seconds=1)), "outlives its issuer"),
    ("issuer's name re-encoded", _set(issuer=reencoded(ISSUER.material.name)), "not byte by byte"),
    ("another key", _set(key=RSA), "not the ordered one"),
    ("the issuer's AKI computed anew", _put(x509.AuthorityKeyIdentifier(b"\1" * 20, None, None)), "authority key"),
    (
        "AKI with the issuer's serial too",
        _put(
            x509.AuthorityKeyIdentifier(
                ISSUER.material.key_identifier.digest, [x509.DirectoryName(ISSUER.material.name)], 5
            )
        ),
        "authority key identifier",
    ),
    ("no AKI", _drop(ExtensionOID.AUTHORITY_KEY_IDENTIFIER), "authority key identifier"),
    ("another SKI", _put(x509.SubjectKeyIdentifier(b"\2" * 20)), "subject key identifier"),
    ("a CA", _put(x509.BasicConstraints(True, None), True), "end entity"),
    ("no basic constraints", _drop(ExtensionOID.BASIC_CONSTRAINTS), "end entity"),
    ("keyEncipherment on EC", _put(key_usage(digital_signature=True, key_encipherment=True), True), "kind of key"),
    ("cRLSign", _put(key_usage(digital_signature=True, crl_sign=True), True), "not the profile's"),
    ("no key usage", _drop(ExtensionOID.KEY_USAGE), "not the profile's"),
    ("key usage not critical", _put(key_usage(digital_signature=True)), "critical that must not be"),
    ("SAN critical", _make_critical(ExtensionOID.SUBJECT_ALTERNATIVE_NAME), "critical"),
    ("any extended usage", _put(ANY_USAGE), "exactly the profile's"),
    ("extension from elsewhere", _put(x509.TLSFeature([x509.TLSFeatureType.status_request])), "no profile has"),
    ("CN of 65 octets", _set(subject=named((NameOID.COMMON_NAME, "é" * 32 + "x"))), "longer than 64"),
    ("two CNs", _set(subject=named((NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b"))), "several common names"),
    ("somebody else's UPN", _put(EVE), "not the holder's"),
    ("no SAN", _drop(ExtensionOID.SUBJECT_ALTERNATIVE_NAME), "not the holder's"),
    ("CDP over TLS", _put(x509.CRLDistributionPoints([POINT])), "not plain http"),
    ("a SID nobody has", _put(security_identifier_extension("S-1-5-21-1-2-3-1104")), "security identifier"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Attribute's length must be")
@pytest.mark.parametrize(("change", "told"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_caught_before_the_signature(change: Callable[[Parts], None], told: str) -> None:
    parts = Parts.of(GOOD)
    change(parts)

    with pytest.raises(LintFailed) as caught:
        lint(parts.draft(), GOOD)

    assert any(told in finding for finding in caught.value.findings), caught.value.findings


@pytest.mark.parametrize("certificate_type", list(CertificateType))
@pytest.mark.parametrize("key", [EC, RSA], ids=["EC", "RSA"])
def test_what_the_ca_builds_passes(certificate_type: CertificateType, key: Any) -> None:
    one = intended(certificate_type, key)

    assert lint(one.draft(POLICY), one).tbs


@pytest.mark.parametrize("certificate_type", list(CertificateType))
@pytest.mark.parametrize("key", [EC, RSA], ids=["EC", "RSA"])
def test_the_bytes_are_those_that_cryptographys_builder_would_have_signed(
    certificate_type: CertificateType, key: Any
) -> None:
    one = intended(certificate_type, key)

    assert Parts.of(one).draft().tbs == one.draft(POLICY).tbs


def test_a_path_length_on_a_leaf_is_caught() -> None:
    parts = Parts.of(GOOD)
    raw = der.sequence(bytes.fromhex("020100"))  # cA FALSE, pathLenConstraint 0: no library would write it
    del parts.extensions[ExtensionOID.BASIC_CONSTRAINTS]
    parts.extensions = {
        ExtensionOID.BASIC_CONSTRAINTS: (x509.UnrecognizedExtension(ExtensionOID.BASIC_CONSTRAINTS, raw), True),
        **parts.extensions,
    }

    with pytest.raises(LintFailed, match="end entity"):
        lint(parts.draft(), GOOD)


def test_key_encipherment_is_for_rsa_and_key_agreement_for_ec() -> None:
    mail = CertificateType.EMAIL_PROTECTION
    for key, wrong in ((EC, RSA), (RSA, EC)):
        parts = Parts.of(intended(mail, key))
        usage = intended(mail, wrong).draft(POLICY).certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        parts.put(usage, True)
        with pytest.raises(LintFailed, match="kind of key"):
            lint(parts.draft(), intended(mail, key))


def test_a_sid_in_a_profile_that_has_none_is_caught_even_if_intended() -> None:
    one = replace(intended(CertificateType.CODE_SIGNING), security_identifier="S-1-5-21-1-2-3-1104")

    with pytest.raises(LintFailed, match="security identifier"):
        lint(one.draft(POLICY), one)


def test_a_certificate_of_another_issuer_is_caught() -> None:
    with pytest.raises(LintFailed, match="not byte by byte"):
        lint(GOOD.draft(POLICY), intended(issuer=OTHER_ISSUER))


def test_https_in_the_public_url_is_caught() -> None:
    with pytest.raises(LintFailed, match="not plain http"):
        lint(GOOD.draft(IssuancePolicy(public_url="https://pki.contoso.com")), GOOD)


def test_all_findings_are_told_at_once() -> None:
    parts = Parts.of(GOOD)
    parts.serial_number += 1
    parts.put(x509.BasicConstraints(True, 0), True)
    parts.extensions.pop(ExtensionOID.KEY_USAGE)

    with pytest.raises(LintFailed) as caught:
        lint(parts.draft(), GOOD)

    assert len(caught.value.findings) >= 3
    assert caught.value.status == 500


def test_no_two_rules_say_the_same() -> None:
    assert len({sentence for sentence, _ in RULES}) == len({rule for _, rule in RULES}) == len(RULES)


def test_times_past_2049_are_generalized_times() -> None:
    """RFC 5280 4.1.2.5: UTCTime's two digits end there."""
    now = datetime(2046, 1, 2, 3, 4, 5, tzinfo=UTC)
    issuer = LooseIssuer.make(KeyType.P_256, now=now - timedelta(days=1))

    one = issuer.intend(a_user(7), CertificateType.CLIENT_AUTH, EC, POLICY, days=3650, now=now)

    tbs = lint(one.draft(POLICY), one).tbs
    assert b"\x17\x0d460102025405Z\x18\x0f20551231025404Z" in tbs


def test_the_sid_extension_is_the_one_of_the_knowledge_base_article() -> None:
    """KB5014754's example, as certutil shows it."""
    extension = security_identifier_extension("S-1-5-21-2021122821-3112347217-1112340817-1104")

    assert extension.oid == SECURITY_IDENTIFIER_EXTENSION
    assert extension.value[:18].hex() == "3040a03e060a2b060104018237190201a030"
    assert extension.value.endswith(b"\x04\x2eS-1-5-21-2021122821-3112347217-1112340817-1104")
