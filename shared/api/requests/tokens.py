"""Tokens to be judged."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from shared.api.validation import RequestModel

MAX_TOKEN_LENGTH = 200_000


class ValidateToken(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "eyJ0eXAi…", "expected_type": "access"}]})

    token: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_LENGTH)] = Field(
        description="an Entra access or ID token, without `Bearer`"
    )
    audience: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="the only `aud` to accept; one of those that are configured"
    )
    expected_type: Literal["access", "id"] | None = Field(
        default=None, description="refuse a token of the other type; null takes both"
    )
