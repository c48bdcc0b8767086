"""The emulator's front door: a request goes to Graph, a tenant's sign-in endpoints or the control interface."""

import hmac
from dataclasses import replace
from pathlib import Path

from local import tls
from local.entra.control_interface import ControlInterface
from local.entra.discovery import discovery_reply, key_set_reply
from local.entra.faults import Fault, Point
from local.entra.graph.service import GraphService
from local.entra.strike import replacement, status_fault, wire
from local.entra.tenants import Tenant, Tenants
from local.entra.token_endpoint import StsError, answer_token_request, unknown_tenant
from local.entra.traffic import LoggedRequest
from local.https_server import HttpsServer, Reply, Request

CONTROL_PREFIX = "/_control/"
POINTS = {
    "/.well-known/openid-configuration": (Point.DISCOVERY, 1),
    "/v2.0/.well-known/openid-configuration": (Point.DISCOVERY, 2),
    "/discovery/keys": (Point.JWKS, 1),
    "/discovery/v2.0/keys": (Point.JWKS, 2),
    "/oauth2/token": (Point.TOKEN, 1),
    "/oauth2/v2.0/token": (Point.TOKEN, 2),
}


class EntraServer:
    """The emulator in this process. `control_key` opens the control interface."""

    def __init__(self, state_folder: Path, control_key: str, port: int = 0) -> None:
        self.files = tls.ensure(state_folder / "tls")
        self._control_key = control_key
        self._server = HttpsServer(self._answer, self.files.server_context(), port)
        self.url = self._server.url
        tenants = Tenants(self.url)
        self._tenants = tenants
        self._graph = GraphService(tenants)
        self._control = ControlInterface(tenants)

    def serve(self) -> None:
        self._server.serve()

    def stop(self) -> None:
        self._server.stop()

    def _answer(self, request: Request) -> Reply:
        if request.path.startswith(CONTROL_PREFIX):
            return self._answer_control(request)
        if request.path.startswith("/v1.0/"):
            return self._graph.answer(request)
        tenant_id, _, rest = request.path.removeprefix("/").partition("/")
        point = POINTS.get(f"/{rest}")
        if point is None:
            return Reply(404, b"")
        tenant = self._tenants.find(tenant_id)
        if tenant is None:
            return unknown_tenant(tenant_id).reply(self.url)
        return self._answer_sign_in(tenant, request, *point)

    def _answer_control(self, request: Request) -> Reply:
        given = request.headers.get("x-control-key", "")
        if not hmac.compare_digest(given.encode(), self._control_key.encode()):
            return Reply.json({"error": "the control key is missing or wrong"}, 403)
        return self._control.answer(request.path.removeprefix(CONTROL_PREFIX), request.body)

    def _answer_sign_in(self, tenant: Tenant, request: Request, point: Point, version: int) -> Reply:
        faults = tenant.faults.take(point, request.target)
        reply = _struck(faults, self.url)
        if reply is None and point is Point.TOKEN:
            reply = answer_token_request(tenant, request, version)
        elif reply is None:
            reply = discovery_reply(tenant, version) if point is Point.DISCOVERY else key_set_reply(tenant, version)
        tenant.traffic.note(LoggedRequest(point.value, request.method, request.target, reply.status))
        return replace(reply, wire=wire(faults))


def _struck(faults: tuple[Fault, ...], base_url: str) -> Reply | None:
    fault = status_fault(faults)
    if fault is None:
        return replacement(faults)
    reply = StsError(fault.status, "temporarily_unavailable", 90033, "A transient error has occurred.").reply(base_url)
    extra = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
    return replace(reply, headers=dict(reply.headers) | extra)
