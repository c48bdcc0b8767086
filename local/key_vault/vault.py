"""One vault: challenges, authenticates, authorizes and answers requests for keys.

Source: https://learn.microsoft.com/rest/api/keyvault/keys/operation-groups.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, unquote

from local.entra.faults import Action, Fault, FaultBoard, Point
from local.entra.signing_keys import base64url
from local.entra.strike import replacement, status_fault, wire
from local.entra.traffic import LoggedRequest, Traffic
from local.https_server import Reply, Request
from local.key_vault import request_bodies
from local.key_vault.bearer import Authority, Principal
from local.key_vault.errors import VaultError, bad_parameter, forbidden, not_emulated
from local.key_vault.key_store import (
    EC_OPERATIONS,
    RETENTION,
    RSA_OPERATIONS,
    Key,
    KeyStore,
    KeyVersion,
    generate,
    public_members,
)
from local.key_vault.roles import RoleAssignments
from local.key_vault.signatures import SignatureLog, check, sign, verify

API_VERSIONS = frozenset({"2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01"})
PAGE = 25  # "If not specified the service will return up to 25 results", getkeys
FAULT_CODES = {
    403: ("Forbidden", "Caller is not authorized to perform action on resource."),
    429: ("Throttled", "Request was not processed because too many requests were received."),
}


@dataclass(frozen=True)
class Call:
    principal: Principal
    request: Request
    query: dict[str, str]
    faults: tuple[Fault, ...]

    def struck_by(self, action: Action) -> bool:
        return any(fault.action is action for fault in self.faults)


Handler = Callable[[Call, list[str]], tuple[str, Any]]


class Vault:
    """`url` is where it listens, which its server knows only after it is bound; `name` stands in refusals."""

    def __init__(self, authority: Authority, clock: Callable[[], float] = time.time) -> None:
        self.url = ""
        self.name = f"local-{uuid.uuid4().hex[:12]}"
        self.keys = KeyStore()
        self.roles = RoleAssignments()
        self.faults = FaultBoard()
        self.traffic = Traffic()
        self.signatures = SignatureLog()
        self._authority = authority
        self._clock = clock

    def answer(self, request: Request) -> Reply:
        faults = self.faults.take(Point.VAULT, request.target) if "authorization" in request.headers else ()
        kind, reply = self._answered(request, faults)
        self.traffic.note(LoggedRequest(kind, request.method, request.target, reply.status))
        return replace(reply, wire=wire(faults))

    def _answered(self, request: Request, faults: tuple[Fault, ...]) -> tuple[str, Reply]:
        kind = "refused"
        try:
            principal = self._authority.principal(request.headers.get("authorization"))
            refuse_if_struck(faults)
            if (put := replacement(faults)) is not None:
                return "replaced", put
            kind, body = self._routed(Call(principal, request, _query(request), faults))
            return kind, self._reply(request, 204 if body is None else 200, body)
        except VaultError as error:
            kind = "challenge" if error.status == 401 else kind
            return kind, self._reply(request, error.status, error.body(), error.headers)

    def _reply(self, request: Request, status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
        sent = {
            "Cache-Control": "no-cache",
            "x-ms-keyvault-region": "laptop",
            "x-ms-request-id": str(uuid.uuid4()),
            "x-ms-client-request-id": request.headers.get("x-ms-client-request-id", ""),
            "Strict-Transport-Security": "max-age=31536000;includeSubDomains",
        } | (headers or {})
        return Reply(204, headers=sent) if body is None else Reply.json(body, status, sent)

    def _routed(self, call: Call) -> tuple[str, Any]:
        if call.query.get("api-version") not in API_VERSIONS:
            raise bad_parameter(f"The specified version ({call.query.get('api-version')}) is not recognized.")
        segments = [unquote(segment) for segment in call.request.path.strip("/").split("/")]
        collection, rest = segments[0], segments[1:]
        if rest and not request_bodies.KEY_NAME.fullmatch(rest[0]):
            raise bad_parameter(f"The request URI contains an invalid name: {rest[0]}")
        shape = (call.request.method, collection, _shape(rest))
        handler = self._handlers().get(shape)
        if handler is None:
            raise not_emulated(f"{call.request.method} {call.request.path} (or it does not exist)")
        return handler(call, rest)

    def _handlers(self) -> dict[tuple[str, str, str], Handler]:
        """By method, collection and shape of the path below it."""
        return {
            ("GET", "keys", ""): self._list,
            ("POST", "keys", "*/create"): self._create,
            ("POST", "keys", "*/rotate"): self._rotate,
            ("GET", "keys", "*"): self._get,
            ("GET", "keys", "*/*"): self._get,
            ("GET", "keys", "*/versions"): self._versions,
            ("PATCH", "keys", "*"): self._update,
            ("PATCH", "keys", "*/*"): self._update,
            ("DELETE", "keys", "*"): self._delete,
            ("POST", "keys", "*/*/sign"): self._sign,
            ("POST", "keys", "*/*/verify"): self._verify,
            ("GET", "deletedkeys", ""): self._list_deleted,
            ("GET", "deletedkeys", "*"): self._get_deleted,
            ("DELETE", "deletedkeys", "*"): self._purge,
            ("POST", "deletedkeys", "*/recover"): self._recover,
        }

    def _require(self, call: Call, action: str) -> None:
        self.roles.require(call.principal, action, self.name)

    # Management

    def _create(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        self._require(call, "create/action")
        wanted = request_bodies.create_request(call.request.body, self._now())
        private = generate(wanted.key_type, wanted.size, wanted.curve)
        made = self.keys.create(rest[0], wanted.key_type, private, wanted.operations, wanted.attributes, wanted.tags)
        return "create", made.bundle(self.url)

    def _rotate(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        """A new version of the same kind."""
        self._require(call, "rotate/action")
        old, now = self.keys.get(rest[0]), self._now()
        jwk = public_members(old.private)
        private = generate(old.key_type, None if "crv" in jwk else old.private.key_size, jwk.get("crv"))
        attributes = replace(old.attributes, enabled=True, created=now, updated=now)
        made = self.keys.create(old.name, old.key_type, private, old.operations, attributes, dict(old.tags))
        return "rotate", made.bundle(self.url)

    def _get(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        self._require(call, "read")
        version = self.keys.get(*rest)
        if call.struck_by(Action.OTHER_VERSION):
            version = self.keys.other_version(version) or version
        return "get", version.bundle(self.url)

    def _update(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        self._require(call, "update/action")
        version, document = self.keys.get(*rest), request_bodies.json_object(call.request.body)
        usual = EC_OPERATIONS if version.key_type.startswith("EC") else RSA_OPERATIONS
        changed = replace(version.attributes, updated=self._now())
        request_bodies.apply_attributes(changed, document.get("attributes"))
        version.operations = request_bodies.operations(document, usual) or version.operations
        version.attributes = changed
        found = request_bodies.tags(document)
        version.tags = version.tags if found is None else found
        return "update", version.bundle(self.url)

    def _list(self, call: Call, _: list[str]) -> tuple[str, Any]:
        self._require(call, "read")
        found = [_item(f"{self.url}/keys/{version.name}", version) for version in self.keys.live()]
        return "list", self._page(call, found)

    def _versions(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        self._require(call, "read")
        found = [_item(self.url + version.path(), version) for version in self.keys.versions(rest[0])]
        return "versions", self._page(call, found)

    def _delete(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        self._require(call, "delete")
        return "delete", self._deleted(self.keys.delete(rest[0], self._now()))

    def _get_deleted(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        self._require(call, "read")
        return "deleted.get", self._deleted(self.keys.deleted(rest[0]))

    def _list_deleted(self, call: Call, _: list[str]) -> tuple[str, Any]:
        self._require(call, "read")
        found = [
            _item(f"{self.url}/keys/{key.name}", key.versions[-1]) | self._grave(key) for key in self.keys.all_deleted()
        ]
        return "deleted.list", self._page(call, found)

    def _recover(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        self._require(call, "recover/action")
        return "recover", self.keys.recover(rest[0]).bundle(self.url)

    def _purge(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        self._require(call, "purge/action")
        self.keys.purge(rest[0])
        return "purge", None

    def _deleted(self, key: Key) -> dict[str, Any]:
        return key.versions[-1].bundle(self.url) | self._grave(key)

    def _grave(self, key: Key) -> dict[str, Any]:
        deleted_at = key.deleted_at or 0
        return {
            "recoveryId": f"{self.url}/deletedkeys/{key.name}",
            "deletedDate": deleted_at,
            "scheduledPurgeDate": deleted_at + int(RETENTION.total_seconds()),
        }

    def _page(self, call: Call, found: list[dict[str, Any]]) -> dict[str, Any]:
        size = call.query.get("maxresults", str(PAGE))
        if not size.isdigit() or not 1 <= int(size) <= PAGE:
            raise bad_parameter(f"Query parameter maxresults has invalid value: {size}")
        start = call.query.get("$skiptoken", "0")
        begin = int(start) if start.isdigit() else 0
        page, end = found[begin : begin + int(size)], begin + int(size)
        link = (
            f"{self.url}{call.request.path}?api-version={call.query['api-version']}&$skiptoken={end}&maxresults={size}"
        )
        return {"value": page, "nextLink": link if end < len(found) else None}

    # Signing

    def _sign(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        self._require(call, "sign/action")
        version = self.keys.get(rest[0], rest[1])
        algorithm, (digest,) = request_bodies.signed_members(call.request.body, "value")
        self._check_usable(version, "sign")
        check(version, algorithm, digest)
        if call.struck_by(Action.OTHER_VERSION):
            version = self.keys.other_version(version) or version
        wrong = call.struck_by(Action.WRONG_SIGNATURE)
        value = sign(version, algorithm, bytes(byte ^ 0xFF for byte in digest) if wrong else digest)
        self.signatures.add(version, algorithm, digest, value, faulty=wrong)
        return "sign", {"kid": self.url + version.path(), "value": base64url(value)}

    def _verify(self, call: Call, rest: list[str]) -> tuple[str, Any]:
        """Allowed for disabled, expired and not yet valid keys, as in the service."""
        self._require(call, "verify/action")
        version = self.keys.get(rest[0], rest[1])
        algorithm, (digest, value) = request_bodies.signed_members(call.request.body, "digest", "value")
        self._check_permitted(version, "verify")
        check(version, algorithm, digest)
        return "verify", {"value": verify(version, algorithm, digest, value)}

    def _check_usable(self, version: KeyVersion, operation: str) -> None:
        attributes, now = version.attributes, self._now()
        if not attributes.enabled:
            raise forbidden(f"Operation {operation} is not allowed on a disabled key.", "KeyDisabled")
        if attributes.not_before is not None and now < attributes.not_before:
            raise forbidden(f"Operation {operation} is not allowed on a key that is not yet valid.", "KeyNotYetValid")
        if attributes.expires is not None and now >= attributes.expires:
            raise forbidden(f"Operation {operation} is not allowed on an expired key.", "KeyExpired")
        self._check_permitted(version, operation)

    @staticmethod
    def _check_permitted(version: KeyVersion, operation: str) -> None:
        if operation not in version.operations:
            raise forbidden(f"Operation {operation} is not permitted on this key.", "KeyOperationForbidden")

    def _now(self) -> int:
        return int(self._clock())


def refuse_if_struck(faults: tuple[Fault, ...]) -> None:
    """Raises what a STATUS fault asks for."""
    fault = status_fault(faults)
    if fault is None:
        return
    code, message = FAULT_CODES.get(fault.status, (fault.code, "The service has a problem."))
    headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
    raise VaultError(fault.status, code, message, "ForbiddenByRbac" if fault.status == 403 else None, headers)


def _query(request: Request) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(request.query, keep_blank_values=True).items()}


def _shape(rest: list[str]) -> str:
    """`*` for names and versions, words for operations: a name at the front, perhaps a version, perhaps a verb."""
    verbs = {"create", "rotate", "versions", "recover"}
    if len(rest) == 2 and rest[1] in verbs:
        return f"*/{rest[1]}"
    if len(rest) == 3:
        return f"*/*/{rest[2]}"
    return "/".join("*" for _ in rest)


def _item(kid: str, version: KeyVersion) -> dict[str, Any]:
    return {"kid": kid, "attributes": version.attributes.to_json(), "tags": version.tags}
