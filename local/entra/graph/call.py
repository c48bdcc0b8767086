"""One Graph request on its way through the emulator, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.entra.directory import Directory, Entry
from local.entra.faults import Action, Fault
from local.entra.graph.errors import bad_request, denied
from local.entra.graph.paging import Sealer
from local.entra.graph.query import Options
from local.entra.properties import EntityType
from local.entra.tenants import Tenant

USER_READERS = frozenset({"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"})
GROUP_READERS = frozenset(
    {
        "GroupMember.Read.All",
        "GroupMember.ReadWrite.All",
        "Group.Read.All",
        "Group.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    }
)  # the permission tables of the list users, list groups and list members pages


@dataclass(frozen=True)
class Caller:
    """Whom the bearer token names: tenant, client and what was consented to."""

    tenant: Tenant
    client_id: str
    permissions: frozenset[str]

    def may_read(self, entity: EntityType) -> bool:
        if entity.name == "user":
            return bool(self.permissions & USER_READERS)
        if entity.name == "group":
            return bool(self.permissions & GROUP_READERS)
        return bool(self.permissions & {"Directory.Read.All", "Directory.ReadWrite.All"})


@dataclass(frozen=True)
class Call:
    caller: Caller
    path: str
    segments: list[str]
    options: Options
    headers: Mapping[str, str]
    sealer: Sealer
    faults: tuple[Fault, ...] = ()

    @property
    def tenant(self) -> Tenant:
        return self.caller.tenant

    @property
    def directory(self) -> Directory:
        return self.caller.tenant.directory

    @property
    def base_url(self) -> str:
        return f"{self.tenant.base_url}/v1.0"

    @property
    def eventual(self) -> bool:
        return self.headers.get("consistencylevel", "").lower() == "eventual"

    @property
    def advanced(self) -> bool:
        """ConsistencyLevel and $count together: https://learn.microsoft.com/graph/aad-advanced-queries."""
        return self.eventual and self.options.count

    def fault(self, action: Action) -> Fault | None:
        return next((fault for fault in self.faults if fault.action is action), None)

    def require(self, entity: EntityType) -> None:
        if not self.caller.may_read(entity):
            raise denied()


@dataclass(frozen=True)
class Result:
    """A body (an object, or a number for $count), its status and what it cost in resource units."""

    kind: str
    body: dict[str, Any] | int
    units: int


def check_select(select: tuple[str, ...] | None, *entities: EntityType) -> tuple[str, ...] | None:
    """Raises for a property that none of the types has."""
    for name in select or ():
        if not any(name in entity.properties or name in entity.single_only for entity in entities):
            raise bad_request(
                f"Parsing OData Select and Expand failed: Could not find a property named '{name}' "
                f"on type 'microsoft.graph.{entities[0].name}'."
            )
    return select


def rendered(
    call: Call, entry: Entry, select: tuple[str, ...] | None, *, typed: bool = False, sparse: bool = False
) -> dict[str, Any]:
    """An object as Graph shows it.

    `typed` adds @odata.type; `sparse` leaves properties out that were never set, as delta queries do. Without the
    permission to read the type only its id is shown.
    """
    names = select if select is not None else entry.type.defaults
    shown: dict[str, Any] = {"@odata.type": entry.type.odata_type} if typed else {}
    if not call.caller.may_read(entry.type):
        return shown | {"id": entry.id} | {name: None for name in names if name != "id"}
    missing = call.fault(Action.MISSING_PROPERTIES)
    properties, lists = entry.properties, entry.type.lists
    for name in names:
        if missing is not None and name in missing.names:
            continue
        if name in properties:
            shown[name] = properties[name]
        elif name in ("id", "deletedDateTime"):
            shown[name] = entry.value(name)
        elif not sparse and (not typed or name in entry.type.properties):
            shown[name] = [] if name in lists else None
    if sparse:
        shown["id"] = entry.id
    return shown


def cost(base: int, options: Options) -> int:
    """https://learn.microsoft.com/graph/throttling-limits, "Other factors that affect a request cost"."""
    units = base
    units -= options.get("$select") is not None
    units += options.get("$expand") is not None
    units -= options.top is not None and options.top < 20
    return max(1, units)
