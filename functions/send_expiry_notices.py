"""The timer that tells the webhook which certificates are about to end."""

from dataclasses import asdict

import azure.functions as func

from shared.services import services, timer_context
from shared.telemetry.work import timer_run

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="5 */10 * * * *", run_on_startup=False, use_monitor=True)
def send_expiry_notices(timer: func.TimerRequest, context: func.Context) -> None:
    """Raises the notices that are due, each once, and delivers what has not been delivered yet."""
    with timer_run(timer_context("send_expiry_notices"), context.trace_context) as run:
        run.tell(asdict(services().expiry_notices.run(run.context)))
