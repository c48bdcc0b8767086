"""A CA on a real ledger for tests: synchronized users, an initialized software issuer, orders."""

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from shared.context import Actor, ActorKind, Clock, Context, system_clock
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.certificate import Certificate, CertificateType, certificate_key
from shared.directory.records.user import User, user_key
from shared.pki.authority.authority import Authority
from shared.pki.authority.ceremony import Ceremony
from shared.pki.authority.issuer_certificate import IssuerPlan
from shared.pki.issuance.cycle import Issuance
from shared.pki.issuance.order import Order
from shared.pki.issuance.policy import IssuancePolicy
from shared.pki.keys import KeyType, PrivateKey, generate_key, signature_hash
from shared.pki.signing.base import SigningBackend
from shared.pki.signing.software import SoftwareBackend

PUBLIC_URL = "http://pki.contoso.example"
PASSPHRASE = "correct horse battery staple"
POLICY = IssuancePolicy(public_url=PUBLIC_URL, policy_oids=("1.3.6.1.4.1.55555.1.1",))
_requests = itertools.count(1)


@dataclass
class SettableClock:
    """A clock that stands still until it is set."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


def context(actor: str = "tests") -> Context:
    return Context(Actor(ActorKind.APP, actor), f"test-{next(_requests)}")


def a_user(user_id: int, **attributes: Any) -> User:
    """An ordinary, active, synchronized user with a mailbox."""
    now = datetime.now(UTC)
    defaults: dict[str, Any] = {
        "object_id": str(uuid.UUID(int=user_id + (0xA << 100))),
        "user_principal_name": f"user{user_id}@contoso.example",
        "name": f"User {user_id}",
        "mail": f"user{user_id}@contoso.example",
        "email": f"user{user_id}@contoso.example",
        "is_active": True,
        "synced_at": now,
        "created_at": now,
        "updated_at": now,
    }
    return User(id=user_id, **{**defaults, **attributes})


def make_csr(key: PrivateKey, *extensions: x509.ExtensionType) -> str:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ignored")]))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, signature_hash(key)).public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class TestCa:
    """A CA with everything it stands on. `with_policy` and friends give a sibling on the same directory."""

    __test__ = False

    ledger: Ledger
    backend: SigningBackend
    authority: Authority
    issuance: Issuance
    policy: IssuancePolicy
    clock: Clock = system_clock

    @classmethod
    def on(
        cls,
        ledger: Ledger,
        backend: SigningBackend,
        *,
        backend_name: str = "software",
        policy: IssuancePolicy = POLICY,
        clock: Clock = system_clock,
        issuance: Callable[..., Issuance] = Issuance,
        **options: Any,
    ) -> "TestCa":
        authority = Authority(ledger, backend, backend_name, cached_for=timedelta(0))
        issuing = issuance(ledger, authority, policy, clock=clock, **options)
        return cls(ledger, backend, authority, issuing, policy, clock)

    @property
    def ceremony(self) -> Ceremony:
        return Ceremony(self.ledger, self.authority, clock=self.clock)

    def initialize(self, key_type: KeyType = KeyType.P_256, **plan: Any) -> "TestCa":
        self.ceremony.initialize(IssuerPlan(common_name="Contoso Users CA", key_type=key_type, **plan), context())
        return self

    def with_policy(self, **changes: Any) -> "TestCa":
        return self.on(self.ledger, self.backend, policy=replace(POLICY, **changes), clock=self.clock)

    def add_user(self, **attributes: Any) -> User:
        def decide(tx: Transaction) -> User:
            user = a_user(tx.next_id("user"), **attributes)
            tx.put(user)
            return user

        request = Request("user.synced", context(), decide)
        return self.ledger.commit(request, context().deadline).value

    def change_user(self, user: User, **attributes: Any) -> User:
        def decide(tx: Transaction) -> User:
            current = tx.get(User, user_key(user.id))
            assert current is not None
            changed = replace(current, **attributes)
            tx.put(changed)
            return changed

        return self.ledger.commit(Request("user.synced", context(), decide), context().deadline).value

    def certificate(self, certificate_id: int) -> Certificate:
        found = self.ledger.get(Certificate, certificate_key(certificate_id))
        assert found is not None
        return found

    def certificates(self) -> list[Certificate]:
        return list(self.ledger.scan(Certificate))


def software_backend(folder: Path) -> SoftwareBackend:
    return SoftwareBackend(folder / "issuer.pem", PASSPHRASE)


def order(user: User, key: PrivateKey | None = None, **changes: Any) -> Order:
    """By CSR of `key`, or of a fresh P-256 key; `key_size=…` orders a key from the server instead."""
    fields: dict[str, Any] = {
        "user_id": user.id,
        "certificate_type": CertificateType.CLIENT_AUTH,
        "validity_days": 365,
        **changes,
    }
    if "key_size" not in fields and "csr" not in fields:
        fields["csr"] = make_csr(key or generate_key(KeyType.P_256))
    return Order(**fields)
