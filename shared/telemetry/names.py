"""Every name that leaves the app as telemetry: metrics, attributes, fields of log lines (docs/observability.md).

Names without `entra_pki.` are OpenTelemetry's own (https://opentelemetry.io/docs/specs/semconv/).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
URL_TEMPLATE = "url.template"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"
DB_SYSTEM = "db.system.name"
DB_OPERATION = "db.operation.name"
DB_COLLECTION = "db.collection.name"
DB_STATUS = "db.response.status_code"
FAAS_TRIGGER = "faas.trigger"

OPERATION = "entra_pki.operation"
REQUEST_ID = "entra_pki.request_id"
ACTOR_KIND = "entra_pki.actor.kind"
ACTOR_ID = "entra_pki.actor.id"
PEER = "entra_pki.peer"
REASON = "entra_pki.reason"
OUTCOME = "entra_pki.outcome"
MODE = "entra_pki.sync.mode"
CHANGE = "entra_pki.change"
ISSUER = "entra_pki.issuer.id"
CERTIFICATE_TYPE = "entra_pki.certificate.type"
REVOCATION_REASON = "entra_pki.revocation.reason"


class Kind(StrEnum):
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"
    """Seconds from now to a moment, or since it, at the time of the export."""


SHORT = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds: the buckets that the semantic conventions advise for the durations of requests."""
LONG = (0.1, 0.5, 1, 5, 15, 30, 60, 120, 240, 600, 1800)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric.

    `buckets` are the upper bounds of a histogram's; `ahead` says that a gauge tells the time until a moment to come.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    ahead: bool = False


SERVER_DURATION = Instrument(
    "http.server.request.duration",
    Kind.HISTOGRAM,
    "s",
    "Requests to this API",
    (HTTP_METHOD, HTTP_ROUTE, HTTP_STATUS, ERROR_TYPE),
    SHORT,
)
TIMER_DURATION = Instrument(
    "faas.invoke_duration", Kind.HISTOGRAM, "s", "Runs of timers", (FAAS_TRIGGER, OPERATION, ERROR_TYPE), LONG
)
CLIENT_DURATION = Instrument(
    "http.client.request.duration",
    Kind.HISTOGRAM,
    "s",
    "Requests to Graph, Key Vault, its token endpoint and the webhook, each attempt on its own",
    (HTTP_METHOD, SERVER_ADDRESS, SERVER_PORT, URL_TEMPLATE, HTTP_STATUS, ERROR_TYPE, PEER),
    SHORT,
)
TABLE_DURATION = Instrument(
    "db.client.operation.duration",
    Kind.HISTOGRAM,
    "s",
    "Requests to Table Storage, each attempt on its own",
    (DB_SYSTEM, DB_OPERATION, DB_COLLECTION, DB_STATUS, ERROR_TYPE),
    SHORT,
)
THROTTLES = Instrument(
    "entra_pki.throttles", Kind.COUNTER, "{reply}", "Replies by which a service asks for fewer requests", (PEER,)
)
COMMIT_DURATION = Instrument(
    "entra_pki.ledger.commit.duration",
    Kind.HISTOGRAM,
    "s",
    "Commits to the ledger as their caller sees them, with the time in the queue",
    (ERROR_TYPE,),
    SHORT,
)
TRANSACTIONS = Instrument(
    "entra_pki.ledger.transactions", Kind.COUNTER, "{transaction}", "Table transactions of the ledger", (OUTCOME,)
)
RETRIES = Instrument(
    "entra_pki.ledger.retries", Kind.COUNTER, "{retry}", "Commits decided again, transactions sent again", (REASON,)
)
CERTIFICATES = Instrument(
    "entra_pki.certificates",
    Kind.COUNTER,
    "{certificate}",
    "Certificates issued, held, released and revoked, whoever did it",
    (CHANGE, CERTIFICATE_TYPE, REVOCATION_REASON),
)
SYNC_DURATION = Instrument(
    "entra_pki.sync.duration", Kind.HISTOGRAM, "s", "Runs of the tenant sync", (MODE, OUTCOME), LONG
)
SYNC_USERS = Instrument("entra_pki.sync.users", Kind.COUNTER, "{user}", "Users that the tenant sync changed", (CHANGE,))
SYNC_LAG = Instrument("entra_pki.sync.lag", Kind.GAUGE, "s", "Since the last complete tenant sync")
CRL_AGE = Instrument("entra_pki.crl.age", Kind.GAUGE, "s", "Since the CRL was made", (ISSUER,))
CRL_REMAINING = Instrument(
    "entra_pki.crl.remaining", Kind.GAUGE, "s", "Until the CRL's nextUpdate", (ISSUER,), ahead=True
)
ISSUER_REMAINING = Instrument(
    "entra_pki.issuer.remaining", Kind.GAUGE, "s", "Until the end of the CA certificate", (ISSUER,), ahead=True
)
REPLICA_CATCH_UP = Instrument(
    "entra_pki.replica.catch_up.duration",
    Kind.HISTOGRAM,
    "s",
    "How long the replica took to follow the log",
    (ERROR_TYPE,),
    SHORT,
)
REPLICA_ROWS = Instrument("entra_pki.replica.log_rows", Kind.COUNTER, "{row}", "Log rows that the replica applied")

INSTRUMENTS = tuple(found for found in dict(globals()).values() if isinstance(found, Instrument))


class Event(StrEnum):
    """What a structured log line is about."""

    REQUEST = "request"
    TIMER = "timer"
    SYNC = "sync"


_COMMON = ("event", "operation", "outcome", "error", "duration_ms", "request_id", "trace_id")
FIELDS: Mapping[Event, tuple[str, ...]] = {
    Event.REQUEST: (*_COMMON, "method", "status", "actor_kind", "actor_id"),
    Event.TIMER: (
        *_COMMON,
        "actor_kind",
        "actor_id",
        *("crls_published", "crls_failed", "crl_remaining_s", "crl_age_s", "issuer_remaining_s"),
        *("swept", "waiting", "failed", "forgotten", "settled", "ended_holds", "superseded"),
        *("raised", "delivered", "dropped", "open", "dead"),
        "log_row",
    ),
    Event.SYNC: (
        *_COMMON,
        *("actor_kind", "actor_id", "mode", "phase", "created", "updated", "deactivated", "unchanged", "failed"),
        "certificates",
        *("graph_requests", "resource_units", "throttled", "lag_s"),
    ),
}
"""The fields of each kind of line; those that say nothing are left out of a line."""
