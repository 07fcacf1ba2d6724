"""The query of a list: its filters and its order.

A filter is a member of `FilterParameters`, and a sort key an entry of `SORT_KEYS`: request parameters, SQL,
cursors and ETags follow from these declarations.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskwell.core.bounded_cache import BoundedCache
from taskwell.core.time_zones import local_time_of
from taskwell.models import Task
from taskwell.models.base import table_of, value_type
from taskwell.models.task import HIGHEST_PRIORITY, LOWEST_PRIORITY, TITLE_MAX_LENGTH
from taskwell.schemas.base import Moment
from taskwell.schemas.dates import PATTERN, parse_when
from taskwell.schemas.types import check_search, fold, is_task_id
from taskwell.schemas.values import Label, check_label_count, label_key

# The values of a task's sort keys in the order of the list, which define its position.
Keyset = tuple[Any, ...]


# Filters


Operator = Literal[
    "is", "has", "<", ">", "contains", "among", "dates", "state", "archived", "held", "all of", "any of",
    "none of",
]  # fmt: skip


class Where(NamedTuple):
    """The condition of a filter, by its operator. `services.task_filters` has the SQL of each.

    `<`, `>` and `contains` hold if they do for any of the columns; `is` if the column is true or false, `has`
    if it is not null or null; `among` if it is one of the values, which may be null; `dates` if the date, or
    its instant, is in one of some ranges; `state` if the task is shown with that status; `all of`, `any of`
    and `none of` compare labels; `archived` the lists of tasks; `held` if a claim holds the task now.
    """

    operator: Operator
    columns: tuple[str, ...]


# What each word says about `completed`. `all` and `pending` are no statuses of a task.
STATUSES = {
    "all": None, "pending": False, "completed": True, "open": False, "in_progress": False, "cancelled": True,
}  # fmt: skip
_STATUS_WORDS = {name: name for name in STATUSES} | {
    "active": "pending", "incomplete": "pending", "todo": "pending", "complete": "completed",
    "done": "completed", "canceled": "cancelled",
}  # fmt: skip
# The values that FastAPI accepts for a `bool`, in any case.
_FLAGS = {
    "true": True, "1": True, "yes": True, "on": True, "t": True, "y": True,
    "false": False, "0": False, "no": False, "off": False, "f": False, "n": False,
}  # fmt: skip
# The words of `due`: those that need no clock, those that change with the day, and with the minute.
_TIMELESS_WORDS, _DAY_WORDS, _MINUTE_WORDS = ("none", "any"), ("today", "tomorrow", "week"), ("overdue",)
_DUE_WORDS = (*_MINUTE_WORDS, *_DAY_WORDS, *_TIMELESS_WORDS)
MAX_CHOICES = 30  # of a parameter that has several values
# A + that is not encoded arrives as a space.
_SPACE_IN_OFFSET = re.compile(" (?=[0-9]{2}:[0-9]{2}$)")


def _flag(value: object) -> bool:
    flag = _FLAGS.get(str(value).lower())
    if flag is None:
        raise PydanticCustomError("invalid_flag", "must be true or false")
    return flag


def _status(value: object) -> str:
    status = _STATUS_WORDS.get(str(value).lower())
    if status is None:
        raise PydanticCustomError("invalid_status", f"must be one of {', '.join(STATUSES)}")
    return status


def _when(value: object) -> date:
    return parse_when(_SPACE_IN_OFFSET.sub("+", value) if isinstance(value, str) else value)


def _choices(value: object, parse: Callable[[str], Any]) -> tuple[Any, ...]:
    """The values of a text with commas, each once."""
    texts = str(value).split(",")
    if len(texts) > MAX_CHOICES:
        raise PydanticCustomError("too_many", f"must be at most {MAX_CHOICES} values")
    return tuple(dict.fromkeys(parse(text.strip()) for text in texts))


def _due(value: object) -> tuple[str | date, ...]:
    return _choices(value, _due_choice)


def _due_choice(text: str) -> str | date:
    if text.lower() in _DUE_WORDS:
        return text.lower()
    try:
        when = parse_when(text)
    except PydanticCustomError:
        when = None
    if when is None or isinstance(when, datetime):
        detail = f"must be some of {', '.join(_DUE_WORDS)}, or dates such as 2026-11-20, with commas"
        raise PydanticCustomError("invalid_date", detail)
    return when


def _lists(value: object) -> tuple[UUID | None, ...]:
    return _choices(value, lambda text: _id_or(text, "inbox"))


def _parent(value: object) -> tuple[UUID | None, ...]:
    return (_id_or(str(value), "none"),)


def _id_or(text: str, word: str) -> UUID | None:
    """None: the word, which stands for tasks without."""
    if text.lower() == word:
        return None
    if not is_task_id(text):
        raise PydanticCustomError("invalid_id", f"must be a UUID, written with its four hyphens, or {word}")
    return UUID(text)


def _priorities(value: object) -> tuple[int | None, ...]:
    return _choices(value, _priority)


def _priority(text: str) -> int | None:
    if text.lower() == "none":
        return None
    if text not in _PRIORITIES:
        raise PydanticCustomError("invalid_priority", "must be some of 1 to 9 or none, with commas")
    return int(text)


def _label_keys(names: list[str]) -> tuple[str, ...]:
    return tuple(map(label_key, check_label_count(names)))


_PRIORITIES = frozenset(map(str, range(HIGHEST_PRIORITY, LOWEST_PRIORITY + 1)))
ID_PATTERN = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_DATE_PATTERN = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


def _text(pattern: str, example: str, *, several: bool = False) -> WithJsonSchema:
    whole = f"^({pattern})(,({pattern}))*$" if several else f"^({pattern})$"
    return WithJsonSchema({"type": "string", "pattern": whole, "examples": [example]})


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
# `Any`, since FastAPI would take a tuple for a parameter that is repeated.
DueChoices = Annotated[
    Any,
    BeforeValidator(_due),
    _text(f"{'|'.join(_DUE_WORDS)}|{_DATE_PATTERN}", "overdue,today", several=True),
]
Bound = Annotated[
    Any,
    BeforeValidator(_when),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["2026-11-20"]}),
]
ListIds = Annotated[Any, BeforeValidator(_lists), _text(f"inbox|{ID_PATTERN}", "inbox", several=True)]
Priorities = Annotated[Any, BeforeValidator(_priorities), _text("none|[1-9]", "1,2", several=True)]
ParentId = Annotated[Any, BeforeValidator(_parent), _text(f"none|{ID_PATTERN}", "none")]
# Repeated for several: a name may have a comma.
LabelNames = Annotated[list[Label], AfterValidator(_label_keys)]
_DUE, _START, _LABELS = ("due", "due_at"), ("start", "start_at"), ("labels_key",)


class FilterParameters(BaseModel):
    """The filters of a request. Bounds are exclusive.

    A member with `Where` is a condition.
    """

    model_config = ConfigDict(frozen=True)

    completed: Annotated[
        Flag,
        Where("is", ("completed",)),
        Field(description="Only tasks that are completed, or only those that are not.", examples=[False]),
    ] = None
    status: Annotated[
        Status,
        Where("state", ("status", "completed")),
        Field(
            description="Tasks with this status; `pending` are those that are not completed, and `all` is no "
            "filter.",
            examples=["pending"],
        ),
    ] = None
    q: Annotated[
        Search,
        Where("contains", ("title_key", "description_key")),
        Field(
            description="Only tasks with this text in the title or the description, whatever its case.",
            examples=["milk"],
        ),
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
    completed_after: Annotated[
        Moment | None, Where(">", ("completed_at",)), Field(description="Completed later than this.")
    ] = None
    completed_before: Annotated[
        Moment | None, Where("<", ("completed_at",)), Field(description="Completed earlier than this.")
    ] = None
    due: Annotated[
        DueChoices | None,
        Where("dates", _DUE),
        Field(
            description="Any of these words and dates, with commas. `overdue` tasks are open; `week` is "
            "seven days from today; `none` is without a date."
        ),
    ] = None
    due_before: Annotated[
        Bound | None,
        Where("dates", _DUE),
        Field(description="Due before a day begins, before a local time, or before an instant."),
    ] = None
    due_after: Annotated[
        Bound | None,
        Where("dates", _DUE),
        Field(description="Due after a day has ended, after a local time, or after an instant."),
    ] = None
    start_before: Annotated[
        Bound | None, Where("dates", _START), Field(description="As `due_before`, of the start.")
    ] = None
    start_after: Annotated[
        Bound | None, Where("dates", _START), Field(description="As `due_after`, of the start.")
    ] = None
    started: Annotated[
        Flag,
        Where("dates", _START),
        Field(
            description="Only tasks whose start, if they have one, has come; or only those that wait.",
            examples=[True],
        ),
    ] = None
    list: Annotated[
        ListIds | None,
        Where("among", ("list_id",)),
        Field(description="In any of these lists, by their ids, with commas; `inbox` is no list."),
    ] = None
    archived: Annotated[
        Flag,
        Where("archived", ("list_id",)),
        Field(
            description="Only tasks of archived lists, which are left out otherwise unless `list` names "
            "them; or only others.",
            examples=[False],
        ),
    ] = None
    parent: Annotated[
        ParentId | None,
        Where("among", ("parent_id",)),
        Field(description="Parts of this task, by its id; `none`: of no task."),
    ] = None
    priority: Annotated[
        Priorities | None, Where("among", ("priority",)), Field(description="Any of these, with commas.")
    ] = None
    label: Annotated[
        LabelNames | None,
        Where("all of", _LABELS),
        Field(description="With this label, whatever its case; repeated: with all of them."),
    ] = None
    label_any: Annotated[
        LabelNames | None,
        Where("any of", _LABELS),
        Field(description="With this label; repeated: with any of them."),
    ] = None
    label_not: Annotated[
        LabelNames | None,
        Where("none of", _LABELS),
        Field(description="Without this label; repeated: with none of them."),
    ] = None
    labelled: Annotated[
        Flag,
        Where("has", _LABELS),
        Field(description="Only tasks with labels, or only those without.", examples=[False]),
    ] = None
    recurring: Annotated[
        Flag,
        Where("has", ("recurrence",)),
        Field(description="Only tasks that recur, or only others.", examples=[False]),
    ] = None
    claimed: Annotated[
        Flag,
        Where("held", ("claimed_until", "completed", "deleted_at")),
        Field(description="Only tasks that are claimed at present, or only others.", examples=[False]),
    ] = None


# The parameter that shows what a write would do.
DRY_RUN = "dry_run"
# The parameters that may be repeated.
REPEATABLE = frozenset({"label", "label_any", "label_not"})


class TaskFilter(FilterParameters):
    """The filters of a list or a mass deletion. `deleted`: tasks in the trash instead.

    A filter that depends on the zone has it in `tz`, and one that depends on the time has the present minute
    in `now`; others have neither.
    """

    deleted: bool = False
    tz: str | None = None
    now: datetime | None = None

    @classmethod
    def of(cls, sent: FilterParameters) -> "TaskFilter":
        """The filters that a request sent.

        Raises:
            ValueError: `status` and `completed` contradict each other.
        """
        by_status = STATUSES[sent.status or "all"]
        if sent.completed is not None and by_status is not None and sent.completed != by_status:
            raise ValueError
        values = dict(sent) | {"q": sent.q or None}
        if sent.status in {"all", "pending"}:
            values["status"] = None
        if sent.completed is None:
            values["completed"] = by_status
        return cls.model_construct(**values)

    def conditions(self) -> dict[str, Any]:
        """The filters that are set."""
        every = self.__dict__
        return {name: every[name] for name in CONDITIONS if every[name] is not None}

    def needs_zone(self) -> bool:
        bounds = (self.due_before, self.due_after, self.start_before, self.start_after, self.started)
        return any(bound is not None for bound in bounds) or not set(self.due or ()) <= {*_TIMELESS_WORDS}

    def needs_minute(self) -> bool:
        depends = self.started is not None or self.claimed is not None
        return depends or bool({*_MINUTE_WORDS} & {*(self.due or ())})

    def needs_day(self) -> bool:
        return bool({*_DAY_WORDS} & {*(self.due or ())})

    def at(self, zone: str | None, instant: datetime) -> "TaskFilter":
        """The filter in a zone and at an instant, as far as it depends on them."""
        zoned, timed = self.needs_zone(), self.needs_minute() or self.needs_day()
        if not zoned and not timed:
            return self
        now = instant.replace(second=0, microsecond=0) if timed else None
        return self.model_copy(update={"tz": zone if zoned else None, "now": now})


def _conditions() -> Mapping[str, Where]:
    members = FilterParameters.model_fields.items()
    return {name: part for name, member in members for part in member.metadata if isinstance(part, Where)}


# By the name of the filter.
CONDITIONS = _conditions()
# The filters without a name in the fingerprint. Cursors and ETags of clients depend on their order.
_UNNAMED = (
    "completed", "q", "created_after", "created_before", "updated_after", "updated_before", "deleted",
)  # fmt: skip
_NAMED = tuple(name for name in TaskFilter.model_fields if name not in {*_UNNAMED, "now"})


# Orders


@dataclass(frozen=True, slots=True)
class SortKey:
    """A key that sorts a list. A task whose column is null comes last, and first if the key is descending.

    `length`: the characters of a text by which it sorts, so that cursors are short; None: all.

    `read` converts the field in a task's JSON to the column's value; `encode` converts that value to text for
    a cursor, and `decode` the text to the value, or raises ValueError.
    """

    column: str
    read: Callable[[Any], Any]
    encode: Callable[[Any], str]
    decode: Callable[[str], Any]
    length: int | None = None

    @classmethod
    def of(cls, column: str) -> "SortKey":
        """A key with the conversions of the column's type."""
        return cls(column, *_CONVERSIONS[value_type(table_of(Task).c[column])])

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

