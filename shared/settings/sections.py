"""The settings of each part, and what they must be."""

import base64
from datetime import timedelta
from pathlib import Path

from shared.settings.model import (
    CLOUDS,
    KEY_SIZES,
    MAX_NOTICE_DAYS,
    MAX_VALIDITY_DAYS,
    CredentialKind,
    EntraSettings,
    NoticeSettings,
    PkiSettings,
    StorageSettings,
    SyncSettings,
)
from shared.settings.reader import Reader, audience, domain, guid, https_url, oid, pattern, web_url, words
from shared.settings.schedule import DEFAULT_SYNC_SCHEDULE, ncrontab


def read_storage(read: Reader) -> StorageSettings:
    connection_string = read.text("DIRECTORY_STORAGE_CONNECTION_STRING")
    tables_url = read.parsed("DIRECTORY_TABLES_URL", web_url, None, "the URL of the table endpoint")
    blobs_url = read.parsed("DIRECTORY_BLOBS_URL", web_url, None, "the URL of the blob endpoint")
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
        pattern(r"[a-z][a-z0-9]{2,54}"),
        "directory",
        "3 to 55 lower-case letters and digits, a letter first",
    )
    return StorageSettings(connection_string, tables_url, blobs_url, table)


def read_entra(read: Reader) -> EntraSettings:
    tenant_id = read.required("ENTRA_TENANT_ID", guid, "the tenant's id, a GUID")
    client_id = read.required("ENTRA_CLIENT_ID", guid, "the client id of this app's registration, a GUID")
    cloud = read.parsed("ENTRA_CLOUD", words(*CLOUDS), "global", "one of " + ", ".join(CLOUDS))
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
    api_audiences = read.many("ENTRA_API_AUDIENCES", audience, "audiences of this app, never Graph's") or own_audiences
    return EntraSettings(
        tenant_id=tenant_id,
        client_id=client_id,
        credential=chosen[0] if chosen else CredentialKind.SECRET,
        client_secret=secret,
        client_certificate_path=certificate,
        cloud=cloud,
        authority_host=read.parsed(
            "ENTRA_AUTHORITY_HOST", https_url, CLOUDS[cloud].authority_host, "an https URL without query"
        ),
        graph_base_url=read.parsed(
            "GRAPH_BASE_URL", https_url, CLOUDS[cloud].graph_base_url, "an https URL without query"
        ),
        api_audiences=api_audiences,
        validate_audiences=read.many("ENTRA_VALIDATE_AUDIENCES", audience, "audiences, never Graph's"),
        validate_tenants=read.many("ENTRA_VALIDATE_TENANTS", guid, "tenant ids (GUIDs)"),
        validate_issuers=read.many("ENTRA_VALIDATE_ISSUERS", https_url, "https URLs of OpenID issuers"),
        allowed_clients=read.many("ENTRA_ALLOWED_CLIENTS", guid, "client ids (GUIDs)"),
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


def read_sync(read: Reader) -> SyncSettings:
    max_removals, share = read.parsed(
        "ENTRA_SYNC_MAX_REMOVALS", _removal_limit, (50, 0.05), "a number, a percentage, or both as in 50,5%"
    )
    return SyncSettings(
        schedule=read.parsed(
            "ENTRA_SYNC_SCHEDULE", ncrontab, DEFAULT_SYNC_SCHEDULE, "an NCRONTAB expression of six fields"
        ),
        group_ids=read.many("ENTRA_SYNC_GROUP_IDS", guid, "group ids (GUIDs)"),
        time_budget=timedelta(seconds=read.integer("ENTRA_SYNC_TIME_BUDGET_SECONDS", 240, 10, 1500)),
        max_removals=max_removals,
        max_removals_share=share,
        rows_per_second=read.integer("ENTRA_SYNC_ROWS_PER_SECOND", 1500, 1, 1_000_000),
    )


ON_DEPARTURE = ("hold", "revoke", "keep")
CERTIFICATE_TYPES = ("client_auth", "email_protection", "code_signing")


def read_pki(read: Reader) -> PkiSettings:
    backend = read.parsed(
        "CA_SIGNING_BACKEND",
        pattern(r"software|key_vault|pkcs11|[A-Za-z_][\w.]*:[A-Za-z_]\w*"),
        "software",
        "software, key_vault, pkcs11, or package.module:Class of a plug-in",
    )
    vault_url = read.parsed("CA_KEY_VAULT_URL", https_url, None, "the https URL of the vault")
    vault_key = read.parsed(
        "CA_KEY_VAULT_KEY", pattern(r"[0-9A-Za-z-]{1,127}"), None, "a key name: letters, digits and dashes"
    )
    if backend == "key_vault":
        for name, value in (("CA_KEY_VAULT_URL", vault_url), ("CA_KEY_VAULT_KEY", vault_key)):
            if value is None:
                read.problem(name, "is required with CA_SIGNING_BACKEND=key_vault.")
    public_url = read.parsed("PKI_PUBLIC_URL", web_url, None, "an http URL")
    if public_url is None and not read.development:
        read.problem("PKI_PUBLIC_URL", "is required: the http URL under which clients fetch CRLs and CA certificates.")
    return PkiSettings(
        signing_backend=backend,
        key_vault_url=vault_url,
        key_vault_key=vault_key,
        software_key_path=read.optional_path("CA_SOFTWARE_KEY_PATH") or Path(".local/ca/issuer.pem"),
        software_key_passphrase=read.text("CA_SOFTWARE_KEY_PASSPHRASE"),
        public_url=public_url,
        denied_group_ids=read.many("PKI_DENIED_GROUP_IDS", guid, "group ids (GUIDs)"),
        mail_domains=read.many("PKI_MAIL_DOMAINS", domain, "domains such as contoso.com"),
        default_validity_days=read.integer("ENTRA_DEFAULT_CERTIFICATE_VALIDITY_DAYS", 365, 1, MAX_VALIDITY_DAYS),
        default_key_size=int(
            read.parsed("ENTRA_DEFAULT_KEY_SIZE", words(*map(str, KEY_SIZES)), "2048", "2048, 3072 or 4096")
        ),
        allowed_types=read.many("PKI_ALLOWED_TYPES", words(*CERTIFICATE_TYPES), ", ".join(CERTIFICATE_TYPES))
        or CERTIFICATE_TYPES,
        max_validity_days={
            kind: read.integer(f"PKI_MAX_VALIDITY_DAYS_{kind.upper()}", MAX_VALIDITY_DAYS, 1, MAX_VALIDITY_DAYS)
            for kind in CERTIFICATE_TYPES
        },
        allowed_groups={
            kind: read.many(f"PKI_ALLOWED_GROUP_IDS_{kind.upper()}", guid, "group ids (GUIDs)")
            for kind in CERTIFICATE_TYPES
        },
        min_rsa_key_size=read.integer("PKI_MIN_RSA_KEY_SIZE", 2048, 2048, 4096),
        policy_oids=read.many("PKI_POLICY_OIDS", oid, "object identifiers"),
        client_auth_mail=read.flag("PKI_CLIENT_AUTH_MAIL"),
        code_signing_requires_csr=read.flag("PKI_CODE_SIGNING_REQUIRES_CSR"),
        on_user_disabled=read.parsed("PKI_ON_USER_DISABLED", words(*ON_DEPARTURE), "hold", "hold, revoke or keep"),
        on_user_deleted=read.parsed("PKI_ON_USER_DELETED", words(*ON_DEPARTURE), "hold", "hold, revoke or keep"),
        held_types=read.many("PKI_HELD_TYPES", words(*CERTIFICATE_TYPES), ", ".join(CERTIFICATE_TYPES))
        or ("client_auth", "email_protection"),
        revoke_renamed=read.flag("PKI_REVOKE_RENAMED", default=True),
        revocation_exempt_users=read.many("PKI_REVOCATION_EXEMPT_USERS", guid, "object ids of users (GUIDs)"),
        renewal_overlap=timedelta(days=read.integer("PKI_RENEWAL_OVERLAP_DAYS", 7, 0, 90)),
    )


def _notice_days(value: str) -> tuple[int, ...]:
    """`30,14,7`, or `none`."""
    if value.lower() == "none":
        return ()
    days = {int(pattern(r"[0-9]{1,3}")(part.strip())) for part in value.split(",")}
    if not 1 <= min(days) <= max(days) <= MAX_NOTICE_DAYS:
        raise ValueError
    return tuple(sorted(days, reverse=True))


def _webhook_url(value: str) -> str:
    """https, with a query or without: some receivers, such as Azure Logic Apps, have their key in it."""
    return https_url(value.partition("?")[0]) and value


def _webhook_secret(value: str) -> bytes:
    """`whsec_` and 24 to 64 bytes in base64 (https://www.standardwebhooks.com)."""
    secret = base64.b64decode(value.removeprefix("whsec_"), validate=True)
    if not value.startswith("whsec_") or not 24 <= len(secret) <= 64:
        raise ValueError
    return secret


def read_notices(read: Reader) -> NoticeSettings:
    url = read.parsed("PKI_NOTICE_WEBHOOK_URL", _webhook_url, None, "an https URL")
    secret = read.parsed(
        "PKI_NOTICE_WEBHOOK_SECRET", _webhook_secret, None, "whsec_ followed by 24 to 64 random bytes in base64"
    )
    if url is not None and secret is None:
        read.problem("PKI_NOTICE_WEBHOOK_SECRET", "is required with PKI_NOTICE_WEBHOOK_URL: it signs the notices.")
    expected = f"days from 1 to {MAX_NOTICE_DAYS} as in 30,14,7, or none"
    return NoticeSettings(read.parsed("PKI_EXPIRY_NOTICE_DAYS", _notice_days, (30, 14, 7), expected), url, secret)
