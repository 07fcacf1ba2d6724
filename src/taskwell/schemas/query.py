"""What a list may be asked for: which tasks, and in which order."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import NamedTuple

from taskwell.core.bounded_cache import BoundedCache

SORT_NAMES = ("created_at", "updated_at", "title", "completed")
# What other APIs call a parameter. docs/lists.md has these words, docs/migrating.md those that are not taken.
_PARAMETERS = {
    "search": "q",
    "query": "q",
    "sort_by": "sort",
    "order_by": "sort",
    "ordering": "sort",
    "sort_order": "order",
}
# What they call a sort key, without regard to case and underscores: `createdAt`, `created_date`, `modified`.
_SORT_KEYS = {name.replace("_", ""): name for name in SORT_NAMES} | {
    word: name
    for verb, name in (("created", "created_at"), ("updated", "updated_at"), ("modified", "updated_at"))
    for word in (verb, f"{verb}at", f"{verb}on", f"{verb}date", f"{verb}time", f"date{verb}", f"last{verb}")
}
_SORT_KEY = re.compile(r"\s*(?P<sign>[+-]?)(?P<name>[a-z_]+)([: ](?P<direction>asc|desc))?\s*", re.IGNORECASE)
DESCENDING = {"asc": False, "ascending": False, "desc": True, "descending": True}


class SortKey(NamedTuple):
    name: str
    descending: bool


NEWEST_FIRST = (SortKey("created_at", True),)


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are meant. Instants are exclusive; `q` is looked for in both texts, whatever its case."""

    completed: bool | None = None
    q: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """A list. Ties are resolved by `created_at`, then by `id`, descending."""

    filter: TaskFilter = TaskFilter()
    sort: tuple[SortKey, ...] = NEWEST_FIRST

    def order(self) -> tuple[SortKey, ...]:
        """The sort keys and those that resolve their ties: no two tasks stand at one place."""
        ties = () if any(key.name == "created_at" for key in self.sort) else NEWEST_FIRST
        return (*self.sort, *ties, SortKey("id", True))

    def fingerprint(self) -> tuple[str, ...]:
        """The same for the same list, and for no other."""
        values = (getattr(self.filter, field.name) for field in fields(self.filter))
        return (
            *("" if value is None else f"={value}" for value in values),
            ",".join(f"{'-' * key.descending}{key.name}" for key in self.sort),
        )


def parse_sort(text: str, *, descending: bool | None = None) -> tuple[SortKey, ...]:
    """`-completed,title` and the like. `descending`: the direction of keys that have none of their own.

    Raises:
        ValueError: a name that is not known or comes twice; a key whose direction is not `descending`.
    """
    keys = tuple(_parse_sort_key(part, descending) for part in text.split(","))
    if len({key.name for key in keys}) != len(keys):
        raise ValueError
    return keys


def _parse_sort_key(text: str, descending: bool | None) -> SortKey:
    found = _SORT_KEY.fullmatch(text)
    name = _SORT_KEYS.get(found["name"].replace("_", "").lower()) if found else None
    if found is None or name is None or (found["sign"] and found["direction"]):
        raise ValueError
    if not (found["sign"] or found["direction"]):
        return SortKey(name, bool(descending))
    own = found["sign"] == "-" or (found["direction"] or "").lower() == "desc"
    if descending not in {None, own}:
        raise ValueError
    return SortKey(name, own)


def names_of(parameters: Iterable[str]) -> Mapping[str, str]:
    """The parameter that each word means: its name, in camelCase too, or what other APIs call it."""
    names = {name: name for name in parameters}
    words = names | {word: name for word, name in _PARAMETERS.items() if name in names}
    return {_in_camel_case(word): name for word, name in words.items()} | words


def _in_camel_case(word: str) -> str:
    first, *others = word.split("_")
    return first + "".join(map(str.capitalize, others))


class KnownQueries:
    """Queries of lists that were read and understood before, by their very bytes."""

    _LONGEST = 512  # bytes: all of them take some megabytes at most

    def __init__(self) -> None:
        self._queries: BoundedCache[bytes, tuple[TaskQuery, int | None]] = BoundedCache()
        self._queries[b""] = (TaskQuery(), None)

    def find(self, text: bytes) -> tuple[TaskQuery, int | None] | None:
        """The list and the size of its pages."""
        return self._queries.get(text)

    def remember(self, text: bytes, query: TaskQuery, limit: int | None) -> None:
        if len(text) <= self._LONGEST:
            self._queries[text] = (query, limit)
