"""The timer that has the CA sign where the log is, once a day."""

import azure.functions as func

from shared.services import services, timer_context
from shared.telemetry.work import timer_run

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="40 17 2 * * *", run_on_startup=False, use_monitor=True)
def anchor_log(timer: func.TimerRequest, context: func.Context) -> None:
    """`manage.py audit verify` compares the log with what was signed: so nobody can rewrite it unnoticed."""
    with timer_run(timer_context("anchor_log"), context.trace_context) as run:
        anchor = services().log_anchors.sign(run.context)
        run.tell({"log_row": None if anchor is None else anchor.seq})
