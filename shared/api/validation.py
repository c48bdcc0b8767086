"""Field errors in Laravel's words, all fields at once, made from pydantic's findings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from shared.errors import AppError

M = TypeVar("M", bound=BaseModel)

MAX_UPN_LENGTH = 320
MAX_ID = 2**31 - 1


class RequestModel(BaseModel):
    """What a request brings: strict types, nothing unknown, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


class QueryModel(BaseModel):
    """The query string: unknown parameters are ignored, as Laravel does."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class ValidationFailed(AppError):
    """422 with Laravel's body: the first message and how many more there are."""

    status, code = 422, "validation_failed"

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        messages = [message for of_field in errors.values() for message in of_field]
        more = len(messages) - 1
        suffix = f" (and {more} more error{'s' if more > 1 else ''})" if more else ""
        super().__init__(messages[0] + suffix, errors=errors)


def validated(model: type[M], members: Mapping[str, Any]) -> M:
    """Raises ValidationFailed with every wrong field."""
    try:
        return model.model_validate(members)
    except ValidationError as error:
        found: dict[str, list[str]] = {}
        for detail in error.errors(include_url=False, include_input=True):
            path = ".".join(str(part) for part in detail["loc"]) or "body"
            found.setdefault(path[:200], []).append(_sentence(path[:200], detail))
        raise ValidationFailed(found) from None


def _sentence(path: str, detail: ErrorDetails) -> str:
    attribute = path if "." in path else path.replace("_", " ")
    context = detail.get("ctx", {})
    kind = "missing" if detail["input"] in (None, "") and detail["type"] in _EMPTY_IS_MISSING else detail["type"]
    template = _LARAVEL.get(kind)
    if template is None:
        return f"The {attribute} field is invalid."
    return template(attribute, context)


_EMPTY_IS_MISSING = {"string_type", "int_type", "list_type", "string_too_short", "email", "literal_error", "enum"}

_LARAVEL: Mapping[str, Callable[[str, Mapping[str, Any]], str]] = {
    "missing": lambda name, _: f"The {name} field is required.",
    "string_type": lambda name, _: f"The {name} field must be a string.",
    "int_type": lambda name, _: f"The {name} field must be an integer.",
    "int_from_float": lambda name, _: f"The {name} field must be an integer.",
    "int_parsing": lambda name, _: f"The {name} field must be an integer.",
    "bool_type": lambda name, _: f"The {name} field must be true or false.",
    "boolean": lambda name, _: f"The {name} field must be true or false.",
    "integer": lambda name, _: f"The {name} field must be an integer.",
    "list_type": lambda name, _: f"The {name} field must be an array.",
    "literal_error": lambda name, _: f"The selected {name} is invalid.",
    "enum": lambda name, _: f"The selected {name} is invalid.",
    "selected": lambda name, _: f"The selected {name} is invalid.",
    "email": lambda name, _: f"The {name} field must be a valid email address.",
    "extra_forbidden": lambda name, _: f"The {name} field is prohibited.",
    "greater_than_equal": lambda name, ctx: f"The {name} field must be at least {ctx['ge']}.",
    "less_than_equal": lambda name, ctx: f"The {name} field must not be greater than {ctx['le']}.",
    "string_too_short": lambda name, ctx: f"The {name} field must be at least {ctx['min_length']} characters.",
    "string_too_long": lambda name, ctx: f"The {name} field must not be greater than {ctx['max_length']} characters.",
    "too_short": lambda name, ctx: f"The {name} field must have at least {ctx['min_length']} items.",
    "too_long": lambda name, ctx: f"The {name} field must not have more than {ctx['max_length']} items.",
    "sentence": lambda name, ctx: f"The {name} field {ctx['sentence']}",
}


def wrong(sentence: str) -> PydanticCustomError:
    """A field's error in words of our own; `sentence` goes on after `The … field`."""
    return PydanticCustomError("sentence", "{sentence}", {"sentence": sentence})


def _email_format(value: str) -> str:
    """The shape of a user principal name: one `@`, no control characters or white space, at most 320 characters."""
    local, at, domain = value.partition("@")
    clean = value.isprintable() and not any(character.isspace() for character in value)
    if not (local and at and domain) or "@" in domain or not clean or len(value) > MAX_UPN_LENGTH:
        raise PydanticCustomError("email", "not an email address")
    if domain.startswith(".") or domain.endswith(".") or ".." in domain:
        raise PydanticCustomError("email", "not an email address")
    return value


def _trimmed(value: Any) -> Any:
    """Laravel's TrimStrings middleware."""
    return value.strip() if isinstance(value, str) else value


UPN_SCHEMA = {
    "type": "string",
    "maxLength": MAX_UPN_LENGTH,
    "pattern": r"^\s*[^@\s]+@[^@\s.]+(\.[^@\s.]+)*\s*$",
    "description": "name@domain, without control characters; spaces around it do not count",
    "examples": ["ada@contoso.example"],
}
"""`_email_format`, as far as JSON Schema can say it."""

UserPrincipalName = Annotated[str, BeforeValidator(_trimmed), AfterValidator(_email_format), WithJsonSchema(UPN_SCHEMA)]


def _query_bool(value: Any) -> Any:
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise PydanticCustomError("boolean", "not a boolean")


def _query_int(value: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        return int(value)
    raise PydanticCustomError("integer", "not an integer")


QueryBool = Annotated[bool, BeforeValidator(_query_bool)]
IN_A_QUERY = BeforeValidator(_query_int)
"""Makes an integer one of a query string. Last of its annotations, or the limits would be missing in its schema."""

LocalId = Annotated[int, Field(ge=1, le=MAX_ID)]
QueryId = Annotated[LocalId, IN_A_QUERY]
