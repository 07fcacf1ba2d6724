"""The query of a list: its filters and its order.

A filter is a member of `FilterParameters`, and a sort key an entry of `SORT_KEYS`: request parameters, SQL,
cursors and ETags follow from these declarations.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskwell.core.bounded_cache import BoundedCache
from taskwell.models import Task
from taskwell.models.base import table_of, value_type
from taskwell.schemas.base import Moment
from taskwell.schemas.types import check_search, fold

# The values of a task's sort keys in the order of the list, which define its position.
Keyset = tuple[Any, ...]


# Filters


class Where(NamedTuple):
    """The condition of a filter: it holds if the operator does for any of the columns and the value."""

    operator: Literal["is", "<", ">", "contains"]
    columns: tuple[str, ...]


STATUSES = {"all": None, "pending": False, "completed": True}
_STATUS_WORDS = {name: name for name in STATUSES} | {
    "active": "pending", "incomplete": "pending", "open": "pending", "todo": "pending",
    "complete": "completed", "done": "completed",
}  # fmt: skip
# The values that FastAPI accepts for a `bool`, in any case.
_FLAGS = {
    "true": True, "1": True, "yes": True, "on": True, "t": True, "y": True,
    "false": False, "0": False, "no": False, "off": False, "f": False, "n": False,
}  # fmt: skip


def _flag(value: object) -> bool:
    flag = _FLAGS.get(str(value).lower())
    if flag is None:
        raise PydanticCustomError("invalid_flag", "must be true or false")
    return flag


def _status(value: object) -> str:
    status = _STATUS_WORDS.get(str(value).lower())
    if status is None:
        raise PydanticCustomError("invalid_status", "must be all, pending or completed")
    return status


Flag = Annotated[bool | None, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]
Status = Annotated[
    str | None,
    BeforeValidator(_status),
    WithJsonSchema({"type": "string", "enum": list(STATUSES)}),
]
Search = Annotated[
    str | None,
    AfterValidator(check_search),
    WithJsonSchema({"type": "string", "maxLength": 200}),
]


class FilterParameters(BaseModel):
    """The filters of a request. Instants are exclusive.

    A member with `Where` is a condition; `status` is another name of `completed`, see `rest.queries`.
    """

    model_config = ConfigDict(frozen=True)

    completed: Annotated[
        Flag,
        Where("is", ("completed",)),
        Field(description="Only tasks that are completed, or only those that are not."),
    ] = None
    status: Annotated[
        Status, Field(description="`pending` or `completed`, instead of `completed`; `all` is no filter.")
    ] = None
    q: Annotated[
        Search,
        Where("contains", ("title_key", "description_key")),
        Field(description="Only tasks with this text in the title or the description, whatever its case."),
    ] = None
    created_after: Annotated[
        Moment | None, Where(">", ("created_at",)), Field(description="Created later than this.")
    ] = None
    created_before: Annotated[
        Moment | None, Where("<", ("created_at",)), Field(description="Created earlier than this.")
    ] = None
    updated_after: Annotated[
        Moment | None, Where(">", ("updated_at",)), Field(description="Changed later than this.")
    ] = None
    updated_before: Annotated[
        Moment | None, Where("<", ("updated_at",)), Field(description="Changed earlier than this.")
    ] = None


class TaskFilter(FilterParameters):
    """The filters of a list or a mass deletion. `deleted`: tasks in the trash instead."""

    deleted: bool = False


def _conditions() -> Mapping[str, Where]:
    members = FilterParameters.model_fields.items()
    return {name: part for name, member in members for part in member.metadata if isinstance(part, Where)}


# By the name of the filter.
CONDITIONS = _conditions()
# The filters without a name in the fingerprint. Cursors and ETags of clients depend on their order.
_UNNAMED = (
    "completed", "q", "created_after", "created_before", "updated_after", "updated_before", "deleted",
)  # fmt: skip
_NAMED = tuple(name for name in CONDITIONS if name not in _UNNAMED)


# Orders


@dataclass(frozen=True, slots=True)
class SortKey:
    """A key that sorts a list. A task whose column is null comes last, in either direction.

    `read` converts the field in a task's JSON to the column's value; `encode` converts that value to text for
    a cursor, and `decode` the text to the value, or raises ValueError.
    """

    column: str
    read: Callable[[Any], Any]
    encode: Callable[[Any], str]
    decode: Callable[[str], Any]

    @classmethod
    def of(cls, column: str, read: Callable[[Any], Any] | None = None) -> "SortKey":
        """A key with the conversions of the column's type. `read`: if the JSON has another value."""
        own, encode, decode = _CONVERSIONS[value_type(table_of(Task).c[column])]
        return cls(column, read or own, encode, decode)

    @property
    def nullable(self) -> bool:
        return bool(table_of(Task).c[self.column].nullable)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.utcoffset() != timedelta(0):
        raise ValueError
    return instant


def _same(value: Any) -> Any:
    return value


_CONVERSIONS: Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], str], Callable[[str], Any]]] = {
    datetime: (datetime.fromisoformat, datetime.isoformat, _instant),
    str: (_same, str, str),
    bool: (_same, str, "True".__eq__),
    int: (_same, str, int),
    UUID: (UUID, lambda value: value.hex, UUID),
}
# Null in a cursor. The only control characters in a task's text are line ends and tabs.
_NULL = "\x1a"

SORT_KEYS = {
    "created_at": SortKey.of("created_at"),
    "updated_at": SortKey.of("updated_at"),
    "title": SortKey.of("title_key", read=fold),
    "completed": SortKey.of("completed"),
}
SORT_NAMES = tuple(SORT_KEYS)
# The last key of every order.
_ID = SortKey.of("id")


