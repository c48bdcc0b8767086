"""Certificates issued on a real ledger: what the caller gets, what the directory holds, who is refused."""

import hashlib
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from shared.directory.errors import UserNotFound
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    CertificateType,
    KeyOrigin,
    PendingCertificate,
    SerialNumber,
    UserCertificate,
    serial_number_key,
    user_certificates_prefix,
)
from shared.directory.records.user import EntraDeletion
from shared.directory.tables import TableStore
from shared.errors import AppError, FieldError
from shared.pki.errors import CaNotInitialized, LintFailed, SerialNumberTaken
from shared.pki.issuance.order import KeyFormat, Pkcs12Encryption
from shared.pki.keys import KeyType, generate_key, spki_der
from tests.support.pki import POLICY, SettableClock, TestCa, context, make_csr, order, software_backend


def leaf(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


@pytest.mark.parametrize("certificate_type", list(CertificateType))
def test_a_certificate_from_a_csr_is_recorded_and_verifies(ca: TestCa, certificate_type: CertificateType) -> None:
    ada, key = ca.add_user(name="Ada Lovelace"), generate_key(KeyType.P_256)

    issued = ca.issuance.issue(order(ada, key, certificate_type=certificate_type), context("portal"))

    certificate = leaf(issued.pem)
    certificate.verify_directly_issued_by(leaf(issued.chain_pem))
    assert spki_der(certificate.public_key()) == spki_der(key.public_key())  # type: ignore[arg-type]
    assert (issued.private_key_pem, issued.pkcs12, issued.pkcs12_password) == (None, None, None)
    record = ca.certificate(issued.certificate.id)
    assert record == issued.certificate
    assert record.status is CertificateStatus.ISSUED
    assert record.der == certificate.public_bytes(serialization.Encoding.DER)
    assert record.fingerprint == hashlib.sha256(record.der).hexdigest()
    assert record.tbs_sha256 == hashlib.sha256(certificate.tbs_certificate_bytes).hexdigest()
    assert (record.user_id, record.certificate_type, record.key_origin) == (ada.id, certificate_type, KeyOrigin.CSR)
    assert (record.requester_id, record.tbs) == ("portal", None)


def test_a_certificate_can_be_found_by_its_serial_number_and_by_its_user(ca: TestCa, ledger: Ledger) -> None:
    ada = ca.add_user()

    issued = ca.issuance.issue(order(ada), context())

    serial = ledger.get(SerialNumber, serial_number_key(f"{leaf(issued.pem).serial_number:x}".rjust(40, "0")))
    if serial is None:  # a leading zero octet is not written
        serial = ledger.get(SerialNumber, serial_number_key(issued.certificate.serial_number))
    assert serial is not None
    assert serial.certificate_id == issued.certificate.id
    prefix = user_certificates_prefix(ada.id)
    (row,) = ledger.scan(UserCertificate, start=prefix, end=prefix + "~")
    assert row.certificate_id == issued.certificate.id
    assert list(ledger.scan(PendingCertificate)) == []


def test_a_key_made_here_leaves_once_and_fits_its_certificate(ca: TestCa) -> None:
    issued = ca.issuance.issue(order(ca.add_user(), key_size=2048), context())

    assert issued.private_key_pem is not None
    key = serialization.load_pem_private_key(issued.private_key_pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert spki_der(key.public_key()) == spki_der(leaf(issued.pem).public_key())  # type: ignore[arg-type]
    assert issued.certificate.key_origin is KeyOrigin.SERVER
    secret = issued.private_key_pem.split("-----")[2].strip()[:60]
    assert secret not in repr(issued)
    stored = b"".join(str(row).encode() for row in ca.ledger.log(0))
    assert secret.encode() not in stored


def test_a_pem_key_is_encrypted_when_a_password_is_given(ca: TestCa) -> None:
    password = "sixteen-letters!"

    issued = ca.issuance.issue(order(ca.add_user(), key_size=2048, pkcs12_password=password), context())

    assert issued.private_key_pem is not None
    assert "ENCRYPTED PRIVATE KEY" in issued.private_key_pem
    assert serialization.load_pem_private_key(issued.private_key_pem.encode(), password.encode())


@pytest.mark.parametrize("encryption", list(Pkcs12Encryption))
@pytest.mark.parametrize("given", [None, "a password of my own"])
def test_a_pkcs12_opens_with_openssl(
    ca: TestCa, tmp_path: Path, encryption: Pkcs12Encryption, given: str | None
) -> None:
    wanted = order(
        ca.add_user(),
        key_size=2048,
        format=KeyFormat.PKCS12,
        pkcs12_encryption=encryption,
        pkcs12_password=given,
    )

    issued = ca.issuance.issue(wanted, context())

    assert issued.pkcs12 is not None
    assert (issued.pkcs12_password is None) == (given is not None)
    password = given or issued.pkcs12_password or ""
    assert len(password) >= 16
    file = tmp_path / "user.p12"
    file.write_bytes(issued.pkcs12)
    legacy = ["-legacy"] if encryption is Pkcs12Encryption.LEGACY else []
    opened = subprocess.run(
        ["openssl", "pkcs12", "-in", file, "-passin", f"pass:{password}", "-nodes", "-info", *legacy],
        capture_output=True,
        text=True,
        check=True,
    )
    assert opened.stdout.count("BEGIN CERTIFICATE") == 2
    assert "BEGIN PRIVATE KEY" in opened.stdout
    expected = "pbeWithSHA1And3-KeyTripleDES-CBC" if legacy else "AES-256-CBC"
    assert expected in opened.stderr
    key, certificate, _ = pkcs12.load_key_and_certificates(issued.pkcs12, password.encode())
    assert key is not None
    assert certificate == leaf(issued.pem)


def test_the_chain_verifies_with_openssl(ca: TestCa, tmp_path: Path) -> None:
    issued = ca.issuance.issue(order(ca.add_user()), context())
    (tmp_path / "leaf.pem").write_text(issued.pem)
    (tmp_path / "chain.pem").write_text(issued.chain_pem)

    verified = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "chain.pem", "leaf.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert verified.stdout == "leaf.pem: OK\n", verified.stderr


def test_validity_is_in_days_from_ten_minutes_ago_in_whole_seconds(
    tables: TableStore, tenant_id: str, tmp_path: Path
) -> None:
    clock = SettableClock(datetime(2030, 1, 1, tzinfo=UTC))
    ca = TestCa.on(Ledger(tables, tenant_id, clock=clock), software_backend(tmp_path), clock=clock).initialize()
    clock.now = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    certificate = leaf(ca.issuance.issue(order(ca.add_user(), validity_days=30), context()).pem)

    assert certificate.not_valid_before_utc == datetime(2030, 1, 2, 2, 54, 5, tzinfo=UTC)
    assert certificate.not_valid_after_utc == datetime(2030, 2, 1, 2, 54, 4, tzinfo=UTC)


def test_a_certificate_never_begins_before_its_issuer(ca: TestCa) -> None:
    certificate = leaf(ca.issuance.issue(order(ca.add_user()), context()).pem)

    assert certificate.not_valid_before_utc >= ca.authority.active().not_before


def test_a_certificate_that_would_outlive_its_issuer_is_refused_not_shortened(ledger: Ledger, tmp_path: Path) -> None:
    ca = TestCa.on(ledger, software_backend(tmp_path)).initialize(life=timedelta(days=100))
    ada = ca.add_user()

    with pytest.raises(FieldError, match=r"at most (99|100) days") as caught:
        ca.issuance.issue(order(ada, validity_days=101), context())

    assert list(caught.value.errors or {}) == ["validity_days"]
    assert ca.certificates() == []
    assert ca.issuance.issue(order(ada, validity_days=99), context())


REFUSED_USERS: list[tuple[str, dict[str, Any], int, str]] = [
    ("local", {"object_id": None, "user_principal_name": None}, 409, "user_not_synchronized"),
    ("inactive", {"is_active": False, "account_enabled": False}, 409, "user_inactive"),
    ("being revoked", {"revocation_pending": True}, 409, "user_inactive"),
    ("soft-deleted", {"is_active": False, "deletion": EntraDeletion.SOFT}, 409, "user_deleted"),
    ("hard-deleted", {"is_active": False, "deletion": EntraDeletion.HARD}, 409, "user_deleted"),
]


@pytest.mark.parametrize(
    ("attributes", "status", "code"), [row[1:] for row in REFUSED_USERS], ids=lambda value: str(value)[:20]
)
def test_users_who_may_not_have_certificates_are_refused_before_anything_is_recorded(
    ca: TestCa, attributes: dict[str, Any], status: int, code: str
) -> None:
    user = ca.add_user(**attributes)
    head = ca.ledger.head().seq

    with pytest.raises(AppError) as caught:
        ca.issuance.issue(order(user), context())

    assert (caught.value.status, caught.value.code) == (status, code)
    assert ca.ledger.head().seq == head


def test_a_user_that_does_not_exist_is_not_found(ca: TestCa) -> None:
    user = ca.add_user()

    with pytest.raises(UserNotFound):
        ca.issuance.issue(replace(order(user), user_id=4711), context())


def test_without_an_issuer_nothing_is_issued(ledger: Ledger, tmp_path: Path) -> None:
    ca = TestCa.on(ledger, software_backend(tmp_path))

    with pytest.raises(CaNotInitialized):
        ca.issuance.issue(order(ca.add_user()), context())


PROTECTED, STAFF = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"


def test_members_of_a_protected_group_are_refused(ca: TestCa) -> None:
    strict = ca.with_policy(denied_group_ids=frozenset({PROTECTED}))
    admin, ada = ca.add_user(group_ids=(PROTECTED, STAFF)), ca.add_user(group_ids=(STAFF,))

    with pytest.raises(AppError) as caught:
        strict.issuance.issue(order(admin), context())

    assert (caught.value.status, caught.value.code) == (403, "user_protected")
    assert PROTECTED in caught.value.message
    assert strict.issuance.issue(order(ada), context())


def test_a_user_whose_groups_are_not_known_counts_as_protected(ca: TestCa) -> None:
    strict = ca.with_policy(denied_group_ids=frozenset({PROTECTED}))

    with pytest.raises(AppError) as caught:
        strict.issuance.issue(order(ca.add_user(synced_at=None)), context())

    assert caught.value.code == "user_protected"


def test_a_type_can_be_kept_for_the_members_of_groups(ca: TestCa) -> None:
    kept = ca.with_policy(allowed_group_ids={CertificateType.CODE_SIGNING: frozenset({STAFF})})
    outsider, insider = ca.add_user(), ca.add_user(group_ids=(STAFF,))

    with pytest.raises(AppError) as caught:
        kept.issuance.issue(order(outsider, certificate_type=CertificateType.CODE_SIGNING), context())

    assert (caught.value.status, caught.value.code) == (403, "user_not_entitled")
    assert kept.issuance.issue(order(outsider), context())
    assert kept.issuance.issue(order(insider, certificate_type=CertificateType.CODE_SIGNING), context())


@pytest.mark.parametrize(
    ("policy", "wanted", "field"),
    [
        ({"allowed_types": frozenset({CertificateType.EMAIL_PROTECTION})}, {}, "certificate_type"),
        ({"max_validity_days": {CertificateType.CLIENT_AUTH: 90}}, {"validity_days": 91}, "validity_days"),
        ({"min_rsa_bits": 3072}, {"key_size": 2048}, "key_size"),
        ({"min_rsa_bits": 3072}, {"csr": make_csr(generate_key(KeyType.RSA_2048))}, "csr"),
        (
            {"code_signing_requires_csr": True},
            {"certificate_type": CertificateType.CODE_SIGNING, "key_size": 3072},
            "csr",
        ),
        ({}, {"key_size": 2048, "pkcs12_password": "too short"}, "pkcs12_password"),
        ({}, {"key_size": 2048, "pkcs12_password": "пароль пароль пароль"}, "pkcs12_password"),
    ],
)
def test_what_the_policy_forbids_is_told_by_field(
    ca: TestCa, policy: dict[str, Any], wanted: dict[str, Any], field: str
) -> None:
    with pytest.raises(FieldError) as caught:
        ca.with_policy(**policy).issuance.issue(order(ca.add_user(), **wanted), context())

    assert caught.value.status == 422
    assert list(caught.value.errors or {}) == [field]


def test_a_key_certified_for_one_user_is_refused_for_another_but_may_be_renewed(ca: TestCa) -> None:
    ada, eve, key = ca.add_user(), ca.add_user(), generate_key(KeyType.P_256)
    ca.issuance.issue(order(ada, key), context())

    with pytest.raises(FieldError, match="another user") as caught:
        ca.issuance.issue(order(eve, key), context())

    assert list(caught.value.errors or {}) == ["csr"]
    assert ca.issuance.issue(order(ada, key), context())


def test_the_cas_own_key_is_never_certified_for_a_user(ca: TestCa) -> None:
    own = ca.backend.signing_key(ca.authority.active().record.key_reference, context().deadline)

    with pytest.raises(FieldError, match="the CA's own"):
        ca.issuance.issue(order(ca.add_user(), own), context())


def test_nothing_but_the_key_is_taken_from_a_csr(ca: TestCa) -> None:
    ada, key = ca.add_user(name="Ada"), generate_key(KeyType.P_256)
    greedy = make_csr(
        key,
        x509.BasicConstraints(ca=True, path_length=3),
        x509.SubjectAlternativeName([x509.DNSName("dc01.contoso.example")]),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2"), b"\x30\x00"),
        x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.37.0")]),
    )

    certificate = leaf(ca.issuance.issue(order(ada, csr=greedy), context()).pem)

    plain = leaf(ca.issuance.issue(order(ada, key), context()).pem)
    assert [e.oid for e in certificate.extensions] == [e.oid for e in plain.extensions]
    assert certificate.subject == plain.subject
    for one, other in zip(certificate.extensions, plain.extensions, strict=True):
        assert one.value == other.value


def test_mail_must_be_the_users_own_and_of_a_certified_domain(ca: TestCa) -> None:
    mail = CertificateType.EMAIL_PROTECTION
    ada = ca.add_user(mail="ada@contoso.example")
    nobody = ca.add_user(mail=None, email=None)
    thief = ca.add_user(mail="Ada@Contoso.example")
    strict = ca.with_policy(mail_domains=frozenset({"fabrikam.example"}))

    for issuance, user, told in (
        (ca.issuance, nobody, "no mail address"),
        (ca.issuance, thief, f"also that of the user {ada.id}"),
        (ca.issuance, ada, f"also that of the user {thief.id}"),
        (strict.issuance, ada, "contoso.example are not certified"),
    ):
        with pytest.raises(FieldError, match=told):
            issuance.issue(order(user, certificate_type=mail), context())

    ca.change_user(thief, mail="eve@contoso.example")
    issued = ca.issuance.issue(order(ada, certificate_type=mail), context())
    assert issued.certificate.email == "ada@contoso.example"


def test_the_primary_proxy_address_counts_before_mail(ca: TestCa) -> None:
    ada = ca.add_user(
        mail="forged@contoso.example",
        proxy_addresses=("smtp:alias@contoso.example", "SMTP:Ada@Bücher.example", "SIP:ada@contoso.example"),
    )

    issued = ca.issuance.issue(order(ada, certificate_type=CertificateType.EMAIL_PROTECTION), context())

    names = leaf(issued.pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == ["Ada@xn--bcher-kva.example"]


def test_client_authentication_names_the_mail_address_only_when_asked_to(ca: TestCa) -> None:
    ada, nomad = ca.add_user(), ca.add_user(mail=None)
    with_mail = ca.with_policy(client_auth_mail=True)

    assert ca.issuance.issue(order(ada), context()).certificate.email is None
    assert with_mail.issuance.issue(order(ada), context()).certificate.email == ada.mail
    assert with_mail.issuance.issue(order(nomad), context()).certificate.email is None


def test_the_sid_is_that_of_the_synced_record_and_in_logon_certificates_only(ca: TestCa) -> None:
    sid = "S-1-5-21-3623811015-3361044348-30300820-1013"
    ada = ca.add_user(on_premises_security_identifier=sid)

    logon = ca.issuance.issue(order(ada), context())
    signing = ca.issuance.issue(order(ada, certificate_type=CertificateType.CODE_SIGNING), context())

    oid = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")
    value = leaf(logon.pem).extensions.get_extension_for_oid(oid).value
    assert isinstance(value, x509.UnrecognizedExtension)
    body = bytes.fromhex("060a2b060104018237190201a02e042c") + sid.encode()
    assert value.value == bytes([0x30, len(body) + 2, 0xA0, len(body)]) + body
    assert logon.certificate.security_identifier == sid
    assert not any(extension.oid == oid for extension in leaf(signing.pem).extensions)


def test_the_sid_of_a_built_in_account_is_left_out_with_a_warning(ca: TestCa) -> None:
    admin = ca.add_user(on_premises_security_identifier="S-1-5-21-1-2-3-500")

    issued = ca.issuance.issue(order(admin), context())

    assert issued.certificate.security_identifier is None
    assert ["built-in" in warning for warning in issued.warnings] == [True]


def test_unwise_certificates_come_with_warnings(ca: TestCa) -> None:
    ada = ca.add_user()

    mail = ca.issuance.issue(
        order(ada, certificate_type=CertificateType.EMAIL_PROTECTION, validity_days=826), context()
    )
    code = ca.issuance.issue(
        order(ada, certificate_type=CertificateType.CODE_SIGNING, validity_days=461, key_size=2048), context()
    )
    wise = ca.issuance.issue(order(ada), context())

    assert ["826" in warning for warning in mail.warnings] == [True]
    assert ["2048" in code.warnings[0], "461" in code.warnings[1], "server" in code.warnings[2]] == [True] * 3
    assert wise.warnings == ()


def test_the_user_ids_for_entra_are_ready_to_paste(ca: TestCa) -> None:
    issued = ca.issuance.issue(order(ca.add_user(user_principal_name="ada@contoso.example", name="Ada, L.")), context())

    certificate = leaf(issued.pem)
    serial = certificate.serial_number.to_bytes((certificate.serial_number.bit_length() + 7) // 8, "big").hex()
    key_identifier = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest.hex().upper()
    object_id = str(certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)[0].value)
    assert issued.user_ids == {
        "principal_name": "X509:<PN>ada@contoso.example",
        "subject_key_identifier": f"X509:<SKI>{key_identifier}",
        "sha1_public_key": f"X509:<SHA1-PUKEY>{key_identifier}",
        "issuer_and_serial_number": f"X509:<I>CN=Contoso Users CA<SR>{serial}",
        "issuer_and_subject": f'X509:<I>CN=Contoso Users CA<S>CN="Ada, L.",SERIALNUMBER={object_id}',
    }


def test_the_addresses_in_a_certificate_name_its_issuer(ca: TestCa) -> None:
    certificate = leaf(ca.issuance.issue(order(ca.add_user()), context()).pem)

    issuer = ca.authority.active()
    base = f"{POLICY.public_url}/api/v1/pki/{issuer.key_identifier.digest.hex()[:16]}"
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert [name.value for point in points for name in point.full_name or []] == [f"{base}/crl"]
    assert [one.access_location.value for one in access] == [f"{base}/ocsp", f"{base}/ca.crt"]


def test_without_a_public_address_certificates_carry_none(ca: TestCa) -> None:
    certificate = leaf(ca.with_policy(public_url=None).issuance.issue(order(ca.add_user()), context()).pem)

    oids = {extension.oid.dotted_string for extension in certificate.extensions}
    assert not oids & {"2.5.29.31", "1.3.6.1.5.5.7.1.1"}


def test_a_serial_number_drawn_twice_is_never_signed_twice(ledger: Ledger, tmp_path: Path) -> None:
    ca = TestCa.on(ledger, software_backend(tmp_path), random_bits=lambda bits: 7 << 140).initialize()
    ada = ca.add_user()
    first = ca.issuance.issue(order(ada), context())

    with pytest.raises(SerialNumberTaken):
        ca.issuance.issue(order(ada), context())

    assert [certificate.id for certificate in ca.certificates()] == [first.certificate.id]


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_a_serial_number_that_rfc_5280_forbids_is_caught_before_the_signature(ca: TestCa) -> None:
    unlucky = TestCa.on(ca.ledger, ca.backend, random_bits=lambda bits: 0)

    with pytest.raises(LintFailed, match="serial number is not positive"):
        unlucky.issuance.issue(order(ca.add_user()), context())

    assert ca.certificates() == []


def test_both_steps_are_in_the_audit_log_under_the_requests_id(ca: TestCa) -> None:
    ada, asked = ca.add_user(), context("portal")

    ca.issuance.issue(order(ada), asked)

    operations = [operation for row in ca.ledger.log(0) for operation in row.operations]
    ours = [operation for operation in operations if operation.request_id == asked.request_id]
    assert [operation.action for operation in ours] == ["certificate.reserved", "certificate.confirmed"]
    assert {operation.actor.id for operation in ours} == {"portal"}


def test_a_replica_can_list_certificates_from_the_log_alone(ca: TestCa) -> None:
    issued = ca.issuance.issue(order(ca.add_user()), context())

    last = [
        change.data
        for row in ca.ledger.log(0)
        for operation in row.operations
        for change in operation.changes
        if change.key == issued.certificate.key
    ][-1]
    assert last is not None
    assert last["status"] == "issued"
    assert set(last) <= set(Certificate.REPLICATED)
    assert (last["serial_number"], last["fingerprint"]) == (
        issued.certificate.serial_number,
        issued.certificate.fingerprint,
    )
