"""The emulator's control interface: JSON calls that change directories, keys, faults and clocks from outside.

`local.entra.control` is its client; the two are tested together.
"""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from local.entra.bulk import BulkLoad, load
from local.entra.directory import DirectoryError, timestamp
from local.entra.faults import Fault
from local.entra.snapshot import snapshot
from local.entra.tenants import AppRegistration, Tenant, Tenants
from local.entra.tokens import TokenSpec, claims, sign
from local.https_server import Reply

Arguments = dict[str, Any]


class ControlInterface:
    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    def answer(self, verb: str, body: bytes) -> Reply:
        """Calls `verb` with the JSON object in `body`; its result comes as `{"result": …}`."""
        try:
            arguments = json.loads(body or b"{}")
            result: Any = None
            if verb == "tenants.create":
                result = self._create(arguments)
            elif verb == "tenants.forget":
                self._tenants.forget(arguments["tenant"])
            else:
                tenant = self._tenants.find(arguments.pop("tenant"))
                if tenant is None:
                    return Reply.json({"error": "no such tenant"}, 404)
                result = VERBS[verb](tenant, arguments)
        except (DirectoryError, KeyError, TypeError, ValueError) as error:
            return Reply.json({"error": f"{verb}: {type(error).__name__}: {error}"}, 400)
        return Reply.json({"result": result})

    def _create(self, arguments: Arguments) -> str:
        tenant = self._tenants.create(arguments.get("tenant"))
        tenant.directory.restore_reports_members = arguments.get("restore_reports_members", True)
        return tenant.id


def _add_app(tenant: Tenant, arguments: Arguments) -> None:
    grants = {resource: tuple(roles) for resource, roles in arguments["grants"].items()}
    app = AppRegistration(
        arguments["client_id"],
        arguments["object_id"],
        set(arguments["secrets"]),
        [x509.load_pem_x509_certificate(pem.encode()) for pem in arguments["certificates"]],
        grants,
        arguments["token_version"],
    )
    tenant.apps[app.client_id] = app


def _grant(tenant: Tenant, arguments: Arguments) -> None:
    tenant.apps[arguments["client_id"]].grants[arguments["resource"]] = tuple(arguments["permissions"])


def _set_secrets(tenant: Tenant, arguments: Arguments) -> None:
    tenant.apps[arguments["client_id"]].secrets = set(arguments["secrets"])


def _add_certificate(tenant: Tenant, arguments: Arguments) -> None:
    certificate = x509.load_pem_x509_certificate(arguments["certificate"].encode())
    tenant.apps[arguments["client_id"]].certificates.append(certificate)


def _add_objects(tenant: Tenant, arguments: Arguments) -> list[str]:
    added = []
    with tenant.directory.lock:
        for item in arguments["objects"]:
            properties = {name: value for name, value in item["properties"].items() if value is not None}
            properties.setdefault("createdDateTime", timestamp(tenant.clock()))
            added.append(tenant.directory.add(arguments["type"], properties, item.get("id")).id)
    return added


def _update(tenant: Tenant, arguments: Arguments) -> None:
    with tenant.directory.lock:
        for item in arguments["updates"]:
            tenant.directory.update(item["id"], item["properties"])


def _delete(tenant: Tenant, arguments: Arguments) -> None:
    tenant.directory.delete(arguments["id"])


def _restore(tenant: Tenant, arguments: Arguments) -> None:
    tenant.directory.restore(arguments["id"])


def _purge(tenant: Tenant, arguments: Arguments) -> None:
    tenant.directory.purge(arguments["id"])


def _add_members(tenant: Tenant, arguments: Arguments) -> None:
    tenant.directory.add_members(arguments["group"], arguments["members"])


def _remove_member(tenant: Tenant, arguments: Arguments) -> None:
    tenant.directory.remove_member(arguments["group"], arguments["member"])


def _bulk(tenant: Tenant, arguments: Arguments) -> None:
    load(tenant.directory, BulkLoad(**arguments))


def _snapshot(tenant: Tenant, _: Arguments) -> dict[str, Any]:
    return snapshot(tenant.directory)


