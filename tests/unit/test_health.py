"""Health: one prober, the worst finding counts, and a part that hangs holds nobody up."""

import threading
import time

from shared.errors import AppError
from shared.health import HEALTHY, Finding, HealthMonitor, HealthStatus, Probe


def probe_of(finding: Finding) -> Probe:
    return lambda: finding


def status_of(*findings: Finding) -> HealthStatus:
    return HealthMonitor({str(number): probe_of(finding) for number, finding in enumerate(findings)}).report().status


def test_the_worst_finding_is_the_whole_and_what_is_not_configured_does_not_count() -> None:
    unused = Finding(HealthStatus.NOT_CONFIGURED)
    degraded = Finding(HealthStatus.DEGRADED, "look at it")
    unhealthy = Finding(HealthStatus.UNHEALTHY, "broken")

    assert status_of(HEALTHY, unused) is HealthStatus.HEALTHY
    assert status_of(unused) is HealthStatus.HEALTHY
    assert status_of(HEALTHY, degraded) is HealthStatus.DEGRADED
    assert status_of(degraded, unhealthy, HEALTHY) is HealthStatus.UNHEALTHY


def test_an_error_is_a_reason_and_a_bug_says_only_where_to_look() -> None:
    def refused() -> Finding:
        raise AppError("The vault refuses this app.")

    def broken() -> Finding:
        raise ZeroDivisionError("internals")

    checks = HealthMonitor({"refused": refused, "broken": broken}).report().checks

    assert (checks["refused"].status, checks["refused"].reason) == (
        HealthStatus.UNHEALTHY,
        "The vault refuses this app.",
    )
    assert "internals" not in str(checks["broken"].reason)


def test_a_report_is_kept_for_a_while_and_made_once_for_all_who_ask() -> None:
    made: list[float] = []

    def probe() -> Finding:
        made.append(time.monotonic())
        return HEALTHY

    monitor = HealthMonitor({"part": probe})
    threads = [threading.Thread(target=monitor.report) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 1


def test_while_one_caller_waits_for_a_part_that_hangs_the_others_get_the_report_before() -> None:
    hanging, first = threading.Event(), threading.Event()

    def probe() -> Finding:
        if first.is_set():
            hanging.wait(10)
        first.set()
        return HEALTHY

    monitor = HealthMonitor({"part": probe})
    before = monitor.report()
    monitor._fresh_until = 0.0  # as if its five seconds had passed
    prober = threading.Thread(target=monitor.report)
    prober.start()
    try:
        time.sleep(0.1)
        started = time.monotonic()
        assert monitor.report() is before
        assert time.monotonic() - started < 1
    finally:
        hanging.set()
        prober.join()
