"""The words of the description that no route or model can supply."""

import re
from enum import Enum
from typing import Any

from shared.api.routes import ENTRA_ID, PKI, Route

TITLE = "Entra PKI"
VERSION = "1.0.0"

INTRODUCTION = """\
A certificate authority for the users of a Microsoft Entra ID tenant.

**Credentials.** `Authorization: Bearer …` with an Entra access token for this app's registration, or with an API token.
The permissions are app roles of the one and abilities of the other; `manage-entra-integration` includes all. Plain http
is refused, but for certificates, CRLs, OCSP and `health`.

**Requests.** JSON in UTF-8, at most 256 KiB. Types are strict: `"5"` and `5.0` are no integers. Unknown members of a
body are refused, unknown parameters of a URL ignored.

**Replies.** Times are ISO 8601 in UTC. Each reply carries `X-Request-Id`: the request's own, if it sent a well-formed
one; the log and the audit trail have it too. `HEAD` works wherever `GET` does.

**Errors.** Every error has the members of `Problem`. Programs go by `code`; people read `message`. With
`Accept: application/problem+json` that is the type of the reply. Where waiting can help, `Retry-After` says how many
seconds. An unknown address is a 404 with the code `route_not_found`, another method a 405 with `Allow`.

**Lists** come in the shape of Laravel's paginator, page by page, with the query kept in the links.
"""


class Tag(Enum):
    """What the operations are grouped by: each has the first tag whose pattern is found in its address."""

    CERTIFICATES = ("Certificates", "Issue, show, renew and revoke certificates.", rf"^{ENTRA_ID}/.*certificate")
    USERS = ("Users", "Copy users from Entra ID; list and show them.", rf"^{ENTRA_ID}/.*user")
    TENANT_SYNC = ("Tenant sync", "Keep the whole tenant in step.", rf"^{ENTRA_ID}/sync")
    TOKENS = ("Tokens", "Judge Entra tokens for other services.", rf"^{ENTRA_ID}/.*token")
    PKI = ("Public key infrastructure", "What clients fetch to trust a certificate.", rf"^{PKI}/")
    DESCRIPTION = ("Description", "This description.", r"^(openapi\.json|docs)")
    OPERATION = ("Operation", "How the service is doing.", "")

    @classmethod
    def of(cls, route: Route) -> "Tag":
        return next(tag for tag in cls if re.search(tag.value[2], route.template))

    @property
    def label(self) -> str:
        return self.value[0]

    @property
    def order(self) -> int:
        return list(Tag).index(self)

    def as_json(self) -> dict[str, Any]:
        return {"name": self.label, "description": self.value[1]}
