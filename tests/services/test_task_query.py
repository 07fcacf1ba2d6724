"""Lists: what a filter and a sort key are made of, and orders that have nulls."""

import json
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from taskwell.core.clock import utc_now
from taskwell.database.database import Database, ReadTransaction, Transaction
from taskwell.models import Task
from taskwell.models.base import table_of
from taskwell.schemas.query import (
    CONDITIONS,
    SORT_KEYS,
    FilterParameters,
    OrderTerm,
    TaskFilter,
    TaskQuery,
    parse_sort,
)
from taskwell.schemas.task import TaskCreate
from taskwell.services import tasks
from taskwell.services.task_fields import new_values
from taskwell.services.task_query import ChunkKey, list_chunk
from tests.services.test_task_statements import opened

_BEGIN = datetime(2026, 11, 28, 12, tzinfo=UTC)
# Three tasks at each of four instants, and six without one.
_INSTANTS = [*([_BEGIN + timedelta(hours=hour) for hour in range(4)] * 3), *([None] * 6)]


async def _fill(database: Database) -> None:
    await database.write(tasks.create_task, "ada", TaskCreate(title="Buy milk"), create_user=True)
    rows = [
        {
            **new_values("ada", None, TaskCreate(title=f"Task {place % 2}"), utc_now()),
            "completed": at is not None,
            "completed_at": at,
            "version": 2 + place,
        }
        for place, at in enumerate(_INSTANTS)
    ]

    async def insert(transaction: Transaction) -> None:
        await transaction.insert_rows(table_of(Task), rows)

    await database.write(insert)


def _sorted(found: list[dict[str, Any]], query: TaskQuery) -> list[dict[str, Any]]:
    """By Python, one key after the other; null is greater than every value."""
    for term in reversed(query.order()):
        member = term.name
        found = sorted(
            found, key=lambda task: (task[member] is None, task[member] or ""), reverse=term.descending
        )
    return found


class TestNulls:
    @pytest.mark.parametrize("limit", [1, 4])
    def test_pages_have_every_task_once_in_order(self, database_url: str, limit: int) -> None:
        orders = [
            (OrderTerm("completed_at", descending), *others)
            for descending, others in product((False, True), ((), (OrderTerm("title", False),)))
        ]
        orders += [
            (OrderTerm("title", True), OrderTerm("completed_at", descending)) for descending in (False, True)
        ]

        async def work(database: Database) -> None:
            await _fill(database)
            for order in orders:
                query = TaskQuery(sort=order)
                whole = await database.read(_pages, query, 100)
                assert whole == _sorted(whole, query)
                assert len({task["id"] for task in whole}) == len(_INSTANTS) + 1
                assert await database.read(_pages, query, limit) == whole

        opened(database_url, work)

    def test_they_come_back_from_a_cursor(self) -> None:
        query = TaskQuery(sort=(OrderTerm("completed_at", False),))
        task = {"completed_at": None, "created_at": "2026-11-28T12:00:00.000000Z", "id": "0" * 32}
        keyset = query.keyset_of(task)
        assert keyset[0] is None
        assert query.decode_keyset(query.encode_keyset(keyset)) == keyset

    def test_a_key_that_is_never_null_has_none_in_a_cursor(self) -> None:
        query = TaskQuery(sort=parse_sort("title"))
        texts = ["\x1a", "2026-11-28T12:00:00+00:00", "0" * 32]
        assert query.decode_keyset(texts)[0] == "\x1a"


async def _pages(transaction: ReadTransaction, query: TaskQuery, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while True:
        chunk = await list_chunk(transaction, ChunkKey("ada", query, limit, after))
        found += json.loads(f"[{chunk.json}]")
        if chunk.count < limit:
            return found
        after = query.decode_keyset(query.encode_keyset(query.keyset_of(chunk.last())))


class TestDeclarations:
    def test_every_filter_is_a_condition(self) -> None:
        assert FilterParameters.model_fields.keys() == CONDITIONS.keys()

    def test_every_condition_and_every_key_has_columns(self) -> None:
        columns = {column for where in CONDITIONS.values() for column in where.columns}
        assert columns | {key.column for key in SORT_KEYS.values()} <= set(table_of(Task).c.keys())

    def test_lists_of_different_filters_have_different_fingerprints(self) -> None:
        instants = ("created_after", "created_before", "updated_after", "updated_before")
        filters = [
            TaskFilter(), TaskFilter(completed=True), TaskFilter(completed=False), TaskFilter(deleted=True),
            TaskFilter(q="a"), *(TaskFilter.model_validate({name: _BEGIN}) for name in instants),
        ]  # fmt: skip
        assert len({TaskQuery(task_filter).fingerprint() for task_filter in filters}) == len(filters)

    def test_clients_keep_the_cursors_that_they_have(self) -> None:
        """A fingerprint is part of every cursor and ETag: a further filter leaves it, unless it is set."""
        task_filter = TaskFilter(completed=True, q="milk", created_after=_BEGIN)
        assert TaskQuery(task_filter, parse_sort("-completed,title")).fingerprint() == (
            "=True", "=milk", "=2026-11-28 12:00:00+00:00", "", "", "", "=False", "-completed,title",
        )  # fmt: skip
