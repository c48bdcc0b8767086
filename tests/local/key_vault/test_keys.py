"""Keys in the emulated vault, through Azure's own clients."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.keys import KeyOperation
from azure.keyvault.keys.crypto import SignatureAlgorithm
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from jwt.utils import base64url_encode

from local.key_vault.control import Vault
from tests.local.key_vault.conftest import Clients

PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
SIGNINGS = [
    *((("RSA", 2048, None), algorithm) for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    (("RSA", 3072, None), "RS256"),
    (("RSA", 4096, None), "RS256"),
    (("EC", None, "P-256"), "ES256"),
    (("EC", None, "P-384"), "ES384"),
    (("EC", None, "P-521"), "ES512"),
]


def inner_code(error: HttpResponseError) -> str | None:
    assert error.error is not None
    inner = error.error.innererror or {}
    return inner.get("code") if isinstance(inner, dict) else None


class TestSigning:
    @pytest.mark.parametrize(("kind", "algorithm"), SIGNINGS)
    def test_every_algorithm_signs_and_verifies(
        self, clients: Clients, kind: tuple[str, int | None, str | None], algorithm: str
    ) -> None:
        key_type, size, curve = kind
        key = clients.keys.create_key("ca", key_type, size=size, curve=curve)
        digest = HASHES[algorithm[2:]](b"to be signed").digest()

        crypto = clients.crypto(key)
        signature = crypto.sign(SignatureAlgorithm(algorithm), digest)

        assert signature.key_id == key.id
        assert crypto.verify(SignatureAlgorithm(algorithm), digest, signature.signature).is_valid

    @pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256"])
    def test_the_vault_verifies_by_itself_too(self, vault: Vault, clients: Clients, algorithm: str) -> None:
        """Clients verify locally when they know the key, so this one is kept from learning it."""
        key = clients.keys.create_key("ca", "EC" if algorithm == "ES256" else "RSA", key_operations=["sign", "verify"])
        digest = HASHES[algorithm[2:]](b"to be signed").digest()
        signature = clients.crypto(key).sign(SignatureAlgorithm(algorithm), digest).signature
        client = clients.keys._client

        def verified(value: bytes) -> bool:
            body = {"alg": algorithm, "digest": _text(digest), "value": _text(value)}
            return bool(client.verify(key.name, key.properties.version, body).value)

        assert verified(signature)
        assert not verified(bytes(len(signature)))

    @pytest.mark.parametrize("size", [2048, 3072])
    def test_a_certificate_builder_signs_through_the_vault(self, clients: Clients, size: int) -> None:
        key = clients.keys.create_rsa_key("ca", size=size)
        private = clients.crypto(key).create_rsa_private_key()

        certificate = _self_signed(private)

        public = certificate.public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        assert public.key_size == size
        certificate.verify_directly_issued_by(certificate)

    @pytest.mark.parametrize(
        ("key_type", "algorithm", "length"),
        [
            ("RSA", "RS256", 31),
            ("RSA", "RS256", 64),
            ("RSA", "RS512", 32),
            ("EC", "ES256", 33),
            ("EC", "ES384", 48),
            ("EC", "RS256", 32),
            ("RSA", "ES256", 32),
            ("RSA", "RS1", 20),
        ],
    )
    def test_what_does_not_go_together_is_refused(
        self, vault: Vault, clients: Clients, key_type: str, algorithm: str, length: int
    ) -> None:
        key = clients.keys.create_key("ca", key_type)
        client = clients.keys._client

        with pytest.raises(HttpResponseError) as refused:
            client.sign(key.name, key.properties.version, {"alg": algorithm, "value": _text(bytes(length))})

        assert refused.value.status_code == 400
        assert refused.value.error is not None
        assert refused.value.error.code == "BadParameter"
        assert vault.signatures() == []

    def test_every_signature_is_listed_with_its_digest(self, vault: Vault, clients: Clients) -> None:
        key = clients.keys.create_ec_key("ca", curve="P-256")
        digests = [hashlib.sha256(bytes([number])).digest() for number in range(3)]
        values = [clients.crypto(key).sign(SignatureAlgorithm.es256, digest).signature for digest in digests]

        made = vault.signatures()

        assert [(each.digest, each.value) for each in made] == [
            (digest.hex(), value.hex()) for digest, value in zip(digests, values, strict=True)
        ]
        assert {(each.name, each.version, each.algorithm) for each in made} == {
            ("ca", key.properties.version or "", "ES256")
        }
        assert vault.traffic().requests["sign"] == 3


class TestAttributes:
    @pytest.mark.parametrize(
        ("attributes", "inner"),
        [
            ({"enabled": False}, "KeyDisabled"),
            ({"expires": PAST}, "KeyExpired"),
            ({"not_before": FUTURE}, "KeyNotYetValid"),
        ],
    )
    def test_an_unusable_key_does_not_sign(
        self, vault: Vault, clients: Clients, attributes: dict[str, object], inner: str
    ) -> None:
        key = clients.keys.create_ec_key("ca")
        crypto = clients.crypto(key)
        vault.set_attributes("ca", **attributes)  # type: ignore[arg-type]

        with pytest.raises(HttpResponseError) as refused:
            crypto.sign(SignatureAlgorithm.es256, bytes(32))

        assert refused.value.status_code == 403
        assert inner_code(refused.value) == inner

    def test_a_disabled_key_is_still_shown(self, clients: Clients) -> None:
        clients.keys.create_ec_key("ca", enabled=False, not_before=PAST, expires_on=FUTURE, tags={"use": "test"})

        properties = clients.keys.get_key("ca").properties

        assert (properties.enabled, properties.not_before, properties.expires_on) == (False, PAST, FUTURE)
        assert properties.tags == {"use": "test"}
        assert properties.recovery_level == "Recoverable+Purgeable"

    def test_attributes_can_be_changed_by_who_may(self, clients: Clients) -> None:
        clients.keys.create_ec_key("ca")

        clients.keys.update_key_properties("ca", enabled=False)

        assert clients.keys.get_key("ca").properties.enabled is False

    def test_a_key_signs_only_when_that_is_among_its_operations(self, clients: Clients) -> None:
        key = clients.keys.create_rsa_key("ca", key_operations=[KeyOperation.verify])
        client = clients.keys._client

        with pytest.raises(HttpResponseError) as refused:
            client.sign("ca", key.properties.version, {"alg": "RS256", "value": _text(bytes(32))})

        assert inner_code(refused.value) == "KeyOperationForbidden"

    @pytest.mark.parametrize(
        ("key_type", "options"),
        [
            ("RSA", {"size": 1024}),
            ("RSA", {"size": 2049}),
            ("EC", {"curve": "P-256K"}),
            ("oct", {}),
            ("EC", {"key_operations": ["encrypt"]}),
        ],
    )
    def test_keys_that_vaults_do_not_make_are_refused(
        self, clients: Clients, key_type: str, options: dict[str, object]
    ) -> None:
        with pytest.raises(HttpResponseError) as refused:
            clients.keys.create_key("ca", key_type, **options)  # type: ignore[arg-type]

        assert refused.value.status_code == 400


class TestVersions:
    def test_the_newest_version_answers_unless_one_is_named(self, clients: Clients) -> None:
        old, new = clients.keys.create_ec_key("ca"), clients.keys.create_ec_key("ca")

        assert clients.keys.get_key("ca").id == new.id
        assert clients.keys.get_key("ca", old.properties.version).id == old.id
        versions = {properties.version for properties in clients.keys.list_properties_of_key_versions("ca")}
        assert versions == {old.properties.version, new.properties.version}

    def test_a_named_version_signs_with_its_own_key(self, clients: Clients) -> None:
        old, _ = clients.keys.create_ec_key("ca"), clients.keys.create_ec_key("ca")

        signature = clients.crypto(old).sign(SignatureAlgorithm.es256, bytes(32))

        assert signature.key_id == old.id
        assert clients.crypto(old).verify(SignatureAlgorithm.es256, bytes(32), signature.signature).is_valid

    def test_an_unversioned_id_signs_with_the_newest(self, vault: Vault, clients: Clients) -> None:
        clients.keys.create_ec_key("ca")
        new = clients.keys.create_ec_key("ca")

        clients.crypto(f"{vault.url}/keys/ca").sign(SignatureAlgorithm.es256, bytes(32))

        assert vault.signatures()[0].version == new.properties.version

    def test_rotation_makes_another_version_of_the_same_kind(self, clients: Clients) -> None:
        old = clients.keys.create_ec_key("ca", curve="P-384")

        new = clients.keys.rotate_key("ca")

        assert new.key.crv == old.key.crv  # type: ignore[attr-defined]
        assert new.id != old.id

    def test_long_lists_come_in_pages(self, clients: Clients) -> None:
        for number in range(27):
            clients.keys.create_ec_key(f"key-{number}")

        names = [properties.name for properties in clients.keys.list_properties_of_keys(max_page_size=10)]

        assert sorted(names) == sorted(f"key-{number}" for number in range(27))

    def test_an_unknown_key_or_version_is_not_found(self, clients: Clients) -> None:
        clients.keys.create_ec_key("ca")

        for name, version in (("other", None), ("ca", "0" * 32)):
            with pytest.raises(ResourceNotFoundError, match="KeyNotFound"):
                clients.keys.get_key(name, version)


class TestSoftDelete:
    def test_a_deleted_key_is_gone_but_recoverable(self, clients: Clients) -> None:
        key = clients.keys.create_ec_key("ca")
        crypto = clients.crypto(key)
        deleted = clients.keys.begin_delete_key("ca", _polling_interval=0).result()

        with pytest.raises(ResourceNotFoundError):
            clients.keys.get_key("ca")
        with pytest.raises(HttpResponseError):
            crypto.sign(SignatureAlgorithm.es256, bytes(32))
        with pytest.raises(ResourceExistsError, match="deleted but recoverable"):
            clients.keys.create_ec_key("ca")
        assert deleted.scheduled_purge_date is not None
        assert deleted.deleted_date is not None
        assert deleted.scheduled_purge_date - deleted.deleted_date == timedelta(days=90)
        assert [each.name for each in clients.keys.list_deleted_keys()] == ["ca"]

        clients.keys.begin_recover_deleted_key("ca", _polling_interval=0).wait()
        assert clients.keys.get_key("ca").id == key.id

    def test_a_purged_key_frees_its_name(self, clients: Clients) -> None:
        old = clients.keys.create_ec_key("ca")
        clients.keys.begin_delete_key("ca", _polling_interval=0).wait()
        clients.keys.purge_deleted_key("ca")

        new = clients.keys.create_ec_key("ca")

        assert [each.version for each in clients.keys.list_properties_of_key_versions("ca")] == [new.properties.version]
        assert new.id != old.id
        with pytest.raises(ResourceNotFoundError):
            clients.keys.get_deleted_key("ca")


def _text(data: bytes) -> str:
    return base64url_encode(data).decode()


def _self_signed(private: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vault")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    builder = builder.serial_number(1).not_valid_before(PAST).not_valid_after(FUTURE)
    return builder.sign(private, hashes.SHA256())
