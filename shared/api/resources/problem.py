"""What every error carries: Laravel's `message` and `errors`, and the members of RFC 9457."""

from collections.abc import Mapping, Sequence

from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from shared.api.resources.base import Resource


class Problem(Resource):
    """An error. Some have members of their own beside these."""

    model_config = ConfigDict(extra="allow", json_schema_serialization_defaults_required=False)

    message: str = Field(description="what went wrong, for people")
    errors: Mapping[str, Sequence[str]] | SkipJsonSchema[None] = Field(
        default=None, description="messages by field of the request"
    )
    type: str = Field(description="the code as a URI; an identifier, not a page")
    title: str = Field(description="the status in words")
    status: int = Field(description="the status of the reply")
    detail: str = Field(description="what went wrong in this case")
    code: str = Field(description="what went wrong, for programs")
    request_id: str = Field(description="as in the header X-Request-Id; the log has it too")
