"""Whose tokens are trusted: one source for each discovery document, that is for each tenant and token version.

The issuers of Microsoft's clouds are known beforehand and only confirmed by discovery; those of other authorities
(custom domains, custom issuers, an emulator) are learned from the discovery document at the configured address.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from shared.entra.clouds import CIAM_HOST_SUFFIX, CIAM_V2_ISSUER, CLOUD_BY_HOST, AuthorityCloud

GUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
WELL_KNOWN = "/.well-known/openid-configuration"  # OpenID Connect Discovery 1.0, 4


class TokenVersion(StrEnum):
    """The claim `ver`."""

    V1 = "1.0"
    V2 = "2.0"


@dataclass(frozen=True, slots=True)
class IssuerSource:
    """A discovery document, and what is already known of the issuer it describes.

    Attributes:
        metadata_url: the discovery document's address: https, no fragment.
        version: the `ver` of this issuer's tokens.
        tenant_id: the `tid` of its tokens, a lower-case GUID; None takes the one GUID of the discovered issuer.
        issuer: the `iss` of its tokens; None takes the discovered one.
        key_hosts: the hosts that may serve its keys, besides the discovery document's own.
        key_issuers: whom a published key may name as its issuer besides this one: v2's key sets serve v1 too.
    """

    metadata_url: str
    version: TokenVersion
    tenant_id: str | None
    issuer: str | None
    key_hosts: frozenset[str] = field(default_factory=frozenset)
    key_issuers: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        parts = urlsplit(self.metadata_url)
        if parts.scheme != "https" or not parts.hostname or parts.username or parts.password or parts.fragment:
            raise ValueError(f"{self.metadata_url}: a discovery document must be fetched from a plain https address")
        if self.tenant_id is not None and (
            not GUID.fullmatch(self.tenant_id) or self.tenant_id.lower() != self.tenant_id
        ):
            raise ValueError(f"{self.tenant_id}: a tenant id is a lower-case GUID")


def issuers_of_tenant(authority: str, tenant_id: str) -> tuple[IssuerSource, ...]:
    """The v1 and v2 issuer of a tenant, at an authority such as `https://login.microsoftonline.com`.

    An External ID authority has a v2 issuer only. At any other host the issuers are taken from discovery.
    """
    authority = authority.rstrip("/")
    host = urlsplit(authority).hostname or ""
    if cloud := CLOUD_BY_HOST.get(host):
        return _cloud_issuers(authority, tenant_id, cloud)
    v2_metadata = f"{authority}/{tenant_id}/v2.0{WELL_KNOWN}"
    if host.endswith(CIAM_HOST_SUFFIX):
        issuer = CIAM_V2_ISSUER.format(tenant=tenant_id)
        own_host = frozenset({tenant_id + CIAM_HOST_SUFFIX})
        return (IssuerSource(v2_metadata, TokenVersion.V2, tenant_id, issuer, own_host),)
    v2_issuer = f"{authority}/{tenant_id}/v2.0"
    return (
        IssuerSource(v2_metadata, TokenVersion.V2, tenant_id, None),
        IssuerSource(
            f"{authority}/{tenant_id}{WELL_KNOWN}", TokenVersion.V1, tenant_id, None, key_issuers=frozenset({v2_issuer})
        ),
    )


def issuer_by_discovery(metadata_url: str) -> IssuerSource:
    """An issuer known by the address of its discovery document alone (a custom domain); its end may be left out."""
    if not metadata_url.endswith(WELL_KNOWN):
        metadata_url = metadata_url.rstrip("/") + WELL_KNOWN
    version = TokenVersion.V2 if "/v2.0/" in metadata_url else TokenVersion.V1
    return IssuerSource(metadata_url, version, None, None)


def _cloud_issuers(authority: str, tenant_id: str, cloud: AuthorityCloud) -> tuple[IssuerSource, ...]:
    v1, v2 = (issuer.format(tenant=tenant_id) for issuer in (cloud.v1_issuer, cloud.v2_issuer))
    return (
        IssuerSource(f"{authority}/{tenant_id}/v2.0{WELL_KNOWN}", TokenVersion.V2, tenant_id, v2, cloud.hosts),
        IssuerSource(
            f"{authority}/{tenant_id}{WELL_KNOWN}", TokenVersion.V1, tenant_id, v1, cloud.hosts, frozenset({v2})
        ),
    )


def canonical_issuer(issuer: str) -> str:
    """The issuer with its GUIDs in lower case; nothing else is forgiven."""
    return GUID.sub(lambda guid: guid.group().lower(), issuer)
