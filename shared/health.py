"""Is every part that the app stands on in working order? Probed at most every few seconds, one probe at a time."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast

from shared.context import Clock, system_clock
from shared.errors import AppError
from shared.telemetry.recorder import recorder

log = logging.getLogger("entra_pki.health")

CACHED_FOR = timedelta(seconds=5)
PROBE_TIMEOUT = timedelta(seconds=10)


class HealthStatus(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It works, but somebody should look at it."""
    UNHEALTHY = "unhealthy"
    NOT_CONFIGURED = "not_configured"
    """Not used in this deployment; does not count."""


SEVERITY = (HealthStatus.NOT_CONFIGURED, HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.UNHEALTHY)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one probe found. `reason` says what is wrong and what to do; None when all is well."""

    status: HealthStatus
    reason: str | None = None
    latency: timedelta = timedelta(0)


HEALTHY = Finding(HealthStatus.HEALTHY)
Probe = Callable[[], Finding]


@dataclass(frozen=True, slots=True)
class HealthReport:
    checks: Mapping[str, Finding]
    checked_at: datetime

    @property
    def status(self) -> HealthStatus:
        """The worst of the checks."""
        worst = max((SEVERITY.index(finding.status) for finding in self.checks.values()), default=0)
        return max(SEVERITY[worst], HealthStatus.HEALTHY, key=SEVERITY.index)


class HealthMonitor:
    """Runs the probes in parallel, one run at a time, and keeps its report for 5 seconds.

    A probe that does not answer within 10 seconds is reported unhealthy and is not started again until it ends.
    """

    def __init__(self, probes: Mapping[str, Probe], *, clock: Clock = system_clock) -> None:
        self._probes = probes
        self._clock = clock
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(probes)), thread_name_prefix="health")
        self._running: dict[str, Future[Finding]] = {}
        self._lock = threading.Lock()
        self._report: HealthReport | None = None
        self._fresh_until = 0.0

    def report(self) -> HealthReport:
        """One caller probes; the others get the report before, so that a part that hangs cannot hold them all.

        Only before the first report there is nothing to give: then they wait for it.
        """
        last = self._report
        if last is not None and time.monotonic() < self._fresh_until:
            return last
        if not self._lock.acquire(blocking=last is None):
            return cast(HealthReport, last)
        try:
            if self._report is None or time.monotonic() >= self._fresh_until:
                self._report = self._probe_all()
                self._fresh_until = time.monotonic() + CACHED_FOR.total_seconds()
            return self._report
        finally:
            self._lock.release()

    def _probe_all(self) -> HealthReport:
        for name, probe in self._probes.items():
            running = self._running.get(name)
            if running is None or running.done():
                self._running[name] = self._pool.submit(recorder().carried(_timed), name, probe)
        end = time.monotonic() + PROBE_TIMEOUT.total_seconds()
        checks: dict[str, Finding] = {}
        for name, future in self._running.items():
            try:
                checks[name] = future.result(timeout=max(0.0, end - time.monotonic()))
            except FutureTimeoutError:
                checks[name] = Finding(HealthStatus.UNHEALTHY, "It does not answer.", PROBE_TIMEOUT)
        return HealthReport(checks, self._clock())


def _timed(name: str, probe: Probe) -> Finding:
    started = time.perf_counter()
    try:
        finding = probe()
    except AppError as error:
        finding = Finding(HealthStatus.UNHEALTHY, error.message)
    except Exception:
        log.exception("the health probe %s failed", name)
        finding = Finding(HealthStatus.UNHEALTHY, "The probe itself failed; the log has the details.")
    return Finding(finding.status, finding.reason, timedelta(seconds=time.perf_counter() - started))
