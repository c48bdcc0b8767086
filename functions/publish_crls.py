"""The timer that publishes CRLs: hourly, and within a minute of a change of what is revoked."""

import azure.functions as func

from shared.services import services, timer_context

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="15 * * * * *", run_on_startup=False, use_monitor=True)
def publish_crls(timer: func.TimerRequest) -> None:
    """Makes a CRL for each issuer that needs one. All revocations since the last run go into the same one."""
    services().crl_publisher.publish_due(timer_context("publish_crls"))
