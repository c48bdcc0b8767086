"""The OpenID Connect discovery documents and key sets of a tenant.

Shapes as served by login.microsoftonline.com; https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc.
"""

from typing import Any

from local.entra.tenants import Tenant
from local.https_server import Reply


def discovery_document(tenant: Tenant, version: int) -> dict[str, Any]:
    root = f"{tenant.base_url}/{tenant.id}"
    oauth = f"{root}/oauth2" if version == 1 else f"{root}/oauth2/v2.0"
    keys = f"{root}/discovery/keys" if version == 1 else f"{root}/discovery/v2.0/keys"
    return {
        "token_endpoint": f"{oauth}/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": keys,
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": tenant.issuers.of(version),
        "request_uri_parameter_supported": False,
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
        "authorization_endpoint": f"{oauth}/authorize",
        "device_authorization_endpoint": f"{oauth}/devicecode",
        "http_logout_supported": True,
        "frontchannel_logout_supported": True,
        "end_session_endpoint": f"{oauth}/logout",
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "tid", "ver", "preferred_username", "name"],
        "tenant_region_scope": None,
        "cloud_instance_name": "127.0.0.1",
        "cloud_graph_host_name": "127.0.0.1",
        "msgraph_host": "127.0.0.1",
        "rbac_url": "https://pas.windows.net",
    }


def discovery_reply(tenant: Tenant, version: int) -> Reply:
    document = discovery_document(tenant, version) | tenant.discovery_overrides.get(version, {})
    return Reply.json(document, headers={"Cache-Control": "max-age=86400, private"})


def key_set_reply(tenant: Tenant, version: int) -> Reply:
    issuer = tenant.issuers.v2 if version == 2 else None
    return Reply.json(tenant.keys.jwks(issuer), headers={"Cache-Control": "max-age=86400, private"})
