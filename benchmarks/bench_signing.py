"""Signatures a second of each signing backend, against cryptography's own with a key in memory.

python -m benchmarks.bench_signing [--seconds 0.25] [--backend key_vault] [--key-type P-256]

Raw and backend are measured in turns, and the medians compared, so that a busy machine does not favour one of them.
The key vault is the one in `local/`, a Python process on the same machine: its column of requests carries over to the
real service, its rate does not.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from shared.context import Deadline
from shared.pki.keys import KeyType, PrivateKey, generate_key, sign
from shared.pki.signing.base import SigningBackend
from shared.pki.signing.software import SoftwareBackend

TBS = os.urandom(1200)  # about what the to-be-signed part of a user's certificate has
THREADS = 8
ROUNDS = 3

NextKey = Callable[[], PrivateKey]
"""Called for every signature, as issuance does."""


class Skipped(Exception):
    """The backend cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Contestant:
    """`keys`: by key type, what gives a key for each signature. `requests`: how many the key store has had so far."""

    keys: Callable[[KeyType], NextKey]
    requests: Callable[[], int] = lambda: 0


@dataclass(frozen=True)
class Rate:
    """Signatures a second, from one thread and from eight."""

    alone: float
    together: float


def from_backend(connect: Callable[[KeyType], SigningBackend]) -> Callable[[KeyType], NextKey]:
    def keys(key_type: KeyType) -> NextKey:
        backend = connect(key_type)
        reference = backend.provide_key(key_type, within(60))
        return lambda: backend.signing_key(reference, within(60))

    return keys


def within(seconds: float) -> Deadline:
    return Deadline.after(timedelta(seconds=seconds))


@contextmanager
def software() -> Iterator[Contestant]:
    with tempfile.TemporaryDirectory() as folder:
        yield Contestant(from_backend(lambda key_type: SoftwareBackend(Path(folder) / f"{key_type}.pem", "passphrase")))


@contextmanager
def pkcs11() -> Iterator[Contestant]:
    from tests.support.softhsm import missing_softhsm, start_softhsm

    if missing := missing_softhsm():
        raise Skipped(missing)
    from shared.pki.signing.pkcs11 import Pkcs11Backend

    with tempfile.TemporaryDirectory() as folder:
        hsm = start_softhsm(Path(folder))
        yield Contestant(from_backend(lambda kind: Pkcs11Backend(hsm.module, hsm.token, hsm.pin, f"bench-{kind}")))


@contextmanager
def key_vault() -> Iterator[Contestant]:
    from local.entra.control import EntraEmulator
    from local.key_vault.control import KeyVaultEmulator
    from tests.support.key_vault import emulated_vault

    with EntraEmulator.start() as entra, KeyVaultEmulator.start(entra) as emulator:
        os.environ["REQUESTS_CA_BUNDLE"] = str(entra.ca_path)
        under_test = emulated_vault(entra, emulator)
        vault = under_test.emulated
        assert vault is not None
        yield Contestant(
            from_backend(lambda key_type: under_test.backend(f"bench-{key_type}")),
            lambda: sum(vault.traffic().requests.values()),
        )


@contextmanager
def key_vault_sdk() -> Iterator[Contestant]:
    """Azure's own RSA key object, as documented: from a client that is made for the operation."""
    from azure.keyvault.keys.crypto import CryptographyClient

    from local.entra.control import EntraEmulator
    from local.key_vault.control import KeyVaultEmulator
    from tests.support.key_vault import emulated_vault

    with EntraEmulator.start() as entra, KeyVaultEmulator.start(entra) as emulator:
        os.environ["REQUESTS_CA_BUNDLE"] = str(entra.ca_path)
        under_test = emulated_vault(entra, emulator)
        vault, credential = under_test.emulated, under_test.credential()
        assert vault is not None

        def keys(key_type: KeyType) -> NextKey:
            if not key_type.is_rsa:
                raise Skipped("the SDK has no such class for EC")
            made = under_test.client().create_rsa_key(f"bench-{key_type}", size=key_type.bits)
            return lambda: CryptographyClient(
                made.id, credential, verify_challenge_resource=False
            ).create_rsa_private_key()

        yield Contestant(keys, lambda: sum(vault.traffic().requests.values()))


CONTESTANTS = {"software": software, "pkcs11": pkcs11, "key_vault": key_vault, "key_vault_sdk": key_vault_sdk}


def signatures(next_key: NextKey, seconds: float) -> int:
    """How many in that time."""
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        sign(next_key(), TBS)
        count += 1
    return count


def rate(next_key: NextKey, seconds: float) -> Rate:
    alone = signatures(next_key, seconds) / seconds
    with ThreadPoolExecutor(THREADS) as threads:
        together = sum(threads.map(lambda _: signatures(next_key, seconds), range(THREADS))) / seconds
    return Rate(alone, together)


def compare(contestant: Contestant, key_type: KeyType, seconds: float) -> str:
    local_key = generate_key(key_type)
    next_key = contestant.keys(key_type)
    signatures(next_key, seconds / 2)
    rounds = [(rate(lambda: local_key, seconds), rate(next_key, seconds)) for _ in range(ROUNDS)]
    raw_alone, raw_together, alone, together = (
        statistics.median(values)
        for values in zip(*((raw.alone, raw.together, its.alone, its.together) for raw, its in rounds), strict=True)
    )
    before = contestant.requests()
    for _ in range(10):
        sign(next_key(), TBS)
    asked = (contestant.requests() - before) / 10
    return (
        f"{raw_alone:10,.0f} {alone:10,.0f} {alone / raw_alone:8.3f} {raw_together:12,.0f} {together:10,.0f} "
        f"{together / raw_together:8.3f} {asked:10.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.25, help="for each number (default: 0.25)")
    parser.add_argument("--backend", choices=sorted(CONTESTANTS), action="append")
    parser.add_argument("--key-type", choices=[key_type.value for key_type in KeyType], action="append")
    options = parser.parse_args()
    print(f"{'signatures a second':32}  1 thread{'':25}{THREADS} threads{'':24}requests")
    print(f"{'':32}       raw    backend    ratio          raw    backend    ratio   per sign.")
    for name in options.backend or CONTESTANTS:
        with ExitStack() as stack:
            try:
                contestant = stack.enter_context(CONTESTANTS[name]())
                for key_type in map(KeyType, options.key_type or KeyType):
                    print(f"  {name:18} {key_type:10} {compare(contestant, key_type, options.seconds)}", flush=True)
            except Skipped as reason:
                print(f"  {name:18} not measured (any further): {reason}")


if __name__ == "__main__":
    main()
