"""Users and certificates for tests, with everything that a test does not care about filled in."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.context import ActorKind
from shared.directory.records.certificate import Certificate, CertificateStatus, CertificateType, KeyOrigin
from shared.directory.records.user import User

NOW = datetime(2025, 6, 1, 12, 0, 0, tzinfo=UTC)


def user(user_id: int, name: str = "Ada Lovelace", **fields: Any) -> User:
    """An active, synchronized member; the UPN and the email follow from the id."""
    upn = f"user{user_id}@contoso.example"
    values: dict[str, Any] = {
        "object_id": str(uuid.UUID(int=user_id)),
        "user_principal_name": upn,
        "email": upn,
        "is_active": True,
        "user_type": "Member",
        "synced_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return User(id=user_id, name=name, **{**values, **fields})


def certificate(certificate_id: int, user_id: int | None = 1, **fields: Any) -> Certificate:
    """An issued client_auth certificate that is valid for another year at NOW."""
    values: dict[str, Any] = {
        "certificate_type": CertificateType.CLIENT_AUTH,
        "status": CertificateStatus.ISSUED,
        "issuer_id": "0123456789abcdef",
        "issuer": "CN=Test CA",
        "serial_number": f"{certificate_id:08x}",
        "subject": f"CN=user {user_id}",
        "not_before": NOW - timedelta(days=1),
        "not_after": NOW + timedelta(days=365),
        "key_type": "rsa",
        "key_size": 2048,
        "key_origin": KeyOrigin.SERVER,
        "public_key_sha256": f"{certificate_id:064x}",
        "requester_kind": ActorKind.OPERATOR,
        "requester_id": "test",
        "tbs_sha256": f"{certificate_id:064x}",
        "sign_before": NOW,
        "fingerprint": f"{certificate_id:064x}",
        "issued_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Certificate(id=certificate_id, user_id=user_id, **{**values, **fields})