def _mint(tenant: Tenant, arguments: Arguments) -> str:
    user = tenant.directory.entries[arguments["user"]] if arguments["user"] else None
    client_id = arguments["client_id"]
    app = tenant.apps.get(client_id)
    subject = user.id if user is not None else arguments["object_id"] or (app.object_id if app else client_id)
    spec = TokenSpec(
        arguments["kind"],
        arguments["version"],
        tenant.id,
        tenant.issuers,
        arguments["audience"],
        client_id,
        subject,
        tuple(arguments["roles"]),
        user.properties if user is not None else None,
        arguments["scopes"],
    )
    payload = _overridden(claims(spec, arguments["issued_at"]), arguments["claims"])
    return _sign(tenant, {"payload": payload, "header": arguments["header"], "kid": arguments["kid"]})


def _overridden(payload: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (payload | dict(changes)).items() if value is not None}


def _sign(tenant: Tenant, arguments: Arguments) -> str:
    key = tenant.keys.key(arguments["kid"]) if arguments["kid"] else tenant.keys.current
    payload = arguments["payload"]
    return sign(bytes.fromhex(payload) if isinstance(payload, str) else payload, key, arguments["header"])


def _private_key(tenant: Tenant, arguments: Arguments) -> dict[str, str]:
    key = tenant.keys.key(arguments["kid"]) if arguments["kid"] else tenant.keys.current
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {"kid": key.kid, "pem": pem.decode()}


def _rotate(tenant: Tenant, arguments: Arguments) -> str:
    return tenant.keys.add(publish=arguments["publish"])


def _publish_key(tenant: Tenant, arguments: Arguments) -> None:
    tenant.keys.publish(arguments["kid"])


def _drop_keys(tenant: Tenant, arguments: Arguments) -> None:
    tenant.keys.drop(arguments["kids"])


def _set_odd_keys(tenant: Tenant, arguments: Arguments) -> None:
    tenant.keys.odd_keys = arguments["keys"]


def _set_key_issuer(tenant: Tenant, arguments: Arguments) -> None:
    tenant.keys.key_issuers[arguments["kid"]] = arguments["issuer"]


def _override_discovery(tenant: Tenant, arguments: Arguments) -> None:
    tenant.discovery_overrides[arguments["version"]] = arguments["members"]


def _arm(tenant: Tenant, arguments: Arguments) -> int:
    return tenant.faults.arm(Fault.from_json(arguments["fault"]))


def _disarm(tenant: Tenant, arguments: Arguments) -> None:
    tenant.faults.disarm(arguments["number"])


def _struck(tenant: Tenant, arguments: Arguments) -> int:
    return tenant.faults.struck(arguments["number"])


def _traffic(tenant: Tenant, _: Arguments) -> dict[str, Any]:
    return tenant.traffic.summary()


def _log(tenant: Tenant, _: Arguments) -> list[dict[str, Any]]:
    return tenant.traffic.log()


def _reset_traffic(tenant: Tenant, _: Arguments) -> None:
    tenant.traffic.reset()


def _advance_clock(tenant: Tenant, arguments: Arguments) -> None:
    tenant.clock_offset += timedelta(seconds=arguments["seconds"])


def _limit_units(tenant: Tenant, arguments: Arguments) -> None:
    tenant.bucket.limit = arguments["units"]


VERBS: dict[str, Callable[[Tenant, Arguments], Any]] = {
    "apps.add": _add_app,
    "apps.grant": _grant,
    "apps.set_secrets": _set_secrets,
    "apps.add_certificate": _add_certificate,
    "objects.add": _add_objects,
    "objects.update": _update,
    "objects.delete": _delete,
    "objects.restore": _restore,
    "objects.purge": _purge,
    "members.add": _add_members,
    "members.remove": _remove_member,
    "directory.bulk": _bulk,
    "directory.snapshot": _snapshot,
    "tokens.mint": _mint,
    "tokens.sign": _sign,
    "keys.private": _private_key,
    "keys.rotate": _rotate,
    "keys.publish": _publish_key,
    "keys.drop": _drop_keys,
    "keys.set_odd": _set_odd_keys,
    "keys.set_issuer": _set_key_issuer,
    "discovery.override": _override_discovery,
    "faults.arm": _arm,
    "faults.disarm": _disarm,
    "faults.struck": _struck,
    "traffic.summary": _traffic,
    "traffic.log": _log,
    "traffic.reset": _reset_traffic,
    "clock.advance": _advance_clock,
    "throttle.limit": _limit_units,
}
