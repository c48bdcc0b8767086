"""The tenant sync's schedule, which the timer needs before anything else is read."""

import os
import re
from collections.abc import Mapping

from shared.settings.reader import Reader

DEFAULT_SYNC_SCHEDULE = "0 */5 * * * *"
NCRONTAB_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
"""Second, minute, hour, day, month, day of the week."""
_MONTHS = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
_WEEKDAYS = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
NCRONTAB_NAMES = frozenset(_MONTHS | _WEEKDAYS)


def sync_schedule(environment: Mapping[str, str] = os.environ) -> str:
    """The timer's schedule. A wrong one gives the default, so that the app loads; `Settings.read` reports it."""
    return Reader(environment).parsed("ENTRA_SYNC_SCHEDULE", ncrontab, DEFAULT_SYNC_SCHEDULE, "")


def ncrontab(value: str) -> str:
    """Six fields of NCRONTAB (https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer)."""
    fields = value.split()
    if len(fields) != len(NCRONTAB_RANGES):
        raise ValueError
    for text, (low, high) in zip(fields, NCRONTAB_RANGES, strict=True):
        if not re.fullmatch(r"[0-9A-Za-z*/,-]+", text):
            raise ValueError
        if any(not low <= int(number) <= high for number in re.findall(r"(?<![/0-9])[0-9]+", text)):
            raise ValueError
        if any(word.lower() not in NCRONTAB_NAMES for word in re.findall(r"[A-Za-z]+", text)):
            raise ValueError
    return value
