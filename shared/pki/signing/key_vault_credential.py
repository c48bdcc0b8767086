"""Who this app is to Azure Key Vault: the credential that the settings choose, and what its failures mean."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import urlsplit

from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError, ServiceResponseError

from shared.pki.errors import BackendMisconfigured, BackendUnavailable
from shared.pki.signing.bounded_transport import bounded_transport
from shared.settings import CLOUDS
from shared.telemetry.calls import Peer


class TokenSource(Protocol):
    """What of azure-identity's credentials is used."""

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo: ...


MakeCredential = Callable[[], TokenSource]

# A token request is not retried by azure-identity: the backend tries again itself, within the caller's deadline.
TOKEN_REQUEST: Mapping[str, Any] = {"retry_total": 0, "connection_timeout": 5, "read_timeout": 10}

FAILURE_COUNTS_FOR = timedelta(seconds=1)

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
PASSING_AADSTS = frozenset({"AADSTS90006", "AADSTS90012", "AADSTS90024", "AADSTS90033", "AADSTS90055", "AADSTS50196"})
AADSTS_CAUSES: Mapping[str, str] = {
    "AADSTS700016": "there is no such app registration in the tenant",
    "AADSTS700027": "the certificate is not registered with the app, or has expired",
    "AADSTS7000215": "the client secret is wrong",
    "AADSTS7000222": "the client secret has expired",
    "AADSTS90002": "there is no such tenant",
    "AADSTS500011": "the vault's service is not known in the tenant",
}


class CredentialChoice(StrEnum):
    """What `CA_KEY_VAULT_CREDENTIAL` may be."""

    MANAGED_IDENTITY = "managed_identity"
    CLIENT_SECRET = "client_secret"  # noqa: S105  (a kind, not a secret)
    CLIENT_CERTIFICATE = "client_certificate"
    DEFAULT = "default"
    """azure-identity's chain: AZURE_* variables, managed identity, the operator's `az login`."""


def chosen_credential(settings: Mapping[str, str]) -> CredentialChoice:
    """As told, else what the app proves itself to Entra ID with. Raises ValueError for another word."""
    told = settings.get("CA_KEY_VAULT_CREDENTIAL")
    if told:
        return CredentialChoice(told)
    if settings.get("ENTRA_CLIENT_SECRET"):
        return CredentialChoice.CLIENT_SECRET
    if settings.get("ENTRA_CLIENT_CERTIFICATE_PATH"):
        return CredentialChoice.CLIENT_CERTIFICATE
    if settings.get("ENTRA_MANAGED_IDENTITY", "").lower() in ("true", "1"):
        return CredentialChoice.MANAGED_IDENTITY
    return CredentialChoice.DEFAULT


def missing_settings(choice: CredentialChoice, settings: Mapping[str, str]) -> list[str]:
    """The names of the settings that the credential needs and does not have."""
    needed: Mapping[CredentialChoice, tuple[str, ...]] = {
        CredentialChoice.CLIENT_SECRET: ("ENTRA_TENANT_ID", "ENTRA_CLIENT_ID", "ENTRA_CLIENT_SECRET"),
        CredentialChoice.CLIENT_CERTIFICATE: ("ENTRA_TENANT_ID", "ENTRA_CLIENT_ID", "ENTRA_CLIENT_CERTIFICATE_PATH"),
    }
    return [name for name in needed.get(choice, ()) if not settings.get(name)]


def make_credential(choice: CredentialChoice, settings: Mapping[str, str]) -> TokenSource:
    """Builds azure-identity's credential; imports the package here, since not every process needs it."""
    from azure import identity

    authority = _authority(settings)
    common: dict[str, Any] = {
        "authority": authority,
        "disable_instance_discovery": not _is_microsofts(authority),
        "transport": bounded_transport(Peer.ENTRA),
        **TOKEN_REQUEST,
    }
    match choice:
        case CredentialChoice.CLIENT_SECRET:
            return identity.ClientSecretCredential(
                settings["ENTRA_TENANT_ID"], settings["ENTRA_CLIENT_ID"], settings["ENTRA_CLIENT_SECRET"], **common
            )
        case CredentialChoice.CLIENT_CERTIFICATE:
            return identity.CertificateCredential(
                settings["ENTRA_TENANT_ID"],
                settings["ENTRA_CLIENT_ID"],
                settings["ENTRA_CLIENT_CERTIFICATE_PATH"],
                **common,
            )
        case CredentialChoice.MANAGED_IDENTITY:
            # AZURE_CLIENT_ID is azure-identity's own name for the client id of a user-assigned identity.
            return identity.ManagedIdentityCredential(client_id=settings.get("AZURE_CLIENT_ID") or None)
        case CredentialChoice.DEFAULT:
            return identity.DefaultAzureCredential(
                authority=authority, disable_instance_discovery=not _is_microsofts(authority)
            )


