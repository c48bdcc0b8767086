"""CA keys in Azure Key Vault or a managed HSM: a signature is one request, and the key never leaves.

What the identity needs and what each misconfiguration looks like is in docs/key-vault.md.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.keyvault.keys import KeyClient, KeyCurveName, KeyOperation, KeyVaultKey
from azure.keyvault.keys._generated import models
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shared.context import Clock, Deadline, system_clock
from shared.errors import AppError
from shared.pki.errors import (
    BackendError,
    BackendMisconfigured,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
)
from shared.pki.keys import RSA_PUBLIC_EXPONENT, KeyType, PrivateKey, PublicKey
from shared.pki.signing.base import SigningBackend
from shared.pki.signing.bounded_transport import bounded_transport
from shared.pki.signing.key_vault_credential import (
    CredentialChoice,
    MakeCredential,
    VaultCredential,
    chosen_credential,
    make_credential,
    missing_settings,
)
from shared.pki.signing.key_vault_problems import (
    PAUSE_FLOOR,
    Doing,
    Problem,
    Subject,
    explain,
    may_have_been_done,
    soft_deleted,
    unusable,
)
from shared.pki.signing.pause import Pause
from shared.pki.signing.pool import Pool
from shared.pki.signing.raw_signature import MalformedSignature, from_raw
from shared.pki.signing.remote_key import remote_private_key
from shared.telemetry.calls import Peer

log = logging.getLogger("entra_pki.signing")
T = TypeVar("T")
Timeouts = Mapping[str, Any]  # the SDK's names for one request's time-outs, seconds

API_VERSION = "7.4"  # all of ours is in it, and emulators lag behind the newest
CONNECTIONS = 8
CONNECT_TIMEOUT = timedelta(seconds=5)
READ_TIMEOUT = timedelta(seconds=10)
ATTEMPTS = 5
BACKOFF = timedelta(milliseconds=200)

KEY_NAME = re.compile(
    r"[0-9A-Za-z-]{1,127}"
)  # https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates
REFERENCE = re.compile(r"([0-9A-Za-z-]{1,127})/([0-9A-Za-z]{1,64})")

ALGORITHMS: Mapping[KeyType, SignatureAlgorithm] = {
    KeyType.RSA_2048: SignatureAlgorithm.rs256,
    KeyType.RSA_3072: SignatureAlgorithm.rs256,
    KeyType.RSA_4096: SignatureAlgorithm.rs256,
    KeyType.P_256: SignatureAlgorithm.es256,
    KeyType.P_384: SignatureAlgorithm.es384,
    KeyType.P_521: SignatureAlgorithm.es512,
}
VAULT_CURVES: Mapping[KeyType, KeyCurveName] = {
    KeyType.P_256: KeyCurveName.p_256,
    KeyType.P_384: KeyCurveName.p_384,
    KeyType.P_521: KeyCurveName.p_521,
}
PUBLIC_JWK_FIELDS = ("kty", "n", "e", "crv", "x", "y")
CURVES: Mapping[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}

# The SDK decodes answers only when they are looked at: nonsense with status 200 surfaces as one of the last four.
SDK_FAILURES = (AzureError, ValueError, TypeError, KeyError, AttributeError)

# The SDK's models find out about their fields at their first use, and threads that come first at the same time may get
# raw dictionaries for models (seen in azure-keyvault-keys 4.11.3): so each is used here first, under the import lock.
for _model in (
    models.DeletedKeyBundle,
    models.JsonWebKey,
    models.KeyAttestation,
    models.KeyAttributes,
    models.KeyBundle,
    models.KeyCreateParameters,
    models.KeyOperationResult,
    models.KeyReleasePolicy,
    models.KeySignParameters,
    models.KeyVaultError,
    models.KeyVaultErrorError,
):
    _model({})


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of a key. Its public half never changes, so it is fetched once per process."""

    public_key: PublicKey
    jwk: dict[str, Any]
    name: str
    version: str


