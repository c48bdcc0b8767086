"""How much a run may take from users before an operator has to say that it is right."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.directory.ledger import Ledger
from shared.directory.records.base import format_time
from shared.directory.records.certificate import Certificate, CertificateKind, CertificateStatus
from shared.entra.user_changes import Recorded


class RemovalPolicy(Protocol):
    """The part of the sync's policy that is about removals."""

    @property
    def max_removals(self) -> int:
        """More users leaving, or certificates lost, at once wait for an operator; so many, or the share, whichever is
        more."""

    @property
    def max_removals_share(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Removals:
    """Users who leave, and certificates that somebody loses."""

    users: int = 0
    certificates: int = 0

    @classmethod
    def of(cls, changes: Iterable[Recorded]) -> "Removals":
        users = certificates = 0
        for change in changes:
            users += _is_here(change, before=True) and not _is_here(change, before=False)
            certificates += sum(loss.usable for loss in change.losses)
        return cls(users, certificates)

    def __add__(self, other: "Removals") -> "Removals":
        return Removals(self.users + other.users, self.certificates + other.certificates)


@dataclass(frozen=True, slots=True)
class TooMany:
    """Which limit is exceeded, and what to tell an operator."""

    limit: int
    reason: str


class RemovalGuard:
    """Judges removals; to be made anew for each judgement of a run, as it counts certificates only once."""

    def __init__(self, ledger: Ledger, policy: RemovalPolicy, population: int, now: datetime) -> None:
        """`population`: users of Entra known here and not deleted."""
        self._ledger = ledger
        self._policy = policy
        self._population = population
        self._now = now
        self._certificates: int | None = None

    def objection(self, removals: Removals) -> TooMany | None:
        if removals.users > (limit := self._users_allowed()):
            return TooMany(limit, _TOO_MANY_USERS.format(limit))
        if removals.certificates > self._policy.max_removals and removals.certificates > (
            limit := self._certificates_allowed()
        ):
            return TooMany(limit, _TOO_MANY_CERTIFICATES.format(limit))
        return None

    def _users_allowed(self) -> int:
        """The configured number or share, whichever is more, but never more than half of all users."""
        configured = max(self._policy.max_removals, int(self._policy.max_removals_share * self._population))
        return min(configured, max(1, self._population // 2))

    def _certificates_allowed(self) -> int:
        """The same number, or share of all usable certificates: counted only where the number is exceeded."""
        if self._certificates is None:
            self._certificates = count_usable_certificates(self._ledger, self._now)
        return max(self._policy.max_removals, int(self._policy.max_removals_share * self._certificates))


def count_usable_certificates(ledger: Ledger, now: datetime) -> int:
    """Users' certificates that are neither revoked nor on hold nor expired: one scan of all."""
    usable = (CertificateStatus.ISSUED, CertificateStatus.PENDING)
    moment = format_time(now)
    return sum(
        row["kind"] == CertificateKind.ENTRA_USER and row["status"] in usable and str(row["not_after"]) >= moment
        for row in ledger.replicated_rows(Certificate)
    )


def _is_here(change: Recorded, *, before: bool) -> bool:
    user = change.before if before else change.after
    return user is not None and user.deletion is None and user.in_scope


_TOO_MANY_USERS = (
    "More than {} users seem to have left Entra at once. Nobody was removed. If that is right, run "
    "`python manage.py sync --accept-removals`."
)
_TOO_MANY_CERTIFICATES = (
    "What Entra says now would take more than {} certificates from their users at once. None was taken. "
    "`python manage.py sync --dry-run` says which; if that is right, run `python manage.py sync --accept-removals`."
)
