"""The life of the CA's keys: made once, brought back from an offline root, rolled over, retired."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

from shared.cli.pkilint_report import pkix_findings
from shared.directory.ledger import Ledger
from shared.directory.records.issuer import Issuer, IssuerStatus
from shared.pki.authority.ceremony import Ceremony
from shared.pki.authority.issuer_certificate import IssuerPlan
from shared.pki.crl.reachability import crl_problems
from shared.pki.errors import BackendUnavailable, CaNotInitialized, CeremonyRefused, IssuerNotFound
from shared.pki.keys import KeyType, PrivateKey, generate_key, signature_hash, spki_der
from tests.support.linting import openssl_refusals
from tests.support.pki import PASSPHRASE, TestCa, context, order, software_backend
from tests.support.signing_backends import HookedBackend

PLAN = IssuerPlan(common_name="Contoso Users CA", organization="Contoso Ltd", country="se", key_type=KeyType.P_256)


@pytest.fixture
def bare(ledger: Ledger, tmp_path: Path) -> TestCa:
    """Without an issuer."""
    return TestCa.on(ledger, HookedBackend(tmp_path / "issuer.pem", PASSPHRASE))


class OfflineRoot:
    """Another CA, which signs requests of ours."""

    def __init__(self, path_length: int | None = 1) -> None:
        self.key: PrivateKey = generate_key(KeyType.P_384)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Contoso Offline Root")])
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.certificate = self._sign(self.name, self.key.public_key(), ca=True, path_length=path_length)

    def sign(self, request: x509.CertificateSigningRequest, **changes: object) -> x509.Certificate:
        return self._sign(request.subject, request.public_key(), **changes)  # type: ignore[arg-type]

    def crl(self, *revoked: int, ends: timedelta = timedelta(days=30)) -> bytes:
        builder = x509.CertificateRevocationListBuilder(self.name, self.now - timedelta(days=60), self.now + ends)
        for serial in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder(serial, self.now - timedelta(days=1)).build()
            )
        return builder.sign(self.key, signature_hash(self.key)).public_bytes(serialization.Encoding.DER)

    def _sign(
        self,
        subject: x509.Name,
        key: CertificatePublicKeyTypes,
        *,
        ca: bool = True,
        path_length: int | None = 0,
        days: int = 3650,
        usage: bool = True,
        identifier: bool = True,
        crl_url: str | None = "http://root.contoso.example/root.crl",
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            self.name,
            subject,
            key,
            x509.random_serial_number(),
            self.now - timedelta(days=1),
            self.now + timedelta(days=days),
        ).add_extension(x509.BasicConstraints(ca, path_length if ca else None), True)
        if usage:
            bits = (False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(x509.KeyUsage(*bits), True)
        if identifier:
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
        if subject != self.name:
            builder = builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False
            )
            if crl_url:
                point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
                builder = builder.add_extension(x509.CRLDistributionPoints([point]), False)
        return builder.sign(self.key, hashes.SHA384())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def request_of(issuer: Issuer) -> x509.CertificateSigningRequest:
    return x509.load_der_x509_csr(issuer.request or b"")


def test_the_first_issuer_is_self_signed_active_and_as_pki_wants_it(bare: TestCa) -> None:
    issuer = bare.ceremony.initialize(PLAN, context())

    certificate = bare.authority.active().certificate
    assert issuer.status is IssuerStatus.ACTIVE
    assert certificate.subject.rfc4514_string() == "CN=Contoso Users CA,O=Contoso Ltd,C=SE"
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    assert issuer.id == bare.authority.active().key_identifier.digest.hex()[:16]
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 7304
    assert pkix_findings(certificate.public_bytes(serialization.Encoding.DER)) == []


@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.P_384, KeyType.P_521])
def test_issuers_of_other_key_types_issue_too(ledger: Ledger, tmp_path: Path, key_type: KeyType) -> None:
    ca = TestCa.on(ledger, software_backend(tmp_path)).initialize(key_type)
    issued = ca.issuance.issue(order(ca.add_user()), context())
    (tmp_path / "root.pem").write_text(issued.chain_pem)
    (tmp_path / "leaf.pem").write_text(issued.pem)

    assert openssl_refusals(tmp_path / "root.pem", [tmp_path / "leaf.pem"]) == ""


def test_a_second_first_issuer_is_refused(bare: TestCa) -> None:
    bare.ceremony.initialize(PLAN, context())

    with pytest.raises(CeremonyRefused, match="rollover"):
        bare.ceremony.initialize(IssuerPlan(common_name="Another"), context())

    assert len(list(bare.ledger.scan(Issuer))) == 1


def test_an_initialization_that_died_before_its_signature_goes_on_with_the_same_key_and_bytes(bare: TestCa) -> None:
    assert isinstance(bare.backend, HookedBackend)
    seen: list[bytes] = []

    def die_once(data: bytes, sign_it: Callable[[], bytes]) -> bytes:
        seen.append(data)
        if len(seen) == 1:
            raise BackendUnavailable("The power went out.")
        return sign_it()

    bare.backend.on_sign = die_once
    with pytest.raises(BackendUnavailable):
        bare.ceremony.initialize(PLAN, context())
    (pending,) = bare.ledger.scan(Issuer)
    assert (pending.status, pending.tbs) == (IssuerStatus.PENDING, seen[0])

    with pytest.raises(CeremonyRefused, match="finish that first"):
        bare.ceremony.initialize(IssuerPlan(common_name="Something else", key_type=KeyType.P_256), context())
    issuer = bare.ceremony.initialize(PLAN, context())

    assert seen[0] == seen[1]
    assert (issuer.id, issuer.status) == (pending.id, IssuerStatus.ACTIVE)
    assert issuer.tbs is None


def test_an_intermediate_comes_back_from_an_offline_root_and_issues(bare: TestCa, tmp_path: Path) -> None:
    root = OfflineRoot()
    requested = bare.ceremony.request(PLAN, context())
    assert requested.status is IssuerStatus.REQUESTED
    assert request_of(requested).is_signature_valid
    with pytest.raises(CaNotInitialized):
        bare.issuance.issue(order(bare.add_user()), context())

    imported = bare.ceremony.import_certificate(pem(root.sign(request_of(requested)), root.certificate), context())

    assert imported.status is IssuerStatus.ACTIVE
    issued = bare.issuance.issue(order(bare.add_user()), context())
    assert issued.chain_pem.encode() == pem(bare.authority.active().certificate, root.certificate)
    (tmp_path / "root.pem").write_bytes(pem(root.certificate))
    (tmp_path / "intermediate.pem").write_bytes(pem(bare.authority.active().certificate))
    (tmp_path / "leaf.pem").write_text(issued.pem)
    assert openssl_refusals(tmp_path / "root.pem", [tmp_path / "intermediate.pem"]) == ""
    leaf = x509.load_pem_x509_certificate(issued.pem.encode())
    leaf.verify_directly_issued_by(bare.authority.active().certificate)


def test_asking_again_gives_the_same_request(bare: TestCa) -> None:
    first = bare.ceremony.request(PLAN, context())

    assert bare.ceremony.request(PLAN, context()).request == first.request
    with pytest.raises(CeremonyRefused, match="still requested"):
        bare.ceremony.request(IssuerPlan(common_name="Another"), context())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ca": False}, "basic constraints"),
        ({"usage": False}, "key usage"),
        ({"identifier": False}, "subject key identifier"),
        ({"days": 0}, "not valid today"),
    ],
)
def test_an_unfit_certificate_is_not_imported(bare: TestCa, changes: dict[str, object], told: str) -> None:
    root = OfflineRoot()
    root.now -= timedelta(hours=1)
    requested = bare.ceremony.request(PLAN, context())

    with pytest.raises(CeremonyRefused, match=told):
        bare.ceremony.import_certificate(pem(root.sign(request_of(requested), **changes), root.certificate), context())

    assert [issuer.status for issuer in bare.ledger.scan(Issuer)] == [IssuerStatus.REQUESTED]


def test_a_chain_must_be_whole_and_allow_the_issuer(bare: TestCa) -> None:
    root, strict_root, other = OfflineRoot(), OfflineRoot(path_length=0), OfflineRoot()
    requested = request_of(bare.ceremony.request(PLAN, context()))
    stranger = bare.ceremony

    for bundle, told in (
        (pem(root.sign(requested)), "is missing"),
        (pem(root.sign(requested), other.certificate), "is missing"),
        (pem(root.certificate), "None of the certificates"),
        (b"no certificate", "PEM"),
    ):
        with pytest.raises(CeremonyRefused, match=told):
            stranger.import_certificate(bundle, context())
    assert strict_root.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    imported = stranger.import_certificate(pem(strict_root.certificate, strict_root.sign(requested)), context())
    assert imported.status is IssuerStatus.ACTIVE


def test_a_certificate_that_nobody_asked_for_is_refused(bare: TestCa) -> None:
    with pytest.raises(CeremonyRefused, match="No certificate is awaited"):
        bare.ceremony.import_certificate(pem(OfflineRoot().certificate), context())


def test_leaves_stay_within_the_shortest_life_of_the_chain(bare: TestCa) -> None:
    root = OfflineRoot()
    requested = bare.ceremony.request(PLAN, context())
    bare.ceremony.import_certificate(pem(root.sign(request_of(requested), days=7000), root.certificate), context())

    assert bare.authority.active().not_after == root.certificate.not_valid_after_utc


def test_a_rollover_publishes_first_and_activates_on_command(bare: TestCa) -> None:
    old = bare.ceremony.initialize(PLAN, context())
    before = bare.issuance.issue(order(bare.add_user()), context())

    new = bare.ceremony.roll_over(IssuerPlan(common_name="Contoso Users CA G2", key_type=KeyType.P_384), context())
    between = bare.issuance.issue(order(bare.add_user()), context())
    bare.ceremony.activate(new.id, context())
    after = bare.issuance.issue(order(bare.add_user()), context())

    assert new.status is IssuerStatus.PUBLISHED
    assert [one.certificate.issuer_id for one in (before, between, after)] == [old.id, old.id, new.id]
    assert {issuer.id: issuer.record.status for issuer in bare.authority.issuers()} == {
        old.id: IssuerStatus.RETIRED,
        new.id: IssuerStatus.ACTIVE,
    }
    assert spki_der(bare.authority.issuer(new.id).public_key) != spki_der(bare.authority.issuer(old.id).public_key)
    old_key = bare.authority.signing_key(bare.authority.issuer(old.id), context().deadline)
    assert spki_der(old_key.public_key()) == spki_der(bare.authority.issuer(old.id).public_key)


def test_a_new_key_never_takes_an_old_name(bare: TestCa) -> None:
    bare.ceremony.initialize(PLAN, context())

    with pytest.raises(CeremonyRefused, match="needs a new name"):
        bare.ceremony.roll_over(PLAN, context())


def test_a_rollover_needs_something_to_roll_over(bare: TestCa) -> None:
    with pytest.raises(CaNotInitialized):
        bare.ceremony.roll_over(PLAN, context())


def test_a_rollover_can_go_by_request_too(bare: TestCa) -> None:
    bare.ceremony.initialize(PLAN, context())
    root = OfflineRoot()
    requested = bare.ceremony.request(IssuerPlan(common_name="G2", key_type=KeyType.P_256), context())

    imported = bare.ceremony.import_certificate(pem(root.sign(request_of(requested)), root.certificate), context())

    assert imported.status is IssuerStatus.PUBLISHED


def test_only_a_published_issuer_can_be_activated(bare: TestCa) -> None:
    old = bare.ceremony.initialize(PLAN, context())
    new = bare.ceremony.roll_over(IssuerPlan(common_name="G2", key_type=KeyType.P_256), context())
    bare.ceremony.activate(new.id, context())
    assert bare.ceremony.activate(new.id, context()).status is IssuerStatus.ACTIVE

    with pytest.raises(CeremonyRefused, match="retired"):
        bare.ceremony.activate(old.id, context())
    with pytest.raises(IssuerNotFound):
        bare.ceremony.activate("0123456789abcdef", context())


def test_what_an_issuer_is_stays_readable_by_its_id(bare: TestCa) -> None:
    issuer = bare.ceremony.initialize(PLAN, context())

    material = bare.authority.issuer(issuer.id)
    assert material.der == issuer.der
    assert x509.load_pem_x509_certificate(material.pem.encode()) == material.certificate
    with pytest.raises(IssuerNotFound):
        bare.authority.issuer("0123456789abcdef")


def test_another_process_notices_a_rollover_within_its_cache_time(bare: TestCa) -> None:
    bare.ceremony.initialize(PLAN, context())
    elsewhere = TestCa.on(bare.ledger, bare.backend)
    old = elsewhere.authority.active().id

    new = bare.ceremony.roll_over(IssuerPlan(common_name="G2", key_type=KeyType.P_256), context())
    bare.ceremony.activate(new.id, context())

    assert (old, elsewhere.authority.active().id) == (old, new.id)
    assert old != new.id


class TestCrlsAboveTheIssuer:
    @pytest.fixture
    def root(self) -> OfflineRoot:
        return OfflineRoot()

    @pytest.fixture
    def chain(self, root: OfflineRoot) -> tuple[x509.Certificate, x509.Certificate]:
        key = generate_key(KeyType.P_256)
        request = x509.CertificateSigningRequestBuilder(PLAN.name).sign(key, hashes.SHA256())
        return root.sign(request), root.certificate

    def problems(self, chain: tuple[x509.Certificate, ...], answer: bytes | OSError) -> tuple[str, ...]:
        def fetch(url: str) -> bytes:
            assert url == "http://root.contoso.example/root.crl"
            if isinstance(answer, OSError):
                raise answer
            return answer

        return crl_problems(chain, fetch, datetime.now(UTC))

    def test_a_good_one_is_no_problem(self, root: OfflineRoot, chain: tuple[x509.Certificate, ...]) -> None:
        assert self.problems(chain, root.crl()) == ()
        as_pem = x509.load_der_x509_crl(root.crl()).public_bytes(serialization.Encoding.PEM)
        assert self.problems(chain, as_pem) == ()

    def test_each_problem_is_told(self, root: OfflineRoot, chain: tuple[x509.Certificate, ...]) -> None:
        for answer, told in (
            (OSError("no route to host"), "cannot be fetched"),
            (b"<html>", "does not give a CRL"),
            (OfflineRoot().crl(), "did not sign"),
            (root.crl(ends=timedelta(days=-1)), "ran out"),
            (root.crl(chain[0].serial_number), "is revoked"),
        ):
            (problem,) = self.problems(chain, answer)
            assert told in problem

    def test_an_issuer_that_names_no_crl_is_a_problem(self, root: OfflineRoot) -> None:
        key = generate_key(KeyType.P_256)
        request = x509.CertificateSigningRequestBuilder(PLAN.name).sign(key, hashes.SHA256())
        (problem,) = self.problems((root.sign(request, crl_url=None), root.certificate), b"")
        assert "names no CRL" in problem


def test_a_name_that_no_certificate_can_hold_is_refused(bare: TestCa) -> None:
    for plan in (IssuerPlan(common_name="x" * 65), IssuerPlan(common_name="CA", country="Sweden")):
        with pytest.raises(CeremonyRefused, match="cannot have this name"):
            bare.ceremony.initialize(plan, context())


def test_two_operators_cannot_finish_the_same_issuer_twice(bare: TestCa) -> None:
    root = OfflineRoot()
    requested = bare.ceremony.request(PLAN, context())
    bundle = pem(root.sign(request_of(requested)), root.certificate)
    Ceremony(bare.ledger, bare.authority).import_certificate(bundle, context())

    with pytest.raises(CeremonyRefused, match="No certificate is awaited"):
        bare.ceremony.import_certificate(bundle, context())