class _Connection:
    """The SDK's clients over one HTTP session. Its authentication policy is not safe between threads, nor is a
    requests session said to be, so a connection serves one thread at a time."""

    def __init__(self, vault_url: str, credential: VaultCredential, verify_challenge: bool) -> None:
        self._vault_url = vault_url
        self._credential = credential
        self._options: dict[str, Any] = {
            "api_version": API_VERSION,
            "verify_challenge_resource": verify_challenge,
            "retry_total": 0,  # ours know the deadline
            "permit_redirects": False,
            "http_logging_level": logging.DEBUG,  # the SDK's own is two entries of level info for every signature
            "transport": bounded_transport(Peer.KEY_VAULT),
        }
        self.keys = KeyClient(vault_url, credential, **self._options)  # type: ignore[arg-type]  # get_token_info is enough
        self._signers: dict[str, CryptographyClient] = {}

    def signer(self, key: _Version) -> CryptographyClient:
        """A client that was given the key's public half fetches nothing and goes to the vault for the rest. Its
        address is the configured one: the `kid` that a vault returns may name another host."""
        address = f"{self._vault_url}/keys/{key.name}/{key.version}"
        if address not in self._signers:
            known = KeyVaultKey(address, key.jwk)
            self._signers[address] = CryptographyClient(known, self._credential, **self._options)  # type: ignore[arg-type]
        return self._signers[address]


