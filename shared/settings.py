"""Every app setting: typed, validated once, with one message that names everything that is wrong.

Reading settings touches no network and no disk. `docs/settings.md` is the same table for people.
"""

import base64
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from shared.entra.clouds import GRAPH_AUDIENCES
from shared.errors import AppError
from shared.telemetry.lines import Format
from shared.telemetry.recorder import EXPORTER_NEEDS, Exporter

T = TypeVar("T")

KEY_SIZES = (2048, 3072, 4096)
MAX_VALIDITY_DAYS = 3650
MAX_NOTICE_DAYS = 365


class InvalidSettings(AppError):
    """One or several app settings are missing or wrong; the message lists all of them."""

    status, code = 503, "invalid_settings"

    def __init__(self, problems: Mapping[str, str]) -> None:
        lines = "".join(f"\n- {name}: {problem}" for name, problem in problems.items())
        super().__init__("The function app is not configured: its operator finds the settings to mend in the log.")
        self.problems = dict(problems)
        self.report = f"{len(problems)} app setting(s) must be mended:{lines}"


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


@dataclass(frozen=True)
class Settings:
    """All settings of the app. Build it with `Settings.read`."""

    development: bool
    storage: StorageSettings
    entra: EntraSettings
    sync: SyncSettings
    pki: PkiSettings
    notices: NoticeSettings
    api_public_url: str | None
    """Where callers reach this API; None: at the host that each request names."""
    trust_bundle: Path | None
    environment: Mapping[str, str] = field(repr=False)
    """All of it, for plug-in signing backends that bring settings of their own."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises InvalidSettings, naming everything that is wrong at once."""
        reader = _Reader(environment)
        development = reader.development
        settings = cls(
            development=development,
            storage=_storage(reader),
            entra=_entra(reader),
            sync=_sync(reader),
            pki=_pki(reader),
            notices=_notices(reader),
            api_public_url=reader.parsed(
                "API_PUBLIC_URL", _web_url if development else _https_url, None, "an https URL without query"
            ),
            trust_bundle=reader.optional_path("REQUESTS_CA_BUNDLE") or reader.optional_path("SSL_CERT_FILE"),
            environment=dict(environment),
        )
        _refuse_contradictions(reader, settings.pki)
        _check_telemetry(reader)
        if not development:
            _refuse_laptop_settings(reader, settings)
        if reader.problems:
            raise InvalidSettings(reader.problems)
        return settings


