"""The Key Vault backend keeps the contract, asks for little, gives up in time, and says what is wrong.

Against the emulated vault, or any other that TEST_KEY_VAULT_URL names.
"""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from azure.keyvault.keys import KeyCurveName, KeyOperation
from azure.keyvault.keys._generated._utils.model_base import Model
from cryptography.exceptions import InvalidSignature

from local.entra.control import EntraEmulator
from local.entra.faults import Fault, Point, dripping
from local.key_vault import faults
from local.key_vault.control import READER, USER, KeyVaultEmulator, Vault
from shared.context import Deadline
from shared.pki.errors import (
    BackendError,
    BackendMisconfigured,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
)
from shared.pki.keys import KeyType, PrivateKey, sign, verify
from shared.pki.signing.base import SigningBackend
from shared.pki.signing.key_vault import KeyVaultBackend
from tests.support.key_vault import VaultUnderTest, emulated_vault
from tests.support.signing_contract import SigningContract, soon


def within(seconds: float) -> Deadline:
    return Deadline.after(timedelta(seconds=seconds))


@pytest.fixture
def name(key_vault: VaultUnderTest) -> str:
    return key_vault.new_name()


@pytest.fixture
def backend(key_vault: VaultUnderTest, name: str) -> KeyVaultBackend:
    return key_vault.backend(name)


@pytest.fixture
def vault(emulated_key_vault: VaultUnderTest) -> Vault:
    assert emulated_key_vault.emulated is not None
    return emulated_key_vault.emulated


@pytest.fixture
def reference(backend: KeyVaultBackend) -> str:
    return backend.provide_key(KeyType.P_256, soon())


@pytest.fixture
def key(backend: KeyVaultBackend, reference: str) -> PrivateKey:
    """Of a backend that has signed before: challenge, token and public key are there."""
    key = backend.signing_key(reference, within(30))
    sign(key, b"before")
    return key


class TestKeyVaultBackend(SigningContract):
    @pytest.fixture
    def backend(self, key_vault: VaultUnderTest, name: str) -> SigningBackend:
        return key_vault.backend(name)

    @pytest.fixture
    def reopen(self, key_vault: VaultUnderTest, name: str) -> Callable[[], SigningBackend]:
        return lambda: key_vault.backend(name)


# What it asks for


def test_from_the_second_on_a_signature_is_one_request(
    backend: KeyVaultBackend, reference: str, key: PrivateKey, vault: Vault
) -> None:
    vault.reset_traffic()

    for number in range(20):
        sign(backend.signing_key(reference, soon()), b"%d" % number)

    assert vault.traffic().requests == {"sign": 20}


def test_a_fresh_process_asks_for_a_challenge_and_the_public_key_once(
    key_vault: VaultUnderTest, name: str, reference: str, vault: Vault
) -> None:
    vault.reset_traffic()
    fresh = key_vault.backend(name)

    for number in range(3):
        sign(fresh.signing_key(reference, soon()), b"%d" % number)

    requests = dict(vault.traffic().requests)
    assert requests.pop("challenge", 0) <= 1  # the SDK keeps a challenge per vault and process
    assert requests == {"get": 1, "sign": 3}


def test_no_model_of_the_sdk_is_left_for_threads_to_be_first_at(key_vault: VaultUnderTest) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        settings_only = VaultUnderTest(key_vault.settings)
        assert fresh.submit(_models_first_used_by_a_backend, settings_only, key_vault.new_name()).result() == set()


def _models_first_used_by_a_backend(key_vault: VaultUnderTest, name: str) -> set[str]:
    known = set(Model._calculated)
    backend = key_vault.backend(name)
    reference = backend.provide_key(KeyType.P_256, soon())
    sign(backend.signing_key(reference, soon()), b"data")
    backend.check(reference, soon())
    key_vault.client().begin_delete_key(name).wait()
    with suppress(BackendMisconfigured):
        backend.check(reference, soon())
    return Model._calculated - known


