"""CA keys in a hardware security module, or anything else that brings a PKCS#11 library (SoftHSM2, cloud HSMs).

Needs the package in requirements-pkcs11.txt. Calls into the library are made one at a time: python-pkcs11 opens it
without asking for its locks (C_Initialize without arguments, PKCS#11 2.40 5.4), so two threads must never be inside.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Self, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from shared.context import Deadline
from shared.pki.errors import (
    BackendError,
    BackendMisconfigured,
    BackendThrottled,
    BackendTimeout,
    BackendUnavailable,
)
from shared.pki.keys import KeyType, PrivateKey, PublicKey
from shared.pki.signing.base import SigningBackend
from shared.pki.signing.raw_signature import MalformedSignature, from_raw
from shared.pki.signing.remote_key import remote_private_key

try:
    import pkcs11
    from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
except ImportError as error:
    raise ImportError("python-pkcs11 is not installed (pip install -r requirements-pkcs11.txt)") from error

log = logging.getLogger("entra_pki.signing")
T = TypeVar("T")

DEFAULT_KEY_LABEL = "ca-issuer"
BUSY_RETRY_AFTER = timedelta(seconds=2)
ID_OCTETS = 16
CURVES = {KeyType.P_256: "secp256r1", KeyType.P_384: "secp384r1", KeyType.P_521: "secp521r1"}
SHA256_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017 9.2, note 1

# What a module reports once its session has gone: a token pulled out, an HSM restarted, somebody logged out.
STALE_SESSION = (
    pkcs11.SessionHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.UserNotLoggedIn,
    pkcs11.ObjectHandleInvalid,
    pkcs11.KeyHandleInvalid,
    pkcs11.DeviceRemoved,
    pkcs11.TokenNotPresent,
)
WRONG_PIN = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange)
UNUSABLE_PIN = (pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.UserPinNotInitialized)
REFUSED_BY_TOKEN = (
    pkcs11.MechanismInvalid,
    pkcs11.KeySizeRange,
    pkcs11.DomainParamsInvalid,
    pkcs11.TemplateInconsistent,
    pkcs11.AttributeValueInvalid,
    pkcs11.TokenWriteProtected,
    pkcs11.SessionReadOnly,
)

_library = threading.Lock()


class Pkcs11Backend(SigningBackend):
    """Keys with one label on one token. A reference is `<label>#<CKA_ID in hex>`; rollovers share the label.

    A private key that it makes is sensitive and cannot be extracted. One session serves the process. PKCS#11 calls
    have no time-out: a deadline is looked at before a call, and a module that hangs holds up its caller.
    """

    def __init__(self, module: str, token: str, pin: str, key_label: str = DEFAULT_KEY_LABEL) -> None:
        """`module`: path of the PKCS#11 library; `token`: label of the token; `pin`: of its user."""
        self._module = module
        self._token = token
        self._pin = pin
        self._label = key_label
        self._session: pkcs11.Session | None = None
        self._private_keys: dict[str, pkcs11.SignMixin] = {}
        self._public_keys: dict[str, PublicKey] = {}

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        needed = ("CA_PKCS11_MODULE", "CA_PKCS11_TOKEN", "CA_PKCS11_PIN")
        missing = [name for name in needed if not settings.get(name)]
        if missing:
            raise BackendMisconfigured(f"CA_SIGNING_BACKEND=pkcs11 also needs {', '.join(missing)}.")
        label = settings.get("CA_PKCS11_KEY") or DEFAULT_KEY_LABEL
        if not label.isprintable() or len(label) > 100:
            raise BackendMisconfigured("CA_PKCS11_KEY must be the label of a key: 100 printable characters at most.")
        module, token, pin = (settings[name] for name in needed)
        return cls(module, token, pin, label)

    def provide_key(self, key_type: KeyType, deadline: Deadline, *, in_use: Collection[str] = ()) -> str:
        with self._alone(deadline):
            return self._ask(lambda session: self._find_free(session, key_type, in_use) or self._create(key_type))

    def public_key(self, reference: str, deadline: Deadline) -> PublicKey:
        with self._alone(deadline):
            return self._public_key(reference)

    def signing_key(self, reference: str, deadline: Deadline) -> PrivateKey:
        with self._alone(deadline):
            public_key = self._public_key(reference)

        def sign(data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
            return self._sign(reference, public_key, data, algorithm, deadline)

        return remote_private_key(public_key, sign)

    def check(self, reference: str, deadline: Deadline) -> None:
        with self._alone(deadline):
            key = self._ask(lambda session: self._find_private(session, reference))
            if not self._ask(lambda _: key[pkcs11.Attribute.SIGN]):
                raise BackendMisconfigured(f"The key {reference} is on the token, but not for signing (CKA_SIGN).")

    def _sign(
        self, reference: str, public_key: PublicKey, data: bytes, algorithm: hashes.HashAlgorithm, deadline: Deadline
    ) -> bytes:
        hasher = hashes.Hash(algorithm)  # here, not on the token: a CRL has megabytes
        hasher.update(data)
        digest = hasher.finalize()
        if isinstance(public_key, rsa.RSAPublicKey):
            mechanism, value = pkcs11.Mechanism.RSA_PKCS, SHA256_DIGEST_INFO + digest
        else:
            mechanism, value = pkcs11.Mechanism.ECDSA, digest
        with self._alone(deadline):
            raw = self._ask(lambda session: self._private_key(session, reference).sign(value, mechanism=mechanism))
        try:
            return from_raw(public_key, raw)
        except MalformedSignature as error:
            raise BackendUnavailable(f"The token {self._token} answered with {error}.") from error

    @contextmanager
    def _alone(self, deadline: Deadline) -> Iterator[None]:
        problem: BackendError | None = None
        if deadline.expired:
            problem = BackendTimeout(f"There was no time left to use the token {self._token}.")
        elif not _library.acquire(timeout=deadline.remaining):
            problem = BackendThrottled(f"The token {self._token} was busy until the deadline.", BUSY_RETRY_AFTER)
        if problem is not None:
            problem.nothing_signed = True
            raise problem
        try:
            yield
        finally:
            _library.release()

    def _ask(self, question: Callable[[pkcs11.Session], T]) -> T:
        """Puts a question to the token; once more over a new session if the old one has gone."""
        try:
            if self._session is not None:
                try:
                    return question(self._session)
                except STALE_SESSION as stale:
                    log.warning("the session with the token %s has gone (%s)", self._token, type(stale).__name__)
                    self._forget_session()
            self._session = self._open()
            return question(self._session)
        except pkcs11.PKCS11Error as error:
            self._forget_session()
            raise self._explain(error) from error

    def _forget_session(self) -> None:
        session, self._session = self._session, None
        self._private_keys.clear()
        if session is not None:
            with suppress(pkcs11.PKCS11Error):  # it may be gone already; and this logs out the whole process
                session.close()

    def _open(self) -> pkcs11.Session:
        try:
            library = pkcs11.lib(self._module)
        except pkcs11.PKCS11Error as error:
            raise BackendMisconfigured(
                f"The PKCS#11 module {self._module} cannot be loaded: check CA_PKCS11_MODULE."
            ) from error
        token = library.get_token(token_label=self._token)
        try:
            return token.open(rw=True, user_pin=self._pin)
        except pkcs11.UserAlreadyLoggedIn:  # by another object of this process: a login is the whole process's
            return token.open(rw=True)

    def _explain(self, error: pkcs11.PKCS11Error) -> BackendMisconfigured | BackendUnavailable:
        token = f"token {self._token}"
        kind = type(error).__name__
        if isinstance(error, pkcs11.NoSuchToken):
            return BackendMisconfigured(f"{self._module} has no {token}: check CA_PKCS11_TOKEN.")
        if isinstance(error, pkcs11.MultipleTokensReturned):
            return BackendMisconfigured(f"There are several of {token}: give the CA's another label (CA_PKCS11_TOKEN).")
        if isinstance(error, WRONG_PIN):
            return BackendMisconfigured(
                f"CA_PKCS11_PIN is not the user PIN of {token}: mend it before the token locks itself."
            )
        if isinstance(error, UNUSABLE_PIN):
            return BackendMisconfigured(
                f"The user PIN of {token} is locked, expired or not set ({kind}): its security officer can mend that."
            )
        if isinstance(error, REFUSED_BY_TOKEN):
            return BackendMisconfigured(f"The {token} refuses this kind of key or operation ({kind}).")
        return BackendUnavailable(f"The {token} does not work ({kind}).")

    def _find_free(self, session: pkcs11.Session, key_type: KeyType, in_use: Collection[str]) -> str | None:
        keys = session.get_objects(
            {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.Attribute.LABEL: self._label}
        )
        references = sorted(f"{self._label}#{key[pkcs11.Attribute.ID].hex()}" for key in list(keys))
        for reference in references:
            if reference in in_use:
                continue
            found = KeyType.of(self._public_key(reference))
            if found is not key_type:
                raise BackendMisconfigured(
                    f"The token {self._token} holds a free {found} key, {reference}, but {key_type} is asked for. "
                    "Ask for that type, or set CA_PKCS11_KEY to another label."
                )
            return reference
        return None

    def _create(self, key_type: KeyType) -> str:
        assert self._session is not None
        key_id = secrets.token_bytes(ID_OCTETS)
        wanted: dict[str, Any] = {
            "id": key_id,
            "label": self._label,
            "store": True,
            "capabilities": pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
            "private_template": {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False},
        }
        if key_type.is_rsa:
            self._session.generate_keypair(pkcs11.KeyType.RSA, key_type.bits, **wanted)
        else:
            curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(CURVES[key_type])}
            self._session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True).generate_keypair(**wanted)
        return f"{self._label}#{key_id.hex()}"

    def _public_key(self, reference: str) -> PublicKey:
        if reference not in self._public_keys:
            self._public_keys[reference] = self._ask(lambda session: self._load_public_key(session, reference))
        return self._public_keys[reference]

    def _load_public_key(self, session: pkcs11.Session, reference: str) -> PublicKey:
        self._find_private(session, reference)
        stored = self._find(session, pkcs11.ObjectClass.PUBLIC_KEY, reference)
        if stored[pkcs11.Attribute.KEY_TYPE] == pkcs11.KeyType.RSA:
            modulus, exponent = stored[pkcs11.Attribute.MODULUS], stored[pkcs11.Attribute.PUBLIC_EXPONENT]
            key: object = rsa.RSAPublicNumbers(int.from_bytes(exponent), int.from_bytes(modulus)).public_key()
        else:
            try:
                key = load_der_public_key(encode_ec_public_key(stored))  # type: ignore[arg-type]  # typed as a subclass
            except (ValueError, UnsupportedAlgorithm):
                key = None
        if KeyType.of(key) is None:
            raise BackendMisconfigured(f"The key {reference} is of a type that this CA does not sign with.")
        return key  # type: ignore[return-value]  # KeyType.of has just told its class

    def _private_key(self, session: pkcs11.Session, reference: str) -> pkcs11.SignMixin:
        """The key's handle, which lives as long as its session."""
        if reference not in self._private_keys:
            self._private_keys[reference] = self._find_private(session, reference)
        return self._private_keys[reference]

    def _find_private(self, session: pkcs11.Session, reference: str) -> pkcs11.SignMixin:
        return self._find(session, pkcs11.ObjectClass.PRIVATE_KEY, reference)  # type: ignore[return-value]

    def _find(self, session: pkcs11.Session, kind: pkcs11.ObjectClass, reference: str) -> pkcs11.Object:
        label, _, key_id = reference.rpartition("#")
        try:
            wanted = {pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.LABEL: label}
            wanted[pkcs11.Attribute.ID] = bytes.fromhex(key_id)
        except ValueError as error:
            raise BackendMisconfigured(f"{reference!r} is not the reference of a PKCS#11 key.") from error
        found = list(session.get_objects(wanted))
        if len(found) != 1:
            half = "private" if kind is pkcs11.ObjectClass.PRIVATE_KEY else "public"
            raise BackendMisconfigured(
                f"The token {self._token} holds {len(found) or 'no'} {half} keys {reference}: the issuer was made with "
                "a key of another token (check CA_PKCS11_TOKEN), or the key was deleted."
            )
        return found[0]
