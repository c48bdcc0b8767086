"""Hours of weather in minutes: the app under load while its storage and its Entra ID come and go.

python -m benchmarks.soak [--minutes 10] [--seed N]

Callers issue, revoke, list, search, validate, synchronize and fetch CRLs and OCSP answers without a pause; timers fire.
Every so often Azurite is stopped and started again, or frozen, and the Entra emulator is killed and set up again, or
frozen. (Azurite is stopped, not killed: it keeps what it acknowledged in memory for seconds, so a kill would lose it.)
In the end everything that was acknowledged has to be there, and nothing else.
"""

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from local.azurite.azurite import Azurite
from local.demo_directory import fill
from local.entra.control import EntraEmulator
from local.stack import ABILITY, ApiClient, Stack, StackFailed, running_stack
from shared.pki.keys import KeyType
from tests.support.issuers import key_of
from tests.support.pki import make_csr

CALM = (8.0, 25.0)
"""Seconds between two disturbances, from and to."""
OUTAGE = (0.5, 6.0)
"""Seconds that one lasts."""
RECOVERY = timedelta(seconds=30)
"""After a disturbance, replies may still tell of it for this long: Entra's back-off, breakers, fresh caches."""
REPLY_TIMEOUT = timedelta(seconds=60)
TIMERS = ("sync_tenant", "publish_crls", "sweep_certificates", "settle_revocations")
TIMER_PAUSE = timedelta(seconds=5)
SAMPLE_PAUSE = timedelta(seconds=2)
MOST_SAID = 400
MAX_GROWTH = 1.15
"""Of the app's memory from the second quarter to the last one, medians: what is still called flat."""


