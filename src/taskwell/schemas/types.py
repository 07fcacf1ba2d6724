"""Field types: text that both databases store unchanged, ids and addresses.

PostgreSQL cannot store NUL, UTF-8 cannot encode a lone surrogate, and other control characters have no use in
a list of tasks. An error never repeats the text.
"""

import hashlib
import re
import unicodedata
from contextvars import ContextVar
from typing import Annotated, NamedTuple, overload
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskwell.models.base import USER_ID_MAX_LENGTH
from taskwell.models.task import (
    DESCRIPTION_MAX_LENGTH,
    STORED_DESCRIPTION_MAX_LENGTH,
    STORED_TITLE_MAX_LENGTH,
    TITLE_MAX_LENGTH,
)
from taskwell.models.token import TOKEN_NAME_MAX_LENGTH
from taskwell.models.user import EMAIL_MAX_LENGTH

SEARCH_MAX_LENGTH = 200
EXAMPLE_ID = "01a1fe04-9424-75e1-89a6-e90dc13ea379"
USER_ID_PATTERN = r"^[A-Za-z0-9._~@:|+=-]+$"
# First segments of the API's present and future paths; and segments that URL libraries resolve away.
RESERVED_USER_IDS = frozenset(
    {
        "tasks", "users", "changes", "events", "batch", "me", ".", "..",
        "lists", "labels", "history", "undo", "claims", "webhooks", "reminders", "filters", "imports",
        "export", "mcp", "dav", "app", "quick", "tokens", "search", "health", "members", "spaces",
    }
)  # fmt: skip

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_USER_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~@:|+=-")
# The escape of each byte of a claim that is not an id: see `user_id_of`.
_ESCAPED = tuple(
    chr(byte) if chr(byte) in _USER_ID_CHARACTERS - {"="} else f"={byte:02X}" for byte in range(256)
)
_WHITE = "\t\n\v\f\r\x85"
# They display a line in another order than it is stored (https://trojansource.codes).
_BIDI = frozenset(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
# Letters and symbols by their category, but invisible.
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_INVISIBLE = {"Cc", "Cf", "Mn", "Zl", "Zp", "Zs"}


def _error(code: str, detail: str) -> PydanticCustomError:
    return PydanticCustomError(code, detail)


def _check_characters(text: str, allowed: str = "") -> None:
    for character in text:
        category = unicodedata.category(character)
        if category == "Cs":
            raise _error("invalid_text", "must not contain half of a surrogate pair")
        if category == "Cc" and character not in allowed:
            raise _error("invalid_text", "must not contain control characters")


def _check_length(text: str, least: int, most: int) -> None:
    if least <= len(text) <= most:
        return
    code = "too_long" if len(text) > most else "too_short"
    raise _error(code, f"must have {least} to {most:,} characters")


class TextLimits(NamedTuple):
    """The most characters of a new text."""

    title: int = TITLE_MAX_LENGTH
    description: int = DESCRIPTION_MAX_LENGTH


DEFAULT_LIMITS = TextLimits()
# Those of the server, while a request is parsed.
text_limits: ContextVar[TextLimits] = ContextVar("text_limits", default=DEFAULT_LIMITS)


def _title(value: str) -> str:
    return check_line(value, text_limits.get().title)


def _changed_title(value: str) -> str:
    limit = text_limits.get().title
    _check_storable(value, STORED_TITLE_MAX_LENGTH, 1, limit)
    return check_line(value, STORED_TITLE_MAX_LENGTH if value.strip() else limit)  # the error names the limit


def _check_storable(value: str, storable: int, least: int, most: int) -> None:
    """A change may repeat what is stored, which can be longer than a new text: see `rest.text_limits`."""
    if len(value) > storable:
        _check_length(value, least, most)


def _name(value: str) -> str:
    return check_line(value, TOKEN_NAME_MAX_LENGTH)


def check_line(value: str, most: int) -> str:
    """Validate a text of one line with 1 to `most` characters, without surrounding white space."""
    text = value.strip()
    # The length first, so that a large text costs little. `strip` removes some control characters, too.
    _check_length(text, 1, most)
    _check_characters(value, allowed=_WHITE)
    _check_characters(text)
    if any(character in _BIDI or character in "\u2028\u2029" for character in text):
        raise _error("invalid_text", "must be one line without characters that reorder it")
    if text and all(
        character in _BLANK_LETTERS or unicodedata.category(character) in _INVISIBLE for character in text
    ):
        raise _error("blank", "must have a visible character")
    return text


def _description(value: str) -> str:
    _check_length(value, 0, text_limits.get().description)
    return _check_description(value)


def _changed_description(value: str) -> str:
    _check_storable(value, STORED_DESCRIPTION_MAX_LENGTH, 0, text_limits.get().description)
    return _check_description(value)


def _check_description(value: str) -> str:
    # Windows line ends are allowed; any other carriage return is a control character.
    _check_characters(value.replace("\r\n", "\n"), allowed="\t\n")
    return value


def check_search(value: str) -> str:
    """Validate a search text: one line, without surrounding white space."""
    text = value.strip()
    _check_characters(text)
    _check_length(text, 0, SEARCH_MAX_LENGTH)
    return text


def is_reserved(user_id: str) -> bool:
    """Whether the id is not allowed for new users: a segment of the API's paths, or `v1` and the like."""
    return user_id in RESERVED_USER_IDS or _is_version(user_id)


def _is_version(user_id: str) -> bool:
    return user_id[:1] in "vV" and user_id[1:].isdecimal()


def why_reserved(user_id: str) -> str:
    if _is_version(user_id):
        return "is reserved: the paths of this API have no version, as in /api/tasks"
    return "is a reserved word"


def _well_formed_user_id(value: str) -> str:
    _check_length(value, 1, USER_ID_MAX_LENGTH)
    if not _USER_ID_CHARACTERS.issuperset(value):
        raise _error("invalid_id", "must consist of letters, digits and . _ ~ @ : | + = -")
    return value


def _user_id(value: str) -> str:
    _well_formed_user_id(value)
    if is_reserved(value):
        raise _error("reserved", why_reserved(value))
    return value


def is_user_id(value: str) -> bool:
    """Whether the value is a valid id of a new user."""
    try:
        _user_id(value)
    except PydanticCustomError:
        return False
    return True


def user_id_of(claim: str) -> str:
    """The user id for a token's claim. Different claims never map to the same user.

    A valid id that is not reserved and does not begin with `=` maps to itself. Any other claim maps to `=`
    and its UTF-8 bytes, where `=` and each byte that an id cannot contain become `=2F` and the like,
    reversibly. If that is too long, the id is `==sha256:` and a digest; no escape begins with `==s`.

    Raises:
        ValueError: the claim is empty, too long, or has invisible characters.
    """
    if not 0 < len(claim) <= USER_ID_MAX_LENGTH:
        raise ValueError(f"must have 1 to {USER_ID_MAX_LENGTH} characters")
    if not claim.isprintable():
        raise ValueError("must not contain invisible characters")
    if not claim.startswith("=") and is_user_id(claim):
        return claim
    data = claim.encode()
    escaped = "=" + "".join(map(_ESCAPED.__getitem__, data))
    if len(escaped) <= USER_ID_MAX_LENGTH:
        return escaped
    return f"==sha256:{hashlib.sha256(data).hexdigest()}"


def _email(value: str) -> str:
    text = value.strip().lower()
    _check_length(text, 1, EMAIL_MAX_LENGTH)
    _check_characters(text)
    name, _, domain = text.rpartition("@")
    if not name or not domain or "@" in name or any(character.isspace() for character in text):
        raise _error("invalid_email", "must be an e-mail address")
    _check_length(text, 3, EMAIL_MAX_LENGTH)
    return text


def _task_id(value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    raise _error("invalid_id", "must be a UUID, written with its four hyphens")


def is_task_id(value: str) -> bool:
    return _UUID.fullmatch(value) is not None


TaskId = Annotated[
    UUID,
    BeforeValidator(_task_id),
    Field(examples=[EXAMPLE_ID]),
]
_TITLE_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        "minLength": 1,
        "maxLength": TITLE_MAX_LENGTH,
        "description": f"1 to {TITLE_MAX_LENGTH} characters on one line, after surrounding white space "
        "is removed.",
        "examples": ["Buy milk"],
    }
)
Title = Annotated[StrictStr, AfterValidator(_title), _TITLE_SCHEMA]
ChangedTitle = Annotated[StrictStr, AfterValidator(_changed_title), _TITLE_SCHEMA]
Name = Annotated[
    StrictStr,
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": TOKEN_NAME_MAX_LENGTH}),
    Field(description="The token's purpose, on one line.", examples=["backup"]),
]
_DESCRIPTION_SCHEMA = WithJsonSchema(
    {"type": "string", "maxLength": DESCRIPTION_MAX_LENGTH, "examples": ["Two bottles"]}
)
Description = Annotated[StrictStr, AfterValidator(_description), _DESCRIPTION_SCHEMA]
ChangedDescription = Annotated[StrictStr, AfterValidator(_changed_description), _DESCRIPTION_SCHEMA]
_USER_ID_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        "minLength": 1,
        "maxLength": USER_ID_MAX_LENGTH,
        "pattern": USER_ID_PATTERN,
    }
)
UserId = Annotated[
    StrictStr,
    AfterValidator(_user_id),
    _USER_ID_SCHEMA,
    Field(
        description="Opaque text from your sign-in; `GET /api/users/me` shows that of the caller. Reserved "
        "words are refused: "
        + ", ".join(sorted(word for word in RESERVED_USER_IDS if word.isalpha()))
        + ", and v1, v2 and so on.",
        examples=["alice"],
    ),
]
# The id of an existing user, who may be older than its reservation.
KnownUserId = Annotated[
    StrictStr, AfterValidator(_well_formed_user_id), _USER_ID_SCHEMA, Field(examples=["alice"])
]
Email = Annotated[
    StrictStr,
    AfterValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "minLength": 3, "maxLength": EMAIL_MAX_LENGTH}),
    Field(description="Compared and stored in lower case.", examples=["alice@example.com"]),
]


@overload
def fold(text: str) -> str: ...
@overload
def fold(text: None) -> None: ...
def fold(text: str | None) -> str | None:
    """The sort and search key of a text, the same on every database: its case-folded code points.

    Where NFC differs from them, NFC follows on a second line, for `searched`. A line end sorts before every
    character allowed in a title, so the order stays that of the case-folded code points.
    """
    if text is None:
        return None
    folded = text.casefold()
    if folded.isascii() or unicodedata.is_normalized("NFC", folded):
        return folded
    return f"{folded}\n{unicodedata.normalize('NFC', folded)}"


def searched(text: str) -> str:
    """The search form of a text: case-folded, in Unicode's NFC."""
    return unicodedata.normalize("NFC", text.casefold())
