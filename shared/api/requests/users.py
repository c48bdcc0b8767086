"""Copying users from Entra ID, and listing them."""

import unicodedata
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from shared.api.requests.pages import Paged
from shared.api.validation import IN_A_QUERY, QueryBool, RequestModel, UserPrincipalName, wrong
from shared.directory.replica.queries import MAX_SEARCH_LENGTH, UserQuery
from shared.directory.replica.text_folding import fold

MAX_BULK = 50
MAX_HOURS = 10 * 365 * 24


class SyncUser(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"user_principal_name": "ada@contoso.example"}]})

    user_principal_name: UserPrincipalName


class BulkSyncUsers(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_principal_names": ["ada@contoso.example", "grace@contoso.example"]}]}
    )

    user_principal_names: Annotated[list[UserPrincipalName], Field(min_length=1, max_length=MAX_BULK)]


def _searchable(text: str) -> str:
    """What folds to nothing, such as accents alone, would be found in every name."""
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise wrong("must not have control characters.")
    if not fold(text).strip():
        raise wrong("has nothing that can be searched for.")
    return text


class ListUsers(Paged):
    active: QueryBool | None = Field(default=None, description="only active users, or only the others")
    recently_synced: Annotated[int, Field(ge=1, le=MAX_HOURS), IN_A_QUERY] | None = Field(
        default=None, description="only users synchronized in the last so many hours; present but empty: 24"
    )
    search: Annotated[str, Field(max_length=MAX_SEARCH_LENGTH), AfterValidator(_searchable)] | None = Field(
        default=None,
        description="part of the name, the mail address or the user principal name, whatever its case and accents",
    )
    sort: Literal["id", "name", "synced_at"] = "id"

    def as_query(self, now: datetime) -> UserQuery:
        since = now - timedelta(hours=self.recently_synced) if self.recently_synced is not None else None
        return UserQuery(
            active=self.active,
            synced_since=since,
            search=self.search,
            page=self.page,
            per_page=self.per_page,
            sort=self.sort,
        )