class Weather:
    """Whether something is disturbed just now, and the processes that can be."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder, self._chance = folder, chance
        self.azurite = Azurite.start(folder / "azurite")
        self.entra = EntraEmulator.start(folder / "entra")
        self.tenant = self.entra.new_tenant()
        fill(self.tenant)
        self.counts: Counter[str] = Counter()
        self.slowest_stop = 0.0
        self._clear_since = time.monotonic()
        self._disturbed = False

    def is_clear(self, since: float) -> bool:
        """Whether nothing was disturbed from that time (monotonic seconds) on, nor shortly before."""
        return not self._disturbed and since - self._clear_since > RECOVERY.total_seconds()

    def blow(self, until: float) -> None:
        """Disturbs one thing after the other until then, and leaves everything up."""
        kinds: tuple[Callable[[float], None], ...] = (
            self.stop_azurite,
            self.freeze_azurite,
            self.kill_entra,
            self.freeze_entra,
        )
        # The last part of the time is calm: what is recovered from has to be seen.
        while (pause := self._chance.uniform(*CALM)) < until - time.monotonic() - RECOVERY.total_seconds():
            time.sleep(pause)
            kind = self._chance.choice(kinds)
            self._disturbed = True
            kind(self._chance.uniform(*OUTAGE))
            self._clear_since, self._disturbed = time.monotonic(), False
            self.counts[kind.__name__.replace("_", " ")] += 1

    def stop_azurite(self, seconds: float) -> None:
        ports = (self.azurite.blob_port, self.azurite.queue_port, self.azurite.table_port)
        began = time.monotonic()
        self.azurite.stop()
        self.slowest_stop = max(self.slowest_stop, time.monotonic() - began)
        time.sleep(seconds)
        self.azurite = Azurite.start(self._folder / "azurite", ports=ports)

    def freeze_azurite(self, seconds: float) -> None:
        with frozen(self.azurite.process.pid):
            time.sleep(seconds)

    def kill_entra(self, seconds: float) -> None:
        """Its directory comes back as it was, but with new signing keys and no memory of delta tokens."""
        port = int(self.entra.url.rpartition(":")[2])
        os.kill(self.entra.pid, signal.SIGKILL)
        self.entra.stop()
        time.sleep(seconds)
        before = self.tenant
        self.entra = EntraEmulator.start(self._folder / "entra", port)
        tenant = self.entra.new_tenant(before.id, client_id=before.client_id, client_secret=before.client_secret)
        fill(tenant)
        self.tenant = tenant

    def freeze_entra(self, seconds: float) -> None:
        with frozen(self.entra.pid):
            time.sleep(seconds)

    def stop(self) -> None:
        self.entra.stop()
        self.azurite.stop()


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass
class Diary:
    """What the callers saw. `in_calm`: outcomes of calls that no disturbance can excuse."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    in_calm: Counter[tuple[str, str]] = field(default_factory=Counter)
    issued: dict[int, str] = field(default_factory=dict)
    """Serial numbers by certificate id, of what was acknowledged."""
    revoked: set[int] = field(default_factory=set)
    attempts: int = 0
    """Of issuance, each under an Idempotency-Key of its own."""
    first: dict[tuple[str, str], str] = field(default_factory=dict)
    """What the first reply with that outcome said."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, call: str, outcome: str, *, calm: bool, said: str = "") -> None:
        with self.lock:
            self.outcomes[call, outcome] += 1
            self.first.setdefault((call, outcome), said[:MOST_SAID])
            if calm:
                self.in_calm[call, outcome] += 1


class Callers:
    """Each method is one caller's errand."""

    def __init__(self, stack: Stack, weather: Weather, diary: Diary, users: Mapping[int, str], issuer_id: str) -> None:
        """`users`: active ones, UPN by id."""
        self._stack, self._weather, self._diary = stack, weather, diary
        self._users = users
        self._pki = f"{stack.url}/api/v1/pki/{issuer_id}"
        self._chance = random.Random(1)

    def issue(self, api: ApiClient) -> None:
        """Asks again under the same key until there is an answer that is final, as a good client does."""
        key = str(uuid.uuid4())
        user_id = self._chance.choice(list(self._users))
        body = {"user_id": user_id, "csr": csr_of(user_id)}
        with self._diary.lock:
            self._diary.attempts += 1
        while True:
            reply = self._call(
                "issue", api, "POST", "provision-certificate", json=body, headers={"Idempotency-Key": key}
            )
            if reply is not None and reply.status_code in (200, 201):
                certificate = reply.json()["certificate"]
                self._diary.issued[certificate["id"]] = certificate["serial_number"]
                return
            if reply is not None and reply.status_code not in (409, 429, 503):
                return
            time.sleep(0.5)

    def revoke(self, api: ApiClient) -> None:
        left = [number for number in list(self._diary.issued) if number not in self._diary.revoked]
        if len(left) < 20:
            time.sleep(1)
            return
        number = self._chance.choice(left)
        body = {"reason": "superseded"}
        reply = self._call("revoke", api, "POST", f"certificates/{number}/revoke", json=body)
        if reply is not None and reply.status_code == 200:
            self._diary.revoked.add(number)

    def read(self, api: ApiClient) -> None:
        self._call("list users", api, "GET", "users", params={"per_page": 50, "page": self._chance.randint(1, 4)})
        self._call("search users", api, "GET", "users", params={"search": self._chance.choice("aeiou")})
        self._call("statistics", api, "GET", "statistics")
        self._call("certificates", api, "GET", "certificates", params={"status": "active"})

    def check(self, api: ApiClient) -> None:
        self._call("CRL", api, "GET", f"{self._pki}/crl")
        self._call("health", api, "GET", "health")
        time.sleep(0.1)

    def validate(self, api: ApiClient) -> None:
        try:
            token = self._weather.tenant.mint_token(roles=[ABILITY])
        except Exception:  # noqa: BLE001  (the emulator itself is away, so there is nothing to validate)
            time.sleep(1)
            return
        self._call("validate token", api, "POST", "validate-token", json={"token": token})
        time.sleep(0.1)

    def synchronize(self, api: ApiClient) -> None:
        upn = self._chance.choice(list(self._users.values()))
        self._call("sync user", api, "POST", "sync-user", json={"user_principal_name": upn})
        time.sleep(0.2)

    def _call(self, name: str, api: ApiClient, method: str, url: str, **more: Any) -> requests.Response | None:
        began = time.monotonic()
        calm = self._weather.is_clear(began)
        try:
            reply = api.request(method, url, timeout=REPLY_TIMEOUT.total_seconds(), **more)
        except requests.RequestException as error:
            self._diary.note(name, type(error).__name__, calm=calm and self._weather.is_clear(began))
            return None
        clear = calm and self._weather.is_clear(began)
        self._diary.note(name, str(reply.status_code), calm=clear, said=reply.text)
        return reply


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="of the weather; printed, to repeat it")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    print(f"{options.minutes:g} minutes, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        weather = Weather(Path(name), random.Random(seed))
        try:
            with running_stack(weather.azurite, weather.entra, weather.tenant, Path(name)) as stack:
                stack.fire_timer("sync_tenant")
                return soak(stack, weather, timedelta(minutes=options.minutes))
        finally:
            weather.stop()


def soak(stack: Stack, weather: Weather, duration: timedelta) -> int:
    """Returns the exit code: 1 if anything was lost, or wrong when there was no excuse."""
    diary, memory = Diary(), list[int]()
    until = time.monotonic() + duration.total_seconds()
    callers = Callers(stack, weather, diary, active_users(stack), issuer_of(stack))
    errands = (callers.issue, callers.issue, callers.revoke, callers.read, callers.check, callers.validate)

    def repeat(errand: Callable[[ApiClient], None]) -> None:
        api = stack.api
        while time.monotonic() < until:
            errand(api)

    with ThreadPoolExecutor(max_workers=16) as pool:
        running = [pool.submit(repeat, errand) for errand in (*errands, callers.synchronize)]
        running.append(pool.submit(fire_timers, stack, weather, diary, until))
        running.append(pool.submit(sample_memory, stack.host.process.pid, memory, until))
        weather.blow(until)
        for future in running:
            future.result()
    for timer in TIMERS:
        stack.fire_timer(timer)
    return report(stack, weather, diary, memory)


def active_users(stack: Stack) -> dict[int, str]:
    """UPN by id of those to whom a certificate can be issued."""
    listed = stack.api.get("users", params={"per_page": "100"}).json()["data"]
    return {user["id"]: user["entra_upn"] for user in listed if user["is_active"]}


def csr_of(user_id: int) -> str:
    """Over the same key each time, which is nobody else's."""
    return make_csr(key_of(KeyType.P_256, f"soak {user_id}"))


def issuer_of(stack: Stack) -> str:
    user_id = next(iter(active_users(stack)))
    order = {"user_id": user_id, "csr": csr_of(user_id)}
    issuer_id: str = stack.api.post("provision-certificate", json=order).json()["certificate"]["issuer_id"]
    return issuer_id


def fire_timers(stack: Stack, weather: Weather, diary: Diary, until: float) -> None:
    while time.monotonic() < until:
        for timer in TIMERS:
            began = time.monotonic()
            calm = weather.is_clear(began)
            outcome = "ran"
            try:
                stack.fire_timer(timer, REPLY_TIMEOUT)
            except (StackFailed, requests.RequestException):
                outcome = "failed"
            diary.note(f"timer {timer}", outcome, calm=calm and weather.is_clear(began))
        time.sleep(TIMER_PAUSE.total_seconds())


def sample_memory(pid: int, samples: list[int], until: float) -> None:
    """Resident set size in KiB (proc_pid_status(5)), every other second."""
    while time.monotonic() < until:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        samples.append(int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]))
        time.sleep(SAMPLE_PAUSE.total_seconds())


