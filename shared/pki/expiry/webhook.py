"""One expiry notice to the webhook: signed as https://www.standardwebhooks.com asks, and what its answer means."""

import base64
import hmac
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum, auto

import requests

from shared.context import Clock, system_clock
from shared.pki.expiry.status import receiver_name
from shared.telemetry.calls import Peer, http_call

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
"""For each read. The specification asks receivers to answer within 15 to 30 seconds."""
LONGEST_PAUSE = timedelta(hours=6)
_BUSY = frozenset({408, 425, 429})


class Verdict(StrEnum):
    DELIVERED = auto()
    REFUSED = auto()
    """The receiver does not take this one; others may fare better."""
    UNREACHABLE = auto()
    """The receiver takes none right now, or not from us."""
    GONE = auto()
    """410: the receiver wants nothing any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`reason`: what went wrong, without the address, which may hold a key. `pause`: what the receiver asks for."""

    verdict: Verdict
    reason: str | None = None
    pause: timedelta | None = None


class Webhook:
    """A receiver of notices. Not safe to share between threads.

    Args:
        session: its redirects are not followed: the address is configured, and so is the only one that is called.
    """

    def __init__(
        self,
        url: str,
        secret: bytes,
        session: requests.Session,
        *,
        clock: Clock = system_clock,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._url = url
        self._secret = secret
        self._session = session
        self._clock = clock
        self._timeout = CONNECT_SECONDS, answer_seconds

    @property
    def name(self) -> str:
        return receiver_name(self._url)

    def send(self, message_id: str, body: bytes) -> Answer:
        """Posts the message once. The same id means the same message, however often it comes."""
        now = self._clock()
        headers = {"Content-Type": "application/json", **signed_headers(self._secret, message_id, now, body)}
        try:
            with (
                http_call(Peer.WEBHOOK, "POST", self._url) as call,
                self._session.post(
                    self._url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False, stream=True
                ) as reply,
            ):
                call.answered(reply.status_code)
                return _answer(reply.status_code, reply.headers.get("Retry-After"), now)
        except requests.RequestException as error:
            return Answer(Verdict.UNREACHABLE, type(error).__name__)


def signed_headers(secret: bytes, message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp`, and `webhook-signature`: the HMAC-SHA256 of both and the body."""
    seconds = str(int(now.timestamp()))
    signature = hmac.digest(secret, b".".join((message_id.encode(), seconds.encode(), body)), "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def _answer(status: int, retry_after: str | None, now: datetime) -> Answer:
    if 200 <= status < 300:
        return Answer(Verdict.DELIVERED)
    reason = f"HTTP {status}"
    if status == 410:
        return Answer(Verdict.GONE, reason)
    if status in _BUSY or status >= 500:
        return Answer(Verdict.UNREACHABLE, reason, _pause(retry_after, now))
    if status in (401, 403, 404) or status < 400:  # a wrong address or key: it is so for every notice
        return Answer(Verdict.UNREACHABLE, reason)
    return Answer(Verdict.REFUSED, reason)


def _pause(retry_after: str | None, now: datetime) -> timedelta | None:
    """RFC 9110 10.2.3: seconds or a date; what is neither is passed over."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after) if retry_after.isdecimal() else _seconds_until(retry_after, now)
    except (ValueError, OverflowError):
        return None
    return timedelta(seconds=min(max(0.0, math.ceil(seconds)), LONGEST_PAUSE.total_seconds()))


def _seconds_until(date: str, now: datetime) -> float:
    return (parsedate_to_datetime(date) - now).total_seconds()
