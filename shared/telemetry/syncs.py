"""Runs of the tenant sync, told: a log line and metrics each, whoever started them."""

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from shared.context import Context
from shared.telemetry import names
from shared.telemetry.lines import Line, Value
from shared.telemetry.names import Event
from shared.telemetry.recorder import recorder

if TYPE_CHECKING:
    from shared.entra.tenant_sync.report import SyncReport

log = logging.getLogger("entra_pki.sync")


def tell_sync(report: "SyncReport", last_success_at: datetime | None, context: Context) -> None:
    """`last_success_at`: when the last complete round ended, this run included; None: never, or not known here."""
    active = recorder()
    lag = None if last_success_at is None else (report.finished_at - last_success_at).total_seconds()
    counts = report.counts
    changes = {"created": counts.created, "updated": counts.updated, "deactivated": counts.deactivated}
    changes |= {"failed": counts.failed}
    fields: dict[str, Value] = {
        "operation": "sync_tenant",
        "outcome": report.outcome,
        "error": report.error_code,
        "duration_ms": round(report.duration.total_seconds() * 1000, 1),
        "actor_kind": context.actor.kind,
        "actor_id": context.actor.id,
        "request_id": context.request_id,
        "trace_id": active.trace_id,
        "mode": report.mode,
        "phase": report.phase,
        **changes,
        "unchanged": counts.unchanged,
        "certificates": counts.certificates,
        "graph_requests": report.requests,
        "resource_units": report.resource_units,
        "throttled": report.throttled,
        "lag_s": None if lag is None else round(lag),
    }
    log.log(logging.INFO if report.is_calm else logging.WARNING, "%s", Line(Event.SYNC, fields))
    active.measure(
        names.SYNC_DURATION,
        report.duration.total_seconds(),
        {names.MODE: report.mode, names.OUTCOME: report.outcome},
    )
    for change, amount in changes.items():
        active.count(names.SYNC_USERS, {names.CHANGE: change}, amount)
    if last_success_at is not None:
        active.moments(names.SYNC_LAG, {"": last_success_at})
