"""The timer that stores a copy of the replica for young instances of a large directory."""

import azure.functions as func

from shared.services import services, timer_context
from shared.telemetry.work import timer_run

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="20 */10 * * * *", run_on_startup=False, use_monitor=True)
def publish_snapshot(timer: func.TimerRequest, context: func.Context) -> None:
    """Does nothing in a directory that builds quickly, or while the last copy is recent."""
    with timer_run(timer_context("publish_snapshot"), context.trace_context) as run:
        services().replica.publish_snapshot(run.context.deadline)