class _Reader:
    """Reads one setting at a time and remembers what is wrong instead of stopping at the first problem."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: dict[str, str] = {}

    @cached_property
    def development(self) -> bool:
        return self._environment.get("AZURE_FUNCTIONS_ENVIRONMENT", "").strip().lower() == "development"

    def problem(self, name: str, sentence: str) -> None:
        self.problems.setdefault(name, sentence)

    def text(self, name: str) -> str | None:
        """The value without surrounding white space; None where unset or empty."""
        return self._environment.get(name, "").strip() or None

    def parsed(self, name: str, parse: Callable[[str], T], default: T, expected: str) -> T:
        value = self.text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except (ValueError, KeyError):
            self.problem(name, f"must be {expected}.")
            return default

    def required(self, name: str, parse: Callable[[str], str], expected: str) -> str:
        if self.text(name) is None:
            self.problem(name, f"is required: {expected}.")
            return ""
        return self.parsed(name, parse, "", expected)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        def parse(value: str) -> int:
            if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
                raise ValueError
            return int(value)

        return self.parsed(name, parse, default, f"a whole number from {low} to {high}")

    def flag(self, name: str, default: bool = False) -> bool:
        words = {"true": True, "1": True, "false": False, "0": False}
        return self.parsed(name, lambda value: words[value.lower()], default, "true or false")

    def many(self, name: str, parse: Callable[[str], str], expected: str) -> tuple[str, ...]:
        def split(value: str) -> tuple[str, ...]:
            return tuple(dict.fromkeys(parse(part.strip()) for part in value.split(",") if part.strip()))

        return self.parsed(name, split, (), f"a comma-separated list of {expected}")

    def optional_path(self, name: str) -> Path | None:
        value = self.text(name)
        return Path(value) if value else None


def _guid(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        raise ValueError
    return str(UUID(value))


def _https_url(value: str) -> str:
    """ASCII only: it goes into certificates and requests as it is. `.port` raises ValueError where it is none."""
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError
    if parts.port == 0 or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError
    return value.rstrip("/")


def _web_url(value: str) -> str:
    return _https_url(value.replace("http://", "https://", 1)) and value.rstrip("/")


def _storage_url(value: str) -> str:
    """http only serves emulators; `_refuse_laptop_settings` refuses it elsewhere."""
    return _web_url(value)


def _audience(value: str) -> str:
    """Tokens for Microsoft Graph can be validated by nobody but Graph."""
    if value in GRAPH_AUDIENCES:
        raise ValueError
    return value


def _domain(value: str) -> str:
    label = r"[0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?"
    return _pattern(rf"{label}(\.{label})+")(value.lower())


def _words(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError
        return value

    return parse


def _pattern(pattern: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError
        return value

    return parse


def _storage(read: _Reader) -> StorageSettings:
    connection_string = read.text("DIRECTORY_STORAGE_CONNECTION_STRING")
    tables_url = read.parsed("DIRECTORY_TABLES_URL", _storage_url, None, "the URL of the table endpoint")
    blobs_url = read.parsed("DIRECTORY_BLOBS_URL", _storage_url, None, "the URL of the blob endpoint")
    if connection_string and (tables_url or blobs_url):
        read.problem(
            "DIRECTORY_STORAGE_CONNECTION_STRING", "and DIRECTORY_TABLES_URL/DIRECTORY_BLOBS_URL exclude each other."
        )
    if bool(tables_url) != bool(blobs_url):
        read.problem("DIRECTORY_TABLES_URL", "and DIRECTORY_BLOBS_URL are set together or not at all.")
    if not connection_string and not tables_url:
        connection_string = read.text("AzureWebJobsStorage")
        account = read.text("AzureWebJobsStorage__accountName")
        if connection_string is None and account:
            tables_url = f"https://{account}.table.core.windows.net"
            blobs_url = f"https://{account}.blob.core.windows.net"
        elif connection_string is None:
            read.problem(
                "AzureWebJobsStorage",
                "is required (or DIRECTORY_STORAGE_CONNECTION_STRING, or DIRECTORY_TABLES_URL with "
                "DIRECTORY_BLOBS_URL): where the directory is kept. UseDevelopmentStorage=true means Azurite.",
            )
    table = read.parsed(
        "DIRECTORY_TABLE",
        _pattern(r"[a-z][a-z0-9]{2,54}"),
        "directory",
        "3 to 55 lower-case letters and digits, a letter first",
    )
    return StorageSettings(connection_string, tables_url, blobs_url, table)


def _entra(read: _Reader) -> EntraSettings:
    tenant_id = read.required("ENTRA_TENANT_ID", _guid, "the tenant's id, a GUID")
    client_id = read.required("ENTRA_CLIENT_ID", _guid, "the client id of this app's registration, a GUID")
    cloud = read.parsed("ENTRA_CLOUD", _words(*CLOUDS), "global", "one of " + ", ".join(CLOUDS))
    secret = read.text("ENTRA_CLIENT_SECRET")
    certificate = read.optional_path("ENTRA_CLIENT_CERTIFICATE_PATH")
    chosen = [
        kind
        for kind, present in (
            (CredentialKind.SECRET, secret),
            (CredentialKind.CERTIFICATE, certificate),
            (CredentialKind.MANAGED_IDENTITY, read.flag("ENTRA_MANAGED_IDENTITY")),
        )
        if present
    ]
    if len(chosen) != 1:
        read.problem(
            "ENTRA_CLIENT_SECRET",
            f"exactly one of ENTRA_CLIENT_SECRET, ENTRA_CLIENT_CERTIFICATE_PATH and ENTRA_MANAGED_IDENTITY=true "
            f"says how to get Graph tokens; {len(chosen)} are set.",
        )
    own_audiences = (client_id, f"api://{client_id}")
    api_audiences = read.many("ENTRA_API_AUDIENCES", _audience, "audiences of this app, never Graph's") or own_audiences
    return EntraSettings(
        tenant_id=tenant_id,
        client_id=client_id,
        credential=chosen[0] if chosen else CredentialKind.SECRET,
        client_secret=secret,
        client_certificate_path=certificate,
        cloud=cloud,
        authority_host=read.parsed(
            "ENTRA_AUTHORITY_HOST", _https_url, CLOUDS[cloud].authority_host, "an https URL without query"
        ),
        graph_base_url=read.parsed(
            "GRAPH_BASE_URL", _https_url, CLOUDS[cloud].graph_base_url, "an https URL without query"
        ),
        api_audiences=api_audiences,
        validate_audiences=read.many("ENTRA_VALIDATE_AUDIENCES", _audience, "audiences, never Graph's"),
        validate_tenants=read.many("ENTRA_VALIDATE_TENANTS", _guid, "tenant ids (GUIDs)"),
        validate_issuers=read.many("ENTRA_VALIDATE_ISSUERS", _https_url, "https URLs of OpenID issuers"),
        allowed_clients=read.many("ENTRA_ALLOWED_CLIENTS", _guid, "client ids (GUIDs)"),
    )


def _removal_limit(value: str) -> tuple[int, float]:
    """`50`, `5%` or both, `50,5%`: the larger of them counts."""
    count, share = 0, 0.0
    for part in value.split(","):
        number = part.strip()
        if number.endswith("%"):
            share = float(number[:-1]) / 100
        else:
            count = int(number)
    if count < 0 or not 0 <= share <= 1:
        raise ValueError
    return count, share


def _sync(read: _Reader) -> SyncSettings:
    max_removals, share = read.parsed(
        "ENTRA_SYNC_MAX_REMOVALS", _removal_limit, (50, 0.05), "a number, a percentage, or both as in 50,5%"
    )
    return SyncSettings(
        schedule=read.parsed(
            "ENTRA_SYNC_SCHEDULE", _ncrontab, DEFAULT_SYNC_SCHEDULE, "an NCRONTAB expression of six fields"
        ),
        group_ids=read.many("ENTRA_SYNC_GROUP_IDS", _guid, "group ids (GUIDs)"),
        time_budget=timedelta(seconds=read.integer("ENTRA_SYNC_TIME_BUDGET_SECONDS", 240, 10, 1500)),
        max_removals=max_removals,
        max_removals_share=share,
        rows_per_second=read.integer("ENTRA_SYNC_ROWS_PER_SECOND", 1500, 1, 1_000_000),
    )


DEFAULT_SYNC_SCHEDULE = "0 */5 * * * *"
NCRONTAB_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
"""Second, minute, hour, day, month, day of the week."""
_MONTHS = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
_WEEKDAYS = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
NCRONTAB_NAMES = frozenset(_MONTHS | _WEEKDAYS)


def sync_schedule(environment: Mapping[str, str] = os.environ) -> str:
    """The timer's schedule. A wrong one gives the default, so that the app loads; `Settings.read` reports it."""
    return _Reader(environment).parsed("ENTRA_SYNC_SCHEDULE", _ncrontab, DEFAULT_SYNC_SCHEDULE, "")


