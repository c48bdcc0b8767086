"""Faults of the emulated vault, as Azure's clients meet them."""

import time
from datetime import UTC, datetime

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.keyvault.keys import KeyVaultKey
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm

from local.entra.faults import Fault
from local.key_vault import faults
from local.key_vault.control import Vault
from tests.local.key_vault.conftest import Clients

DIGEST = bytes(range(32))
ES256 = SignatureAlgorithm.es256


@pytest.fixture
def key(clients: Clients) -> KeyVaultKey:
    return clients.keys.create_ec_key("ca", curve="P-256")


@pytest.fixture
def crypto(clients: Clients, key: KeyVaultKey) -> CryptographyClient:
    return clients.crypto(key)


@pytest.mark.parametrize("retry_after", ["2", None])
def test_throttling_comes_with_or_without_retry_after(
    vault: Vault, crypto: CryptographyClient, retry_after: str | None
) -> None:
    vault.arm(faults.throttled(retry_after, path=faults.SIGN))

    with pytest.raises(HttpResponseError) as refused:
        crypto.sign(ES256, DIGEST)

    assert refused.value.status_code == 429
    assert dict(refused.value.response.headers).get("Retry-After") == retry_after  # type: ignore[union-attr]
    assert vault.signatures() == []
    assert crypto.sign(ES256, DIGEST).signature


def test_azures_own_retries_wait_as_long_as_they_are_told(vault: Vault, clients: Clients, key: KeyVaultKey) -> None:
    patient = CryptographyClient(key, clients.credential, verify_challenge_resource=False)
    patient.sign(ES256, DIGEST)
    vault.arm(faults.throttled("1", path=faults.SIGN))
    started = time.monotonic()

    patient.sign(ES256, DIGEST)

    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(("fault", "status"), [(faults.forbidden(), 403), (faults.failing(500), 500)])
def test_errors_are_answered_without_signing(
    vault: Vault, crypto: CryptographyClient, fault: Fault, status: int
) -> None:
    vault.arm(fault)

    with pytest.raises(HttpResponseError) as refused:
        crypto.sign(ES256, DIGEST)

    assert refused.value.status_code == status
    assert vault.signatures() == []


def test_a_dropped_connection_leaves_a_signature_behind(vault: Vault, crypto: CryptographyClient) -> None:
    crypto.sign(ES256, DIGEST)
    number = vault.arm(faults.dropped(path=faults.SIGN))

    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        crypto.sign(ES256, DIGEST)

    assert vault.struck(number) == 1
    assert len(vault.signatures()) == 2


def test_a_slow_vault_answers_late(vault: Vault, crypto: CryptographyClient) -> None:
    crypto.sign(ES256, DIGEST)
    vault.arm(faults.slow(0.2))
    started = time.monotonic()

    crypto.sign(ES256, DIGEST)

    assert time.monotonic() - started >= 0.2


def test_a_wrong_signature_is_well_formed_and_marked(vault: Vault, crypto: CryptographyClient) -> None:
    vault.arm(faults.wrong_signature())

    signature = crypto.sign(ES256, DIGEST).signature

    assert len(signature) == 64
    assert not crypto.verify(ES256, DIGEST, signature).is_valid
    assert [made.faulty for made in vault.signatures()] == [True]
    assert crypto.verify(ES256, DIGEST, crypto.sign(ES256, DIGEST).signature).is_valid


def test_another_version_can_answer(vault: Vault, clients: Clients, key: KeyVaultKey) -> None:
    newer = clients.keys.create_ec_key("ca", curve="P-256")
    vault.arm(faults.other_version(path=faults.SIGN))

    signature = clients.crypto(key).sign(ES256, DIGEST)

    assert vault.signatures()[0].version == newer.properties.version
    assert not clients.crypto(key).verify(ES256, DIGEST, signature.signature).is_valid


def test_a_key_can_be_disabled_or_expire_meanwhile(vault: Vault, crypto: CryptographyClient) -> None:
    crypto.sign(ES256, DIGEST)
    vault.set_attributes("ca", enabled=False)
    with pytest.raises(HttpResponseError, match="disabled"):
        crypto.sign(ES256, DIGEST)

    vault.set_attributes("ca", enabled=True)
    crypto.sign(ES256, DIGEST)
    vault.set_attributes("ca", expires=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(HttpResponseError, match="expired"):
        crypto.sign(ES256, DIGEST)


def test_faults_do_not_strike_the_challenge(vault: Vault, clients: Clients) -> None:
    number = vault.arm(faults.failing(500, times=1))

    with pytest.raises(HttpResponseError):
        clients.keys.get_key("ca")

    assert vault.struck(number) == 1
    assert vault.traffic().requests == {"challenge": 1, "refused": 1}


def test_azures_clients_retry_through_a_storm(vault: Vault, clients: Clients, key: KeyVaultKey) -> None:
    patient = CryptographyClient(key, clients.credential, verify_challenge_resource=False, retry_backoff_factor=0.01)
    vault.arm(faults.failing(503, path=faults.SIGN, times=2))

    assert patient.sign(ES256, DIGEST).signature
    assert len(vault.signatures()) == 1
