"""The timer that publishes CRLs: hourly, and within a minute of a change of what is revoked."""

import azure.functions as func

from shared.context import system_clock
from shared.services import services, timer_context
from shared.telemetry.crls import crl_facts
from shared.telemetry.work import timer_run

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="15 * * * * *", run_on_startup=False, use_monitor=True)
def publish_crls(timer: func.TimerRequest, context: func.Context) -> None:
    """Makes a CRL for each issuer that needs one. All revocations since the last run go into the same one."""
    with timer_run(timer_context("publish_crls"), context.trace_context) as run:
        publisher = services().crl_publisher
        publications = publisher.publish_due(run.context)
        run.tell(crl_facts(publications, publisher.issuers(), system_clock()))