GOOD = frozenset({"200", "201", "ran"})
EXCUSABLE = frozenset({"409", "429", "503", "failed", "ReadTimeout"})
"""While something is disturbed."""
NEW_KEYS = ("validate token", "401")
"""The emulator comes back with keys that it has not announced, as Entra does not do."""


def report(stack: Stack, weather: Weather, diary: Diary, memory: list[int]) -> int:
    print("disturbances: " + ", ".join(f"{name} {count} times" for name, count in sorted(weather.counts.items())))
    print(f"Azurite took up to {weather.slowest_stop:.1f} s to write what it had and stop")
    for call in sorted({name for name, _ in diary.outcomes}):
        found = {outcome: count for (name, outcome), count in sorted(diary.outcomes.items()) if name == call}
        calm = {outcome: count for (name, outcome), count in diary.in_calm.items() if name == call}
        bad = sum(count for outcome, count in calm.items() if outcome not in GOOD)
        told = ", ".join(f"{outcome}: {count}" for outcome, count in found.items())
        print(f"  {call:<26}{told:<60}in calm: {sum(calm.values())}, of them bad: {bad}")
    complaints = [*lost(stack, diary), *wrong(diary), *grown(memory)]
    for complaint in complaints:
        print(f"WRONG: {complaint}")
    total = sum(diary.outcomes.values())
    good = sum(count for (_, outcome), count in diary.outcomes.items() if outcome in GOOD)
    print(f"{total:,} calls, {good / total:.1%} answered as in fair weather; {len(complaints)} complaints")
    return 1 if complaints else 0


