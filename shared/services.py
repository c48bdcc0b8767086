"""The composition root: every object of the app is built here, once per process, on first use.

Nothing is imported before something needs it: a cold start pays only for what its first request uses.
"""

import os
import tempfile
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from urllib.parse import urlsplit
from uuid import uuid4

from shared.context import Actor, ActorKind, Context, Deadline
from shared.private_folder import private_folder
from shared.settings import CredentialKind, Settings
from shared.trust import refuse_laptop_root

if TYPE_CHECKING:
    from shared.api.api_tokens import ApiTokens
    from shared.api.authentication import Authenticator
    from shared.directory.blobs import BlobStore
    from shared.directory.ledger import Ledger
    from shared.directory.reader import DirectoryReader
    from shared.directory.replica.replica import Replica
    from shared.directory.replica.snapshots import SnapshotStore
    from shared.directory.state import StateStore
    from shared.directory.tables import TableStore
    from shared.entra.credentials import EntraCredentials, Proof
    from shared.entra.graph import GraphClient
    from shared.entra.tenant_sync import TenantSync
    from shared.entra.tokens.signing_keys import SigningKeyStores
    from shared.entra.tokens.validator import TokenValidator
    from shared.entra.user_sync import UserSync
    from shared.health import HealthMonitor
    from shared.pki.authority.authority import Authority
    from shared.pki.authority.log_anchors import LogAnchors
    from shared.pki.certificate_view import CertificateViews
    from shared.pki.crl.contents import CrlReader
    from shared.pki.crl.publisher import CrlPublisher
    from shared.pki.crl.store import CrlStore
    from shared.pki.expiry.delivery import ExpiryDelivery
    from shared.pki.expiry.listing import ExpiryListing
    from shared.pki.expiry.notices import ExpiryNotices
    from shared.pki.expiry.status import NoticeStatuses
    from shared.pki.issuance.cycle import Issuance
    from shared.pki.issuance.policy import IssuancePolicy
    from shared.pki.issuance.renewal import Renewal
    from shared.pki.issuance.sweeper import Sweeper
    from shared.pki.ocsp.responder import OcspResponder
    from shared.pki.revocation.departures import Departures
    from shared.pki.revocation.purge import UserPurge
    from shared.pki.revocation.revocation import Revocation
    from shared.pki.revocation.upkeep import RevocationUpkeep
    from shared.pki.signing.base import SigningBackend

TIMER_BUDGET = timedelta(minutes=4)  # below the shortest limit of a plan (10 minutes) and below the timers' interval

T = TypeVar("T")


class built_once(Generic[T]):  # noqa: N801  (used as a decorator)
    """A cached property that two threads never build twice; functools' own has no lock since Python 3.12."""

    def __init__(self, build: Callable[[Any], T]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, services: "Services", owner: type) -> T:
        with services.building:
            if self._name not in services.__dict__:
                services.__dict__[self._name] = self._build(services)
            return cast(T, services.__dict__[self._name])