def _ncrontab(value: str) -> str:
    """Six fields of NCRONTAB (https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer)."""
    fields = value.split()
    if len(fields) != len(NCRONTAB_RANGES):
        raise ValueError
    for text, (low, high) in zip(fields, NCRONTAB_RANGES, strict=True):
        if not re.fullmatch(r"[0-9A-Za-z*/,-]+", text):
            raise ValueError
        if any(not low <= int(number) <= high for number in re.findall(r"(?<![/0-9])[0-9]+", text)):
            raise ValueError
        if any(word.lower() not in NCRONTAB_NAMES for word in re.findall(r"[A-Za-z]+", text)):
            raise ValueError
    return value


def _oid(value: str) -> str:
    """An object identifier: at least two arcs, the second below 40 under 0 and 1 (X.660)."""
    _pattern(r"[0-2](\.(0|[1-9][0-9]{0,19}))+")(value)
    first, second = map(int, value.split(".")[:2])
    if first < 2 and second >= 40:
        raise ValueError
    return value


ON_DEPARTURE = ("hold", "revoke", "keep")
CERTIFICATE_TYPES = ("client_auth", "email_protection", "code_signing")


def _pki(read: _Reader) -> PkiSettings:
    backend = read.parsed(
        "CA_SIGNING_BACKEND",
        _pattern(r"software|key_vault|pkcs11|[A-Za-z_][\w.]*:[A-Za-z_]\w*"),
        "software",
        "software, key_vault, pkcs11, or package.module:Class of a plug-in",
    )
    vault_url = read.parsed("CA_KEY_VAULT_URL", _https_url, None, "the https URL of the vault")
    vault_key = read.parsed(
        "CA_KEY_VAULT_KEY", _pattern(r"[0-9A-Za-z-]{1,127}"), None, "a key name: letters, digits and dashes"
    )
    if backend == "key_vault":
        for name, value in (("CA_KEY_VAULT_URL", vault_url), ("CA_KEY_VAULT_KEY", vault_key)):
            if value is None:
                read.problem(name, "is required with CA_SIGNING_BACKEND=key_vault.")
    public_url = read.parsed("PKI_PUBLIC_URL", _web_url, None, "an http URL")
    if public_url is None and not read.development:
        read.problem("PKI_PUBLIC_URL", "is required: the http URL under which clients fetch CRLs and CA certificates.")
    return PkiSettings(
        signing_backend=backend,
        key_vault_url=vault_url,
        key_vault_key=vault_key,
        software_key_path=read.optional_path("CA_SOFTWARE_KEY_PATH") or Path(".local/ca/issuer.pem"),
        software_key_passphrase=read.text("CA_SOFTWARE_KEY_PASSPHRASE"),
        public_url=public_url,
        denied_group_ids=read.many("PKI_DENIED_GROUP_IDS", _guid, "group ids (GUIDs)"),
        mail_domains=read.many("PKI_MAIL_DOMAINS", _domain, "domains such as contoso.com"),
        default_validity_days=read.integer("ENTRA_DEFAULT_CERTIFICATE_VALIDITY_DAYS", 365, 1, MAX_VALIDITY_DAYS),
        default_key_size=int(
            read.parsed("ENTRA_DEFAULT_KEY_SIZE", _words(*map(str, KEY_SIZES)), "2048", "2048, 3072 or 4096")
        ),
        allowed_types=read.many("PKI_ALLOWED_TYPES", _words(*CERTIFICATE_TYPES), ", ".join(CERTIFICATE_TYPES))
        or CERTIFICATE_TYPES,
        max_validity_days={
            kind: read.integer(f"PKI_MAX_VALIDITY_DAYS_{kind.upper()}", MAX_VALIDITY_DAYS, 1, MAX_VALIDITY_DAYS)
            for kind in CERTIFICATE_TYPES
        },
        allowed_groups={
            kind: read.many(f"PKI_ALLOWED_GROUP_IDS_{kind.upper()}", _guid, "group ids (GUIDs)")
            for kind in CERTIFICATE_TYPES
        },
        min_rsa_key_size=read.integer("PKI_MIN_RSA_KEY_SIZE", 2048, 2048, 4096),
        policy_oids=read.many("PKI_POLICY_OIDS", _oid, "object identifiers"),
        client_auth_mail=read.flag("PKI_CLIENT_AUTH_MAIL"),
        code_signing_requires_csr=read.flag("PKI_CODE_SIGNING_REQUIRES_CSR"),
        on_user_disabled=read.parsed("PKI_ON_USER_DISABLED", _words(*ON_DEPARTURE), "hold", "hold, revoke or keep"),
        on_user_deleted=read.parsed("PKI_ON_USER_DELETED", _words(*ON_DEPARTURE), "hold", "hold, revoke or keep"),
        held_types=read.many("PKI_HELD_TYPES", _words(*CERTIFICATE_TYPES), ", ".join(CERTIFICATE_TYPES))
        or ("client_auth", "email_protection"),
        revoke_renamed=read.flag("PKI_REVOKE_RENAMED", default=True),
        revocation_exempt_users=read.many("PKI_REVOCATION_EXEMPT_USERS", _guid, "object ids of users (GUIDs)"),
        renewal_overlap=timedelta(days=read.integer("PKI_RENEWAL_OVERLAP_DAYS", 7, 0, 90)),
    )


