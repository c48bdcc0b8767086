"""Starts the tenant sync when a caller asks for it, without making the caller wait for its end."""

import threading

from shared.context import Context
from shared.entra.tenant_sync import SyncOrder, TenantSync
from shared.errors import AppError


class SyncInProgress(AppError):
    status, code = 409, "sync_in_progress"

    def __init__(self, runner: str | None) -> None:
        super().__init__(f"A tenant sync is under way already (started by {runner or 'another process'}).")


class SyncStarter:
    """Runs the sync on a thread of its own. Should this instance end meanwhile, the timer goes on from there."""

    def __init__(self, tenant_sync: TenantSync) -> None:
        self._tenant_sync = tenant_sync
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, order: SyncOrder, context: Context) -> None:
        """Returns at once. Raises SyncInProgress, StorageUnavailable.

        Two callers at two instances may both be told that it has started: the lease lets one of them work.
        """
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise SyncInProgress(None)
            status = self._tenant_sync.status()
            if status.in_progress:
                raise SyncInProgress(status.runner)
            self._thread = threading.Thread(
                target=self._tenant_sync.run, args=(context, order), name="tenant-sync", daemon=True
            )
            self._thread.start()
