"""Fuzzes the token validator and the reading of key sets with atheris, guided by coverage.

python -m benchmarks.fuzz_token [--seconds 60] [--folder FOLDER]

Starts from the forgeries of tests/attack. Nothing but the validator's own errors may be raised, nothing may take long,
and what is accepted must be accepted by PyJWT too, which is more lenient. Exit code 0: nothing was found.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from benchmarks import peers

TENANT = "7e4a0000-0000-4000-8000-00000000000a"
AUTHORITY = "https://login.microsoftonline.com"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONGEST_INPUT = 20_000
LONGEST_SECONDS = 1  # libFuzzer counts wall time, under instrumentation and on a busy machine

Target = Callable[[bytes], object]


class AnySignature:
    """Instead of a public key: takes every signature, so that the fuzzer gets past it."""

    def verify(self, *_: object) -> None:
        return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument(
        "--folder",
        type=Path,
        default=peers.ROOT / ".local" / "fuzz-token",
        help="keeps inputs and findings for the next run",
    )
    options = parser.parse_args()
    peers.make_importable()
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    with atheris.instrument_imports(include=["shared.entra"]):
        import shared.entra.tokens.validator  # noqa: F401  (imported under instrumentation)

    corpus, found = options.folder / "corpus", options.folder / "found"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    targets = fuzz_targets(corpus)

    def one_input(data: bytes) -> None:
        targets[data[0] % len(targets) if data else 0](data[1:])

    limits = [f"-max_total_time={options.seconds}", f"-max_len={LONGEST_INPUT}", f"-timeout={LONGEST_SECONDS}"]
    report = [f"-artifact_prefix={found}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *limits, *report, str(corpus)], one_input)
    atheris.Fuzz()


def fuzz_targets(corpus: Path) -> list[Target]:
    """The targets by an input's first byte; writes the seeds of each into `corpus`."""
    import jwt

    from shared.entra.tokens import held_keys, strict_json
    from shared.entra.tokens.errors import TokenRejected
    from shared.entra.tokens.issuers import IssuerSource, issuers_of_tenant
    from shared.entra.tokens.key_discovery import DiscoveryFailed, PublishedKeys, published_keys
    from shared.entra.tokens.signing_keys import SigningKeyStore
    from shared.entra.tokens.validator import TokenValidator, ValidatorPolicy
    from tests.attack.forger import World, as_json, b64, jwk, odd_keys, rsa_key
    from tests.attack.forgeries import FORGERIES

    sources = issuers_of_tenant(AUTHORITY, TENANT)
    world = World(
        TENANT,
        f"https://sts.windows.net/{TENANT}/",
        f"{AUTHORITY}/{TENANT}/v2.0",
        "a0d1e0ce-0000-4000-8000-000000000001",
        "a0d1e0ce-0000-4000-8000-000000000002",
        "true",
        rsa_key("true"),
        NOON.timestamp,
    )
    key_set = {"keys": [*odd_keys(world), jwk("true", world.key)]}

    def lenient_store(source: IssuerSource) -> SigningKeyStore:
        published = published_keys(key_set, source, str(source.issuer), TENANT)
        keys = {kid: replace(key, public_key=cast(Any, AnySignature())) for kid, key in published.keys.items()}
        return SigningKeyStore(source, lambda: PublishedKeys(published.issuer, TENANT, keys, ()), clock=lambda: NOON)

    policy = ValidatorPolicy(sources, frozenset({world.audience, world.uri}))
    validator = TokenValidator(policy, lenient_store, clock=lambda: NOON)
    header = b64(as_json(world.header()))
    signature = b64(bytes(256))

    def whole_token(data: bytes) -> None:
        token = data.decode("utf-8", "replace")
        try:
            valid = validator.validate(token)
        except TokenRejected:
            return
        lenient = jwt.decode(token, options={"verify_signature": False, "verify_aud": False})
        assert (lenient["sub"], lenient["aud"]) == (valid.subject, valid.audience)
        assert jwt.get_unverified_header(token)["alg"] == "RS256"

    def payload(data: bytes) -> None:
        whole_token(f"{header}.{b64(data)}.{signature}".encode())

    def header_and_payload(data: bytes) -> None:
        first, _, second = data.partition(b"\0")
        whole_token(f"{b64(first)}.{b64(second)}.{signature}".encode())

    def keys(data: bytes) -> None:
        try:
            published = published_keys(strict_json.parse_object(data), sources[0], str(sources[0].issuer), TENANT)
        except (strict_json.NotStrictJson, DiscoveryFailed):
            return
        held = held_keys.merged(None, published, NOON)
        assert held_keys.from_bytes(held_keys.to_bytes(held), sources[0]) == held

    def persisted_keys(data: bytes) -> None:
        try:
            held = held_keys.from_bytes(data, sources[0])
        except ValueError:
            return
        assert held.tenant_id == TENANT

    targets: list[Target] = [whole_token, payload, header_and_payload, keys, persisted_keys]
    tokens = [token for token in (forgery.forge(world) for forgery in FORGERIES) if len(token) < LONGEST_INPUT]
    genuine = held_keys.merged(None, published_keys(key_set, sources[0], str(sources[0].issuer), TENANT), NOON)
    seeds = [(0, token.encode("utf-8", "replace")) for token in tokens]
    seeds += [(1, as_json(world.claims(version=version, kind=kind))) for version in (1, 2) for kind in ("user", "id")]
    seeds += [(2, as_json(world.header()) + b"\0" + as_json(world.claims()))]
    seeds += [(3, as_json(key_set)), (4, held_keys.to_bytes(genuine))]
    for number, (target, seed) in enumerate(seeds):
        (corpus / f"seed-{number:04d}").write_bytes(bytes([target]) + seed)
    return targets


if __name__ == "__main__":
    main()
