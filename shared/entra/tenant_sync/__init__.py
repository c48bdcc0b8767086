"""The tenant sync: keeps the directory in step with the whole tenant (docs/sync.md)."""

from shared.entra.tenant_sync.sync import ORDINARY, SyncOrder, TenantSync, Watch

__all__ = ["ORDINARY", "SyncOrder", "TenantSync", "Watch"]
