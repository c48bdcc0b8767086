"""What copying single users from Entra ID brought."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from shared.api.resources.base import Resource
from shared.api.resources.users import UserResource
from shared.errors import AppError

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.entra.user_sync import SyncedUser, SyncResult


class SyncedUserResource(Resource):
    """`created`: whether this user was unknown here before."""

    created: bool
    user: UserResource

    @classmethod
    def of(cls, synced: "SyncedUser") -> Self:
        return cls(created=synced.created, user=UserResource.of(synced.user, synced.groups))


class SyncFailure(Resource):
    code: str
    message: str


class SyncResultResource(Resource):
    user_principal_name: str
    success: bool
    created: bool | None = None
    user: UserResource | None = None
    error: SyncFailure | None = None

    @classmethod
    def of(cls, result: "SyncResult") -> Self:
        outcome = result.outcome
        if isinstance(outcome, AppError):
            failure = SyncFailure(code=outcome.code, message=outcome.message)
            return cls(user_principal_name=result.user_principal_name, success=False, error=failure)
        synced = SyncedUserResource.of(outcome)
        return cls(
            user_principal_name=result.user_principal_name, success=True, created=synced.created, user=synced.user
        )


class BulkSyncSummary(Resource):
    total: int
    successful: int
    failed: int


class BulkSyncReport(Resource):
    """One result for each name asked for, in the order of the request."""

    summary: BulkSyncSummary
    results: list[SyncResultResource]

    @classmethod
    def of(cls, results: "Sequence[SyncResult]") -> Self:
        resources = [SyncResultResource.of(result) for result in results]
        successful = sum(resource.success for resource in resources)
        summary = BulkSyncSummary(total=len(resources), successful=successful, failed=len(resources) - successful)
        return cls(summary=summary, results=resources)
