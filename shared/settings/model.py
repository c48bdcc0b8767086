"""What settings come to: one class for each part of the app."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

KEY_SIZES = (2048, 3072, 4096)
MAX_VALIDITY_DAYS = 3650
MAX_NOTICE_DAYS = 365


@dataclass(frozen=True, slots=True)
class Cloud:
    """A national cloud's hosts (https://learn.microsoft.com/graph/deployments)."""

    authority_host: str
    graph_base_url: str


CLOUDS: Mapping[str, Cloud] = {
    "global": Cloud("https://login.microsoftonline.com", "https://graph.microsoft.com/v1.0"),
    "usgov": Cloud("https://login.microsoftonline.us", "https://graph.microsoft.us/v1.0"),
    "dod": Cloud("https://login.microsoftonline.us", "https://dod-graph.microsoft.us/v1.0"),
    "china": Cloud("https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn/v1.0"),
}


EXTERNAL_ID_AUTHORITY = r"https://[0-9a-z-]+\.ciamlogin\.com"
"""https://learn.microsoft.com/entra/external-id/customers/how-to-custom-url-domain"""


class CredentialKind(StrEnum):
    SECRET = "secret"  # noqa: S105  (a kind, not a secret)
    CERTIFICATE = "certificate"
    MANAGED_IDENTITY = "managed_identity"


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where the directory lives: a connection string, or the two endpoints reached with the managed identity."""

    connection_string: str | None = field(repr=False)
    tables_url: str | None
    blobs_url: str | None
    table: str


@dataclass(frozen=True, slots=True)
class EntraSettings:
    tenant_id: str
    client_id: str
    credential: CredentialKind
    client_secret: str | None = field(repr=False)
    client_certificate_path: Path | None
    cloud: str
    authority_host: str
    graph_base_url: str
    api_audiences: tuple[str, ...]
    validate_audiences: tuple[str, ...]
    validate_tenants: tuple[str, ...]
    validate_issuers: tuple[str, ...]
    allowed_clients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """The tenant sync. `max_removals` is an absolute number, `max_removals_share` a share of the tenant's users."""

    schedule: str
    group_ids: tuple[str, ...]
    time_budget: timedelta
    max_removals: int
    max_removals_share: float
    rows_per_second: int


@dataclass(frozen=True, slots=True)
class PkiSettings:
    signing_backend: str
    key_vault_url: str | None
    key_vault_key: str | None
    software_key_path: Path
    software_key_passphrase: str | None = field(repr=False)
    public_url: str | None
    denied_group_ids: tuple[str, ...]
    mail_domains: tuple[str, ...]
    default_validity_days: int
    default_key_size: int
    allowed_types: tuple[str, ...]
    max_validity_days: Mapping[str, int]
    allowed_groups: Mapping[str, tuple[str, ...]]
    min_rsa_key_size: int
    policy_oids: tuple[str, ...]
    client_auth_mail: bool
    code_signing_requires_csr: bool
    on_user_disabled: str
    on_user_deleted: str
    held_types: tuple[str, ...]
    revoke_renamed: bool
    revocation_exempt_users: tuple[str, ...]
    renewal_overlap: timedelta


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """Expiry notices: how many days before the end, longest first, and the webhook that gets them (None: none)."""

    days: tuple[int, ...]
    webhook_url: str | None = field(repr=False)
    webhook_secret: bytes | None = field(repr=False)