def _notice_days(value: str) -> tuple[int, ...]:
    """`30,14,7`, or `none`."""
    if value.lower() == "none":
        return ()
    days = {int(_pattern(r"[0-9]{1,3}")(part.strip())) for part in value.split(",")}
    if not 1 <= min(days) <= max(days) <= MAX_NOTICE_DAYS:
        raise ValueError
    return tuple(sorted(days, reverse=True))


def _webhook_url(value: str) -> str:
    """https, with a query or without: some receivers, such as Azure Logic Apps, have their key in it."""
    return _https_url(value.partition("?")[0]) and value


def _webhook_secret(value: str) -> bytes:
    """`whsec_` and 24 to 64 bytes in base64 (https://www.standardwebhooks.com)."""
    secret = base64.b64decode(value.removeprefix("whsec_"), validate=True)
    if not value.startswith("whsec_") or not 24 <= len(secret) <= 64:
        raise ValueError
    return secret


def _notices(read: _Reader) -> NoticeSettings:
    url = read.parsed("PKI_NOTICE_WEBHOOK_URL", _webhook_url, None, "an https URL")
    secret = read.parsed(
        "PKI_NOTICE_WEBHOOK_SECRET", _webhook_secret, None, "whsec_ followed by 24 to 64 random bytes in base64"
    )
    if url is not None and secret is None:
        read.problem("PKI_NOTICE_WEBHOOK_SECRET", "is required with PKI_NOTICE_WEBHOOK_URL: it signs the notices.")
    expected = f"days from 1 to {MAX_NOTICE_DAYS} as in 30,14,7, or none"
    return NoticeSettings(read.parsed("PKI_EXPIRY_NOTICE_DAYS", _notice_days, (30, 14, 7), expected), url, secret)