class OrderTerm(NamedTuple):
    """A sort key with its direction."""

    name: str
    descending: bool

    @property
    def key(self) -> SortKey:
        return _ID if self.name == "id" else SORT_KEYS[self.name]


NEWEST_FIRST = (OrderTerm("created_at", True),)


_EVERY_TASK = TaskFilter()


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """A list. Ties are resolved by `created_at`, then by `id`, descending."""

    filter: TaskFilter = _EVERY_TASK
    sort: tuple[OrderTerm, ...] = NEWEST_FIRST

    def order(self) -> tuple[OrderTerm, ...]:
        """The sort terms and the terms that resolve ties, so that no two tasks have the same position."""
        ties = () if any(term.name == "created_at" for term in self.sort) else NEWEST_FIRST
        return (*self.sort, *ties, OrderTerm("id", True))

    def fingerprint(self) -> tuple[str, ...]:
        """Identifies the list. A named filter that is not set adds nothing to it."""
        values = self.filter.__dict__
        return (
            *("" if values[name] is None else f"={values[name]}" for name in _UNNAMED),
            *(f"{name}={values[name]}" for name in _NAMED if values[name] is not None),
            ",".join(f"{'-' * term.descending}{term.name}" for term in self.sort),
        )

    def keyset_of(self, task: Mapping[str, Any]) -> Keyset:
        """The keyset of a task. `task`: its JSON."""
        members = ((term.key.read, task[term.name]) for term in self.order())
        return tuple(None if member is None else read(member) for read, member in members)

    def encode_keyset(self, keyset: Keyset) -> list[str]:
        """Convert a keyset to texts for a cursor."""
        values = zip(self.order(), keyset, strict=True)
        return [_NULL if value is None else term.key.encode(value) for term, value in values]

    def decode_keyset(self, texts: Sequence[str]) -> Keyset:
        """Convert the texts of a cursor to a keyset.

        Raises:
            ValueError: the texts are not those of `encode_keyset`.
        """
        terms = zip(self.order(), texts, strict=True)
        keyset = tuple(
            None if text == _NULL and term.key.nullable else term.key.decode(text) for term, text in terms
        )
        if self.encode_keyset(keyset) != texts:  # not canonical
            raise ValueError
        return keyset


# The parameter names of other APIs. docs/filters-and-pagination.md lists them, and docs/migrating.md those
# that are not accepted.
_PARAMETERS = {
    "search": "q",
    "query": "q",
    "sort_by": "sort",
    "order_by": "sort",
    "ordering": "sort",
    "sort_order": "order",
}
# The sort keys of other APIs, ignoring case and underscores: `createdAt`, `created_date`, `modified`.
_SORT_WORDS = {name.replace("_", ""): name for name in SORT_NAMES} | {
    word: name
    for verb, name in (("created", "created_at"), ("updated", "updated_at"), ("modified", "updated_at"))
    for word in (verb, f"{verb}at", f"{verb}on", f"{verb}date", f"{verb}time", f"date{verb}", f"last{verb}")
}
_TERM = re.compile(r"\s*(?P<sign>[+-]?)(?P<name>[a-z_]+)([: ](?P<direction>asc|desc))?\s*", re.IGNORECASE)
DESCENDING = {"asc": False, "ascending": False, "desc": True, "descending": True}


def parse_sort(text: str, *, descending: bool | None = None) -> tuple[OrderTerm, ...]:
    """Parse `-completed,title` and the like. `descending`: the direction of keys without one.

    Raises:
        ValueError: a name is unknown or repeated, or a key's direction contradicts `descending`.
    """
    terms = tuple(_parse_term(part, descending) for part in text.split(","))
    if len({term.name for term in terms}) != len(terms):
        raise ValueError
    return terms


def _parse_term(text: str, descending: bool | None) -> OrderTerm:
    found = _TERM.fullmatch(text)
    name = _SORT_WORDS.get(found["name"].replace("_", "").lower()) if found else None
    if found is None or name is None or (found["sign"] and found["direction"]):
        raise ValueError
    if not (found["sign"] or found["direction"]):
        return OrderTerm(name, bool(descending))
    own = found["sign"] == "-" or (found["direction"] or "").lower() == "desc"
    if descending not in {None, own}:
        raise ValueError
    return OrderTerm(name, own)


# Parameters


def names_of(parameters: Iterable[str]) -> Mapping[str, str]:
    """The canonical name of each accepted name: the name itself, its camelCase, and names of other APIs."""
    names = {name: name for name in parameters}
    words = names | {word: name for word, name in _PARAMETERS.items() if name in names}
    return {_in_camel_case(word): name for word, name in words.items()} | words


def _in_camel_case(word: str) -> str:
    first, *others = word.split("_")
    return first + "".join(map(str.capitalize, others))


class QueryCache:
    """A cache of parsed list queries, by the bytes of the query string."""

    _MAX_BYTES = 512  # of a cached query; the cache takes some megabytes at most

    def __init__(self) -> None:
        self._queries: BoundedCache[bytes, tuple[TaskQuery, int | None]] = BoundedCache()
        self._queries[b""] = (TaskQuery(), None)

    def find(self, text: bytes) -> tuple[TaskQuery, int | None] | None:
        """The query and its `limit`. None: not cached."""
        return self._queries.get(text)

    def remember(self, text: bytes, query: TaskQuery, limit: int | None) -> None:
        if len(text) <= self._MAX_BYTES:
            self._queries[text] = (query, limit)