def test_health_costs_one_request_and_no_signature(backend: KeyVaultBackend, reference: str, vault: Vault) -> None:
    vault.reset_traffic()

    backend.check(reference, soon())

    assert vault.traffic().requests == {"get": 1}


def test_signing_leaves_no_line_in_the_log(
    backend: KeyVaultBackend, reference: str, key: PrivateKey, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        sign(key, b"data")

    assert caplog.messages == []


def test_a_key_that_an_operator_made_is_taken(key_vault: VaultUnderTest, name: str) -> None:
    made = key_vault.client().create_ec_key(
        name, curve=KeyCurveName.p_384, key_operations=[KeyOperation.sign, KeyOperation.verify]
    )

    assert key_vault.backend(name).provide_key(KeyType.P_384, soon()) == f"{name}/{made.properties.version}"


def test_a_key_it_makes_is_for_signing_only(key_vault: VaultUnderTest, name: str, reference: str) -> None:
    assert set(key_vault.client().get_key(name).key_operations or []) == {"sign", "verify"}


def test_an_older_version_goes_on_signing_when_the_vault_has_a_newer_one(
    key_vault: VaultUnderTest, name: str, backend: KeyVaultBackend, reference: str
) -> None:
    public = backend.public_key(reference, soon())
    key_vault.client().create_ec_key(name, curve=KeyCurveName.p_256)

    verify(public, sign(key_vault.backend(name).signing_key(reference, soon()), b"data"), b"data")


# Throttling, failures and time


def test_a_throttled_signature_comes_after_the_pause_and_is_made_once(key: PrivateKey, vault: Vault) -> None:
    vault.arm(faults.throttled("1", path=faults.SIGN))
    before = len(vault.signatures())
    started = time.monotonic()

    verify(key.public_key(), sign(key, b"data"), b"data")

    assert 1 <= time.monotonic() - started < 3
    assert len(vault.signatures()) == before + 1


def test_a_throttled_vault_is_left_alone_by_all_threads(
    backend: KeyVaultBackend, reference: str, key: PrivateKey, vault: Vault
) -> None:
    vault.arm(faults.throttled("2", path=faults.SIGN))
    started = time.monotonic()

    def sign_one(number: int) -> float:
        time.sleep(0.3 if number else 0)
        sign(backend.signing_key(reference, soon()), b"%d" % number)
        return time.monotonic() - started

    with ThreadPoolExecutor(8) as threads:
        ends = list(threads.map(sign_one, range(8)))

    assert min(ends) >= 2
    assert vault.traffic().statuses["429"] == 1


def test_without_retry_after_the_pauses_grow_until_the_vault_is_ready(key: PrivateKey, vault: Vault) -> None:
    vault.arm(faults.throttled(None, path=faults.SIGN, times=2))
    started = time.monotonic()

    sign(key, b"data")

    assert 3 <= time.monotonic() - started < 6  # 1 s and 2 s, each with up to half a second of spread


def test_a_vault_throttled_for_longer_than_the_caller_can_wait_is_told_at_once(
    backend: KeyVaultBackend, reference: str, key: PrivateKey, vault: Vault
) -> None:
    vault.arm(faults.throttled("9", times=None))
    started = time.monotonic()

    with pytest.raises(BackendThrottled) as caught:
        sign(backend.signing_key(reference, within(5)), b"data")

    assert time.monotonic() - started < 1
    assert caught.value.status == 429
    assert caught.value.retry_after is not None
    assert 8 <= caught.value.retry_after.total_seconds() <= 9


@pytest.mark.parametrize(
    "fault",
    [
        faults.failing(500, path=faults.SIGN, times=2),
        faults.failing(503, path=faults.SIGN, times=2),
        faults.dropped(path=faults.SIGN, times=2),
        faults.truncated(path=faults.SIGN, times=2),
    ],
    ids=["500", "503", "dropped", "truncated"],
)
def test_what_passes_is_tried_again_with_the_same_digest(key: PrivateKey, vault: Vault, fault: Fault) -> None:
    vault.arm(fault)
    before = len(vault.signatures())

    verify(key.public_key(), sign(key, b"data"), b"data")

    made = vault.signatures()[before:]
    assert len({signature.digest for signature in made}) == 1


@pytest.mark.parametrize(
    "fault",
    [faults.failing(503, times=None), faults.dropped(times=None), faults.failing(503, retry_after="30", times=None)],
    ids=["503", "dropped", "503 with Retry-After"],
)
def test_what_does_not_pass_ends_before_the_deadline(
    backend: KeyVaultBackend, reference: str, key: PrivateKey, vault: Vault, fault: Fault
) -> None:
    vault.arm(fault)
    started = time.monotonic()

    with pytest.raises(BackendUnavailable) as caught:
        sign(backend.signing_key(reference, within(2)), b"data")

    assert caught.value.status == 503
    assert caught.value.retry_after is not None
    assert time.monotonic() - started < 2.5


@pytest.mark.parametrize("fault", [faults.slow(6), dripping(0.2, at=Point.VAULT, times=None)], ids=["slow", "dripping"])
def test_an_answer_that_does_not_come_ends_with_the_deadline(
    backend: KeyVaultBackend, reference: str, key: PrivateKey, vault: Vault, fault: Fault
) -> None:
    vault.arm(fault)
    started = time.monotonic()

    with pytest.raises(BackendTimeout) as caught:
        sign(backend.signing_key(reference, within(1)), b"data")

    assert caught.value.status == 504
    assert time.monotonic() - started < 2.5


@pytest.mark.parametrize(
    ("armed", "certain"),
    [
        ([faults.throttled("9", times=None)], True),
        ([faults.forbidden(times=None)], True),
        ([faults.failing(404, times=None)], True),
        ([faults.failing(503, times=None)], False),
        ([faults.failing(400, times=None)], False),
        ([faults.dropped(path=faults.SIGN, times=None)], False),
        ([faults.truncated(path=faults.SIGN, times=None)], False),
        ([faults.slow(3)], False),
        ([faults.dropped(path=faults.SIGN), faults.throttled("9", path=faults.SIGN, times=None, skip=1)], False),
        ([faults.failing(500, path=faults.SIGN), faults.forbidden(path=faults.SIGN, times=None)], False),
    ],
    ids=["429", "403", "404", "503", "400", "dropped", "truncated", "slow", "dropped, then 429", "500, then 403"],
)
def test_nothing_was_signed_for_certain_only_if_every_attempt_was_refused(
    backend: KeyVaultBackend, reference: str, key: PrivateKey, vault: Vault, armed: list[Fault], certain: bool
) -> None:
    for fault in armed:
        vault.arm(fault)
    before = len(vault.signatures())

    with pytest.raises(BackendError) as caught:
        sign(backend.signing_key(reference, within(2)), b"data")

    assert caught.value.nothing_signed is certain
    assert not certain or len(vault.signatures()) == before


def test_nothing_was_signed_for_certain_if_the_request_was_never_sent(
    key_vault: VaultUnderTest, name: str, reference: str, vault: Vault
) -> None:
    one = key_vault.backend(name, CA_KEY_VAULT_CONNECTIONS="1")
    key = one.signing_key(reference, within(2))
    vault.arm(faults.slow(2.5, path=faults.SIGN))

    with ThreadPoolExecutor(1) as threads:
        threads.submit(sign, one.signing_key(reference, soon()), b"other")
        time.sleep(0.3)
        with pytest.raises(BackendThrottled) as caught:
            sign(key, b"data")

    assert caught.value.nothing_signed


def test_no_more_signatures_are_under_way_than_there_are_connections(
    key_vault: VaultUnderTest, name: str, reference: str, vault: Vault
) -> None:
    two = key_vault.backend(name, CA_KEY_VAULT_CONNECTIONS="2")
    sign(two.signing_key(reference, soon()), b"before")
    vault.arm(faults.slow(0.4, path=faults.SIGN))
    started = time.monotonic()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda number: sign(two.signing_key(reference, soon()), b"%d" % number), range(6)))

    assert 1.2 <= time.monotonic() - started < 3


