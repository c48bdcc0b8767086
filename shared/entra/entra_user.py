"""A user as Graph describes it, checked and brought into the form of our own record.

Identity is the object id. Names and addresses are attributes: none of them ever links a person to a record.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from shared.directory.records.user import User
from shared.entra.graph.errors import GraphError
from shared.entra.graph.transport import Json

LONGEST_TEXT = 1024
"""Characters of one property. Entra's own limits are lower (256 for names, 1,024 for a UPN)."""
LARGEST_LIST = 128 * 1024
"""Characters of all proxy addresses, or all other addresses, of one user."""

_TEXTS = {
    "userPrincipalName": "user_principal_name",
    "displayName": "display_name",
    "givenName": "given_name",
    "surname": "surname",
    "mail": "mail",
    "userType": "user_type",
    "jobTitle": "job_title",
    "department": "department",
    "companyName": "company_name",
    "employeeId": "employee_id",
    "onPremisesImmutableId": "on_premises_immutable_id",
    "onPremisesSecurityIdentifier": "on_premises_security_identifier",
    "onPremisesSamAccountName": "on_premises_sam_account_name",
    "onPremisesDomainName": "on_premises_domain_name",
    "onPremisesUserPrincipalName": "on_premises_user_principal_name",
    "externalUserState": "external_user_state",
}
_LISTS = {"otherMails": "other_mails", "proxyAddresses": "proxy_addresses"}
_FLAGS = {"accountEnabled": "account_enabled", "onPremisesSyncEnabled": "on_premises_sync_enabled"}
_TIMES = {"createdDateTime": "entra_created_at"}
_PROPERTIES = _TEXTS | _LISTS | _FLAGS | _TIMES

SELECT = ",".join(("id", *_PROPERTIES))
"""Every property we use: Graph's default set lacks most of them."""

_ADDRESS = re.compile(r"[A-Za-z0-9.!$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+", re.ASCII)
"""A deliverable address form: no `#`, hence no guest's `…#EXT#@…`."""


class EntraUserMalformed(GraphError):
    """Graph's description of one user cannot be used; `object_id` is empty where not even that could be read."""

    status, code = 502, "entra_user_malformed"

    def __init__(self, object_id: str, reason: str) -> None:
        super().__init__(f"Entra ID's record of the user {object_id or '(without id)'} cannot be used: {reason}.")
        self.object_id = object_id
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class EntraUser:
    """One user of the tenant, alive: enabled or disabled.

    Attributes:
        absent: the record's fields about which the reply said nothing, not even null. In a delta that means "never
            set"; but a field that we know a value of is then worth a second look (`lost_fields`).
    """

    object_id: str
    user_principal_name: str
    account_enabled: bool
    display_name: str | None = None
    given_name: str | None = None
    surname: str | None = None
    mail: str | None = None
    other_mails: tuple[str, ...] = ()
    proxy_addresses: tuple[str, ...] = ()
    user_type: str | None = None
    job_title: str | None = None
    department: str | None = None
    company_name: str | None = None
    employee_id: str | None = None
    on_premises_sync_enabled: bool | None = None
    on_premises_immutable_id: str | None = None
    on_premises_security_identifier: str | None = None
    on_premises_sam_account_name: str | None = None
    on_premises_domain_name: str | None = None
    on_premises_user_principal_name: str | None = None
    external_user_state: str | None = None
    entra_created_at: datetime | None = None
    absent: frozenset[str] = frozenset()

    @classmethod
    def from_graph(cls, data: Json) -> "EntraUser":
        """Raises EntraUserMalformed: no object id, no UPN, no account state, a wrong type, an absurd length."""
        object_id = object_id_of(data)
        try:
            found: dict[str, Any] = {}
            found |= {field: _text(data.get(name)) for name, field in _TEXTS.items()}
            found |= {field: _list(data.get(name)) for name, field in _LISTS.items()}
            found |= {field: _flag(data.get(name)) for name, field in _FLAGS.items()}
            found |= {field: _time(data.get(name)) for name, field in _TIMES.items()}
            _require(found, data)
        except ValueError as error:
            raise EntraUserMalformed(object_id, str(error)) from error
        absent = frozenset(field for name, field in _PROPERTIES.items() if name not in data)
        return cls(object_id=object_id, absent=absent, **found)

    @property
    def name(self) -> str:
        """displayName, else given name and surname, else the UPN."""
        parts = [part for part in (self.given_name, self.surname) if part]
        return self.display_name or " ".join(parts) or self.user_principal_name

    @property
    def email(self) -> str | None:
        """mail, else the primary SMTP proxy address, else the UPN if it is an address. Unverified; no identity."""
        primary = (address[5:] for address in self.proxy_addresses if address.startswith("SMTP:"))
        candidates = (self.mail, *primary, self.user_principal_name)
        return next((each for each in candidates if each and _ADDRESS.fullmatch(each)), None)

    def lost_fields(self, known: User) -> frozenset[str]:
        """Fields the reply left out although the record has a value: nobody loses one without a confirming read."""
        lost = {field for field in self.absent if field in _COPIED and getattr(known, field)}
        if "display_name" in self.absent and known.name != self.name:
            lost.add("display_name")
        return frozenset(lost)

    def record_fields(self) -> dict[str, Any]:
        """What the record of this user says after Graph; activity, groups and scope are not its to say."""
        copied = {field: getattr(self, field) for field in _COPIED}
        return {**copied, "object_id": self.object_id, "name": self.name, "email": self.email}


_COPIED = tuple(each.name for each in fields(EntraUser) if each.name not in ("object_id", "display_name", "absent"))


def object_id_of(data: Mapping[str, Any]) -> str:
    """The `id` of a directory object as a lower-case GUID. Raises EntraUserMalformed."""
    found = data.get("id")
    try:
        if not isinstance(found, str) or len(found) != 36:
            raise ValueError("not a GUID")
        return str(UUID(found))
    except ValueError as error:
        raise EntraUserMalformed("", "its id is missing or not a GUID") from error


def _require(found: Mapping[str, Any], data: Json) -> None:
    upn = found["user_principal_name"]
    if upn is None:
        raise ValueError("its userPrincipalName is missing")
    if upn != data["userPrincipalName"] or upn.count("@") != 1 or " " in upn:
        raise ValueError("its userPrincipalName is not one")
    if found["account_enabled"] is None:
        raise ValueError("its accountEnabled is missing")


def _text(value: object) -> str | None:
    """One line of text: control characters become spaces, a lone surrogate the replacement character; empty is None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("a text is not a string")
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"a text is longer than {LONGEST_TEXT} characters")
    if not value.isprintable():
        value = "".join(_printable(character) for character in value).strip()
    return value or None


def _printable(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return " " if code < 0x20 or 0x7F <= code <= 0x9F else character


def _list(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("a list of addresses is not a list")
    items = tuple(text for text in (_text(item) for item in value) if text)
    if sum(map(len, items)) > LARGEST_LIST:
        raise ValueError(f"a list of addresses is longer than {LARGEST_LIST} characters")
    return items


def _flag(value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ValueError("a flag is neither true nor false")
    return value


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("a time is not a string")
    moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
