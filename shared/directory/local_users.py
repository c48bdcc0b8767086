"""People who are not from Entra: known to the directory, shown as users, never synchronized and never issued to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from shared.context import Context
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.user import LOCAL_USERS, User, user_key
from shared.errors import AppError

LONGEST = 256


@dataclass(frozen=True)
class LocalUser:
    """What an import says about one person. `user_principal_name` (else `email`) tells the same person again."""

    name: str
    user_principal_name: str | None = None
    email: str | None = None
    department: str | None = None
    job_title: str | None = None
    employee_id: str | None = None

    @property
    def identity(self) -> str | None:
        named = self.user_principal_name or self.email
        return named.lower() if named else None


@dataclass(frozen=True)
class Imported:
    """How many local users an import made, changed and found as they were."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0

    def plus(self, more: "Imported") -> "Imported":
        return Imported(self.created + more.created, self.updated + more.updated, self.unchanged + more.unchanged)


class LocalUsers:
    """Imports local users into a ledger; a second import of the same people updates them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[str, int] | None = None

    def import_some(self, people: Sequence[LocalUser], context: Context) -> Imported:
        """Creates or updates these people; of several with one identity the last counts.

        Raises: the ledger's errors; what was committed before one of them stays.
        """
        distinct = list({person.identity or str(number): person for number, person in enumerate(people)}.values())
        requests = [self._request(person, context) for person in distinct]
        total = Imported()
        for person, result in zip(distinct, self._ledger.commit_all(requests, context.deadline), strict=True):
            if isinstance(result, AppError):
                raise result
            user_id, imported = result.value
            if person.identity:
                self._ids()[person.identity] = user_id
            total = total.plus(imported)
        return total

    def _ids(self) -> dict[str, int]:
        if self._known is None:
            self._known = dict(_identities(self._ledger.scan(User)))
        return self._known

    def _request(self, person: LocalUser, context: Context) -> Request[tuple[int, Imported]]:
        known_id = self._ids().get(person.identity) if person.identity else None

        def decide(tx: Transaction) -> tuple[int, Imported]:
            before = tx.get(User, user_key(known_id)) if known_id is not None else None
            user = _described(tx, person, before)
            if before is None:
                tx.next_id(LOCAL_USERS)
                tx.put(user)
                return user.id, Imported(created=1)
            if user == before:
                return user.id, Imported(unchanged=1)
            tx.put(replace(user, updated_at=tx.time))
            return user.id, Imported(updated=1)

        reads = [(User, user_key(known_id))] if known_id is not None else []
        return Request("user.imported", context, decide, reads=reads)


def _described(tx: Transaction, person: LocalUser, before: User | None) -> User:
    base = before or User(
        id=tx.next_id("user"), name=person.name, is_active=True, created_at=tx.time, updated_at=tx.time
    )
    return replace(
        base,
        name=person.name,
        user_principal_name=person.user_principal_name,
        email=person.email,
        department=person.department,
        job_title=person.job_title,
        employee_id=person.employee_id,
    )


def _identities(users: Iterable[User]) -> Iterable[tuple[str, int]]:
    for user in users:
        named = user.user_principal_name or user.email
        if not user.is_synchronized and named:
            yield named.lower(), user.id