def test_who_finds_no_free_connection_until_its_deadline_is_told_to_come_back(
    key_vault: VaultUnderTest, name: str, reference: str, vault: Vault
) -> None:
    one = key_vault.backend(name, CA_KEY_VAULT_CONNECTIONS="1")
    sign(one.signing_key(reference, soon()), b"before")
    vault.arm(faults.slow(1.5, path=faults.SIGN))

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(sign, one.signing_key(reference, soon()), b"first")
        time.sleep(0.2)
        with pytest.raises(BackendThrottled) as caught:
            sign(one.signing_key(reference, within(0.5)), b"second")
        first.result()

    assert caught.value.retry_after is not None


def test_entra_being_away_for_a_moment_does_not_stop_a_signature(
    emulated_key_vault: VaultUnderTest, name: str, reference: str
) -> None:
    from local.entra import faults as entra_faults

    assert emulated_key_vault.tenant is not None
    fresh = emulated_key_vault.backend(name)
    emulated_key_vault.tenant.arm(entra_faults.failing(503, at=Point.TOKEN))

    sign(fresh.signing_key(reference, soon()), b"data")


@pytest.mark.parametrize("fault", [faults.wrong_signature(), faults.other_version(path=faults.SIGN)])
def test_a_wrong_signature_is_handed_on_and_does_not_verify(
    key_vault: VaultUnderTest, name: str, key: PrivateKey, vault: Vault, fault: Fault
) -> None:
    """It is well-formed: who knows the issuer's certificate finds out, before anything is handed out."""
    key_vault.client().create_ec_key(name, curve=KeyCurveName.p_256)
    vault.arm(fault)

    with pytest.raises(InvalidSignature):
        verify(key.public_key(), sign(key, b"data"), b"data")


