"""The timer that accounts for certificates whose issuance nobody confirmed."""

from dataclasses import asdict

import azure.functions as func

from shared.services import services, timer_context
from shared.telemetry.work import timer_run

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="30 */5 * * * *", run_on_startup=False, use_monitor=True)
def sweep_certificates(timer: func.TimerRequest, context: func.Context) -> None:
    """Revokes what has been pending for too long: it may have been signed, so it is treated as if it were."""
    with timer_run(timer_context("sweep_certificates"), context.trace_context) as run:
        run.tell(asdict(services().sweeper.run(run.context)))
