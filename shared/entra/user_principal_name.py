"""User principal names as callers and Graph write them: what is one, which are the same, how they go into a URL."""

from urllib.parse import quote

from shared.errors import AppError

LONGEST = 320
"""Characters: 64 before the `@`, 255 after it (RFC 5321, 4.5.3.1)."""

_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class UserPrincipalNameInvalid(AppError):
    """Not the form of a user principal name; nothing was asked of Entra."""

    status, code = 422, "user_principal_name_invalid"

    def __init__(self) -> None:
        super().__init__("A user principal name has the form name@domain, without control characters.")


def require_user_principal_name(text: str) -> str:
    """The same text; raises UserPrincipalNameInvalid."""
    name, at, domain = text.partition("@")
    well_formed = name and at and domain and "@" not in domain and len(text) <= LONGEST
    if not well_formed or text != text.strip() or not all(_is_allowed(character) for character in text):
        raise UserPrincipalNameInvalid
    return text


def fold(user_principal_name: str) -> str:
    """Equal for names that Entra takes for the same one.

    Only ASCII letters are folded: Unicode folding would make different names equal (the Kelvin sign and `k`), and
    one person's record the answer to a question about another.
    """
    return user_principal_name.translate(_LOWER)


def key_segment(user_principal_name: str) -> str:
    """The path segment `users('…')`: OData key form with doubled apostrophes, all percent-encoded, so that neither
    `#` nor `/`, `%` or a leading `$` can change which user is meant.

    https://learn.microsoft.com/graph/api/user-get#http-request
    """
    return f"users('{quote(_doubled(user_principal_name), safe='')}')"


def filter_in(user_principal_names: list[str]) -> str:
    """The OData filter for any of these names, not yet percent-encoded."""
    literals = ",".join(f"'{_doubled(name)}'" for name in user_principal_names)
    return f"userPrincipalName in ({literals})"


def _doubled(text: str) -> str:
    return text.replace("'", "''")


def _is_allowed(character: str) -> bool:
    code = ord(character)
    return code > 0x1F and not 0x7F <= code <= 0x9F and not 0xD800 <= code <= 0xDFFF
