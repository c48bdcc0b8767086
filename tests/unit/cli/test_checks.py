"""Checks run side by side; none can hide or hold up the others."""

import threading
from collections.abc import Sequence
from datetime import timedelta

from shared.cli.checkup.checks import Check, Finding, Mark, failed, ok, run, warning
from shared.directory.errors import StorageUnavailable

PATIENCE = timedelta(seconds=30)


def good() -> Sequence[Finding]:
    return [ok("Fine.")]


def marks(checks: Sequence[Check], patience: timedelta = PATIENCE) -> dict[str, list[Mark]]:
    return {check.name: [finding.mark for finding in findings] for check, findings in run(checks, patience)}


def test_they_run_at_the_same_time_and_answer_in_their_order() -> None:
    both_are_running = threading.Barrier(2)

    def meet() -> Sequence[Finding]:
        both_are_running.wait(20)
        return [ok("Met.")]

    assert list(marks([Check("b", meet), Check("a", meet)])) == ["b", "a"]


def test_one_that_never_returns_is_given_up() -> None:
    forever = threading.Event()

    def hang() -> Sequence[Finding]:
        forever.wait()
        return []

    found = dict(run([Check("hangs", hang), Check("good", good)], timedelta(seconds=0.2)))
    forever.set()

    told = {check.name: findings for check, findings in found.items()}
    assert told["hangs"][0].mark is Mark.FAILED
    assert "No answer within" in told["hangs"][0].detail
    assert told["good"][0].mark is Mark.OK


def test_an_error_is_a_failure_with_its_sentence_and_a_defect_says_so() -> None:
    def unavailable() -> Sequence[Finding]:
        raise StorageUnavailable("The storage service is away.")

    def broken() -> Sequence[Finding]:
        raise ZeroDivisionError("oops")

    found = {check.name: findings for check, findings in run([Check("away", unavailable), Check("broken", broken)])}

    assert found["away"] == [failed("The storage service is away.")]
    assert found["broken"][0].mark is Mark.FAILED
    assert "ZeroDivisionError" in found["broken"][0].detail


def test_what_needs_a_failed_one_is_skipped_and_so_is_what_needs_that() -> None:
    checks = [
        Check("first", lambda: [failed("No.")]),
        Check("second", good, ("first",)),
        Check("third", good, ("second",)),
        Check("warned", lambda: [warning("Hm.")]),
        Check("fourth", good, ("warned",)),
    ]

    assert marks(checks) == {
        "first": [Mark.FAILED],
        "second": [Mark.SKIPPED],
        "third": [Mark.SKIPPED],
        "warned": [Mark.WARNING],
        "fourth": [Mark.OK],
    }
