"""What a tenant was asked: counts by kind, resource units, and the last requests one by one."""

import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

LOG_LENGTH = 20_000


@dataclass(frozen=True)
class LoggedRequest:
    """One request. `kind` is e.g. `users.list`, `batch`, `jwks`; `batched` marks sub-requests of a $batch."""

    kind: str
    method: str
    target: str
    status: int
    units: int = 0
    batched: bool = False
    priority: str = ""
    client_request_id: str = ""


class Traffic:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._requests: Counter[str] = Counter()
            self._batched: Counter[str] = Counter()
            self._statuses: Counter[str] = Counter()
            self._units = 0
            self._log: deque[LoggedRequest] = deque(maxlen=LOG_LENGTH)

    def note(self, entry: LoggedRequest) -> None:
        with self._lock:
            (self._batched if entry.batched else self._requests)[entry.kind] += 1
            self._statuses[str(entry.status)] += 1
            self._units += entry.units
            self._log.append(entry)

    def summary(self) -> dict[str, Any]:
        with self._lock:
            return {
                "requests": dict(self._requests),
                "batched": dict(self._batched),
                "statuses": dict(self._statuses),
                "resource_units": self._units,
            }

    def log(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(entry) for entry in self._log]
