"""Fires timer functions at their schedules, each in a thread of its own that waits for a run to end before the next.

Nothing is remembered between two starts of the host, so a timer is never past due here.
"""

import json
import logging
import threading
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
from azure.functions.meta import Datum
from azure.functions.timer import TimerRequestConverter

from local.functions_host.functions import TimerFunction
from local.functions_host.invocation import Invoker

log = logging.getLogger("functions_host")


class TimerScheduler:
    """Runs `function` whenever it is due, from `start` to `stop`."""

    def __init__(self, function: TimerFunction, invoker: Invoker) -> None:
        self.function = function
        self._invoker = invoker
        self._last: datetime | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"timer {self.function.name}", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def fire_now(self) -> Future[Any]:
        """Starts a run at once, beside whatever runs already, as the admin endpoint of the real host does."""
        due, value = self.function, timer_request(self.function, self._last, datetime.now(UTC))
        return self._invoker.start(due.name, due.handler, due.argument, value)

    def _run(self) -> None:
        if self.function.run_on_startup:
            self._fire_and_wait()
        while (due := self.function.schedule.next_after(datetime.now(UTC))) is not None:
            if self._stopped.wait((due - datetime.now(UTC)).total_seconds()):
                return
            self._fire_and_wait()
        log.warning("The schedule %s of '%s' never comes again.", self.function.schedule.text, self.function.name)

    def _fire_and_wait(self) -> None:
        run = self.fire_now()
        self._last = datetime.now(UTC)
        try:
            run.result()
        except Exception:  # noqa: BLE001  (logged where it ran; the schedule goes on)
            return


def timer_request(function: TimerFunction, last: datetime | None, now: datetime) -> func.TimerRequest:
    """The trigger's value, with the schedule's status when the function asks for monitoring."""
    upcoming = function.schedule.next_after(now)
    status = {
        "Last": (last or datetime.min.replace(tzinfo=UTC)).isoformat(),
        "LastUpdated": now.isoformat(),
        "Next": upcoming.isoformat() if upcoming else None,
    }
    info = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": status if function.use_monitor else None,
        "IsPastDue": False,
    }
    request: func.TimerRequest = TimerRequestConverter.decode(Datum(json.dumps(info), "json"), trigger_metadata=None)
    return request
