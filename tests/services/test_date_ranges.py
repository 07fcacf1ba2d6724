"""Ranges of dates: in words, in Python and in SQL."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, and_, or_, select
from sqlalchemy.schema import CreateTable

from taskwell.core.time_zones import instant_of, local_time_of
from taskwell.database.database import Database, ReadTransaction, Transaction
from taskwell.models import Task
from taskwell.models.base import TextKey, table_of
from taskwell.schemas.dates import parse_when
from taskwell.services.date_ranges import (
    Range,
    after,
    before,
    days,
    exact,
    exact_parameters,
    matches,
    named,
    rough,
    rough_parameters,
    today,
    until,
)
from tests.core.test_time_zones import LOCAL_TIMES, ZONES, local
from tests.services.test_task_statements import opened

BERLIN, NEW_YORK, KIRITIMATI = "Europe/Berlin", "America/New_York", "Pacific/Kiritimati"
NOW = datetime(2026, 11, 20, 8, 0, 0, 500_000, tzinfo=UTC)  # 9:00 in Berlin, 3:00 in New York

Value = tuple[str | None, datetime | None]


def value(text: str | None, zone: str | None = None) -> Value:
    """A date, a floating time, or a time of a zone."""
    if text is None or zone is None:
        return text, None
    return text, instant_of(datetime.fromisoformat(text), zone)


def is_in(within: Range, text: str | None, zone: str | None = None) -> bool:
    return matches(*value(text, zone), within)


class TestWords:
    @pytest.mark.parametrize(
        ("text", "zone", "words"),
        [
            (None, None, ""),
            ("2026-11-19", None, "any overdue"),
            ("2026-11-20", None, "any today week"),
            ("2026-11-21", None, "any tomorrow week"),
            ("2026-11-26", None, "any week"),
            ("2026-11-27", None, "any"),
            ("2026-11-19T23:59:59", None, "any overdue"),
            ("2026-11-20T00:00:00", None, "any overdue today week"),
            ("2026-11-20T09:00:00", None, "any overdue today week"),
            ("2026-11-20T09:00:01", None, "any today week"),
            ("2026-11-20T23:59:59", None, "any today week"),
            ("2026-11-21T00:00:00", None, "any tomorrow week"),
            ("2026-11-26T23:59:59", None, "any week"),
            ("2026-11-27T00:00:00", None, "any"),
            ("2026-11-20T09:00:00", BERLIN, "any overdue today week"),
            ("2026-11-20T09:00:01", BERLIN, "any today week"),
            ("2026-11-20T03:00:00", NEW_YORK, "any overdue today week"),
            ("2026-11-20T03:00:01", NEW_YORK, "any today week"),
            ("2026-11-19T18:00:00", NEW_YORK, "any overdue today week"),
            ("2026-11-19T17:59:59", NEW_YORK, "any overdue"),
            ("2026-11-20T18:00:00", NEW_YORK, "any tomorrow week"),
            ("2026-11-21T12:59:59", KIRITIMATI, "any today week"),
            ("2026-11-27T12:59:59", KIRITIMATI, "any week"),
            ("2026-11-27T13:00:00", KIRITIMATI, "any"),
        ],
    )
    def test_of_a_caller_in_berlin(self, text: str | None, zone: str | None, words: str) -> None:
        known = ("any", "overdue", "today", "tomorrow", "week")
        assert [word for word in known if is_in(named(word, BERLIN, NOW), text, zone)] == words.split()

    def test_that_are_none_are_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="yesterday"):
            named("yesterday", BERLIN, NOW)

    @pytest.mark.parametrize(
        ("zone", "day"), [(BERLIN, 20), (NEW_YORK, 19), (KIRITIMATI, 20), ("Etc/GMT+12", 19)]
    )
    def test_today_is_the_callers(self, zone: str, day: int) -> None:
        assert today(zone, datetime(2026, 11, 20, 3, tzinfo=UTC)) == date(2026, 11, day)


class TestBounds:
    @pytest.mark.parametrize(
        ("bound", "text", "zone", "place"),
        [
            # A date bounds by the whole day.
            ("2026-11-20", "2026-11-19", None, "before"),
            ("2026-11-20", "2026-11-20", None, "within"),
            ("2026-11-20", "2026-11-21", None, "after"),
            ("2026-11-20", "2026-11-19T23:59:59", None, "before"),
            ("2026-11-20", "2026-11-20T00:00:00", None, "within"),
            ("2026-11-20", "2026-11-20T23:59:59", None, "within"),
            ("2026-11-20", "2026-11-21T00:00:00", None, "after"),
            ("2026-11-20", "2026-11-19T17:59:59", NEW_YORK, "before"),
            ("2026-11-20", "2026-11-19T18:00:00", NEW_YORK, "within"),
            ("2026-11-20", "2026-11-20T18:00:00", NEW_YORK, "after"),
            # A time bounds dates by its day, floating times by the clock, and zoned ones by its instant.
            *(
                (bound, text, zone, place)
                for bound in ("2026-11-20T09:00:00", "2026-11-20T08:00:00Z", "2026-11-20T03:00-05:00")
                for text, zone, place in (
                    ("2026-11-19", None, "before"),
                    ("2026-11-20", None, "within"),
                    ("2026-11-21", None, "after"),
                    ("2026-11-20T08:59:59", None, "before"),
                    ("2026-11-20T09:00:00", None, "within"),
                    ("2026-11-20T09:00:01", None, "after"),
                    ("2026-11-20T08:59:59", BERLIN, "before"),
                    ("2026-11-20T09:00:00", BERLIN, "within"),
                    ("2026-11-20T09:00:01", BERLIN, "after"),
                    ("2026-11-20T02:59:59", NEW_YORK, "before"),
                    ("2026-11-20T03:00:00", NEW_YORK, "within"),
                    ("2026-11-20T22:00:01", KIRITIMATI, "after"),
                    ("2026-11-20T22:00:00", KIRITIMATI, "within"),
                )
            ),
            ("1900-01-01", "1900-01-01", None, "within"),
            ("9998-12-31", "9998-12-31", None, "within"),
            ("9998-12-31T23:59:59", "9998-12-31T23:59:59", None, "within"),
            ("9998-12-31T23:59:59-12:00", "9998-12-31T23:59:59", "Etc/GMT+12", "within"),
        ],
    )
    def test_of_a_caller_in_berlin(self, bound: str, text: str, zone: str | None, place: str) -> None:
        when = parse_when(bound)
        found = {
            "before": is_in(before(when, BERLIN), text, zone),
            "after": is_in(after(when, BERLIN), text, zone),
        }
        assert [name for name, holds in found.items() if holds] == [place] * (place != "within")
        assert is_in(until(when, BERLIN), text, zone) is (place != "after")

    def test_of_no_value_are_none(self) -> None:
        when = date(2026, 11, 20)
        assert not any(is_in(make(when, BERLIN), None) for make in (before, after, until))
        assert not is_in(Range(), None)

    def test_a_day_has_as_many_hours_as_clocks_give_it(self) -> None:
        spring, autumn = days(date(2026, 3, 29), 1, BERLIN), days(date(2026, 10, 25), 1, BERLIN)
        skipped = days(date(2011, 12, 30), 1, "Pacific/Apia")
        for within, hours in ((spring, 23), (autumn, 25), (skipped, 0)):
            assert within.since is not None
            assert within.before is not None
            assert within.before.instant - within.since.instant == timedelta(hours=hours)


INSTANTS = LOCAL_TIMES.map(lambda moment: moment.replace(tzinfo=UTC))
BOUNDS = st.one_of(LOCAL_TIMES, LOCAL_TIMES.map(datetime.date), INSTANTS)
_LATE = local("2026-11-20T23:59:59")
NEAR = st.timedeltas(timedelta(hours=-60), timedelta(hours=60)).map(
    lambda delta: timedelta(seconds=int(delta.total_seconds()))
)


class TestMargin:
    @given(BOUNDS, NEAR, st.sampled_from(ZONES), st.sampled_from([None, *ZONES]))
    @example(_LATE, timedelta(hours=25, minutes=59), "Etc/GMT+12", KIRITIMATI)
    @example(_LATE, -timedelta(hours=25, minutes=59), KIRITIMATI, "Etc/GMT+12")
    def test_no_value_within_a_range_is_beyond_its_wide_bound(
        self, when: date, near: timedelta, callers: str, zone: str | None
    ) -> None:
        bound = when if isinstance(when, datetime) else datetime.combine(when, time.min)
        try:
            moment = bound.replace(tzinfo=None) + near
            text, at = value(moment.isoformat(), zone)
        except OverflowError:
            return
        assert text is not None
        for make in (before, until, after):
            within = make(when, callers)
            values = rough_parameters([within], "due")
            for stored in ((text, at), (text[:10], None)):
                if matches(*stored, within):
                    assert "due_before_near" not in values or stored[0] < str(values["due_before_near"])
                    assert "due_since_near" not in values or stored[0] >= str(values["due_since_near"])

    @given(INSTANTS, st.sampled_from(ZONES), NEAR, st.sampled_from(ZONES))
    def test_zoned_times_compare_as_instants(
        self, instant: datetime, callers: str, near: timedelta, zone: str
    ) -> None:
        try:
            local = local_time_of(instant + near, zone)
        except OverflowError:
            return
        at = instant_of(local, zone)
        assert matches(local.isoformat(), at, before(instant, callers)) is (at < instant)
        assert matches(local.isoformat(), at, after(instant, callers)) is (at > instant)


_METADATA = MetaData()
_VALUES = Table(
    "date_values",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("due", TextKey),
    Column("due_at", table_of(Task).c.updated_at.type),
)
_TIMES = ("00:00:00", "02:30:00", "08:59:59", "09:00:00", "09:00:01", "23:59:59")
_DAYS = [date(2026, 11, 17) + timedelta(days=count) for count in range(12)]
_STORED: list[Value] = [
    value(None),
    *(value(day.isoformat()) for day in _DAYS),
    *(
        value(f"{day}T{clock}", zone)
        for day, clock, zone in product(_DAYS, _TIMES, (None, BERLIN, NEW_YORK, KIRITIMATI, "Etc/GMT+12"))
    ),
]
_BOUNDS = ("2026-11-20", "2026-11-20T09:00:00", "2026-11-20T08:00:00Z", "2026-11-20T23:59:59-12:00")
_RANGES: list[Range] = [
    *(named(word, zone, NOW) for word in ("any", "overdue", "today", "tomorrow", "week") for zone in ZONES),
    *(
        make(parse_when(bound), zone)
        for make, bound, zone in product((before, after, until), _BOUNDS, (BERLIN, KIRITIMATI, "Etc/GMT+12"))
    ),
]


class TestSql:
    def test_finds_what_python_finds(self, database_url: str) -> None:
        async def fill(transaction: Transaction) -> None:
            await transaction.execute(CreateTable(_VALUES))
            rows = [{"id": place, "due": text, "due_at": at} for place, (text, at) in enumerate(_STORED)]
            await transaction.insert_rows(_VALUES, rows)

        async def found(transaction: ReadTransaction, ranges: Sequence[Range]) -> list[int]:
            due, due_at = _VALUES.c.due, _VALUES.c.due_at
            exactly = [exact(due, due_at, within, f"due_{place}") for place, within in enumerate(ranges)]
            chosen = and_(rough(due, ranges, "due"), or_(*exactly))
            rows = await transaction.all(select(_VALUES.c.id).where(chosen).order_by(_VALUES.c.id))
            return [row[0] for row in rows]

        async def work(database: Database) -> None:
            await database.write(fill)
            for ranges in [*((within,) for within in _RANGES), *pairwise(_RANGES)]:
                expected = [
                    place
                    for place, stored in enumerate(_STORED)
                    if any(matches(*stored, within) for within in ranges)
                ]
                assert await database.read(found, ranges) == expected
                assert 0 < len(expected) < len(_STORED)

        opened(database_url, work)

    def test_has_the_parameters_that_are_said(self) -> None:
        for within in _RANGES:
            said = rough_parameters([within], "x") | exact_parameters(within, "x")
            both = and_(
                rough(_VALUES.c.due, [within], "x"), exact(_VALUES.c.due, _VALUES.c.due_at, within, "x")
            )
            own = both.compile().params
            assert {name: own[name] for name in own if name.startswith("x_")} == said


class TestPitfalls:
    """What other task apps got wrong."""

    @pytest.mark.parametrize("zone", ZONES)
    def test_one_date_is_one_day_in_every_zone(self, zone: str) -> None:
        day = date(2026, 11, 20)
        found = [
            offset
            for offset in range(-3, 4)
            if is_in(days(day + timedelta(days=offset), 1, zone), "2026-11-20")
        ]
        assert found == [0]

    @pytest.mark.parametrize("zone", ZONES)
    def test_today_does_not_hold_the_dates_of_tomorrow(self, zone: str) -> None:
        day = today(zone, NOW)
        assert is_in(named("today", zone, NOW), day.isoformat())
        assert not is_in(named("today", zone, NOW), (day + timedelta(days=1)).isoformat())

    @pytest.mark.parametrize("zone", ZONES)
    def test_a_date_is_not_overdue_on_its_own_day(self, zone: str) -> None:
        day = today(zone, NOW)
        last = instant_of(datetime.combine(day, time(23, 59, 59)), zone)
        assert not is_in(named("overdue", zone, last), day.isoformat())
        assert is_in(named("overdue", zone, last + timedelta(seconds=1)), day.isoformat())

    @pytest.mark.parametrize("make", [before, after, until])
    def test_a_bound_does_not_show_the_undated(self, make: Callable[[date, str], Range]) -> None:
        assert not is_in(make(date(9998, 12, 31), "UTC"), None)
        assert not is_in(make(date(1900, 1, 1), "UTC"), None)