class KeyVaultBackend(SigningBackend):
    """Versions of one named key in one vault. A reference is `<key name>/<version>`.

    A rollover makes a new version; of versions that no issuer has, only the newest counts as free. Requests go
    through a few connections; a throttled vault pauses all of them; what passes is tried again until the deadline.
    """

    def __init__(
        self,
        vault_url: str,
        key_name: str,
        credential: MakeCredential,
        *,
        verify_challenge: bool = True,
        connections: int = CONNECTIONS,
        clock: Clock = system_clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`vault_url`: https://name.vault.azure.net; `verify_challenge`: False lets an emulator be asked, whose host
        is not the one that its tokens are for."""
        self._vault_url = vault_url.rstrip("/")
        self._key_name = key_name
        self._clock = clock
        self._sleep = sleep
        self._pause = Pause(sleep)
        vault_credential = VaultCredential(credential)
        self._connections = Pool(connections, lambda: _Connection(self._vault_url, vault_credential, verify_challenge))
        self._versions: dict[str, _Version] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        problems = _setting_problems(settings)
        if problems:
            raise BackendMisconfigured("CA_SIGNING_BACKEND=key_vault: " + " ".join(problems))
        return cls(
            settings["CA_KEY_VAULT_URL"],
            settings["CA_KEY_VAULT_KEY"],
            partial(make_credential, chosen_credential(settings), dict(settings)),
            verify_challenge=_verify_challenge(settings),
            connections=int(settings.get("CA_KEY_VAULT_CONNECTIONS") or CONNECTIONS),
        )

    def provide_key(self, key_type: KeyType, deadline: Deadline, *, in_use: Collection[str] = ()) -> str:
        newest = self._newest(deadline)
        if newest is None or _reference(newest) in in_use:
            return _reference(self._create(key_type, deadline))
        subject = Subject(Doing.READ, self._vault_url, self._key_name, newest.properties.version or "")
        found = KeyType.of(_public_key(newest, subject))
        if found is not key_type:
            raise BackendMisconfigured(
                f"In {subject.vault} {subject.key} is free and of type {found}, but {key_type} is asked for. Ask for "
                "that type, or set CA_KEY_VAULT_KEY to another name."
            )
        if problem := unusable(newest, subject, self._clock()):
            raise problem
        return _reference(newest)

    def public_key(self, reference: str, deadline: Deadline) -> PublicKey:
        return self._version(reference, deadline).public_key

    def signing_key(self, reference: str, deadline: Deadline) -> PrivateKey:
        self._pause.check(deadline)  # now, rather than when the certificate has been reserved
        version = self._version(reference, deadline)
        return remote_private_key(version.public_key, partial(self._sign, version, deadline))

    def check(self, reference: str, deadline: Deadline) -> None:
        subject = self._subject(Doing.READ, reference)
        if problem := unusable(self._fetch(subject, deadline), subject, self._clock()):
            raise problem

    def _sign(self, key: _Version, deadline: Deadline, data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        hasher = hashes.Hash(algorithm)
        hasher.update(data)
        digest = hasher.finalize()
        subject = Subject(Doing.SIGN, self._vault_url, key.name, key.version)
        vault_algorithm = ALGORITHMS[KeyType.of(key.public_key) or KeyType.RSA_2048]
        unknown_outcomes = 0

        def ask(connection: _Connection, timeouts: Timeouts) -> object:
            nonlocal unknown_outcomes
            try:
                return connection.signer(key).sign(vault_algorithm, digest, **timeouts).signature
            except SDK_FAILURES as failure:
                unknown_outcomes += may_have_been_done(failure)
                raise

        try:
            raw = self._ask(subject, deadline, ask)
        except BackendError as error:
            error.nothing_signed = unknown_outcomes == 0
            raise
        try:
            return from_raw(key.public_key, raw)
        except MalformedSignature as error:
            raise BackendUnavailable(f"{subject.vault} answered with {error}.") from error

    def _newest(self, deadline: Deadline) -> KeyVaultKey | None:
        subject = Subject(Doing.READ, self._vault_url, self._key_name)

        def ask(connection: _Connection, timeouts: Timeouts) -> KeyVaultKey | None:
            try:
                return connection.keys.get_key(self._key_name, **timeouts)
            except ResourceNotFoundError:
                return None

        return self._ask(subject, deadline, ask)

    def _create(self, key_type: KeyType, deadline: Deadline) -> KeyVaultKey:
        operations: dict[str, Any] = {"key_operations": [KeyOperation.sign, KeyOperation.verify]}

        def ask(connection: _Connection, timeouts: Timeouts) -> KeyVaultKey:
            if key_type.is_rsa:
                return connection.keys.create_rsa_key(self._key_name, size=key_type.bits, **operations, **timeouts)
            curve = VAULT_CURVES[key_type]
            return connection.keys.create_ec_key(self._key_name, curve=curve, **operations, **timeouts)

        return self._ask(Subject(Doing.CREATE, self._vault_url, self._key_name), deadline, ask)

    def _version(self, reference: str, deadline: Deadline) -> _Version:
        if deadline.expired:
            raise BackendTimeout("There was no time left to ask the key vault.")
        with self._lock:
            known = self._versions.get(reference)
        if known is None:
            subject = self._subject(Doing.READ, reference)
            key = self._fetch(subject, deadline)
            jwk = {field: getattr(key.key, field) for field in PUBLIC_JWK_FIELDS}
            known = _Version(_public_key(key, subject), jwk, subject.name, subject.version)
            with self._lock:
                self._versions[reference] = known
        return known

    def _fetch(self, subject: Subject, deadline: Deadline) -> KeyVaultKey:
        return self._ask(
            subject,
            deadline,
            lambda connection, timeouts: connection.keys.get_key(subject.name, subject.version, **timeouts),
        )

    def _subject(self, doing: Doing, reference: str) -> Subject:
        parts = REFERENCE.fullmatch(reference)
        if parts is None:
            raise BackendMisconfigured(
                f"{reference!r} names no version of a key in Key Vault: the issuer was made with another backend. Set "
                "CA_SIGNING_BACKEND to that one."
            )
        return Subject(doing, self._vault_url, parts[1], parts[2])

    def _ask(self, subject: Subject, deadline: Deadline, question: Callable[[_Connection, Timeouts], T]) -> T:
        """Puts a question to the vault, again while its failures pass, until the deadline. `question` is given the
        time-outs for its request."""
        for attempt in range(1, ATTEMPTS + 1):
            self._pause.wait(deadline)
            with self._connections.borrow(deadline) as connection:
                try:
                    return question(connection, _timeouts(deadline))
                except BackendUnavailable as error:  # of the credential
                    problem = Problem(error, passing=True)
                except SDK_FAILURES as error:
                    problem = explain(error, subject, self._clock())
                    log.warning("%s on %s failed: %r", subject.doing, subject.vault, error)
            if problem.unclear:
                problem = Problem(self._look_closer(subject, deadline) or problem.error)
            if not problem.passing or attempt == ATTEMPTS:
                break
            self._wait(problem, attempt, deadline)
        raise problem.error

    def _wait(self, problem: Problem, attempt: int, deadline: Deadline) -> None:
        """Waits before the next attempt; raises the problem if the deadline comes first."""
        wait = problem.pause or BACKOFF * 2 ** (attempt - 1)
        if isinstance(problem.error, BackendThrottled):
            self._pause.begin(problem.pause or PAUSE_FLOOR * 2 ** (attempt - 1))
            return
        if wait.total_seconds() >= deadline.remaining:
            raise problem.error
        self._sleep(wait.total_seconds())

    def _look_closer(self, subject: Subject, deadline: Deadline) -> AppError | None:
        """What the state of the key adds to a 403 or 404, as far as this identity may see it."""
        with suppress(AppError, *SDK_FAILURES), self._connections.borrow(deadline) as connection:
            timeouts = _timeouts(deadline)
            if subject.doing is Doing.SIGN:
                try:
                    key = connection.keys.get_key(subject.name, subject.version, **timeouts)
                    return unusable(key, subject, self._clock())
                except ResourceNotFoundError:
                    timeouts = _timeouts(deadline)
            connection.keys.get_deleted_key(subject.name, **timeouts)
            return soft_deleted(subject)
        return None


def _timeouts(deadline: Deadline) -> Timeouts:
    """For one request: the usual ones, or what is left; seconds."""
    left = max(deadline.remaining, 0.05)
    return {
        "connection_timeout": min(CONNECT_TIMEOUT.total_seconds(), left),
        "read_timeout": min(READ_TIMEOUT.total_seconds(), left),
    }


def _reference(key: KeyVaultKey) -> str:
    return f"{key.properties.name}/{key.properties.version}"


def _public_key(key: KeyVaultKey, subject: Subject) -> PublicKey:
    """Raises BackendMisconfigured for a kind of key that this CA does not sign with."""
    jwk: Any = key.key
    try:
        public: object = None
        if jwk.kty in ("RSA", "RSA-HSM") and int.from_bytes(jwk.e) == RSA_PUBLIC_EXPONENT:
            public = rsa.RSAPublicNumbers(RSA_PUBLIC_EXPONENT, int.from_bytes(jwk.n)).public_key()
        elif jwk.kty in ("EC", "EC-HSM") and jwk.crv in CURVES:
            numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(jwk.x), int.from_bytes(jwk.y), CURVES[jwk.crv])
            public = numbers.public_key()
    except (ValueError, TypeError) as error:
        raise BackendUnavailable(f"{subject.vault} answered with a public key that is none.") from error
    if KeyType.of(public) is None:
        size = jwk.crv or (f"{8 * len(jwk.n)} bits" if jwk.n else "unknown size")
        raise BackendMisconfigured(
            f"In {subject.vault} {subject.key} is of type {jwk.kty}, {size}: a CA's key here is RSA of 2048, 3072 or "
            "4096 bits with exponent 65537, or EC on P-256, P-384 or P-521."
        )
    return public  # type: ignore[return-value]  # KeyType.of has just told its class


def _setting_problems(settings: Mapping[str, str]) -> list[str]:
    problems = []
    url = urlsplit(settings.get("CA_KEY_VAULT_URL", ""))
    if url.scheme != "https" or not url.hostname or url.path not in ("", "/") or url.query or url.username:
        problems.append("CA_KEY_VAULT_URL must be the vault's URL, like https://name.vault.azure.net.")
    if not KEY_NAME.fullmatch(settings.get("CA_KEY_VAULT_KEY", "")):
        problems.append("CA_KEY_VAULT_KEY must be the key's name: letters, digits and dashes.")
    try:
        choice = chosen_credential(settings)
        missing = missing_settings(choice, settings)
        if missing:
            problems.append(f"CA_KEY_VAULT_CREDENTIAL is {choice}, which needs {', '.join(missing)}.")
    except ValueError:
        problems.append(f"CA_KEY_VAULT_CREDENTIAL must be one of {', '.join(CredentialChoice)}.")
    if settings.get("CA_KEY_VAULT_VERIFY_CHALLENGE", "").lower() not in ("", "true", "false"):
        problems.append("CA_KEY_VAULT_VERIFY_CHALLENGE must be true or false.")
    elif not _verify_challenge(settings) and settings.get("AZURE_FUNCTIONS_ENVIRONMENT", "").lower() != "development":
        problems.append("CA_KEY_VAULT_VERIFY_CHALLENGE=false is for emulators, in Development only.")
    connections = settings.get("CA_KEY_VAULT_CONNECTIONS") or str(CONNECTIONS)
    if not connections.isdecimal() or not 1 <= int(connections) <= 64:
        problems.append("CA_KEY_VAULT_CONNECTIONS must be a whole number from 1 to 64.")
    return problems


def _verify_challenge(settings: Mapping[str, str]) -> bool:
    return settings.get("CA_KEY_VAULT_VERIFY_CHALLENGE", "").lower() != "false"
