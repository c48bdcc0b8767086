"""The timer that finishes what revocation leaves for later."""

import azure.functions as func

from shared.services import services, timer_context

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="45 */5 * * * *", run_on_startup=False, use_monitor=True)
def settle_revocations(timer: func.TimerRequest) -> None:
    """Goes on with users who have many certificates, and ends holds of over 30 days."""
    services().revocation_upkeep.run(timer_context("settle_revocations"))
