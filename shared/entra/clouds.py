"""The Microsoft clouds: at which hosts each one's authority answers, and which issuers its tokens name.

https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud and
https://learn.microsoft.com/entra/identity-platform/access-tokens#token-formats
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuthorityCloud:
    """One cloud's authority.

    Attributes:
        hosts: every host name under which it answers; discovery documents may point to any of them.
        v1_issuer, v2_issuer: what `iss` is in its tokens, with `{tenant}` for the tenant id.
        graph_audiences: what `aud` is in tokens for its Microsoft Graph.
    """

    hosts: frozenset[str]
    v1_issuer: str
    v2_issuer: str
    graph_audiences: frozenset[str]


GLOBAL = AuthorityCloud(
    hosts=frozenset({"login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net"}),
    v1_issuer="https://sts.windows.net/{tenant}/",
    v2_issuer="https://login.microsoftonline.com/{tenant}/v2.0",
    graph_audiences=frozenset({"https://graph.microsoft.com"}),
)
US_GOVERNMENT = AuthorityCloud(
    hosts=frozenset({"login.microsoftonline.us", "login.usgovcloudapi.net"}),
    v1_issuer="https://sts.windows.net/{tenant}/",
    v2_issuer="https://login.microsoftonline.us/{tenant}/v2.0",
    graph_audiences=frozenset({"https://graph.microsoft.us", "https://dod-graph.microsoft.us"}),
)
CHINA = AuthorityCloud(
    hosts=frozenset({"login.partner.microsoftonline.cn", "login.chinacloudapi.cn", "sts.chinacloudapi.cn"}),
    v1_issuer="https://sts.chinacloudapi.cn/{tenant}/",
    v2_issuer="https://login.partner.microsoftonline.cn/{tenant}/v2.0",
    graph_audiences=frozenset({"https://microsoftgraph.chinacloudapi.cn"}),
)
CLOUDS: tuple[AuthorityCloud, ...] = (GLOBAL, US_GOVERNMENT, CHINA)

CLOUD_BY_HOST: Mapping[str, AuthorityCloud] = {host: cloud for cloud in CLOUDS for host in cloud.hosts}

CIAM_HOST_SUFFIX = ".ciamlogin.com"
"""Entra External ID: the authority is https://{subdomain}.ciamlogin.com, its issuer names the tenant id twice
(https://learn.microsoft.com/entra/external-id/customers/concept-authentication-methods-customers)."""
CIAM_V2_ISSUER = "https://{tenant}.ciamlogin.com/{tenant}/v2.0"

MICROSOFT_GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
GRAPH_AUDIENCES: frozenset[str] = frozenset({MICROSOFT_GRAPH_APP_ID}).union(
    *({audience, audience + "/"} for cloud in CLOUDS for audience in cloud.graph_audiences)
)
"""Tokens for Microsoft Graph cannot be validated by anyone else, whatever their signature looks like
(https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens)."""
