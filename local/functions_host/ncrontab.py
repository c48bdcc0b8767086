"""NCRONTAB, the six-field schedules of timer triggers: second, minute, hour, day, month, day of week; in UTC.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
"""

import calendar
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
HORIZON_YEARS = 40  # 29 February on a given day of the week comes back after at most 40 years
_SETTING = re.compile(r"%([^%]+)%")
_TERM = re.compile(r"(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?")


class InvalidSchedule(ValueError):
    """An expression that is not NCRONTAB, or names an app setting that is not there."""


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: Mapping[str, int]

    def parse(self, text: str) -> frozenset[int]:
        return frozenset(value for term in text.split(",") for value in self._term(term))

    def _term(self, text: str) -> range:
        body, slash, step = text.partition("/")
        found = _TERM.fullmatch(body)
        if found is None or (slash and not (step.isdigit() and int(step) > 0)):
            raise InvalidSchedule(f"{text!r} is not a valid {self.name}.")
        if found["all"]:
            first, last = self.low, self.high
        else:
            first = self._number(found["first"])
            alone = self.high if slash else first  # `5/15` counts on from 5
            last = self._number(found["last"]) if found["last"] else alone
        if first > last:
            raise InvalidSchedule(f"{text!r} is not a valid {self.name}: {first} is after {last}.")
        return range(first, last + 1, int(step) if slash else 1)

    def _number(self, text: str) -> int:
        value = self.names.get(text.lower()[:3]) if not text.isdigit() else int(text)
        if value is None or not self.low <= value <= self.high:
            raise InvalidSchedule(f"{text!r} is not a valid {self.name} ({self.low} to {self.high}).")
        return value


FIELDS = (
    _Field("second", 0, 59, {}),
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day", 1, 31, {}),
    _Field("month", 1, 12, MONTHS),
    _Field("day of week", 0, 6, DAYS),
)


@dataclass(frozen=True)
class Schedule:
    """A parsed expression. A moment fits when every one of its fields does: day AND day of week."""

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @classmethod
    def parse(cls, text: str, settings: Mapping[str, str] = os.environ) -> "Schedule":
        """Reads an expression of six fields, or of five (second 0); `%NAME%` stands for an app setting.

        Raises: InvalidSchedule.
        """
        parts = _resolve(text, settings).split()
        if len(parts) == len(FIELDS) - 1:
            parts = ["0", *parts]
        if len(parts) != len(FIELDS):
            raise InvalidSchedule(f"{text!r} has {len(parts)} fields; NCRONTAB has six.")
        values = [field.parse(part) for field, part in zip(FIELDS, parts, strict=True)]
        second, minute, hour = (tuple(sorted(allowed)) for allowed in values[:3])
        return cls(" ".join(parts), second, minute, hour, *values[3:])

    def next_after(self, moment: datetime) -> datetime | None:
        """The first occurrence strictly after `moment` (UTC), to the second; None if there never is one."""
        start = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        day = start.replace(hour=0, minute=0, second=0)
        while day.year - start.year <= HORIZON_YEARS:
            if self._fits(day):
                earliest = start if day.date() == start.date() else day
                found = self._first_time(earliest)
                if found is not None:
                    return found
            day += timedelta(days=1)
        return None

    def _fits(self, day: datetime) -> bool:
        return day.month in self.months and day.day in self.days and (day.weekday() + 1) % 7 in self.weekdays

    def _first_time(self, earliest: datetime) -> datetime | None:
        """The first fitting time of `earliest`'s day, not before it."""
        for hour in self.hours:
            for minute in self.minutes:
                if (hour, minute) < (earliest.hour, earliest.minute):
                    continue
                floor = earliest.second if (hour, minute) == (earliest.hour, earliest.minute) else 0
                second = next((value for value in self.seconds if value >= floor), None)
                if second is not None:
                    return earliest.replace(hour=hour, minute=minute, second=second)
        return None


def _resolve(text: str, settings: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise InvalidSchedule(f"{text!r} names the app setting {match[1]}, which is not set.")
        return settings[match[1]]

    return _SETTING.sub(value, text)
