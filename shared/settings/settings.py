"""All settings together, and what they must not be together."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.settings.model import (
    CLOUDS,
    EXTERNAL_ID_AUTHORITY,
    EntraSettings,
    NoticeSettings,
    PkiSettings,
    StorageSettings,
    SyncSettings,
)
from shared.settings.reader import InvalidSettings, Reader, https_url, web_url
from shared.settings.sections import read_entra, read_notices, read_pki, read_storage, read_sync
from shared.telemetry.lines import Format
from shared.telemetry.recorder import EXPORTER_NEEDS, Exporter


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
        reader = Reader(environment)
        development = reader.development
        settings = cls(
            development=development,
            storage=read_storage(reader),
            entra=read_entra(reader),
            sync=read_sync(reader),
            pki=read_pki(reader),
            notices=read_notices(reader),
            api_public_url=reader.parsed(
                "API_PUBLIC_URL", web_url if development else https_url, None, "an https URL without query"
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


def _refuse_contradictions(read: Reader, pki: PkiSettings) -> None:
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


def _check_telemetry(read: Reader) -> None:
    """Telemetry reads these by itself, so that it also tells of requests that fail because the settings are wrong."""
    read.parsed("LOG_FORMAT", Format, Format.JSON, " or ".join(Format))
    for exporter in read.many("TELEMETRY_EXPORT", Exporter, " and ".join(Exporter)):
        needed = EXPORTER_NEEDS[Exporter(exporter)]
        if read.text(needed) is None:
            read.problem(needed, f"is required with TELEMETRY_EXPORT={exporter}: where it goes.")


def _refuse_laptop_settings(read: Reader, settings: Settings) -> None:
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
