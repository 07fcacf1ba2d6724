"""Filters as conditions: what statements share, and what changes with the clock."""

from collections.abc import Hashable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from taskwell.database.prepared import PreparedStatement
from taskwell.schemas.query import CONDITIONS, TaskFilter, TaskQuery, parse_sort
from taskwell.services import task_query
from taskwell.services.task_filters import parameters, resolve, shape_of
from taskwell.services.task_query import ChunkKey, prepared, values_of

NOW = datetime(2026, 11, 20, 22, 59, tzinfo=UTC)
_DAYS = st.dates(date(1900, 1, 1), date(9998, 12, 31))
_BOUNDS = st.one_of(
    _DAYS.map(date.isoformat),
    st.sampled_from(["2026-11-20T09:00", "2026-11-20T09:00:00Z", "2026-03-29T02:30+01:00"]),
)
_MOMENTS = st.sampled_from(["2026-11-20T09:00:00Z", "2025-01-01T00:00:00+01:00"])
_FLAGS = st.sampled_from(["true", "false"])
_NAMES = st.lists(st.sampled_from(["home", "Büro", "a,b", "work"]), min_size=1, max_size=3)
_IDS = st.uuids().map(str)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "completed": _FLAGS,
    "status": st.sampled_from(["open", "in_progress", "completed", "cancelled"]),
    "q": st.sampled_from(["milk", "Käse"]),
    "created_after": _MOMENTS, "created_before": _MOMENTS, "updated_after": _MOMENTS,
    "updated_before": _MOMENTS, "completed_after": _MOMENTS, "completed_before": _MOMENTS,
    "due": st.lists(
        st.sampled_from(["none", "any", "overdue", "today", "tomorrow", "week"]) | _DAYS.map(date.isoformat),
        min_size=1, max_size=3,
    ).map(",".join),
    "due_before": _BOUNDS, "due_after": _BOUNDS, "start_before": _BOUNDS, "start_after": _BOUNDS,
    "started": _FLAGS,
    "list": st.lists(st.just("inbox") | _IDS, min_size=1, max_size=3).map(",".join),
    "archived": _FLAGS,
    "parent": st.just("none") | _IDS,
    "priority": st.lists(st.sampled_from(["none", "1", "2", "9"]), min_size=1, max_size=3).map(",".join),
    "label": _NAMES, "label_any": _NAMES, "label_not": _NAMES,
    "labelled": _FLAGS, "recurring": _FLAGS, "claimed": _FLAGS,
}  # fmt: skip
FILTERS = st.fixed_dictionaries({}, optional=_VALUES).map(
    lambda values: TaskFilter.model_validate({**values, "tz": "Europe/Berlin", "now": NOW})
)
SORTS = st.sampled_from(["created_at", "-due", "due", "-priority,position", "completed_at"])


def filter_of(**values: Any) -> TaskFilter:
    return TaskFilter.model_validate({"tz": "Europe/Berlin", "now": NOW, **values})


def statement_of(task_filter: TaskFilter) -> PreparedStatement:
    return prepared("sqlite", ChunkKey("ada", TaskQuery(task_filter), 50), resolve(task_filter))