# Misconfigurations


def refused(do: Callable[[], object]) -> str:
    """The sentence of the misconfiguration that `do` runs into."""
    with pytest.raises(BackendMisconfigured) as caught:
        do()
    assert caught.value.status == 503
    return caught.value.message


def test_without_a_role_the_action_that_lacks_is_named(
    emulated_key_vault: VaultUnderTest, key: PrivateKey, backend: KeyVaultBackend, reference: str, vault: Vault
) -> None:
    assert emulated_key_vault.tenant is not None
    vault.assign_roles(emulated_key_vault.tenant.app, READER)

    backend.check(reference, soon())
    assert "vaults/keys/sign/action" in refused(lambda: sign(key, b"data"))

    vault.assign_roles(emulated_key_vault.tenant.app)

    assert "vaults/keys/read" in refused(lambda: backend.check(reference, soon()))


def test_without_the_right_to_create_who_has_it_is_named(
    entra: EntraEmulator, key_vault_emulator: KeyVaultEmulator, emulated_key_vault: VaultUnderTest
) -> None:
    signer = emulated_vault(entra, key_vault_emulator, role=USER)

    told = refused(lambda: signer.backend("user-ca").provide_key(KeyType.P_256, soon()))

    assert "Key Vault Crypto Officer" in told


def test_a_key_name_that_does_not_exist_is_told(key_vault: VaultUnderTest, name: str) -> None:
    told = refused(lambda: key_vault.backend(name).check(f"{name}/{'0' * 32}", soon()))

    assert f"has no key {name}" in told
    assert "CA_KEY_VAULT_KEY" in told


def test_a_version_that_does_not_exist_is_told(key_vault: VaultUnderTest, name: str, reference: str) -> None:
    told = refused(lambda: key_vault.backend(name).check(f"{name}/{'0' * 32}", soon()))

    assert f"has no key {name}, version {'0' * 32}" in told


def test_a_disabled_key_is_told_by_signature_and_by_health(
    key_vault: VaultUnderTest, name: str, backend: KeyVaultBackend, key: PrivateKey, reference: str
) -> None:
    key_vault.client().update_key_properties(name, enabled=False)

    assert "is disabled" in refused(lambda: sign(key, b"data"))
    assert "is disabled" in refused(lambda: backend.check(reference, soon()))
    assert "is disabled" in refused(lambda: key_vault.backend(name).provide_key(KeyType.P_256, soon()))


