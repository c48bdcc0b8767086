"""The timer that keeps the whole tenant in step."""

import azure.functions as func

from shared.services import services, timer_context
from shared.settings import sync_schedule
from shared.telemetry.work import timer_run

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule=sync_schedule(), run_on_startup=False, use_monitor=True)
def sync_tenant(timer: func.TimerRequest, context: func.Context) -> None:
    """Starts or continues the tenant sync; does nothing when nothing is due or another runner is at work."""
    with timer_run(timer_context("sync_tenant"), context.trace_context) as run:
        services().tenant_sync.run(run.context)
