"""What a certificate costs: against the raw signature, the raw key, django-ca, and the patience of /health.

python -m benchmarks.bench_issuance [--part core|directory|http|keys|health|django-ca] [--quick]

Things that are compared are measured in turns and by their medians, so that a busy machine favours none of them; what
only computes is measured in processor time and by its least disturbed turn.
Azurite, the functions host and the callers share the machine, so the absolute times are an upper bound.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path

from local.azurite.azurite import Azurite
from local.stack import Stack, running_cloud, running_stack
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.certificate import CertificateType
from shared.directory.records.user import User
from shared.directory.tables import TableStore
from shared.pki.authority.authority import Authority
from shared.pki.authority.issuer_certificate import IssuerPlan
from shared.pki.issuance.csr import key_of_csr
from shared.pki.issuance.cycle import Issuance
from shared.pki.issuance.lint import lint
from shared.pki.issuance.order import Order
from shared.pki.keys import KeyType, PrivateKey, PublicKey, generate_key, sign, verify
from shared.pki.tbs import assemble
from tests.support.issuers import LooseIssuer
from tests.support.pki import POLICY, TestCa, a_user, context, make_csr, order, software_backend

DJANGO_CA = "django-ca==3.2.0"
PEER = Path(__file__).with_name("django_ca_peer.py")
CORE_GOAL, KEY_2048_GOAL_MS, KEY_4096_GOAL, HEALTH_GOAL_MS = 1.6, 25.0, 1.1, 250.0

ADA = a_user(7, name="Ada Lovelace")

Act = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=list(PARTS), action="append", help="only this part; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a fifth of the repetitions")
    options = parser.parse_args()
    for part in options.part or PARTS:
        PARTS[part](5 if options.quick else 1)
        print()


def in_turns(
    acts: Mapping[str, Act], times: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Milliseconds of each act, `times` times each, one after the other in turns.

    `clock`: `time.thread_time` for what only computes, so that other processes' turns on the processor do not count.
    """
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(times):
        for name, act in acts.items():
            started = clock()
            act()
            taken[name].append((clock() - started) * 1000)
    return taken


def head(title: str, *columns: str) -> None:
    print(f"{title:<66}" + "".join(f"{column:>14}" for column in columns))


def row(name: str, *cells: str) -> None:
    print(f"  {name:<64}" + "".join(f"{cell:>14}" for cell in cells))


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


# --- The signing core ---


def core(less: int) -> None:
    """Building, linting, signing and verifying, without directory and network."""
    head("signing core, from a proven CSR, client_auth", "CPU ms, least", "raw signature", "goal")
    for key_type in (KeyType.RSA_2048, KeyType.RSA_3072, KeyType.RSA_4096, KeyType.P_256, KeyType.P_384):
        issuer = LooseIssuer.make(key_type, now=datetime.now(UTC))
        csr = make_csr(leaf_key(KeyType.RSA_2048))
        public = key_of_csr(csr)[0]
        tbs = signing_core(issuer, public)
        taken = in_turns(
            {
                "raw": partial(sign, issuer.key, tbs),
                "unlinted": partial(build_and_sign, issuer, public),
                "core": partial(signing_core, issuer, public),
                "with": partial(signing_core_with_csr, issuer, csr),
            },
            1000 // less,
            time.thread_time,
        )
        raw, unlinted, ours, with_csr = map(min, taken.values())
        row(f"{key_type}: raw signature (cryptography)", f"{raw:.3f}", "1.00")
        row(f"{key_type}: build, sign", f"{unlinted:.3f}", f"{unlinted / raw:.2f}")
        judged = verdict(ours / raw <= CORE_GOAL) if key_type is KeyType.RSA_2048 else ""
        row(f"{key_type}: build, lint, sign, verify", f"{ours:.3f}", f"{ours / raw:.2f}", judged)
        row(f"{key_type}: the same, with the check of the CSR", f"{with_csr:.3f}", f"{with_csr / raw:.2f}")


def signing_core_with_csr(issuer: LooseIssuer, csr: str) -> bytes:
    return signing_core(issuer, key_of_csr(csr)[0])


def signing_core(issuer: LooseIssuer, public: PublicKey) -> bytes:
    """Steps 2, 4 and 5 of the cycle."""
    intended = issuer.intend(ADA, CertificateType.CLIENT_AUTH, public, POLICY, now=datetime.now(UTC))
    draft = lint(intended.draft(POLICY), intended)
    signature = sign(issuer.key, draft.tbs)
    verify(issuer.material.public_key, signature, draft.tbs)
    assemble(draft.tbs, issuer.material.public_key, signature)
    return draft.tbs


