"""The timer that finishes what revocation leaves for later."""

from dataclasses import asdict

import azure.functions as func

from shared.services import services, timer_context
from shared.telemetry.work import timer_run

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="45 */5 * * * *", run_on_startup=False, use_monitor=True)
def settle_revocations(timer: func.TimerRequest, context: func.Context) -> None:
    """Goes on with users who have many certificates, and ends holds of over 30 days."""
    with timer_run(timer_context("settle_revocations"), context.trace_context) as run:
        run.tell(asdict(services().revocation_upkeep.run(run.context)))
