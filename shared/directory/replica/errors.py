"""Why the replica cannot answer just now."""

from datetime import timedelta

from shared.errors import AppError


class ReplicaBuilding(AppError):
    """The instance is young and its replica is still being built (503). The table itself is intact."""

    status, code = 503, "replica_building"

    def __init__(self, message: str = "The search index of this instance is being built; try again shortly.") -> None:
        super().__init__(message, retry_after=timedelta(seconds=5))


class ReplicaUnavailable(AppError):
    """The instance cannot keep a replica at all (503): no space left, no FTS5. The message says what to do."""

    status, code = 503, "replica_unavailable"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=timedelta(seconds=60))