class TestStatements:
    def test_every_filter_is_tried(self) -> None:
        assert _VALUES.keys() == CONDITIONS.keys()

    @pytest.mark.parametrize("driver", ["postgresql+asyncpg", "sqlite"])
    def test_depend_on_the_shape_of_filters_alone(self, driver: str) -> None:
        dialect = make_url(f"{driver}://").get_dialect()()
        known: dict[Hashable, str] = {}

        @settings(max_examples=60, deadline=None)
        @given(FILTERS, SORTS)
        def try_one(task_filter: TaskFilter, sort: str) -> None:
            key = ChunkKey("ada", TaskQuery(task_filter, parse_sort(sort)), 50)
            filters = resolve(task_filter)
            shape = (sort, *((name, shape_of(value)) for name, value in filters.items()))
            statement = task_query._statement(dialect.name, key)
            sql, arguments = PreparedStatement(statement).compiled(dialect, values_of(key, filters))
            assert known.setdefault(shape, sql) == sql
            # The shared statement gets each value from its name, none from the list that was first.
            shared = prepared(dialect.name, key, filters)
            assert shared.compiled(dialect, values_of(key, filters)) == (sql, arguments)

        try_one()
        assert len(known) > 20

    @pytest.mark.parametrize(
        ("values", "others"),
        [
            ({"due": "today"}, {"due": "2026-01-01"}),
            ({"due": "today"}, {"due": "tomorrow", "tz": "Asia/Kathmandu"}),
            ({"due_before": "2026-01-01"}, {"due_before": "2026-01-01T09:00Z"}),
            ({"label": ["a"]}, {"label": ["b"]}),
            ({"priority": "1,2"}, {"priority": "9,3"}),
            ({"list": str(uuid4())}, {"list": str(uuid4())}),
            ({"status": "in_progress"}, {"status": "open"}),
            ({"q": "milk"}, {"q": "bread"}),
        ],
    )
    def test_are_shared_by_lists_that_differ_in_values(
        self, values: dict[str, Any], others: dict[str, Any]
    ) -> None:
        assert statement_of(filter_of(**values)) is statement_of(filter_of(**others))

    def test_are_kept_up_to_a_bound(self) -> None:
        for count in range(1, 31):
            days = [date(2026, 1, 1) + timedelta(days=day) for day in range(count)]
            statement_of(filter_of(due=",".join(map(date.isoformat, days))))
        assert len(task_query._STATEMENTS) <= task_query._STATEMENTS._max_size

    @given(FILTERS)
    def test_have_no_parameter_for_what_is_not_asked(self, task_filter: TaskFilter) -> None:
        asked = {name for name in CONDITIONS if getattr(task_filter, name) is not None}
        assert {
            name for name in parameters(resolve(task_filter)) if not name.startswith(tuple(asked))
        } == set()


class TestClock:
    @pytest.mark.parametrize(
        ("values", "clock"),
        [
            ({}, ""),
            ({"due": "none,any,2026-11-20"}, ""),
            ({"due_before": "2026-11-20"}, ""),
            ({"due": "today"}, "2026-11-20"),
            ({"due": "none,tomorrow"}, "2026-11-20"),
            ({"due": "week", "tz": "Asia/Kathmandu"}, "2026-11-21"),
            ({"due": "overdue"}, "2026-11-20T22:59:00+00:00"),
            ({"due": "today,overdue"}, "2026-11-20T22:59:00+00:00"),
            ({"started": "false"}, "2026-11-20T22:59:00+00:00"),
            ({"claimed": "true"}, "2026-11-20T22:59:00+00:00"),
            ({"claimed": "false", "tz": None}, "2026-11-20T22:59:00+00:00"),
        ],
    )
    def test_is_the_day_or_the_minute_of_what_depends_on_it(self, values: dict[str, Any], clock: str) -> None:
        task_filter = filter_of(**values)
        if not (task_filter.needs_day() or task_filter.needs_minute()):
            task_filter = task_filter.model_copy(update={"now": None})
        assert TaskQuery(task_filter).clock() == clock

    @given(FILTERS, st.integers(0, 59_999_999))
    def test_a_list_is_the_same_within_it(self, task_filter: TaskFilter, microseconds: int) -> None:
        """What depends on the day alone has one range of values for the whole day."""
        later = task_filter.model_copy(update={"now": NOW + timedelta(microseconds=microseconds)})
        if not task_filter.needs_minute():
            assert resolve(later) == resolve(task_filter)

    def test_is_no_part_of_a_cursor(self) -> None:
        queries = [
            TaskQuery(filter_of(due="overdue", now=NOW + timedelta(minutes=minutes))) for minutes in range(2)
        ]
        assert queries[0].fingerprint() == queries[1].fingerprint()
        assert queries[0].clock() != queries[1].clock()