def _refuse_contradictions(read: _Reader, pki: PkiSettings) -> None:
    """A default must be something that may be issued, or every request that leaves it out would be refused."""
    shortest = min(pki.max_validity_days[kind] for kind in pki.allowed_types)
    if pki.default_validity_days > shortest:
        read.problem(
            "ENTRA_DEFAULT_CERTIFICATE_VALIDITY_DAYS",
            f"is {pki.default_validity_days}, but some type is limited to {shortest} days: lower it.",
        )
    if pki.default_key_size < pki.min_rsa_key_size:
        read.problem(
            "ENTRA_DEFAULT_KEY_SIZE", f"is {pki.default_key_size}, below PKI_MIN_RSA_KEY_SIZE={pki.min_rsa_key_size}."
        )


def _check_telemetry(read: _Reader) -> None:
    """Telemetry reads these by itself, so that it also tells of requests that fail because the settings are wrong."""
    read.parsed("LOG_FORMAT", Format, Format.JSON, " or ".join(Format))
    for exporter in read.many("TELEMETRY_EXPORT", Exporter, " and ".join(Exporter)):
        needed = EXPORTER_NEEDS[Exporter(exporter)]
        if read.text(needed) is None:
            read.problem(needed, f"is required with TELEMETRY_EXPORT={exporter}: where it goes.")


def _refuse_laptop_settings(read: _Reader, settings: Settings) -> None:
    """What serves a laptop must never serve a tenant: software keys, emulators, plain http."""
    pki, entra, storage = settings.pki, settings.entra, settings.storage
    if pki.signing_backend == "software" and not read.flag("CA_ALLOW_SOFTWARE_KEY"):
        read.problem(
            "CA_SIGNING_BACKEND",
            "the software key is for laptops: use key_vault, or set CA_ALLOW_SOFTWARE_KEY=true and take the risk.",
        )
    authorities = {cloud.authority_host for cloud in CLOUDS.values()}
    if entra.authority_host not in authorities and not re.fullmatch(EXTERNAL_ID_AUTHORITY, entra.authority_host):
        read.problem("ENTRA_AUTHORITY_HOST", "is none of Microsoft's: outside Development only those are asked.")
    if entra.graph_base_url not in {cloud.graph_base_url for cloud in CLOUDS.values()}:
        read.problem("GRAPH_BASE_URL", "is none of Microsoft's: outside Development only those are asked.")
    connection = (storage.connection_string or "").replace(" ", "").lower()
    if "usedevelopmentstorage=true" in connection or "devstoreaccount1" in connection:
        read.problem("AzureWebJobsStorage", "development storage (Azurite) is for laptops only.")
    elif "protocol=http;" in connection + ";" or any(
        url and url.startswith("http:") for url in (storage.tables_url, storage.blobs_url)
    ):
        read.problem("AzureWebJobsStorage", "storage must be reached over https.")