def _authority(settings: Mapping[str, str]) -> str:
    told = settings.get("ENTRA_AUTHORITY_HOST") or settings.get("AZURE_AUTHORITY_HOST")
    cloud = CLOUDS.get(settings.get("ENTRA_CLOUD") or "global", CLOUDS["global"])
    return told or cloud.authority_host


def _is_microsofts(authority: str) -> bool:
    """Instance discovery asks Microsoft whether the authority is one of theirs: an emulator is not."""
    return urlsplit(authority).netloc in {urlsplit(cloud.authority_host).netloc for cloud in CLOUDS.values()}


class VaultCredential:
    """A credential made at its first token, whose failures are the backend's errors. Many threads that need a token
    cause one request.

    Raises BackendMisconfigured (Entra ID refuses, or there is nothing to prove an identity with) and
    BackendUnavailable (Entra ID cannot be asked). After the latter the credential is made anew, because msal answers
    every further request for 60 s with the failure that it has seen; we do so for one second.
    """

    def __init__(self, make: MakeCredential) -> None:
        self._make = make
        self._credential: TokenSource | None = None
        self._failure: BackendUnavailable | None = None
        self._failure_counts_until = 0.0
        self._lock = threading.Lock()

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        with self._lock:
            if self._failure is not None and time.monotonic() < self._failure_counts_until:
                raise BackendUnavailable(self._failure.message) from self._failure
            try:
                with _explained():
                    if self._credential is None:
                        self._credential = self._make()
                    return self._credential.get_token_info(*scopes, options=options)
            except BackendUnavailable as failure:
                self._credential = None
                self._failure = failure
                self._failure_counts_until = time.monotonic() + FAILURE_COUNTS_FOR.total_seconds()
                raise


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ClientAuthenticationError as error:
        raise _explain(error) from error
    except AzureError as error:
        raise BackendUnavailable("Entra ID did not give a token for the key vault.") from error
    except (ValueError, OSError) as error:  # an unreadable certificate, a malformed id
        raise BackendMisconfigured(
            "The credential for the key vault cannot be used: check CA_KEY_VAULT_CREDENTIAL and the "
            f"ENTRA_* settings that it needs ({type(error).__name__})."
        ) from error


def _explain(error: ClientAuthenticationError) -> BackendMisconfigured | BackendUnavailable:
    from azure.identity import CredentialUnavailableError

    if isinstance(error, CredentialUnavailableError):
        return BackendMisconfigured(
            "This process has no identity to show to the key vault: give the function app a managed identity, log in "
            "with `az login`, or choose another CA_KEY_VAULT_CREDENTIAL."
        )
    if isinstance(error.__cause__, ServiceRequestError | ServiceResponseError):
        return BackendUnavailable("Entra ID cannot be reached for a token for the key vault.")
    if "not configured to acquire tokens for tenant" in error.message:
        return BackendMisconfigured(
            "The key vault belongs to another tenant than ENTRA_TENANT_ID: a vault trusts its own tenant only. "
            "Check CA_KEY_VAULT_URL."
        )
    if "Unable to get authority configuration" in error.message:
        return BackendMisconfigured(
            "Entra ID does not know the tenant that the key vault is to be asked for: check ENTRA_TENANT_ID, and "
            "ENTRA_CLOUD for a national cloud."
        )
    found = re.search(r"AADSTS\d+", error.message)
    if found is None or found.group() in PASSING_AADSTS:
        return BackendUnavailable("Entra ID did not give a token for the key vault.")
    cause = AADSTS_CAUSES.get(found.group(), "see its sign-in log")
    return BackendMisconfigured(
        f"Entra ID refuses this app a token for the key vault ({found.group()}): {cause}. Check the ENTRA_* settings."
    )