# Case-folding makes at most three characters of one, so titles as REST takes them sort by all of theirs.
_TITLE_KEY_LENGTH = 3 * TITLE_MAX_LENGTH


def _title_key(title: str) -> str:
    return fold(title)[:_TITLE_KEY_LENGTH]


SORT_KEYS = {
    "created_at": SortKey.of("created_at"),
    "updated_at": SortKey.of("updated_at"),
    "title": SortKey("title_key", _title_key, str, str, _TITLE_KEY_LENGTH),
    "completed": SortKey.of("completed"),
    "completed_at": SortKey.of("completed_at"),
    "due": SortKey.of("due"),
    "start": SortKey.of("start"),
    "priority": SortKey.of("priority"),
    "position": SortKey.of("position"),
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
    """A list. Ties are resolved by `created_at`, then by `id`, descending; those of a position by `id`.

    `fields`: those that are shown, in the order of a task's; None: all.
    """

    filter: TaskFilter = _EVERY_TASK
    sort: tuple[OrderTerm, ...] = NEWEST_FIRST
    fields: tuple[str, ...] | None = None

    def order(self) -> tuple[OrderTerm, ...]:
        """The sort terms and the terms that resolve ties, so that no two tasks have the same position."""
        last = self.sort[-1]
        if last.name == "position":
            return (*self.sort, OrderTerm("id", last.descending))
        ties = () if any(term.name == "created_at" for term in self.sort) else NEWEST_FIRST
        return (*self.sort, *ties, OrderTerm("id", True))

    def fingerprint(self) -> tuple[str, ...]:
        """Identifies the list. A named filter that is not set adds nothing to it."""
        values = self.filter.__dict__
        return (
            *("" if values[name] is None else f"={values[name]}" for name in _UNNAMED),
            *(f"{name}={values[name]}" for name in _NAMED if values[name] is not None),
            ",".join(f"{'-' * term.descending}{term.name}" for term in self.sort),
            *(() if self.fields is None else (f"fields={','.join(self.fields)}",)),
        )

    def at(self, zone: str | None, instant: datetime) -> "TaskQuery":
        return replace(self, filter=self.filter.at(zone, instant))

    def without_clock(self, zone: str | None) -> "TaskQuery":
        """The query as it was asked. `zone`: that of the request, if it names one."""
        if self.filter.tz is None and self.filter.now is None:
            return self
        asked = zone if self.filter.needs_zone() else None
        return replace(self, filter=self.filter.model_copy(update={"tz": asked, "now": None}))

    def clock(self) -> str:
        """The minute or the day, if the list depends on it: without a change, another follows then."""
        now, zone = self.filter.now, self.filter.tz
        if now is None:
            return ""
        if zone is None or self.filter.needs_minute():
            return now.isoformat()
        return local_time_of(now, zone).date().isoformat()

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
    # A slip in this name would do what was only to be shown.
    "dryrun": DRY_RUN,
    "dry-run": DRY_RUN,
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


def _check_sort(value: str) -> str:
    try:
        parse_sort(value)
    except ValueError:
        detail = f"must be some of {', '.join(SORT_NAMES)}, each once, with - for descending"
        raise PydanticCustomError("invalid_sort", detail) from None
    return value


_SORT_KEY = f"-?({'|'.join(SORT_NAMES)})"
# For `parse_sort`.
Sort = Annotated[
    str,
    AfterValidator(_check_sort),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^{_SORT_KEY}(,{_SORT_KEY})*$",
            "examples": ["completed,-updated_at"],
        }
    ),
]


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
    """A cache of parsed list queries without a cursor, by the bytes of the query string.

    The filters are without a time, and without a zone that is not the request's own.
    """

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
