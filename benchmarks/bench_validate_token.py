"""What it costs to validate an Entra token: against the raw RSA verification and against the JWT libraries of Python.

python -m benchmarks.bench_validate_token [--quick]

All in one process and on one core, measured in turns in process time; the fastest round of each counts, for what else
runs on the machine only slows. Each library validates the same distinct v2 tokens (10 groups) with the key at hand, the
algorithm pinned, and issuer, audience and times checked.
"""

import argparse
import base64
import gc
import json
import time
import tracemalloc
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import azure.functions as func
import cryptography
import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import shared.services
from benchmarks import peers
from local.functions_host.invocation import InvocationContext
from shared.api.api_tokens import ApiTokens
from shared.api.authentication import Authenticator
from shared.entra.tokens.issuers import IssuerSource, issuers_of_tenant
from shared.entra.tokens.key_discovery import PublishedKeys, published_keys
from shared.entra.tokens.signing_keys import SigningKeyStore
from shared.entra.tokens.validator import TokenValidator, ValidatorPolicy
from shared.entra.tokens.verdict_cache import MAX_TOKEN_BYTES, MAX_VERDICTS, VerdictCache
from tests.attack.forger import World, jwk, rsa_key

AUTHORITY = "https://login.microsoftonline.com"
TOKENS = 20
ROUNDS = 400
FIRST_SIGHT_GOAL, SEEN_GOAL, HTTP_GOAL = 1.0, 10.0, 2.5

Act = Callable[[Any], object]


@dataclass(frozen=True)
class Bench:
    """One tenant, its key, and typical tokens of it."""

    world: World
    tokens: tuple[str, ...]

    @classmethod
    def typical(cls, groups: int = 10, count: int = TOKENS) -> "Bench":
        tenant = str(uuid.uuid4())
        world = World(
            tenant_id=tenant,
            v1_issuer=f"https://sts.windows.net/{tenant}/",
            v2_issuer=f"{AUTHORITY}/{tenant}/v2.0",
            audience=str(uuid.uuid4()),
            other_audience="",
            kid="aB3dE5gH7jK9mN1pQ3sT5vW7yZ0",
            key=rsa_key("bench"),
        )
        return cls(world, tuple(_typical_token(world, groups) for _ in range(count)))

    def store(self, source: IssuerSource) -> SigningKeyStore:
        def fetch() -> PublishedKeys:
            entries = [jwk(self.world.kid, self.world.key)]
            return published_keys({"keys": entries}, source, str(source.issuer), self.world.tenant_id)

        return SigningKeyStore(source, fetch)

    def validator(self, verdicts: VerdictCache | None = None) -> TokenValidator:
        issuers = issuers_of_tenant(AUTHORITY, self.world.tenant_id)
        return TokenValidator(ValidatorPolicy(issuers, frozenset({self.world.audience})), self.store, verdicts=verdicts)


