"""How many certificates were issued, taken away and ended, day by day, week by week or month by month."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from shared.directory.records.base import Row, parse_time
from shared.directory.records.certificate import CertificateKind, CertificateStatus

_TAKEN_AWAY = (CertificateStatus.REVOKED, CertificateStatus.HELD)


class Step(StrEnum):
    DAY = "day"
    WEEK = "week"
    """From Monday on (ISO 8601)."""
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Period:
    """A day, week or month in UTC, by its first day.

    Attributes:
        issued: certificates issued in it, whatever became of them.
        revoked: certificates revoked or put on hold in it, and not released since.
        ending: certificates that ended in it, or will, without being revoked before.
    """

    start: date
    issued: int
    revoked: int
    ending: int


class Timeline:
    """Counts certificates as they come by; of any number of them it keeps only the counts."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self._issued, self._revoked, self._ending = Counter[date](), Counter[date](), Counter[date]()

    def add(self, row: Row) -> None:
        """A certificate, by the properties that the replica repeats; the CA's own do not count."""
        if row["kind"] != CertificateKind.ENTRA_USER:
            return
        if "issued_at" in row:
            self._issued[self._period(row["issued_at"])] += 1
        if row["status"] in _TAKEN_AWAY:
            if "revoked_at" in row:
                self._revoked[self._period(row["revoked_at"])] += 1
        else:
            self._ending[self._period(row["not_after"])] += 1

    def periods(self, today: date, past: int, ahead: int) -> list[Period]:
        """`past` periods up to that of today, and `ahead` beyond it."""
        start = start_of(today, self.step)
        for _ in range(past - 1):
            start = start_of(start - timedelta(days=1), self.step)
        found = list[Period]()
        for _ in range(past + ahead):
            found.append(Period(start, self._issued[start], self._revoked[start], self._ending[start]))
            start = _following(start, self.step)
        return found

    def _period(self, moment: object) -> date:
        return start_of(parse_time(str(moment)).date(), self.step)


def start_of(day: date, step: Step) -> date:
    """The first day of the period that the day is in."""
    match step:
        case Step.DAY:
            return day
        case Step.WEEK:
            return day - timedelta(days=day.weekday())
        case Step.MONTH:
            return day.replace(day=1)


def label_of(start: date, step: Step) -> str:
    """As a table names the period: 2026-11, 2026-11-23, or for a week 2026-W48."""
    match step:
        case Step.DAY:
            return start.isoformat()
        case Step.WEEK:
            year, week, _ = start.isocalendar()
            return f"{year}-W{week:02d}"
        case Step.MONTH:
            return f"{start:%Y-%m}"


def _following(start: date, step: Step) -> date:
    longest = {Step.DAY: 1, Step.WEEK: 7, Step.MONTH: 31}[step]
    return start_of(start + timedelta(days=longest), step)