def lost(stack: Stack, diary: Diary) -> Iterator[str]:
    """What was acknowledged and is not there, and what is there although nobody asked for it."""
    certificates = {found["id"]: found for found in everything(stack)}
    print(
        f"{diary.attempts} orders, {len(diary.issued)} acknowledged, {len(certificates)} certificates in the directory;"
        f" {len(diary.revoked)} revocations acknowledged"
    )
    missing = [
        number
        for number, serial_number in diary.issued.items()
        if number not in certificates or certificates[number]["serial_number"] != serial_number
    ]
    if missing:
        yield f"{len(missing)} certificates were acknowledged and are not there, {min(missing)} to {max(missing)}"
    for number in diary.revoked:
        if number in certificates and certificates[number]["status"] != "revoked":
            yield f"certificate {number} was revoked and is {certificates[number]['status']}"
    serials = Counter(found["serial_number"] for found in certificates.values())
    yield from (f"the serial number {serial} was given twice" for serial, count in serials.items() if count > 1)
    orders = diary.attempts + 1  # the one that told the issuer
    answered = [found for found in certificates.values() if found["status"] in ("active", "revoked")]
    if len(answered) > orders:
        yield f"{len(answered)} certificates for {orders} orders"
    try:
        print(stack.manage("audit", "verify").strip())
    except StackFailed as failure:
        yield str(failure)


def everything(stack: Stack) -> Iterator[Mapping[str, Any]]:
    page, last = 1, 1
    while page <= last:
        reply = stack.api.get("certificates", params={"per_page": 100, "page": page}).json()
        yield from reply["data"]
        page, last = page + 1, reply["last_page"]


def wrong(diary: Diary) -> Iterator[str]:
    """Replies that no weather excuses, and failures long after the last disturbance."""
    for (call, outcome), count in sorted(diary.outcomes.items()):
        if outcome not in GOOD | EXCUSABLE and (call, outcome) != NEW_KEYS:
            yield f"{call}: {outcome} {count} times, first: {diary.first[call, outcome]}"
    for (call, outcome), count in sorted(diary.in_calm.items()):
        if outcome not in GOOD:
            yield f"{call}: {outcome} {count} times in calm weather"


def grown(memory: list[int]) -> Iterator[str]:
    quarter = len(memory) // 4
    if not quarter:
        return
    second, last = (statistics.median(memory[start : start + quarter]) for start in (quarter, len(memory) - quarter))
    print(f"memory: {second / 1024:.0f} MiB in the second quarter, {last / 1024:.0f} MiB in the last")
    if last > second * MAX_GROWTH:
        yield "the app's memory grows"


if __name__ == "__main__":
    sys.exit(main())
