"""Carries out the faults that strike a request before or instead of its answer."""

from collections.abc import Sequence

from local.entra.faults import Action, Fault
from local.https_server import Reply, Wire


def replacement(faults: Sequence[Fault]) -> Reply | None:
    """The reply that a BODY or REDIRECT fault puts in place of the real one. STATUS is told in each service's words."""
    for fault in faults:
        if fault.action is Action.BODY:
            text = fault.text.encode()
            if fault.size:
                text = (text or b" ") * (fault.size // max(1, len(text)) + 1)
                text = text[: fault.size]
            kind = "text/html" if fault.text.lstrip().startswith("<") else "application/json"
            return Reply(fault.status, text, content_type=kind)
        if fault.action is Action.REDIRECT:
            return Reply(302, headers={"Location": fault.text})
    return None


def status_fault(faults: Sequence[Fault]) -> Fault | None:
    return next((fault for fault in faults if fault.action is Action.STATUS), None)


def wire(faults: Sequence[Fault]) -> Wire:
    """What the faults do to the reply on its way out."""
    delay = sum(fault.seconds for fault in faults if fault.action is Action.SLOW)
    return Wire(
        delay=delay,
        drop=any(fault.action is Action.DROP for fault in faults),
        cut_at=next((fault.fraction for fault in faults if fault.action is Action.TRUNCATE), None),
        drip=next((fault.seconds for fault in faults if fault.action is Action.DRIP), None),
    )
