"""Fetches an issuer's discovery document and its key set, and believes neither more than it must.

One refresh is two GETs. Each reply must come over https without redirects, within three seconds in all and 256 KiB,
and be strict JSON; the document must name the expected issuer, and a key set at one of the authority's own hosts.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.entra.tokens.issuers import GUID, IssuerSource, TokenVersion
from shared.entra.tokens.jwk_policy import SigningKey, accepted_keys
from shared.entra.tokens.strict_json import NotStrictJson, parse_object

if TYPE_CHECKING:
    import requests

REPLY_TIME_LIMIT = timedelta(seconds=3)
REPLY_SIZE_LIMIT = 256 * 1024
"""Microsoft's own key sets are about 20 kB."""


class DiscoveryFailed(Exception):
    """No keys could be fetched; the message says why, for the log and the health report."""


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """What one refresh brought: at least one usable key.

    Attributes:
        issuer: the `iss` that the discovery document names.
        tenant_id: the tenant of that issuer.
        keys: the usable keys by kid.
        refused: for each key left out, why.
    """

    issuer: str
    tenant_id: str
    keys: Mapping[str, SigningKey]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyDiscovery:
    """The network half of a signing-key store."""

    source: IssuerSource
    session: "requests.Session"

    def fetch(self) -> PublishedKeys:
        """Raises DiscoveryFailed."""
        document = self._get(self.source.metadata_url)
        issuer, tenant_id = checked_issuer(document, self.source)
        key_set = self._get(checked_jwks_uri(document, self.source))
        return published_keys(key_set, self.source, issuer, tenant_id)

    def _get(self, url: str) -> dict[str, Any]:
        import requests
        from urllib3.exceptions import HTTPError

        give_up = time.monotonic() + REPLY_TIME_LIMIT.total_seconds()
        try:
            with self.session.get(
                url,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                timeout=REPLY_TIME_LIMIT.total_seconds(),
                allow_redirects=False,
                stream=True,
            ) as reply:
                if reply.status_code != requests.codes.ok:
                    raise DiscoveryFailed(f"{url} answered {reply.status_code}")
                return parse_object(_read(lambda: reply.raw.read1(REPLY_SIZE_LIMIT), url, give_up))
        except NotStrictJson as error:
            raise DiscoveryFailed(f"{url} answered with something else than a JSON object: {error}") from None
        except (requests.RequestException, HTTPError, OSError) as error:
            raise DiscoveryFailed(f"{url} could not be read: {type(error).__name__}") from error


def checked_issuer(document: Mapping[str, Any], source: IssuerSource) -> tuple[str, str]:
    """The discovered issuer and its tenant id; raises DiscoveryFailed where they are not what `source` expects."""
    issuer = document.get("issuer")
    if type(issuer) is not str or not _is_plain_https(issuer):
        raise DiscoveryFailed(f"{source.metadata_url} names no https issuer")
    if source.issuer is not None and issuer != source.issuer:
        raise DiscoveryFailed(f"{source.metadata_url} is of the issuer {issuer!r}, expected was {source.issuer!r}")
    tenants = set(GUID.findall(issuer))
    if len(tenants) != 1 or (source.tenant_id is not None and tenants != {source.tenant_id}):
        raise DiscoveryFailed(f"{source.metadata_url} is of the issuer {issuer!r}, which is not of the expected tenant")
    if (source.version is TokenVersion.V2) != issuer.endswith("/v2.0"):
        raise DiscoveryFailed(f"{source.metadata_url} is of the issuer {issuer!r}, which is of another token version")
    return issuer, tenants.pop()


def checked_jwks_uri(document: Mapping[str, Any], source: IssuerSource) -> str:
    """The key set's address; raises DiscoveryFailed where it is not https at one of the authority's hosts."""
    uri = document.get("jwks_uri")
    if type(uri) is not str or not _is_plain_https(uri):
        raise DiscoveryFailed(f"{source.metadata_url} names no https key set")
    if urlsplit(uri).netloc not in source.key_hosts | {urlsplit(source.metadata_url).netloc}:
        raise DiscoveryFailed(f"{source.metadata_url} points to keys at another host: {uri!r}")
    return uri


def published_keys(key_set: Mapping[str, Any], source: IssuerSource, issuer: str, tenant_id: str) -> PublishedKeys:
    """What of a JWK set (RFC 7517 5) may be used; raises DiscoveryFailed where that is nothing."""
    keys, refused = accepted_keys(key_set.get("keys"), source.key_issuers | {issuer}, tenant_id)
    if not keys:
        raise DiscoveryFailed(f"the key set of {source.metadata_url} holds no usable key")
    return PublishedKeys(issuer, tenant_id, keys, tuple(refused))


def _is_plain_https(url: str) -> bool:
    """Whether the URL is https with a host, no user information or fragment, and no odd characters."""
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return well_formed and url.isascii() and url.isprintable() and not {"@", "#", "\\", " "} & set(url)


def _read(read1: Callable[[], bytes], url: str, give_up: float) -> bytes:
    """The whole body. Each read returns what has arrived, so that a dripping reply cannot outlast the limit."""
    body = b""
    while chunk := read1():
        body += chunk
        if len(body) > REPLY_SIZE_LIMIT:
            raise DiscoveryFailed(f"{url} answered with more than {REPLY_SIZE_LIMIT} bytes")
        if time.monotonic() > give_up:
            raise DiscoveryFailed(f"{url} took longer than {REPLY_TIME_LIMIT.total_seconds():.0f} s")
    return body
