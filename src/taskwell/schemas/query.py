"""What a list may be asked for: which tasks, and in which order."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import NamedTuple

from taskwell.core.memory import Memory

SORT_NAMES = ("created_at", "updated_at", "title", "completed")


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


def parse_sort(text: str) -> tuple[SortKey, ...]:
    """`-completed,title` and the like.

    Raises:
        ValueError: a name that is not known, or one that comes twice.
    """
    keys = [SortKey(name.removeprefix("-"), name.startswith("-")) for name in text.split(",")]
    names = [key.name for key in keys]
    if not set(names) <= set(SORT_NAMES) or len(set(names)) != len(names):
        raise ValueError
    return tuple(keys)


class KnownQueries:
    """Queries of lists that were read and understood before, by their very bytes."""

    _LONGEST = 512  # bytes: all of them take some megabytes at most

    def __init__(self) -> None:
        self._queries: Memory[bytes, tuple[TaskQuery, int | None]] = Memory()
        self._queries[b""] = (TaskQuery(), None)

    def find(self, text: bytes) -> tuple[TaskQuery, int | None] | None:
        """The list and the size of its pages."""
        return self._queries.get(text)

    def remember(self, text: bytes, query: TaskQuery, limit: int | None) -> None:
        if len(text) <= self._LONGEST:
            self._queries[text] = (query, limit)