def _typical_token(world: World, groups: int) -> str:
    return world.token(
        aio="A" + "b" * 70,
        uti=uuid.uuid4().hex[:22],
        rh="0.AXoA" + "c" * 40,
        oid=str(uuid.uuid4()),
        groups=[str(uuid.uuid4()) for _ in range(groups)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the repetitions")
    rounds = ROUNDS // 5 if parser.parse_args().quick else ROUNDS
    peers.make_importable()
    warnings.simplefilter("ignore")  # Authlib announces the end of its jose module
    bench = Bench.typical()
    validation(bench, rounds)
    print()
    over_http(bench, rounds)
    print()
    memory()


def validation(bench: Bench, rounds: int) -> None:
    taken = in_turns(bench.tokens, contestants(bench), rounds)
    raw = taken["raw RSA-2048 verification"]
    peer = min(spent for name, spent in taken.items() if name.startswith("peer: "))
    first, seen = taken["ours, first sight"], taken["ours, seen before"]
    print(f"validate, one core, v2 token with 10 groups, {len(bench.tokens[0])} characters")
    head("", "µs", "per second", "of raw", "goal")
    for name, spent in taken.items():
        judged = ""
        if name == "ours, first sight":
            judged = verdict(first / peer <= FIRST_SIGHT_GOAL, f"≤ fastest peer: {first / peer:.2f}")
        if name == "ours, seen before":
            judged = verdict(first / seen >= SEEN_GOAL, f"≥ {SEEN_GOAL:.0f} × first sight: {first / seen:.1f}")
        row(name.removeprefix("peer: "), f"{spent:.1f}", f"{1e6 / spent:,.0f}", f"{spent / raw:.2f}", judged)


def contestants(bench: Bench) -> dict[str, Act]:
    from authlib.jose import JsonWebKey, JsonWebToken  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from jose import jwk as jose_jwk  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from jose import jwt as jose_jwt
    from joserfc import jwk as joserfc_jwk  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from joserfc import jwt as joserfc_jwt

    world, published = bench.world, jwk(bench.world.kid, bench.world.key)
    public, issuer, audience = world.key.public_key(), world.v2_issuer, world.audience
    essential = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}}
    joserfc_key = joserfc_jwk.RSAKey.import_key(published)
    joserfc_claims = joserfc_jwt.JWTClaimsRegistry(**essential)
    authlib_key, authlib = JsonWebKey.import_key(published), JsonWebToken(["RS256"])
    jose_key = jose_jwk.construct(published, "RS256")
    raw = {token: _raw_parts(token) for token in bench.tokens}

    def verify_raw(token: str) -> None:
        message, signature = raw[token]
        public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())

    def by_joserfc(token: str) -> None:
        joserfc_claims.validate(joserfc_jwt.decode(token, joserfc_key, algorithms=["RS256"]).claims)

    def by_authlib(token: str) -> None:
        authlib.decode(token, authlib_key, claims_options=essential).validate()

    return {
        "raw RSA-2048 verification": verify_raw,
        f"peer: PyJWT {jwt.__version__}": lambda token: jwt.decode(
            token, public, algorithms=["RS256"], audience=audience, issuer=issuer
        ),
        f"peer: joserfc {_version('joserfc')}": by_joserfc,
        f"peer: Authlib {_version('authlib')}": by_authlib,
        f"peer: python-jose {_version('python-jose')}": lambda token: jose_jwt.decode(
            token, jose_key, algorithms=["RS256"], audience=audience, issuer=issuer
        ),
        "ours, first sight": Fresh(bench),
        "ours, seen before": bench.validator().validate,
    }


class Fresh:
    """Our validator, made to forget before it sees a token again."""

    def __init__(self, bench: Bench) -> None:
        self._verdicts = VerdictCache()
        self._validate = bench.validator(self._verdicts).validate
        self._first = bench.tokens[0]

    def __call__(self, token: str) -> object:
        if token == self._first:
            self._verdicts.__init__()  # type: ignore[misc]  # cheaper than a new validator, whose key would be cold
        return self._validate(token)