def build_and_sign(issuer: LooseIssuer, public: PublicKey) -> bytes:
    intended = issuer.intend(ADA, CertificateType.CLIENT_AUTH, public, POLICY, now=datetime.now(UTC))
    return issuer.sign(intended.draft(POLICY).tbs)


@cache
def leaf_key(key_type: KeyType) -> PrivateKey:
    return generate_key(key_type)


# --- With the directory, in one process ---


def directory(less: int) -> None:
    head("issuance from a CSR, one process, ledger on Azurite, RSA-2048 issuer", "median ms", "p95 ms", "per second")
    with tempfile.TemporaryDirectory() as name, Azurite.start() as azurite:
        issuance, users = a_ca(azurite.connection_string, Path(name))
        for threads in (1, 8, 32):
            orders = iter([order(users[n % len(users)]) for n in range(400 // less)])
            act = partial(issue_next, issuance, orders)
            describe(f"{threads} caller(s)", *hammer(act, threads, 400 // less))


def issue_next(issuance: Issuance, orders: Iterator[Order]) -> None:
    issuance.issue(next(orders), context())


def a_ca(connection_string: str, folder: Path) -> tuple[Issuance, list[User]]:
    tables = TableStore.from_connection_string(connection_string, "directory")
    tables.create_if_missing()
    ledger = Ledger(tables, "benchmark")
    backend = software_backend(folder)
    authority = Authority(ledger, backend, "software")
    ca = TestCa(ledger, backend, authority, Issuance(ledger, authority, POLICY), POLICY)
    ca.ceremony.initialize(IssuerPlan(common_name="Benchmark CA", key_type=KeyType.RSA_2048), context())
    return ca.issuance, [ca.add_user() for _ in range(20)]


def hammer(act: Act, threads: int, times: int) -> tuple[list[float], float]:
    """Milliseconds of each of `times` acts by so many threads, and the seconds of all together."""
    lock = threading.Lock()
    taken: list[float] = []

    def one(_number: int) -> None:
        started = time.perf_counter()
        act()
        with lock:
            taken.append((time.perf_counter() - started) * 1000)

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(times)))
    return taken, time.perf_counter() - started


def describe(name: str, taken: Sequence[float], seconds: float) -> None:
    p95 = statistics.quantiles(taken, n=20)[-1]
    row(name, f"{statistics.median(taken):.1f}", f"{p95:.1f}", f"{len(taken) / seconds:.1f}")


# --- Over HTTP ---


@contextmanager
def stack_with_users() -> Iterator[tuple[Stack, list[int]]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cloud").mkdir()
        with (
            running_cloud(folder / "cloud", "software") as cloud,
            running_stack(cloud.azurite, cloud.entra, cloud.tenant, folder / "stack", cloud.settings) as stack,
        ):
            tables = TableStore.from_connection_string(cloud.azurite.connection_string, "directory")
            yield stack, add_users(Ledger(tables, stack.settings["ENTRA_TENANT_ID"]), 20)


def add_users(ledger: Ledger, count: int) -> list[int]:
    def decide(tx: Transaction) -> list[int]:
        users = [a_user(tx.next_id("user")) for _ in range(count)]
        for user in users:
            tx.put(user)
        return [user.id for user in users]

    return ledger.commit(Request("user.synced", context(), decide), context().deadline).value


def provision(stack: Stack, user_id: int, **fields: object) -> None:
    reply = stack.api.post("provision-certificate", json={"user_id": user_id, **fields})
    if reply.status_code != 201:
        raise SystemExit(f"provision-certificate answered {reply.status_code}: {reply.text}")


def provision_next(stack: Stack, user_id: int, csrs: Iterator[str]) -> None:
    provision(stack, user_id, csr=next(csrs))


def http(less: int) -> None:
    head("issuance from a CSR, over HTTP, ledger on Azurite, RSA-3072 issuer", "median ms", "p95 ms", "per second")
    with stack_with_users() as (stack, users):
        for threads in (1, 8):
            csrs = iter([make_csr(generate_key(KeyType.P_256)) for _ in range(200 // less)])
            act = partial(provision_next, stack, users[0], csrs)
            describe(f"{threads} caller(s)", *hammer(act, threads, 200 // less))


def keys(less: int) -> None:
    head("key made by the server, over HTTP", "median ms", "over raw", "goal")
    with stack_with_users() as (stack, users):
        provision(stack, users[0], key_size=2048)
        for bits, times in ((2048, 300), (3072, 60), (4096, 40)):
            key_type = KeyType(f"RSA-{bits}")
            taken = in_turns(
                {
                    "raw": partial(generate_key, key_type),
                    "request": partial(provision, stack, users[0], key_size=bits),
                },
                times // less,
            )
            raw, request = statistics.median(taken["raw"]), statistics.median(taken["request"])
            row(f"{bits} bits: raw key (cryptography), {times // less} times", f"{raw:.0f}")
            judged = {2048: verdict(request - raw <= KEY_2048_GOAL_MS), 4096: verdict(request / raw <= KEY_4096_GOAL)}
            row(
                f"{bits} bits: request",
                f"{request:.0f}",
                f"+{request - raw:.0f} ms, {request / raw:.2f}x",
                judged.get(bits, ""),
            )


def health(less: int) -> None:
    """GET /health, 20 a second, while four callers have 4096-bit keys made without a pause."""
    head("GET /health while 4 callers have 4096-bit keys made", "median ms", "p99 ms", "goal")
    with stack_with_users() as (stack, users):
        idle = ask_for_health(stack, timedelta(seconds=10 / less))
        row("idle", f"{statistics.median(idle):.1f}", f"{statistics.quantiles(idle, n=100)[-1]:.1f}")
        stop = threading.Event()
        made: list[int] = []

        def make_keys(user_id: int) -> None:
            while not stop.is_set():
                provision(stack, user_id, key_size=4096)
                made.append(user_id)

        callers = [threading.Thread(target=make_keys, args=(users[number],)) for number in range(4)]
        for caller in callers:
            caller.start()
        time.sleep(1)
        busy = ask_for_health(stack, timedelta(seconds=60 / less))
        stop.set()
        for caller in callers:
            caller.join()
        p99 = statistics.quantiles(busy, n=100)[-1]
        row(
            f"busy ({len(made)} keys made)",
            f"{statistics.median(busy):.1f}",
            f"{p99:.1f}",
            verdict(p99 <= HEALTH_GOAL_MS),
        )


def ask_for_health(stack: Stack, duration: timedelta) -> list[float]:
    """Milliseconds of each answer; one is asked for every 50 ms, whether the last has come or not."""
    taken: list[float] = []

    def ask() -> None:
        started = time.perf_counter()
        reply = stack.api.get("health")
        assert reply.status_code == 200, reply.text
        taken.append((time.perf_counter() - started) * 1000)

    end = time.monotonic() + duration.total_seconds()
    with ThreadPoolExecutor(16) as pool:
        while time.monotonic() < end:
            pool.submit(ask)
            time.sleep(0.05)
    return taken


# --- django-ca ---


def django_ca(less: int) -> None:
    head("the same CSR, RSA-2048 issuer, one caller, in process", "median ms", "of django-ca")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        csr = make_csr(generate_key(KeyType.RSA_2048))
        try:
            peer = sign_with_django_ca(folder, csr, 100 // less)
        except subprocess.CalledProcessError as error:
            row(f"skipped: {DJANGO_CA} could not be installed or run ({error.stderr.strip().splitlines()[-1][:80]})")
            return
        with Azurite.start() as azurite:
            issuance, users = a_ca(azurite.connection_string, folder)
            taken = in_turns({"ours": lambda: issuance.issue(order(users[0], csr=csr), context())}, 100 // less)
        ours, theirs = statistics.median(taken["ours"]), statistics.median(peer)
        row(f"{DJANGO_CA}, SQLite", f"{theirs:.1f}", "1.00")
        row("ours, ledger on Azurite", f"{ours:.1f}", f"{ours / theirs:.2f}", verdict(ours < theirs))


def sign_with_django_ca(folder: Path, csr: str, times: int) -> list[float]:
    """Milliseconds of each certificate. django-ca lives in an environment of its own: it needs Django."""
    home = folder / "django-ca"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run([python, "-m", "pip", "install", "--quiet", DJANGO_CA])
    (folder / "request.csr").write_text(csr)
    (folder / "peer").mkdir()
    printed = run([python, PEER, folder / "peer", folder / "request.csr", str(times)])
    return [seconds * 1000 for seconds in json.loads(printed.splitlines()[-1])["seconds"]]


def run(command: Sequence[object]) -> str:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout


PARTS: Mapping[str, Callable[[int], None]] = {
    "core": core,
    "directory": directory,
    "http": http,
    "keys": keys,
    "health": health,
    "django-ca": django_ca,
}

if __name__ == "__main__":
    main()
