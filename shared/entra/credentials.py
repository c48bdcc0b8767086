"""How this app proves itself to Entra to get tokens for Graph: secret, certificate or managed identity.

msal and azure-identity are imported on first use: they cost a good part of a cold start, and not every call needs
them.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.entra.graph.errors import GraphAuthenticationFailed


@dataclass(frozen=True)
class ClientSecret:
    value: str

    def __repr__(self) -> str:
        return "ClientSecret(…)"


@dataclass(frozen=True)
class ClientCertificate:
    """A PEM file with the private key and the certificate that the app registration knows."""

    path: Path
    passphrase: str | None = None

    def __repr__(self) -> str:
        return f"ClientCertificate({str(self.path)!r})"


@dataclass(frozen=True)
class ManagedIdentity:
    """The identity of the Azure resource we run on; `client_id` names a user-assigned one."""

    client_id: str | None = None


Proof = ClientSecret | ClientCertificate | ManagedIdentity


class EntraCredentials:
    """Gives Graph tokens; caches them for their life. Shared by threads.

    Args:
        authority_host: for example `https://login.microsoftonline.com`.
        graph_host: for example `https://graph.microsoft.com`, the resource the token is for.
        known_authority: False skips msal's instance discovery, which refuses hosts that Microsoft does not run (the
            emulator).
    """

    def __init__(
        self,
        *,
        authority_host: str,
        tenant_id: str,
        client_id: str,
        graph_host: str,
        proof: Proof,
        known_authority: bool = True,
    ) -> None:
        self._authority = f"{authority_host.rstrip('/')}/{tenant_id}"
        self._client_id = client_id
        self._scope = f"{graph_host.rstrip('/')}/.default"
        self._proof = proof
        self._known_authority = known_authority
        self._lock = threading.Lock()
        self._source: Callable[[bool], str] | None = None

    def graph_token(self, *, fresh: bool = False) -> str:
        """A bearer token for Graph; `fresh` asks Entra for a new one. Raises GraphAuthenticationFailed."""
        with self._lock:
            if self._source is None:
                self._source = self._connect()
            source = self._source
        try:
            return source(fresh)
        except GraphAuthenticationFailed:
            raise
        except Exception as error:  # msal and azure-identity raise whatever their transports raise
            raise GraphAuthenticationFailed(
                f"No token for Microsoft Graph could be had from Entra ID ({type(error).__name__})."
            ) from error

    def _connect(self) -> Callable[[bool], str]:
        if isinstance(self._proof, ManagedIdentity):
            return self._managed_identity(self._proof)
        return self._application(self._proof)

    def _application(self, proof: ClientSecret | ClientCertificate) -> Callable[[bool], str]:
        from msal import ConfidentialClientApplication  # type: ignore[import-untyped]

        try:
            credential = proof.value if isinstance(proof, ClientSecret) else _certificate(proof)
            application = ConfidentialClientApplication(
                self._client_id,
                client_credential=credential,
                authority=self._authority,
                instance_discovery=None if self._known_authority else False,
                timeout=10,
            )
        except Exception as error:  # its construction reads files and goes to the network
            raise GraphAuthenticationFailed(
                f"Entra ID at {self._authority} cannot be used for sign-in ({type(error).__name__})."
            ) from error
        return lambda fresh: self._acquire(application, fresh)

    def _acquire(self, application: Any, fresh: bool) -> str:
        if fresh:
            application.remove_tokens_for_client()
        result = application.acquire_token_for_client([self._scope])
        token = result.get("access_token") if isinstance(result, dict) else None
        if isinstance(token, str):
            return token
        raise GraphAuthenticationFailed(f"Entra ID refused this app's sign-in: {_reason(result)}.")

    def _managed_identity(self, proof: ManagedIdentity) -> Callable[[bool], str]:
        from azure.identity import ManagedIdentityCredential

        credential = ManagedIdentityCredential(client_id=proof.client_id)

        def token(fresh: bool) -> str:
            nonlocal credential
            if fresh:  # its cache cannot be emptied, only left behind
                credential = ManagedIdentityCredential(client_id=proof.client_id)
            return str(credential.get_token(self._scope).token)

        return token


def _certificate(proof: ClientCertificate) -> dict[str, Any]:
    """What msal takes; without a thumbprint it makes the SHA-256 one."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    pem = proof.path.read_bytes()
    key = serialization.load_pem_private_key(pem, proof.passphrase.encode() if proof.passphrase else None)
    private_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.PEM)
    return {"private_key": private_key.decode(), "public_certificate": certificate.decode()}


def _reason(result: object) -> str:
    """Entra's error code and the AADSTS number: enough to look up, nothing to hide."""
    if not isinstance(result, dict):
        return "no reply"
    codes = result.get("error_codes")
    numbers = " ".join(f"AADSTS{code}" for code in codes if isinstance(code, int)) if isinstance(codes, list) else ""
    return f"{str(result.get('error', 'unknown'))[:60]} {numbers}".strip()
