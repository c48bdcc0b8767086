"""Every profile, with every kind of key, from every kind of issuer, to every awkward user: others' checkers agree.

The certificates are built and linted as in production and signed with keys in memory.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from shared.cli.pkilint_report import closest_smime_level, pkix_findings, smime_findings
from shared.directory.records.certificate import CertificateType
from shared.pki.issuance.lint import lint
from shared.pki.issuance.policy import IssuancePolicy
from shared.pki.keys import KeyType
from tests.support.awkward_users import AWKWARD
from tests.support.issuers import LooseIssuer, key_of
from tests.support.linting import gnutls_refusal, has_gnutls, openssl_refusals
from tests.support.pki import a_user

# A public suffix: pkilint's S/MIME rules refuse internal names such as .example.
POLICY = IssuancePolicy(public_url="http://pki.contoso.com", policy_oids=("1.3.6.1.4.1.55555.1.1",))
# What pkilint's S/MIME rules may say, and why we live with it.
RESERVED_POLICY = "cabf.smime.no_required_reserved_policy_oid"  # CA/B's own policies are for audited public CAs
P_521_KEY = "cabf.smime.prohibited_spki_algorithm_encoding"  # S/MIME BR 7.1.3.1.2 lists P-256 and P-384; we warn
P_521_ISSUER = "cabf.smime.prohibited_signature_algorithm_encoding"  # S/MIME BR 7.1.3.2.2: same for the issuer's key
ISSUER_TYPES = [pytest.param(key_type, id=f"issuer-{key_type}") for key_type in KeyType]


@dataclass(frozen=True)
class Case:
    name: str
    certificate_type: CertificateType
    der: bytes

    @property
    def pem(self) -> str:
        return x509.load_der_x509_certificate(self.der).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module", params=ISSUER_TYPES)
def issuer(request: pytest.FixtureRequest) -> LooseIssuer:
    return LooseIssuer.make(request.param, now=datetime.now(UTC))


@pytest.fixture(scope="module")
def cases(issuer: LooseIssuer) -> list[Case]:
    return list(_cases(issuer))


def _cases(issuer: LooseIssuer) -> Iterator[Case]:
    serial_number = 1 << 150
    for user_name, attributes in AWKWARD.items():
        user = a_user(7, **{"mail": "user7@contoso.com", **attributes})
        for certificate_type in CertificateType:
            if certificate_type is CertificateType.EMAIL_PROTECTION and user.mail is None:
                continue
            for key_type in KeyType:
                serial_number += 1
                key = key_of(key_type, "leaf").public_key()
                now = datetime.now(UTC)
                intended = issuer.intend(user, certificate_type, key, POLICY, serial_number=serial_number, now=now)
                der = issuer.sign(lint(intended.draft(POLICY), intended).tbs)
                yield Case(f"{certificate_type}, {key_type}, {user_name}", certificate_type, der)


def test_the_matrix_is_complete(cases: list[Case]) -> None:
    assert len({case.der for case in cases}) == len(cases) == (len(AWKWARD) * 3 - 1) * len(KeyType)


def test_pkilint_finds_nothing_against_rfc_5280(cases: list[Case]) -> None:
    findings = {case.name: found for case in cases if (found := pkix_findings(case.der))}

    assert findings == {}


def test_pkilint_finds_nothing_against_the_issuers_own_certificate(issuer: LooseIssuer) -> None:
    assert pkix_findings(issuer.material.der) == []


def test_pkilint_finds_in_smime_certificates_only_what_is_accepted(cases: list[Case], issuer: LooseIssuer) -> None:
    mails = [case for case in cases if case.certificate_type is CertificateType.EMAIL_PROTECTION]

    counted = Counter(
        finding.code for case in mails for finding in smime_findings(case.der, closest_smime_level(case.der))
    )

    expected = Counter({RESERVED_POLICY: len(mails), P_521_KEY: len(mails) // len(KeyType)})
    if issuer.material.record.key_type == KeyType.P_521:
        expected[P_521_ISSUER] = len(mails)
    assert counted == expected


def test_openssl_accepts_them_in_strict_mode(cases: list[Case], issuer: LooseIssuer, tmp_path: Path) -> None:
    root = tmp_path / "root.pem"
    root.write_text(issuer.material.pem)
    files = []
    for number, case in enumerate(cases):
        files.append(tmp_path / f"{number}.pem")
        files[-1].write_text(case.pem)

    assert openssl_refusals(root, files) == ""


@pytest.mark.skipif(not has_gnutls(), reason="certtool is not installed (Debian: gnutls-bin)")
def test_gnutls_accepts_them(cases: list[Case], issuer: LooseIssuer) -> None:
    with ThreadPoolExecutor(2) as pool:
        refusals = list(pool.map(lambda case: gnutls_refusal(case.pem + issuer.material.pem), cases))

    refused = {case.name: refusal for case, refusal in zip(cases, refusals, strict=True) if refusal}
    assert refused == {}


def test_the_checkers_would_notice(issuer: LooseIssuer, cases: list[Case], tmp_path: Path) -> None:
    """Else the tests above could pass on anything."""
    broken = bytearray(cases[0].der)
    broken[-1] ^= 1
    pem = x509.load_der_x509_certificate(bytes(broken)).public_bytes(serialization.Encoding.PEM).decode()
    root, leaf = tmp_path / "root.pem", tmp_path / "leaf.pem"
    root.write_text(issuer.material.pem)
    leaf.write_text(pem)
    named_after_a_person = next(case for case in cases if case.name.startswith("client_auth"))

    assert "accepted" in openssl_refusals(root, [leaf])
    assert not has_gnutls() or gnutls_refusal(pem + issuer.material.pem)
    assert any(finding.is_error for finding in smime_findings(named_after_a_person.der, "MAILBOX"))
