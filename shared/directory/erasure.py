"""What a purge leaves of a user and of the user's certificates: identity, times, states and hashes.

The object id stays: it names nobody once Entra has forgotten it, and tells that the user is known if it ever returns.
"""

from dataclasses import replace
from datetime import datetime

from shared.directory.records.certificate import Certificate
from shared.directory.records.user import User

ERASED = "(erased)"
"""Stands where a record must have a text: the name of the user, the subject of a certificate."""


def erased_user(user: User, moment: datetime) -> User:
    """What stays is named one by one, so that whatever users get one day is erased."""
    return User(
        id=user.id,
        object_id=user.object_id,
        name=ERASED,
        is_active=False,
        account_enabled=user.account_enabled,
        in_scope=user.in_scope,
        deletion=user.deletion,
        deleted_at=user.deleted_at,
        purged_at=moment,
        revocation_pending=user.revocation_pending,
        synced_at=user.synced_at,
        created_at=user.created_at,
        updated_at=moment,
    )


def erased_certificate(certificate: Certificate, object_id: str | None, moment: datetime) -> Certificate:
    """The facts that make it known and keep it revoked stay: serial number, key and times, states, hashes.

    `object_id`: of its user, whose name as requester goes as well.
    """
    by_user = certificate.requester_id == object_id
    return replace(
        certificate,
        subject=ERASED,
        user_principal_name=None,
        email=None,
        security_identifier=None,
        requester_name="" if by_user else certificate.requester_name,
        tbs=None,
        der=None,
        revocation_comment=None,
        updated_at=moment,
    )


def is_erased(certificate: Certificate) -> bool:
    return certificate.subject == ERASED
