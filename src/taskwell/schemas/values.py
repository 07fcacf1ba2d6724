"""The types of a task's other values: status, priority, order, labels, a link, and an object for apps.

The types of dates are in `schemas.dates`.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr, WithJsonSchema
from pydantic_core import PydanticCustomError, to_json

from taskwell.core.positions import POSITION_PATTERN, is_position
from taskwell.models.label import LABEL_MAX_LENGTH, MAX_LABELS
from taskwell.models.task import HIGHEST_PRIORITY, LOWEST_PRIORITY
from taskwell.schemas.types import check_line, searched

LINK_MAX_LENGTH = 2_048
EXTRA_MAX_BYTES = 16_384
EXTRA_MAX_DEPTH = 8
EXTRA_NAME_MAX_LENGTH = 100
COLOR_PATTERN = r"^#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?$"
_COLOR = re.compile(COLOR_PATTERN, re.ASCII)

StatusName = Literal["open", "in_progress", "completed", "cancelled"]
STATUS_NAMES: tuple[StatusName, ...] = get_args(StatusName)
DONE: frozenset[StatusName] = frozenset({"completed", "cancelled"})

# The characters of a URI (RFC 3986), and beyond ASCII those of an IRI (RFC 3987).
_LINK = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):[^\x00-\x20\"<>\\^`{|}\x7f-\x9f\s]+")
# A browser runs these as a script of the page that shows the link.
_SCRIPTS = frozenset({"javascript", "vbscript", "data"})


def _status(value: object) -> object:
    if value not in STATUS_NAMES:
        raise PydanticCustomError("invalid_status", "must be open, in_progress, completed or cancelled")
    return value


def _subtasks(value: object) -> object:
    if value != "complete":
        raise PydanticCustomError("invalid_subtasks", "must be complete")
    return value


def _link(value: str) -> str:
    text = value.strip()
    if len(text) > LINK_MAX_LENGTH:
        raise PydanticCustomError("too_long", f"must have at most {LINK_MAX_LENGTH:,} characters")
    found = _LINK.fullmatch(text)
    if found is not None and found["scheme"].lower() in _SCRIPTS:
        raise PydanticCustomError(
            "invalid_link", "must not be a script: send the address of a page or message"
        )
    if found is None or not _is_encodable(text):
        raise PydanticCustomError("invalid_link", "must be a whole address such as https://example.com/page")
    return text


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _position(value: str) -> str:
    if not is_position(value):
        detail = "must be an order key, as the fractional-indexing libraries make them; or use move"
        raise PydanticCustomError("invalid_position", detail)
    return value


def _color(value: str) -> str:
    if not _COLOR.fullmatch(value):
        raise PydanticCustomError("invalid_color", "must be a color such as #2e7d32")
    return value[:7].lower()


def _label(value: str) -> str:
    return check_line(value, LABEL_MAX_LENGTH)


def label_key(name: str) -> str:
    """What two names of one label have in common."""
    return searched(name)


def distinct_labels(names: Iterable[str]) -> list[str]:
    """The first name of each label, in their order."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(label_key(name), name)
    return list(found.values())


def check_label_count(names: list[str]) -> list[str]:
    if len(names) > MAX_LABELS:
        raise PydanticCustomError("too_many", f"must be at most {MAX_LABELS} labels")
    return names


def _labels(values: list[str]) -> list[str]:
    return check_label_count(distinct_labels(values))


def check_extra(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse an object beyond its limits."""
    _check_members(value, EXTRA_MAX_DEPTH)
    if len(to_json(value)) > EXTRA_MAX_BYTES:
        raise PydanticCustomError("too_large", f"must have at most {EXTRA_MAX_BYTES:,} bytes as JSON")
    return value


def _check_members(value: Any, depth: int) -> None:
    if not isinstance(value, dict | list):
        return
    if not depth:
        raise PydanticCustomError("too_deep_json", f"must have at most {EXTRA_MAX_DEPTH} levels")
    if isinstance(value, dict) and not all(1 <= len(name) <= EXTRA_NAME_MAX_LENGTH for name in value):
        detail = f"must have names of 1 to {EXTRA_NAME_MAX_LENGTH} characters"
        raise PydanticCustomError("invalid_name", detail)
    for member in value.values() if isinstance(value, dict) else value:
        _check_members(member, depth - 1)


def merged(stored: Any, patch: Any) -> Any:
    """RFC 7396: members are merged one by one, and null removes one."""
    if not isinstance(patch, dict):
        return patch
    result = dict(stored) if isinstance(stored, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


Status = Annotated[
    StatusName,
    BeforeValidator(_status),
    Field(
        description="It agrees with `completed`, which is true for `completed` and `cancelled`.",
        examples=["in_progress"],
    ),
]
Subtasks = Annotated[
    Literal["complete"],
    BeforeValidator(_subtasks),
    Field(
        description="Together with `completed: true`: completes the tasks below it too.",
        examples=["complete"],
    ),
]
Priority = Annotated[
    StrictInt,
    Field(
        ge=HIGHEST_PRIORITY,
        le=LOWEST_PRIORITY,
        description="1 is the most urgent. High is 1, medium 5, low 9 (RFC 5545).",
        examples=[1],
    ),
]
Position = Annotated[
    StrictStr,
    AfterValidator(_position),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": POSITION_PATTERN,
            "description": "The place in the order, compared by bytes: a key of the fractional-indexing "
            "libraries. A new task is the last.",
            "examples": ["i8DhyrHb7o"],
        }
    ),
]
Color = Annotated[
    StrictStr,
    AfterValidator(_color),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": COLOR_PATTERN,
            "description": "`#rrggbb`; of `#rrggbbaa`, the last two digits are cut off.",
            "examples": ["#2e7d32"],
        }
    ),
]
Label = Annotated[
    StrictStr,
    AfterValidator(_label),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LABEL_MAX_LENGTH, "examples": ["home"]}),
]
Labels = Annotated[
    list[Label],
    AfterValidator(_labels),
    Field(
        description=f"At most {MAX_LABELS} names; of two that differ only by case, the first counts.",
        examples=[["home", "Büro"]],
    ),
]
Link = Annotated[
    StrictStr,
    AfterValidator(_link),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": LINK_MAX_LENGTH,
            "description": "An absolute address.",
            "examples": ["https://example.com/recipes/7"],
        }
    ),
]
Extra = Annotated[
    dict[str, Any],
    AfterValidator(check_extra),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": True,
            "description": f"An object for apps: at most {EXTRA_MAX_BYTES:,} bytes and {EXTRA_MAX_DEPTH} "
            "levels. A change merges its members; null removes one.",
            "examples": [{"example.com/estimate": 30}],
        }
    ),
]
