"""Bicep's functions, and what Azure answers about resources, as far as the templates of `infra/` ask."""

import hashlib
import ipaddress
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SUBSCRIPTION = "/subscriptions/00000000-1111-2222-3333-444444444444"
RESOURCE_GROUP = f"{SUBSCRIPTION}/resourceGroups/pki"


@dataclass(frozen=True)
class Azure:
    """Where a template is deployed to.

    Attributes:
        environment: the environment variables that a parameter file reads.
        answers: by type of resource, what Azure adds to what was sent; `{name}` stands for the resource's name.
    """

    cloud: str = "AzureCloud"
    storage_suffix: str = "core.windows.net"
    tenant_id: str = "55555555-6666-7777-8888-999999999999"
    environment: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def answer(self, kind: str, name: str) -> dict[str, Any]:
        filled: dict[str, Any] = json.loads(json.dumps(self.answers.get(kind, {})).replace("{name}", name))
        return filled

    @staticmethod
    def resource_id(kind: str, name: str, scope: str | None) -> str:
        provider, *types = kind.split("/")
        pairs = "".join(f"/{each}/{part}" for each, part in zip(types, name.split("/"), strict=True))
        return f"{scope or RESOURCE_GROUP}/providers/{provider}{pairs}"


def _unique_string(_: Azure, *parts: str) -> str:
    """13 characters that depend on the parts alone; Azure's are others."""
    return hashlib.sha256("-".join(parts).encode()).hexdigest()[:13]


def _union(_: Azure, *objects: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for each in objects for name, value in each.items()}


def _cidr_subnet(_: Azure, network: str, length: int, index: int) -> str:
    return str(list(ipaddress.ip_network(network).subnets(new_prefix=length))[index])


def _environment_variable(azure: Azure, name: str, default: str | None = None) -> str:
    value = azure.environment.get(name, default)
    if value is None:
        raise LookupError(f"the environment has no {name}")
    return value


def _role_definition(_: Azure, kind: str, name: str) -> str:
    return f"{SUBSCRIPTION}/providers/{kind}/{name}"


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "resourceGroup": lambda _: {"id": RESOURCE_GROUP, "name": "pki", "location": "westeurope"},
    "tenant": lambda azure: {"tenantId": azure.tenant_id},
    "environment": lambda azure: {"name": azure.cloud, "suffixes": {"storage": azure.storage_suffix}},
    "uniqueString": _unique_string,
    "guid": lambda _, *parts: str(uuid.uuid5(uuid.NAMESPACE_URL, "-".join(parts))),
    "union": _union,
    "concat": lambda _, *lists: [element for each in lists for element in each],
    "cidrSubnet": _cidr_subnet,
    "subscriptionResourceId": _role_definition,
    "readEnvironmentVariable": _environment_variable,
    "empty": lambda _, value: not value,
    "split": lambda _, text, separator: text.split(separator),
    "startsWith": lambda _, text, start: text.startswith(start),
    "substring": lambda _, text, start: text[start:],
    "int": lambda _, value: int(value),
    "bool": lambda _, value: {"true": True, "false": False}[value],
    "string": lambda _, value: str(value),
}
