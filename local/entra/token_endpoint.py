"""The token endpoint: client credentials by secret or by certificate assertion, refused in Entra's words.

Sources: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow,
.../certificate-credentials and .../reference-error-codes.
"""

import hmac
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from local.entra.tenants import VAULT_RESOURCE, AppRegistration, Tenant
from local.entra.tokens import LIFETIME, TokenSpec, claims, from_base64url, new_nonce, sign
from local.https_server import Reply, Request

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523, 2.2


class StsError(Exception):
    """A refusal: OAuth error, AADSTS number, sentence."""

    def __init__(self, status: int, error: str, number: int, message: str) -> None:
        super().__init__(message)
        self.status, self.error, self.number, self.message = status, error, number, message

    def reply(self, base_url: str) -> Reply:
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        description = f"AADSTS{self.number}: {self.message}"
        body: dict[str, Any] = {
            "error": self.error,
            "error_description": f"{description} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}",
            "error_codes": [self.number],
            "timestamp": now,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{base_url}/error?code={self.number}",
        }
        return Reply.json(body, self.status, {"Cache-Control": "no-store, no-cache", "x-ms-request-id": trace})


def unknown_tenant(tenant_id: str) -> StsError:
    return StsError(
        400,
        "invalid_tenant",
        90002,
        f"Tenant '{tenant_id}' not found. Check to make sure you have the correct tenant ID.",
    )


def answer_token_request(tenant: Tenant, request: Request, version: int) -> Reply:
    """A token for the form posted to /oauth2/v2.0/token or (version 1, with `resource`) /oauth2/token."""
    try:
        form = _form(request)
        if _required(form, "grant_type") != "client_credentials":
            raise StsError(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        app = _authenticated(tenant, form, request)
        resource = _resource(form, version)
        token = _issue(tenant, app, resource)
    except StsError as error:
        return error.reply(tenant.base_url)
    body = {"token_type": "Bearer", "expires_in": LIFETIME, "ext_expires_in": LIFETIME, "access_token": token}
    return Reply.json(body, headers={"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"})


def _form(request: Request) -> dict[str, str]:
    if request.method != "POST":
        raise StsError(400, "invalid_request", 900561, "The endpoint only accepts POST requests.")
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise StsError(400, "invalid_request", 900144, "The request body must be application/x-www-form-urlencoded.")
    return {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}


def _required(form: dict[str, str], name: str) -> str:
    if name not in form:
        sentence = f"The request body must contain the following parameter: '{name}'."
        raise StsError(400, "invalid_request", 900144, sentence)
    return form[name]


def _authenticated(tenant: Tenant, form: dict[str, str], request: Request) -> AppRegistration:
    client_id = _required(form, "client_id")
    app = tenant.apps.get(client_id.lower())
    if app is None:
        sentence = f"Application with identifier '{client_id}' was not found in the directory '{tenant.id}'."
        raise StsError(400, "unauthorized_client", 700016, sentence)
    if "client_assertion" in form:
        _check_assertion(tenant, app, form, request)
    elif "client_secret" in form:
        given = form["client_secret"].encode()
        if not any(hmac.compare_digest(given, secret.encode()) for secret in app.secrets):
            sentence = f"Invalid client secret provided for app '{client_id}'."
            raise StsError(401, "invalid_client", 7000215, sentence)
    else:
        sentence = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        raise StsError(401, "invalid_client", 7000218, sentence)
    return app


def _check_assertion(tenant: Tenant, app: AppRegistration, form: dict[str, str], request: Request) -> None:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise StsError(400, "invalid_request", 50027, "JWT token is invalid or malformed: client_assertion_type.")
    assertion = form["client_assertion"]
    try:
        certificate = _named_certificate(app, jwt.get_unverified_header(assertion))
        jwt.decode(
            assertion,
            certificate.public_key(),  # type: ignore[arg-type]
            algorithms=["RS256", "PS256"],
            audience=[f"{tenant.base_url}{request.path}", tenant.issuers.v2, tenant.issuers.v1],
            issuer=app.client_id,
            subject=app.client_id,
            options={"require": ["exp", "jti", "sub"]},
        )
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
        raise StsError(401, "invalid_client", 700024, "Client assertion is not within its valid time range.") from error
    except jwt.InvalidAudienceError as error:
        raise StsError(401, "invalid_client", 700023, "Client assertion audience claim does not match.") from error
    except (jwt.PyJWTError, ValueError) as error:
        raise StsError(
            401, "invalid_client", 700027, f"Client assertion failed signature validation: {error}"
        ) from error


def _named_certificate(app: AppRegistration, header: dict[str, Any]) -> x509.Certificate:
    """The registered certificate whose thumbprint the header gives (x5t: SHA-1, x5t#S256: SHA-256)."""
    sha1, sha256 = _decoded(header.get("x5t")), _decoded(header.get("x5t#S256"))
    for certificate in app.certificates:
        if certificate.fingerprint(hashes.SHA1()) == sha1 or certificate.fingerprint(hashes.SHA256()) == sha256:
            return certificate
    raise jwt.InvalidKeyError("the key was not found among the app's certificates")


def _decoded(thumbprint: Any) -> bytes | None:
    """msal pads the Base64url of its thumbprints, azure-identity does not; Entra takes both."""
    return from_base64url(thumbprint.rstrip("=")) if isinstance(thumbprint, str) else None


def _resource(form: dict[str, str], version: int) -> str:
    if version == 1:
        return _required(form, "resource")
    scope = _required(form, "scope")
    if not scope.endswith("/.default") or " " in scope.strip():
        raise StsError(
            400,
            "invalid_scope",
            1002012,
            f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
            "/.default suffixed to the resource identifier (application ID URI).",
        )
    return scope.removesuffix("/.default")


def _issue(tenant: Tenant, app: AppRegistration, resource: str) -> str:
    """Graph and Key Vault get v1 tokens, whose `aud` is the resource as asked for; apps what they registered."""
    header: dict[str, str] = {}
    version, audience = 1, resource
    roles: tuple[str, ...] = ()
    target = tenant.app_of_resource(resource)
    if resource in tenant.graph_audiences():
        roles = app.grants.get("graph", ())
        header["nonce"] = new_nonce()
    elif target is not None:
        version = target.token_version
        audience = target.client_id if version == 2 else resource
        roles = app.grants.get(target.client_id, ())
    elif resource.rstrip("/") != VAULT_RESOURCE:
        sentence = f"The resource principal named {resource} was not found in the tenant named {tenant.id}."
        raise StsError(400, "invalid_resource", 500011, sentence)
    spec = TokenSpec("app", version, tenant.id, tenant.issuers, audience, app.client_id, app.object_id, roles)
    return sign(claims(spec), tenant.keys.current, header)
