"""What is derived from the declarations of a task's fields: JSON, values, columns."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    insert,
    literal_column,
    select,
)
from sqlalchemy.sql.ddl import CreateTable
from sqlmodel.sql.sqltypes import UTCDateTime
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.database.database import Database, Transaction
from taskwell.models import Task
from taskwell.models.base import table_of
from taskwell.schemas.task import TASK_DELETED_COLUMNS, TaskCreate, TaskDeleted, TaskRead, task_to_json
from taskwell.services import tasks
from taskwell.services.task_fields import NEW_COLUMNS, derived_values, json_sql, new_values, task_json_sql
from tests.services.test_task_statements import opened

_AWKWARD = (
    *map(chr, range(1, 0x21)), '"', "\\", "/", "'", "%", "%s", ":x", "::text", "\x7f", "\x80", "\x85", "\xa0",
    "ß", "é", "e\u0301", "\u2028", "\u2029", "\ufeff", "\ufffd", "\uffff", "😀", "\U0010ffff", "</script>",
    "&", '{"id":"', "null", "NULL", "$1", "{0}", "{", "}", "||", "--", "a", "milk ",
)  # fmt: skip
_ROWS = 3_000


def _texts(count: int) -> list[str]:
    random = Random(7)
    return ["".join(random.choices(_AWKWARD, k=random.randint(1, 9))) for _ in range(count)]


def _instants(count: int) -> list[datetime]:
    random = Random(8)
    return [
        datetime(
            random.randint(1900, 2199),
            random.randint(1, 12),
            7,
            8,
            9,
            59,
            random.choice((0, 1, 999_999)),
            UTC,
        )
        for _ in range(count)
    ]


def _rich(random: Random, completed: bool, text: str, at: datetime) -> dict[str, Any]:
    """Columns of any of the fields that a plain task lacks, with an awkward text wherever one can be."""
    extra = {f"n{text}": [text, {"": text}, at.microsecond / 7, -at.year, True, None, {}, []]}
    values = {
        "status": "cancelled" if completed else "in_progress",
        "list_id": uuid7(),
        "parent_id": uuid7(),
        "start": random.choice(("2026-11-19", "1900-01-01T00:00:00")),
        "due": random.choice(("2026-11-20", "9998-12-31T23:59:59")),
        "time_zone": random.choice(("UTC", "America/Argentina/ComodRivadavia", "Etc/GMT+5")),
        "due_at": at,
        "start_at": at,
        "priority": random.randint(1, 9),
        "labels": [text, f"{text}2"],
        "labels_key": [text],
        "link": f"https://example.com/{text}",
        "extra": extra,
    }
    names = random.sample(sorted(values), random.randint(0, len(values)))
    return {name: values[name] if name in names else None for name in values}


class TestJson:
    @pytest.mark.parametrize("deleted", [False, True])
    def test_its_bytes_are_those_of_the_records(self, database_url: str, deleted: bool) -> None:
        async def work(database: Database) -> None:
            await database.write(tasks.create_task, "ada", TaskCreate(title="Buy milk"), create_user=True)
            random = Random(9)
            rows = [
                {
                    **new_values("ada", None, TaskCreate.model_construct(title=f"x{text}"), at),
                    **_rich(random, place % 2 == 0, text, at),
                    "description": (None, "", text)[place % 3],
                    "completed": place % 2 == 0,
                    "completed_at": at if place % 2 == 0 else None,
                    "version": 2 + place,
                    "deleted_at": at if deleted else None,
                }
                for place, (text, at) in enumerate(zip(_texts(_ROWS), _instants(_ROWS), strict=True))
            ]

            async def write_and_read(transaction: Transaction) -> Sequence[Any]:
                await transaction.insert_rows(table_of(Task), rows)
                shown: ColumnElement[str] = literal_column(
                    task_json_sql(transaction.dialect, deleted=deleted)
                )
                return await transaction.all(select(shown, *TASK_DELETED_COLUMNS))

            found = [row for row in await database.write(write_and_read) if row.version > 1]
            assert len(found) == _ROWS
            assert {row.due is None for row in found} == {False, True}
            assert any(row.labels == [] and row.extra == {} and row.link is None for row in found)
            for shown, *row in found:
                record = TaskDeleted.of(row) if deleted else TaskRead.of(row[:-1])
                assert shown.encode() == task_to_json(record)

        opened(database_url, work)

    def test_every_type_is_shown_and_null_too(self, database_url: str) -> None:
        """Also those that no field of a task has yet."""
        types = {"text": Text, "uuid": Uuid, "flag": Boolean, "number": Integer, "at": UTCDateTime}
        columns = [
            Column(f"{name}{'_or_null' * nullable}", kind(), nullable=nullable)
            for name, kind in types.items()
            for nullable in (False, True)
        ]
        table = Table("samples", MetaData(), *columns)
        id_, at = uuid7(), datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
        values = {"text": 'a"\\\n', "uuid": id_, "flag": False, "number": -7, "at": at}
        some = {f"{name}{end}": value for name, value in values.items() for end in ("", "_or_null")}
        none = some | {f"{name}_or_null": None for name in values}

        async def work(database: Database) -> None:
            async def write_and_read(transaction: Transaction) -> list[str]:
                await transaction.execute(CreateTable(table))
                shown: ColumnElement[str] = literal_column(json_sql(transaction.dialect, columns))
                read = select(shown).select_from(table)
                written = [
                    (await transaction.all(insert(table).values(**row).returning(shown)))[0][0]
                    for row in (some, none)
                ]
                assert [row[0] for row in await transaction.all(read)] == written
                return written

            plain = values | {"uuid": str(id_), "at": "2026-11-28T12:00:00.000000Z"}
            for shown, row in zip(await database.write(write_and_read), (some, none), strict=True):
                expected = {
                    name: None if value is None else plain[name.partition("_")[0]]
                    for name, value in row.items()
                }
                assert shown == json.dumps(expected, separators=(",", ":"))

        opened(database_url, work)


class TestValues:
    def test_a_new_task_has_a_value_for_every_column(self) -> None:
        """But for `version`, the user's next number, those that are null are null in a plain task."""
        others = set(table_of(Task).c.keys()) - {*NEW_COLUMNS, "version"}
        assert all(table_of(Task).c[name].nullable for name in others)
        assert len(set(NEW_COLUMNS)) == len(NEW_COLUMNS)

    @pytest.mark.parametrize("make", [TaskCreate, TaskCreate.model_construct])
    def test_they_are_in_the_order_of_the_columns(self, make: Callable[..., TaskCreate]) -> None:
        new = make(completed=True, title="B")
        assert tuple(new_values("ada", None, new, utc_now())) == NEW_COLUMNS

    def test_the_client_may_choose_the_id(self) -> None:
        id_ = UUID("01a1fe04-9424-75e1-89a6-e90dc13ea379")
        assert new_values("ada", id_, TaskCreate(title="B"), utc_now())["id"] == id_

    @pytest.mark.parametrize("completed", [False, True])
    def test_the_server_derives_columns(self, completed: bool) -> None:
        now = utc_now()
        new = TaskCreate(title="STRASSE", description="ẞ", completed=completed)
        values = new_values("ada", None, new, now)
        assert (values["title_key"], values["description_key"]) == ("strasse", "ss")
        assert values["completed_at"] == (now if completed else None)
        assert values["created_at"] == values["updated_at"] == now

    def test_a_new_task_is_behind_all_earlier_ones(self) -> None:
        now = utc_now()
        places = [new_values("ada", None, TaskCreate(title="B"), now, nth)["position"] for nth in range(3)]
        later = new_values("ada", None, TaskCreate(title="B"), now + timedelta(microseconds=3))["position"]
        assert [*places, later] == sorted({*places, later})

    def test_what_is_not_written_derives_nothing(self) -> None:
        assert derived_values({}, utc_now()) == {}
        assert derived_values({"description": None}, utc_now()) == {"description_key": None}