def _raw_parts(token: str) -> tuple[bytes, bytes]:
    message, _, signature = token.rpartition(".")
    return message.encode(), base64.urlsafe_b64decode(signature + "==")


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def over_http(bench: Bench, rounds: int) -> None:
    """From the handler's request to its response: a bearer token seen before, and a token to validate."""
    from functions.validate_token import validate_token

    authenticator = Authenticator(bench.validator(), cast(ApiTokens, None), frozenset())
    bearer = f"Bearer {bench.world.token()}"
    handle = _user_function(validate_token)

    def request(token: str) -> func.HttpRequest:
        return func.HttpRequest(
            "POST",
            "https://localhost/api/v1/entra-id/validate-token",
            headers={"authorization": bearer, "content-type": "application/json"},
            body=json.dumps({"token": token}).encode(),
        )

    def serve(request: func.HttpRequest) -> None:
        assert handle(request).status_code == 200

    results: dict[str, float] = {}
    for name, own, served in (
        ("first sight", Fresh(bench), Fresh(bench)),
        ("seen before", bench.validator().validate, bench.validator().validate),
    ):
        validator = SimpleNamespace(validate=lambda token, *, validate=served, **_: validate(token))
        services = SimpleNamespace(token_validator=validator, authenticator=authenticator)
        shared.services._services = cast(Any, services)
        acts: dict[str, Act] = {f"validator, {name}": cast(Act, own), f"handler, {name}": serve}
        results |= in_turns(bench.tokens, acts, rounds, {f"handler, {name}": request})
    first = results["validator, first sight"]
    print("POST /validate-token, handler to handler, in process, caller's own token seen before")
    head("", "µs", "per second", "of ours", "goal")
    for name, spent in results.items():
        judged = ""
        if name == "handler, first sight":
            judged = verdict(spent / first < HTTP_GOAL, f"< {HTTP_GOAL} × first sight: {spent / first:.2f}")
        row(name, f"{spent:.1f}", f"{1e6 / spent:,.0f}", f"{spent / first:.2f}", judged)


def _user_function(trigger: object) -> Callable[[func.HttpRequest], func.HttpResponse]:
    """What the worker calls: the decorated function itself, whether or not a builder stands around it."""
    function = trigger if not hasattr(trigger, "_function") else trigger._function.get_user_function()
    return partial(
        cast(Callable[..., func.HttpResponse], function), context=InvocationContext("", "validate_token", "")
    )


def memory() -> None:
    print(f"memory of remembered verdicts, bounded by {MAX_VERDICTS:,} and by {MAX_TOKEN_BYTES // 2**20} MiB of tokens")
    head("", "bytes each", "token", "at the bound")
    for groups, count in ((0, 500), (10, 500), (200, 100)):
        bench = Bench.typical(groups, count)
        validator = bench.validator()
        validator.validate(bench.world.token())
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for token in bench.tokens:
            validator.validate(token)
        gc.collect()
        each = (tracemalloc.get_traced_memory()[0] - before) / count
        tracemalloc.stop()
        size = len(bench.tokens[0])
        most = min(MAX_VERDICTS, MAX_TOKEN_BYTES // size)
        row(f"token with {groups} groups", f"{each:,.0f}", f"{size:,}", f"{each * most / 2**20:.0f} MiB")


def in_turns(
    tokens: tuple[str, ...], acts: Mapping[str, Act], rounds: int, prepare: Mapping[str, Callable[[str], Any]] = {}
) -> dict[str, float]:
    """Microseconds of process time per token: the fastest of the rounds in which each act takes all tokens in turn.

    `prepare` says what an act is called with instead of the token; that is made outside the measured time. As with
    timeit, no garbage is collected.
    """
    taken: dict[str, list[float]] = {name: [] for name in acts}
    gc.collect()
    gc.disable()
    for turn in range(rounds + 1):
        for name, act in acts.items():
            prepared = [prepare.get(name, str)(token) for token in tokens]
            started = time.process_time()
            for item in prepared:
                act(item)
            if turn:  # the first only warms up
                taken[name].append((time.process_time() - started) / len(tokens) * 1e6)
    gc.enable()
    return {name: min(spent) for name, spent in taken.items()}


def head(title: str, *columns: str) -> None:
    print(f"{title:<34}" + "".join(f"{column:>14}" for column in columns))


def row(name: str, *cells: str) -> None:
    print(f"  {name:<32}" + "".join(f"{cell:>14}" for cell in cells[:3]) + "".join(f"  {cell}" for cell in cells[3:]))


def verdict(reached: bool, goal: str) -> str:
    return f"{goal}, {'reached' if reached else 'MISSED'}"


if __name__ == "__main__":
    print(f"{datetime.now(UTC):%Y-%m-%d}, cryptography {cryptography.__version__}")
    main()
