"""Says whether an Entra token is valid for us, and why not: the order of work is that of docs/tokens.md, cheap first.

The signature is verified by `cryptography` under our own front end, with one call that PyJWT's RS256 makes too;
`jwt.decode` costs five times the RSA operation and parses leniently. That is safe because everything `decode` guards
is settled before: the algorithm is fixed (PKCS #1 v1.5 with SHA-256, never taken from the header), the key is an RSA
public key of 2048 bits or more from the issuer's own key set (never a string that HMAC could use), and the digest
verified is that of the very bytes parsed.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from shared.context import Clock, system_clock
from shared.entra.clouds import GRAPH_AUDIENCES
from shared.entra.tokens import compact_jws
from shared.entra.tokens.claims import (
    AFTER_THE_SIGNATURE,
    AUDIENCE_RULES,
    BEFORE_THE_SIGNATURE,
    LEEWAY,
    LONGEST_LIFE,
    Expected,
    ValidToken,
    enforce,
    valid_token,
)
from shared.entra.tokens.compact_jws import CompactJws
from shared.entra.tokens.errors import KeysUnavailable, TokenError, TokenRejected
from shared.entra.tokens.issuers import IssuerSource, canonical_issuer
from shared.entra.tokens.jwk_policy import SigningKey
from shared.entra.tokens.signing_keys import SigningKeyStore
from shared.entra.tokens.verdict_cache import LONGEST, Verdict, VerdictCache
from shared.errors import FieldError

log = logging.getLogger("entra_pki.entra.tokens")

PKCS1_V1_5 = PKCS1v15()
SHA256_DIGEST = Prehashed(SHA256())
"""With the padding, RS256 (RFC 7518 3.3) over a digest that is computed already."""
_LONGEST = LONGEST.total_seconds()


@dataclass(frozen=True, slots=True)
class ValidatorPolicy:
    """Whose tokens, for which audiences, are valid.

    Raises ValueError where that could never be right.
    """

    issuers: tuple[IssuerSource, ...]
    audiences: frozenset[str]
    leeway: timedelta = LEEWAY
    longest_life: timedelta = LONGEST_LIFE

    def __post_init__(self) -> None:
        if not self.issuers or not self.audiences or not all(self.audiences):
            raise ValueError("a validator needs at least one issuer and one audience")
        if self.audiences & GRAPH_AUDIENCES:
            raise ValueError("tokens for Microsoft Graph can be validated by Microsoft Graph only")
        if not timedelta() <= self.leeway <= timedelta(minutes=5) or self.longest_life <= timedelta():
            raise ValueError("the leeway must be 0 to 5 minutes and the longest life more than 0")


@dataclass(frozen=True, slots=True)
class _TrustedIssuer:
    expected: Expected
    keys: SigningKeyStore


class TokenValidator:
    """Validates tokens by one policy. Shared by threads.

    Args:
        stores: gives the signing keys of an issuer, e.g. `SigningKeyStores.of`.
    """

    def __init__(
        self,
        policy: ValidatorPolicy,
        stores: Callable[[IssuerSource], SigningKeyStore],
        *,
        clock: Clock = system_clock,
        verdicts: VerdictCache | None = None,
    ) -> None:
        self.policy = policy
        self._clock = clock
        self._verdicts = verdicts if verdicts is not None else VerdictCache()
        self._trusted: dict[str, _TrustedIssuer] = {}
        self._undiscovered: list[tuple[IssuerSource, SigningKeyStore]] = []
        for source in policy.issuers:
            if source.issuer is not None and source.tenant_id is not None:
                self._trust(source, stores(source), source.issuer, source.tenant_id)
            else:
                self._undiscovered.append((source, stores(source)))

    def validate(self, token: str, *, audience: str | None = None, expected_type: str | None = None) -> ValidToken:
        """What a valid token says.

        Args:
            audience: narrows the accepted audiences to this one.
            expected_type: `access` or `id` refuses the other kind; None takes both.

        Raises:
            TokenRejected: it is not valid; `error` says why.
            KeysUnavailable: its issuer's keys cannot be had, so nobody can tell.
            FieldError: `audience` is none of the configured.
        """
        if audience is not None and audience not in self.policy.audiences:
            raise FieldError("audience", "The selected audience is invalid.")
        signed, fingerprint = compact_jws.digests(compact_jws.encoded(token))
        moment = self._clock()
        try:
            valid = self._remembered(fingerprint, moment)
            if valid is None:
                valid = self._examined(token, signed, fingerprint, moment)
            if audience is not None and valid.audience != audience:
                raise TokenRejected(TokenError.WRONG_AUDIENCE)
            if expected_type is not None and valid.token_type.is_access != (expected_type == "access"):
                raise TokenRejected(TokenError.WRONG_TOKEN_TYPE)
        except TokenRejected as rejected:
            log.info("token %s refused: %s", fingerprint.hex()[:12], rejected.error)
            raise
        return valid

    def _remembered(self, fingerprint: bytes, moment: datetime) -> ValidToken | None:
        verdict = self._verdicts.get(fingerprint)
        if verdict is None:
            return None
        if moment < verdict.until and verdict.store.holds(verdict.key, moment):
            return verdict.token
        self._verdicts.forget(fingerprint)
        return None

    def _examined(self, token: str, signed: bytes, fingerprint: bytes, moment: datetime) -> ValidToken:
        now = moment.timestamp()
        jws = compact_jws.parse(token)
        issuer = self._issuer_of(jws)
        enforce(BEFORE_THE_SIGNATURE, jws.claims, issuer.expected, now)
        key = issuer.keys.find(jws.kid, moment)
        if not _is_signed_by(key, jws.signature, signed):
            raise TokenRejected(TokenError.WRONG_SIGNATURE)
        enforce(AFTER_THE_SIGNATURE, jws.claims, issuer.expected, now)
        valid = valid_token(jws.claims, issuer.expected)
        if now < valid.expires_at:
            until = moment + (
                LONGEST if valid.expires_at - now > _LONGEST else timedelta(seconds=valid.expires_at - now)
            )
            self._verdicts.put(fingerprint, Verdict(valid, until, key, issuer.keys, len(token)))
        return valid

    def _issuer_of(self, jws: CompactJws) -> _TrustedIssuer:
        name = jws.claims.get("iss")
        if type(name) is not str:
            raise TokenRejected(TokenError.WRONG_ISSUER)
        issuer = self._trusted.get(name) or self._trusted.get(canonical_issuer(name)) or self._discovered(jws)
        if issuer is None:
            raise TokenRejected(TokenError.WRONG_ISSUER)
        return issuer

    def _discovered(self, jws: CompactJws) -> _TrustedIssuer | None:
        """Learns the issuers that only discovery knows, once; asked only for tokens that could be from one of them."""
        name = canonical_issuer(jws.claims["iss"])
        candidates = [
            (source, store)
            for source, store in self._undiscovered
            if source.version == jws.claims.get("ver") and (source.tenant_id is None or source.tenant_id in name)
        ]
        unavailable: KeysUnavailable | None = None
        for source, store in candidates:
            enforce(AUDIENCE_RULES, jws.claims, self._expected(source, "", ""), 0.0)  # before any network
            try:
                self._trust(source, store, *store.issuer())
            except KeysUnavailable as error:
                unavailable = error
            else:
                self._undiscovered = [other for other in self._undiscovered if other[1] is not store]
        if name not in self._trusted and unavailable is not None:
            raise unavailable
        return self._trusted.get(name)

    def _trust(self, source: IssuerSource, store: SigningKeyStore, issuer: str, tenant_id: str) -> None:
        self._trusted.setdefault(issuer, _TrustedIssuer(self._expected(source, issuer, tenant_id), store))

    def _expected(self, source: IssuerSource, issuer: str, tenant_id: str) -> Expected:
        return Expected.of(
            issuer,
            tenant_id,
            source.version,
            self.policy.audiences,
            leeway=self.policy.leeway,
            longest_life=self.policy.longest_life,
        )


def _is_signed_by(key: SigningKey, signature: bytes, digest: bytes) -> bool:
    if len(signature) != key.signature_length:
        return False
    try:
        key.public_key.verify(signature, digest, PKCS1_V1_5, SHA256_DIGEST)
    except InvalidSignature:
        return False
    return True
