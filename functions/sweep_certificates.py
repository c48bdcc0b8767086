"""The timer that accounts for certificates whose issuance nobody confirmed."""

import azure.functions as func

from shared.services import services, timer_context

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="30 */5 * * * *", run_on_startup=False, use_monitor=True)
def sweep_certificates(timer: func.TimerRequest) -> None:
    """Revokes what has been pending for too long: it may have been signed, so it is treated as if it were."""
    services().sweeper.run(timer_context("sweep_certificates"))