class Services:
    """All objects of one configuration. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.building = threading.RLock()

    # --- Directory ---

    @built_once
    def tables(self) -> "TableStore":
        from shared.directory.tables import TableStore

        storage = self.settings.storage
        if storage.connection_string:
            return TableStore.from_connection_string(storage.connection_string, storage.table)
        from azure.identity import DefaultAzureCredential

        return TableStore.from_endpoint(str(storage.tables_url), storage.table, DefaultAzureCredential())

    @built_once
    def ledger(self) -> "Ledger":
        from shared.directory.ledger import Ledger

        return Ledger(self.tables, self.settings.entra.tenant_id)

    @built_once
    def state(self) -> "StateStore":
        from shared.directory.state import StateStore

        return StateStore(self.tables, self.settings.entra.tenant_id)

    @built_once
    def blobs(self) -> "BlobStore":
        return self._container(self.settings.storage.table)

    @built_once
    def anchor_blobs(self) -> "BlobStore":
        """A container of its own, which can be made immutable."""
        return self._container(f"{self.settings.storage.table}-anchors")

    def _container(self, name: str) -> "BlobStore":
        from shared.directory.blobs import BlobStore

        storage = self.settings.storage
        if storage.connection_string:
            return BlobStore.from_connection_string(storage.connection_string, name)
        from azure.identity import DefaultAzureCredential

        return BlobStore.from_endpoint(str(storage.blobs_url), name, DefaultAzureCredential())

    @built_once
    def replica(self) -> "Replica":
        from shared.directory.replica.replica import Replica

        tenant_id = self.settings.entra.tenant_id
        folder = private_folder(Path(tempfile.gettempdir()) / f"entra-pki-replica-{os.getuid()}")
        return Replica(self.ledger, folder, tenant_id, snapshots=self.snapshots)

    @built_once
    def snapshots(self) -> "SnapshotStore":
        from shared.directory.replica.snapshots import SnapshotStore

        return SnapshotStore(self.blobs, self.state, self.settings.entra.tenant_id)

    @built_once
    def reader(self) -> "DirectoryReader":
        from shared.directory.reader import DirectoryReader

        return DirectoryReader(self.ledger, self.replica, lambda: self.tenant_sync.status().round_started_at)

    # --- Entra ---

    @built_once
    def credentials(self) -> "EntraCredentials":
        from shared.entra.credentials import EntraCredentials

        entra = self.settings.entra
        graph = urlsplit(entra.graph_base_url)
        return EntraCredentials(
            authority_host=entra.authority_host,
            tenant_id=entra.tenant_id,
            client_id=entra.client_id,
            graph_host=f"{graph.scheme}://{graph.netloc}",
            proof=self._proof(),
            known_authority=not self.settings.development,
        )

    def _proof(self) -> "Proof":
        from shared.entra.credentials import ClientCertificate, ClientSecret, ManagedIdentity

        entra = self.settings.entra
        if entra.credential is CredentialKind.SECRET:
            return ClientSecret(str(entra.client_secret))
        if entra.credential is CredentialKind.CERTIFICATE:
            return ClientCertificate(Path(str(entra.client_certificate_path)))
        return ManagedIdentity()

    @built_once
    def graph(self) -> "GraphClient":
        """For calls that somebody waits for."""
        from shared.entra.graph import GraphClient

        return GraphClient(self.settings.entra.graph_base_url, self.credentials.graph_token)

    @built_once
    def background_graph(self) -> "GraphClient":
        """For the timer: Graph serves it last when there is not enough for all."""
        from shared.entra.graph import GraphClient

        return GraphClient(self.settings.entra.graph_base_url, self.credentials.graph_token, priority="low")

    @built_once
    def user_sync(self) -> "UserSync":
        from shared.entra.known_names import KnownNames
        from shared.entra.user_sync import UserSync

        return UserSync(
            self.ledger,
            self.graph,
            observers=(self.departures.observe,),
            scope=frozenset(self.settings.sync.group_ids),
            known_by_name=KnownNames(self.replica),
        )

    @built_once
    def tenant_sync(self) -> "TenantSync":
        from shared.entra.tenant_sync import TenantSync

        observers = (self.departures.observe,)
        return TenantSync(self.ledger, self.state, self.background_graph, self.settings.sync, observers=observers)

    @built_once
    def signing_keys(self) -> "SigningKeyStores":
        import requests

        from shared.entra.tokens.signing_keys import SigningKeyStores

        return SigningKeyStores(requests.Session(), state=self.state)

    @built_once
    def token_validator(self) -> "TokenValidator":
        """What `validate-token` calls valid: this API's own audiences and whatever else is configured."""
        from shared.entra.tokens.issuers import issuer_by_discovery, issuers_of_tenant
        from shared.entra.tokens.validator import TokenValidator, ValidatorPolicy

        entra = self.settings.entra
        tenants = dict.fromkeys((entra.tenant_id, *entra.validate_tenants))
        of_tenants = [source for tenant in tenants for source in issuers_of_tenant(entra.authority_host, tenant)]
        custom = [issuer_by_discovery(issuer) for issuer in entra.validate_issuers]
        policy = ValidatorPolicy(
            issuers=(*of_tenants, *custom),
            audiences=frozenset((*entra.api_audiences, *entra.validate_audiences)),
        )
        return TokenValidator(policy, self.signing_keys.of)

    @built_once
    def authenticator(self) -> "Authenticator":
        """Who may call this API: tokens of the own tenant for this app's own audiences, and API tokens."""
        from shared.api.authentication import Authenticator
        from shared.entra.tokens.issuers import issuers_of_tenant
        from shared.entra.tokens.validator import TokenValidator, ValidatorPolicy

        entra = self.settings.entra
        policy = ValidatorPolicy(
            issuers=issuers_of_tenant(entra.authority_host, entra.tenant_id), audiences=frozenset(entra.api_audiences)
        )
        validator = TokenValidator(policy, self.signing_keys.of)
        return Authenticator(validator, self.api_tokens, frozenset(entra.allowed_clients))

    @built_once
    def api_tokens(self) -> "ApiTokens":
        from shared.api.api_tokens import ApiTokens

        return ApiTokens(self.ledger, self.state)

    # --- PKI ---

    @built_once
    def signing_backend(self) -> "SigningBackend":
        from shared.pki.signing.loader import load_backend

        return load_backend(self.settings.pki.signing_backend, self.settings.environment)

    @built_once
    def authority(self) -> "Authority":
        from shared.pki.authority.authority import Authority

        name = self.settings.pki.signing_backend
        return Authority(self.ledger, self.signing_backend, name, clock_skew=self.tables.clock_skew)

    @built_once
    def issuance_policy(self) -> "IssuancePolicy":
        from shared.directory.records.certificate import CertificateType
        from shared.pki.issuance.policy import IssuancePolicy

        pki = self.settings.pki
        return IssuancePolicy(
            allowed_types=frozenset(map(CertificateType, pki.allowed_types)),
            max_validity_days={CertificateType(name): days for name, days in pki.max_validity_days.items()},
            allowed_group_ids={CertificateType(name): frozenset(ids) for name, ids in pki.allowed_groups.items()},
            denied_group_ids=frozenset(pki.denied_group_ids),
            min_rsa_bits=pki.min_rsa_key_size,
            mail_domains=frozenset(pki.mail_domains),
            policy_oids=pki.policy_oids,
            public_url=pki.public_url,
            client_auth_mail=pki.client_auth_mail,
            code_signing_requires_csr=pki.code_signing_requires_csr,
            renewal_overlap=pki.renewal_overlap,
        )

    @built_once
    def issuance(self) -> "Issuance":
        from shared.pki.issuance.cycle import Issuance

        return Issuance(self.ledger, self.authority, self.issuance_policy)

    @built_once
    def renewal(self) -> "Renewal":
        from shared.pki.issuance.renewal import Renewal

        return Renewal(self.ledger, self.issuance, self.issuance_policy, self.settings.pki.default_key_size)

    @built_once
    def expiry_notices(self) -> "ExpiryNotices":
        from shared.pki.expiry.notices import ExpiryNotices

        days = self.settings.notices.days
        return ExpiryNotices(self.ledger, self.replica, self.notice_statuses, days, self._expiry_delivery())

    def _expiry_delivery(self) -> "ExpiryDelivery | None":
        notices = self.settings.notices
        if notices.webhook_url is None or notices.webhook_secret is None:
            return None
        import requests

        from shared.pki.expiry.delivery import ExpiryDelivery
        from shared.pki.expiry.webhook import Webhook

        return ExpiryDelivery(self.ledger, Webhook(notices.webhook_url, notices.webhook_secret, requests.Session()))

    @built_once
    def notice_statuses(self) -> "NoticeStatuses":
        from shared.pki.expiry.status import NoticeStatuses

        return NoticeStatuses(self.state)

    @built_once
    def expiry_listing(self) -> "ExpiryListing":
        from shared.pki.expiry.listing import ExpiryListing

        return ExpiryListing(self.ledger, self.replica)

    @built_once
    def certificate_views(self) -> "CertificateViews":
        from shared.pki.certificate_view import CertificateViews

        return CertificateViews(self.ledger, self.authority)

    @built_once
    def departures(self) -> "Departures":
        from shared.directory.records.certificate import CertificateType
        from shared.pki.revocation.departures import DeparturePolicy, Departures, OnDeparture

        pki = self.settings.pki
        return Departures(
            DeparturePolicy(
                disabled=OnDeparture(pki.on_user_disabled),
                deleted=OnDeparture(pki.on_user_deleted),
                held_types=frozenset(map(CertificateType, pki.held_types)),
                renamed=pki.revoke_renamed,
                exempt=frozenset(pki.revocation_exempt_users),
            )
        )

    @built_once
    def revocation(self) -> "Revocation":
        from shared.pki.revocation.revocation import Revocation

        return Revocation(self.ledger, self.departures)

    @built_once
    def revocation_upkeep(self) -> "RevocationUpkeep":
        from shared.pki.revocation.upkeep import RevocationUpkeep

        return RevocationUpkeep(self.ledger, self.replica, self.departures)

    @built_once
    def user_purge(self) -> "UserPurge":
        from shared.pki.revocation.purge import UserPurge

        return UserPurge(self.ledger, self.snapshots)

    @built_once
    def crl_reader(self) -> "CrlReader":
        from shared.pki.crl.contents import CrlReader

        return CrlReader(self.ledger, self.replica, self.departures)

    @built_once
    def crl_publisher(self) -> "CrlPublisher":
        from shared.pki.crl.publisher import CrlPublisher

        return CrlPublisher(self.ledger, self.authority, self.crl_reader, self.blobs)

    @built_once
    def crl_store(self) -> "CrlStore":
        from shared.pki.crl.store import CrlStore

        return CrlStore(self.ledger, self.blobs)

    @built_once
    def ocsp_responder(self) -> "OcspResponder":
        from shared.pki.ocsp.responder import OcspResponder
        from shared.pki.ocsp.responder_certificate import OcspCertification
        from shared.pki.ocsp.signers import OcspSigners
        from shared.pki.ocsp.statuses import OcspStatuses

        signers = OcspSigners(OcspCertification(self.ledger, self.authority))
        return OcspResponder(self.authority, OcspStatuses(self.ledger, self.replica, self.crl_reader), signers)

    @built_once
    def log_anchors(self) -> "LogAnchors":
        from shared.pki.authority.log_anchors import LogAnchors

        return LogAnchors(self.ledger, lambda: self.authority, self.anchor_blobs)

    @built_once
    def sweeper(self) -> "Sweeper":
        from shared.pki.issuance.sweeper import Sweeper

        return Sweeper(self.ledger)

    # --- Operations ---

    @built_once
    def health(self) -> "HealthMonitor":
        from shared.health import HealthMonitor
        from shared.health_probes import probes

        return HealthMonitor(probes(self))


_lock = threading.Lock()
_services: Services | None = None


def services() -> Services:
    """The services of this process. Raises InvalidSettings, each time anew, until the settings are right."""
    global _services
    if _services is None:
        with _lock:
            if _services is None:
                settings = Settings.read()
                if not settings.development:
                    refuse_laptop_root(settings.trust_bundle)
                _services = Services(settings)
    return _services


def timer_context(function: str, budget: timedelta = TIMER_BUDGET) -> Context:
    """An operation that a timer starts; `budget` is how long it may take."""
    return Context(Actor(ActorKind.TIMER, function), f"timer-{uuid4()}", Deadline.after(budget))
