"""What the directory's view of a user means for one certificate, for every setting of the mapping."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.context import ActorKind
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    CertificateType,
    CertifiedKey,
    KeyOrigin,
    RevocationReason,
    RevocationSource,
)
from shared.directory.records.user import EntraDeletion, User
from shared.pki.revocation.departures import DeparturePolicy, Departures, OnDeparture
from shared.services import Services
from shared.settings import Settings

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OBJECT_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"

ADA = User(
    id=1,
    object_id=OBJECT_ID,
    user_principal_name="ada@contoso.example",
    name="Ada Lovelace",
    mail="ada@contoso.example",
    is_active=True,
    created_at=NOW,
    updated_at=NOW,
)
DISABLED = replace(ADA, account_enabled=False, is_active=False)
OUT_OF_SCOPE = replace(ADA, in_scope=False, is_active=False)
SOFT_DELETED = replace(ADA, is_active=False, deletion=EntraDeletion.SOFT, deleted_at=NOW)
PURGED = replace(SOFT_DELETED, deletion=EntraDeletion.HARD)
RENAMED = replace(ADA, user_principal_name="countess@contoso.example")
CERTIFICATE = Certificate(
    id=7,
    user_id=1,
    certificate_type=CertificateType.CLIENT_AUTH,
    status=CertificateStatus.ISSUED,
    issuer_id="0123456789abcdef",
    issuer="CN=CA",
    serial_number="01",
    subject="CN=Ada Lovelace",
    not_before=NOW,
    not_after=NOW + timedelta(days=30),
    key_type="rsa-2048",
    key_size=2048,
    key_origin=KeyOrigin.CSR,
    public_key_sha256="00",
    user_principal_name="ada@contoso.example",
    requester_kind=ActorKind.OPERATOR,
    requester_id="root",
    tbs_sha256="00",
    sign_before=NOW,
    created_at=NOW,
    updated_at=NOW,
)
HELD = replace(
    CERTIFICATE,
    status=CertificateStatus.HELD,
    revoked_at=NOW,
    revocation_reason=RevocationReason.CERTIFICATE_HOLD,
    revocation_source=RevocationSource.DIRECTORY,
)
HELD_BY_REQUEST = replace(HELD, revocation_source=RevocationSource.REQUEST)
PENDING = replace(CERTIFICATE, status=CertificateStatus.PENDING)

HOLD = ("held", "certificateHold")
SUPERSEDED = ("revoked", "superseded")
CEASED = ("revoked", "cessationOfOperation")
ISSUED = ("issued", None)


def outcome(user: User, certificate: Certificate = CERTIFICATE, **policy: Any) -> tuple[str, str | None]:
    after = Departures(DeparturePolicy(**policy)).outcome(certificate, user)
    return after.status, after.revocation_reason


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (ADA, ISSUED),
        (DISABLED, HOLD),
        (OUT_OF_SCOPE, HOLD),
        (SOFT_DELETED, HOLD),
        (PURGED, CEASED),
        (RENAMED, SUPERSEDED),
        (replace(RENAMED, is_active=False, account_enabled=False), SUPERSEDED),
        (replace(ADA, user_principal_name="ADA@CONTOSO.EXAMPLE"), ISSUED),
        (replace(ADA, mail="other@contoso.example"), ISSUED),
    ],
)
def test_the_ordinary_mapping(user: User, expected: tuple[str, str | None]) -> None:
    assert outcome(user) == expected


def test_a_mail_address_or_sid_that_is_no_longer_the_users_supersedes_the_certificate() -> None:
    by_mail = replace(CERTIFICATE, email="ada@contoso.example")
    by_sid = replace(CERTIFICATE, security_identifier="S-1-5-21-1-2-3-1104")

    assert outcome(replace(ADA, mail="other@contoso.example"), by_mail) == SUPERSEDED
    assert outcome(replace(ADA, proxy_addresses=("smtp:ada@contoso.example",), mail=None), by_mail) == ISSUED
    assert outcome(ADA, by_sid) == SUPERSEDED
    assert outcome(replace(ADA, on_premises_security_identifier="S-1-5-21-1-2-3-1104"), by_sid) == ISSUED


def test_only_the_directorys_own_holds_are_lifted() -> None:
    assert outcome(ADA, HELD) == ISSUED
    assert outcome(ADA, HELD_BY_REQUEST) == HOLD


def test_a_hold_becomes_a_revocation_when_there_is_no_way_back() -> None:
    assert outcome(PURGED, HELD) == CEASED
    assert outcome(PURGED, HELD_BY_REQUEST) == CEASED
    assert outcome(RENAMED, HELD) == SUPERSEDED


@pytest.mark.parametrize("user", [DISABLED, SOFT_DELETED, OUT_OF_SCOPE])
def test_a_certificate_about_to_be_signed_is_revoked_since_there_is_nothing_to_come_back_to(user: User) -> None:
    assert outcome(user, PENDING) == ("revoked", "privilegeWithdrawn")


@pytest.mark.parametrize("user", [DISABLED, SOFT_DELETED])
def test_code_signing_is_not_held_unless_asked_for(user: User) -> None:
    code = replace(CERTIFICATE, certificate_type=CertificateType.CODE_SIGNING)

    assert outcome(user, code) == ISSUED
    assert outcome(user, code, held_types=frozenset(CertificateType)) == HOLD
    assert outcome(PURGED, code) == CEASED


@pytest.mark.parametrize(
    ("policy", "user", "expected"),
    [
        ({"disabled": OnDeparture.REVOKE}, DISABLED, CEASED),
        ({"disabled": OnDeparture.KEEP}, DISABLED, ISSUED),
        ({"disabled": OnDeparture.KEEP}, SOFT_DELETED, HOLD),
        ({"deleted": OnDeparture.REVOKE}, SOFT_DELETED, CEASED),
        ({"deleted": OnDeparture.KEEP}, PURGED, CEASED),
        ({"renamed": False}, RENAMED, ISSUED),
        ({"exempt": frozenset({OBJECT_ID})}, PURGED, ISSUED),
        ({"exempt": frozenset({OBJECT_ID})}, RENAMED, ISSUED),
    ],
)
def test_each_setting_changes_what_it_says(
    policy: dict[str, Any], user: User, expected: tuple[str, str | None]
) -> None:
    assert outcome(user, **policy) == expected


@pytest.mark.parametrize(
    ("settings", "user", "expected"),
    [
        ({}, DISABLED, HOLD),
        ({"PKI_ON_USER_DISABLED": "revoke"}, OUT_OF_SCOPE, CEASED),
        ({"PKI_ON_USER_DELETED": "keep"}, SOFT_DELETED, ISSUED),
        ({"PKI_REVOKE_RENAMED": "false"}, RENAMED, ISSUED),
        ({"PKI_HELD_TYPES": "email_protection"}, DISABLED, ISSUED),
        ({"PKI_REVOCATION_EXEMPT_USERS": OBJECT_ID}, PURGED, ISSUED),
    ],
)
def test_the_app_maps_as_its_settings_say(
    settings: dict[str, str], user: User, expected: tuple[str, str | None]
) -> None:
    needed = {
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "ENTRA_TENANT_ID": OBJECT_ID,
        "ENTRA_CLIENT_ID": OBJECT_ID,
        "ENTRA_CLIENT_SECRET": "not used here",
    }

    after = Services(Settings.read(needed | settings)).departures.outcome(CERTIFICATE, user)

    assert (after.status, after.revocation_reason) == expected


def test_a_leaked_key_counts_whatever_the_directory_says() -> None:
    leaked = CertifiedKey(public_key_sha256=CERTIFICATE.public_key_sha256, user_id=ADA.id, compromised=True)

    for user in (ADA, DISABLED, PURGED):
        after = Departures(DeparturePolicy(exempt=frozenset({OBJECT_ID}))).outcome(CERTIFICATE, user, leaked)
        assert (after.status, after.revocation_reason) == ("revoked", "keyCompromise")
        assert after.revocation_source is RevocationSource.REQUEST


def test_local_users_are_none_of_the_directorys_business() -> None:
    assert outcome(replace(ADA, object_id=None, is_active=False)) == ISSUED