def test_an_expired_key_is_told_with_its_date(
    key_vault: VaultUnderTest, name: str, backend: KeyVaultBackend, key: PrivateKey, reference: str
) -> None:
    key_vault.client().update_key_properties(name, expires_on=datetime(2025, 1, 2, tzinfo=UTC))

    assert "has expired on 2025-01-02" in refused(lambda: sign(key, b"data"))
    assert "has expired on 2025-01-02" in refused(lambda: backend.check(reference, soon()))


def test_a_key_that_is_not_yet_valid_is_told_with_its_date(
    key_vault: VaultUnderTest, name: str, backend: KeyVaultBackend, key: PrivateKey, reference: str
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    key_vault.client().update_key_properties(name, not_before=tomorrow)

    assert f"is not yet valid until {tomorrow:%Y-%m-%d}" in refused(lambda: sign(key, b"data"))
    assert "is not yet valid" in refused(lambda: backend.check(reference, soon()))


def test_a_key_without_the_operation_sign_is_told(key_vault: VaultUnderTest, name: str) -> None:
    made = key_vault.client().create_ec_key(name, curve=KeyCurveName.p_256, key_operations=[KeyOperation.verify])
    backend = key_vault.backend(name)
    reference = f"{name}/{made.properties.version}"

    assert "the operation sign" in refused(lambda: sign(backend.signing_key(reference, soon()), b"data"))
    assert "the operation sign" in refused(lambda: backend.check(reference, soon()))
    assert "the operation sign" in refused(lambda: backend.provide_key(KeyType.P_256, soon()))


def test_a_soft_deleted_key_is_told_with_the_command_that_recovers_it(
    key_vault: VaultUnderTest, name: str, backend: KeyVaultBackend, key: PrivateKey, reference: str
) -> None:
    key_vault.client().begin_delete_key(name).wait()

    recover = f"az keyvault key recover --name {name}"
    assert recover in refused(lambda: sign(key, b"data"))
    assert recover in refused(lambda: backend.check(reference, soon()))
    assert recover in refused(lambda: key_vault.backend(name).provide_key(KeyType.P_256, soon()))


def test_a_vault_of_another_tenant_is_told(
    entra: EntraEmulator, key_vault_emulator: KeyVaultEmulator, emulated_key_vault: VaultUnderTest
) -> None:
    other = emulated_vault(entra, key_vault_emulator)
    stranger = emulated_key_vault.backend("user-ca", CA_KEY_VAULT_URL=other.settings["CA_KEY_VAULT_URL"])

    assert "belongs to another tenant" in refused(lambda: stranger.provide_key(KeyType.P_256, soon()))


def test_an_emulators_host_gets_no_token_while_the_challenge_is_verified(emulated_key_vault: VaultUnderTest) -> None:
    strict = emulated_key_vault.backend("user-ca", CA_KEY_VAULT_VERIFY_CHALLENGE="true")

    assert "CA_KEY_VAULT_VERIFY_CHALLENGE" in refused(lambda: strict.provide_key(KeyType.P_256, soon()))


def test_a_free_key_of_another_type_is_told_with_both(key_vault: VaultUnderTest, name: str, reference: str) -> None:
    told = refused(lambda: key_vault.backend(name).provide_key(KeyType.RSA_2048, soon()))

    assert "of type P-256, but RSA-2048 is asked for" in told


def test_no_sentence_tells_the_callers_identity_or_token(
    emulated_key_vault: VaultUnderTest, key: PrivateKey, vault: Vault
) -> None:
    tenant = emulated_key_vault.tenant
    assert tenant is not None
    vault.assign_roles(tenant.app)

    told = refused(lambda: sign(key, b"data"))

    assert tenant.app.object_id not in told
    assert tenant.client_secret not in told
