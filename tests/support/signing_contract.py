"""What every signing backend must do; each backend's tests inherit `SigningContract` and give it the fixtures."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from shared.context import Deadline
from shared.pki.errors import BackendMisconfigured, BackendTimeout
from shared.pki.keys import KeyType, sign, signature_hash, spki_der, verify
from shared.pki.signing.base import SigningBackend

KEY_TYPES = [pytest.param(key_type, id=key_type.value) for key_type in KeyType]
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Contract CA")])


def soon() -> Deadline:
    return Deadline.after(timedelta(seconds=20))


class SigningContract:
    """Inherit, and give the two fixtures.

    `backend`: a fresh one that holds no key yet. `reopen`: builds another object over the same key store, as another
    process would.
    """

    @pytest.fixture
    def backend(self) -> SigningBackend:
        raise NotImplementedError

    @pytest.fixture
    def reopen(self, backend: SigningBackend) -> Callable[[], SigningBackend]:
        raise NotImplementedError

    @pytest.mark.parametrize("key_type", KEY_TYPES)
    def test_a_key_of_each_type_signs_and_its_public_half_verifies(
        self, backend: SigningBackend, key_type: KeyType
    ) -> None:
        self.require(backend, key_type)
        reference = backend.provide_key(key_type, soon())
        key = backend.signing_key(reference, soon())

        signature = sign(key, b"to be signed")

        public = backend.public_key(reference, soon())
        assert KeyType.of(public) is KeyType.of(key) is key_type
        assert spki_der(key.public_key()) == spki_der(public)
        verify(public, signature, b"to be signed")

    @pytest.mark.parametrize("key_type", KEY_TYPES)
    def test_certificate_crl_and_ocsp_builders_take_the_key_unchanged(
        self, backend: SigningBackend, key_type: KeyType
    ) -> None:
        self.require(backend, key_type)
        reference = backend.provide_key(key_type, soon())
        key, public = backend.signing_key(reference, soon()), backend.public_key(reference, soon())

        certificate = x509.CertificateBuilder(NAME, NAME, public, 1, NOW, NOW + timedelta(days=1)).sign(
            key, signature_hash(key)
        )
        crl = x509.CertificateRevocationListBuilder(NAME, NOW, NOW + timedelta(days=1)).sign(key, signature_hash(key))
        response = (
            ocsp.OCSPResponseBuilder()
            .add_response(certificate, certificate, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, NOW, NOW, None, None)
            .responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
            .sign(key, signature_hash(key))
        )

        certificate.verify_directly_issued_by(certificate)
        assert crl.is_signature_valid(public)
        verify(public, response.signature, response.tbs_response_bytes)

    def test_a_key_is_found_again_by_another_process(
        self, backend: SigningBackend, reopen: Callable[[], SigningBackend]
    ) -> None:
        reference = backend.provide_key(KeyType.P_256, soon())
        public = backend.public_key(reference, soon())

        again = reopen()

        assert spki_der(again.public_key(reference, soon())) == spki_der(public)
        verify(public, sign(again.signing_key(reference, soon()), b"x"), b"x")
        again.check(reference, soon())

    def test_a_key_that_no_issuer_has_yet_is_found_rather_than_a_second_one_made(
        self, backend: SigningBackend, reopen: Callable[[], SigningBackend]
    ) -> None:
        reference = backend.provide_key(KeyType.P_256, soon())

        assert reopen().provide_key(KeyType.P_256, soon()) == reference

    def test_a_rollover_gets_a_new_key_and_the_old_one_goes_on_signing(
        self, backend: SigningBackend, reopen: Callable[[], SigningBackend]
    ) -> None:
        old = backend.provide_key(KeyType.P_256, soon())
        old_public = backend.public_key(old, soon())

        new = backend.provide_key(KeyType.P_384, soon(), in_use=[old])

        assert new != old
        again = reopen()
        assert spki_der(again.public_key(old, soon())) == spki_der(old_public)
        verify(old_public, sign(again.signing_key(old, soon()), b"x"), b"x")
        verify(again.public_key(new, soon()), sign(again.signing_key(new, soon()), b"x"), b"x")

    def test_a_free_key_of_another_type_is_refused_not_passed_over(self, backend: SigningBackend) -> None:
        backend.provide_key(KeyType.P_256, soon())

        with pytest.raises(BackendMisconfigured, match="P-256"):
            backend.provide_key(KeyType.P_384, soon())

    def test_a_reference_fits_the_issuer_record(self, backend: SigningBackend) -> None:
        reference = backend.provide_key(KeyType.P_256, soon())

        assert 0 < len(reference) <= 500
        assert reference.isprintable()

    @pytest.mark.parametrize("ask", ["public_key", "signing_key", "check"])
    def test_a_reference_to_no_key_is_a_misconfiguration_with_a_sentence(
        self, backend: SigningBackend, ask: str
    ) -> None:
        reference = backend.provide_key(KeyType.P_256, soon())

        with pytest.raises(BackendMisconfigured) as caught:
            key = getattr(backend, ask)(self.foreign_reference(reference), soon())
            sign(key, b"a lazy backend notices at the signature")

        assert caught.value.status == 503
        assert len(caught.value.message) > 40

    def test_a_passed_deadline_is_answered_not_ignored(self, backend: SigningBackend) -> None:
        reference = backend.provide_key(KeyType.P_256, soon())
        passed = Deadline.after(timedelta(0))

        with pytest.raises(BackendTimeout) as caught:
            sign(backend.signing_key(reference, passed), b"x")

        assert caught.value.status == 504

    def test_threads_share_one_backend(self, backend: SigningBackend) -> None:
        reference = backend.provide_key(KeyType.P_256, soon())
        public = backend.public_key(reference, soon())
        texts = [f"text {number}".encode() for number in range(24)]

        with ThreadPoolExecutor(8) as pool:
            signatures = list(pool.map(lambda text: sign(backend.signing_key(reference, soon()), text), texts))

        for text, signature in zip(texts, signatures, strict=True):
            verify(public, signature, text)

    def foreign_reference(self, reference: str) -> str:
        """A well-formed reference that names no key; override where changing the last character does not give one."""
        return reference[:-1] + ("0" if reference[-1] != "0" else "1")

    def require(self, backend: SigningBackend, key_type: KeyType) -> None:
        if key_type not in backend.KEY_TYPES:
            pytest.skip(f"{type(backend).__name__} holds no {key_type} keys")
