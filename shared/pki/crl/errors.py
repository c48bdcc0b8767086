"""What can go wrong with CRLs."""

from datetime import timedelta

from shared.errors import AppError


class CrlNotPublished(AppError):
    """The issuer is new: the timer has not made its first CRL yet."""

    status, code = 503, "crl_not_published"

    def __init__(self, issuer_id: str) -> None:
        super().__init__(f"The issuer {issuer_id} has not published a CRL yet.", retry_after=timedelta(minutes=1))


class CrlMissing(AppError):
    """The directory points to a CRL that is not in the blob storage."""

    status, code = 500, "crl_missing"

    def __init__(self, name: str) -> None:
        super().__init__(f"The CRL {name} is not in the blob storage; `manage.py crl publish` makes a new one.")


class CrlNumberUsed(AppError):
    """A number was about to be given that is not above one already published: the tables were restored."""

    status, code = 409, "crl_number_used"

    def __init__(self, issuer_id: str, number: int, published: int) -> None:
        super().__init__(
            f"The next CRL of the issuer {issuer_id} would have the number {number}, but number {published} has been "
            "published: the directory is older than its CRLs, as after a restore. Run `manage.py ca reconcile` first."
        )


class CrlOvertaken(AppError):
    """Other rebuilds, of a later state of the directory, kept getting ahead of this one."""

    status, code = 503, "crl_overtaken"

    def __init__(self) -> None:
        super().__init__("Other processes are rebuilding this CRL.", retry_after=timedelta(seconds=5))


class CrlNotOurs(AppError):
    """A CRL was brought that none of our issuers signed."""

    status, code = 422, "crl_not_ours"

    def __init__(self, origin: str) -> None:
        super().__init__(f"The CRL is from {origin}: none of this CA's issuers signed it.")
