"""What completing a recurring task does to its dates, and which recurrence a request leaves a task with."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from taskwell.core.errors import Invalid
from taskwell.core.time_zones import instant_of
from taskwell.schemas.dates import parse_when
from taskwell.schemas.recurrence import Mode, RecurrenceExclude, RecurrenceMode, RecurrenceRule
from taskwell.services.recurring import (
    NO_RECURRENCE,
    Advance,
    Recurrence,
    Shift,
    Standing,
    advance,
    resolve,
    standing_of,
)
from taskwell.services.task_dates import NO_DATES, Dates, recomputed
from tests.core.test_recurrence import BERLIN, CASES, local, rules, utc
from tests.core.test_time_zones import ZONES

NOW = "2026-11-20T10:00:00"  # a Friday; 11:00 in Berlin


def dates_of(due: str | None, start: str | None = None, zone: str | None = None) -> Dates:
    return recomputed(Dates(start, due, zone))


def advanced(
    rule: str,
    due: str | None,
    start: str | None = None,
    zone: str | None = None,
    now: str = NOW,
    mode: RecurrenceMode = "next",
    exclude: tuple[str, ...] = (),
) -> Advance | None:
    """What completing it at an instant makes of a task, for a caller in Berlin."""
    return advance(dates_of(due, start, zone), Recurrence(rule, mode, exclude), utc(now), BERLIN)


def next_dates(*task: Any, **more: Any) -> list[str | None]:
    """Due and start after it."""
    found = advanced(*task, **more)
    assert found is not None
    return [found.dates.due, found.dates.start]


class TestWorkedCases:
    @pytest.mark.parametrize("case", CASES["vectors"], ids=lambda case: case["id"])
    def test_the_dates_are_those_of_the_case(self, case: dict[str, Any]) -> None:
        found = advance(
            dates_of(case["due"], case["start"], case["time_zone"]),
            Recurrence(case["recurrence"], case["recurrence_mode"], tuple(case["recurrence_exclude"])),
            datetime.fromisoformat(case["completed_at"]),
            case["user_zone"],
        )
        assert (found and shown(found)) == case["next"]

    @pytest.mark.parametrize("rule", CASES["never"])
    def test_a_rule_that_never_comes_ends(self, rule: str) -> None:
        assert advanced(rule, "2026-11-20") is None
        assert advanced(rule, "2026-11-20T09:00:00", zone=BERLIN, mode="completion") is None


def shown(found: Advance) -> dict[str, Any]:
    at = found.dates.due_at
    return {
        "due": found.dates.due,
        "start": found.dates.start,
        "recurrence": found.recurrence.rule,
        "due_at": at and f"{at:%Y-%m-%dT%H:%M:%SZ}",
    }


class TestAnchor:
    @pytest.mark.parametrize(
        ("rule", "due", "start", "expected"),
        [
            # The start, where the rule falls on it; the due goes with it.
            ("FREQ=WEEKLY;BYDAY=WE", "2026-11-20", "2026-11-18", ["2026-11-27", "2026-11-25"]),
            ("FREQ=MONTHLY", "2026-11-20", "2026-10-31", ["2027-01-20", "2026-12-31"]),
            # Else the due.
            ("FREQ=WEEKLY;BYDAY=FR", "2026-11-20", "2026-11-18", ["2026-11-27", "2026-11-25"]),
            ("FREQ=WEEKLY;BYDAY=SU", "2026-11-20", "2026-11-18", ["2026-11-22", "2026-11-20"]),
            ("FREQ=DAILY;BYHOUR=8,20", "2026-11-20T08:00:00", "2026-11-19",
             ["2026-11-20T20:00:00", "2026-11-19"]),
            ("FREQ=HOURLY", "2026-11-20T11:00:00", "2026-11-19", ["2026-11-20T12:00:00", "2026-11-19"]),
            # Else the start, wherever it is.
            ("FREQ=WEEKLY;BYDAY=SU", None, "2026-11-18", [None, "2026-11-22"]),
        ],
    )  # fmt: skip
    def test_is_the_start_if_the_rule_falls_on_it_else_the_due(
        self, rule: str, due: str | None, start: str, expected: list[str | None]
    ) -> None:
        assert next_dates(rule, due, start) == expected

    def test_a_rule_without_a_day_follows_a_due_that_was_put_off(self) -> None:
        assert next_dates("FREQ=WEEKLY", "2026-11-25", now="2026-11-25T10:00:00") == ["2026-12-02", None]
        assert next_dates("FREQ=WEEKLY;BYDAY=MO", "2026-11-25", now="2026-11-25T10:00:00") == [
            "2026-11-30",
            None,
        ]


class TestModes:
    @pytest.mark.parametrize(
        ("rule", "now", "expected"),
        [
            ("FREQ=DAILY;BYHOUR=8,20", "2026-11-20T05:00:00", "2026-11-20T20:00:00"),
            ("FREQ=DAILY;BYHOUR=8,20", "2026-11-20T20:00:00", "2026-11-21T08:00:00"),
            ("FREQ=DAILY", "2026-11-20T05:00:00", "2026-11-21T08:00:00"),
            ("FREQ=DAILY", "2026-11-09T10:00:00", "2026-11-10T08:00:00"),
            ("FREQ=WEEKLY", "2026-11-20T10:00:00", "2026-11-27T08:00:00"),
            ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "2026-11-20T10:00:00", "2026-11-30T08:00:00"),
            ("FREQ=MONTHLY;WKST=SU", "2026-01-31T10:00:00", "2026-02-28T08:00:00"),
            ("FREQ=MONTHLY;INTERVAL=13", "2026-01-31T10:00:00", "2027-02-28T08:00:00"),
            ("FREQ=MONTHLY;BYMONTHDAY=31", "2026-01-31T10:00:00", "2026-03-31T08:00:00"),
            ("FREQ=YEARLY;INTERVAL=4", "2024-02-29T10:00:00", "2028-02-29T08:00:00"),
            ("FREQ=YEARLY;BYMONTH=6", "2026-11-20T10:00:00", "2027-06-20T08:00:00"),
            ("FREQ=HOURLY;INTERVAL=2", "2026-10-25T00:10:30", "2026-10-25T03:10:00"),
            # 02:10:30 in the second of two hours; four of them later.
            ("FREQ=HOURLY;INTERVAL=4", "2026-10-25T01:10:30", "2026-10-25T06:10:00"),
            ("FREQ=MINUTELY", "2026-11-20T10:00:59", "2026-11-20T11:01:00"),
        ],
    )
    def test_completion_counts_from_the_day_at_the_time_of_day(
        self, rule: str, now: str, expected: str
    ) -> None:
        found = advanced(rule, "2026-11-10T08:00:00", zone=BERLIN, now=now, mode="completion")
        assert found is not None
        assert found.dates.due == expected

    def test_completion_takes_one_of_a_count(self) -> None:
        found = advanced("FREQ=DAILY;COUNT=3", "2026-11-01", mode="completion")
        assert found is not None
        assert (found.dates.due, found.recurrence.rule) == ("2026-11-21", "FREQ=DAILY;COUNT=2")
        assert advanced("FREQ=DAILY;COUNT=1", "2026-11-01", mode="completion") is None

    @pytest.mark.parametrize("mode", ["next", "each", "completion"])
    def test_every_mode_ends_with_until_and_passes_over_what_is_excluded(self, mode: RecurrenceMode) -> None:
        rule = "FREQ=MONTHLY;UNTIL=20261220"
        found = advanced(rule, "2026-11-20", mode=mode)
        assert found is not None
        assert found.dates.due == "2026-12-20"
        assert advanced(rule, "2026-11-20", mode=mode, exclude=("2026-12-20",)) is None
        found = advanced("FREQ=MONTHLY", "2026-11-20", mode=mode, exclude=("2026-12-20", "2027-01-21"))
        assert found is not None
        assert (found.dates.due, found.recurrence.exclude) == ("2027-01-20", ("2027-01-21",))


class TestRule:
    def test_is_kept_as_it_was_sent_but_for_its_count(self) -> None:
        found = advanced("Interval=01;Count=05;freq=daily", "2026-11-17")
        assert found is not None
        assert found.dates.due == "2026-11-20"
        assert found.recurrence.rule == "Interval=01;Count=2;freq=daily"
        found = advanced("freq=daily;wkst=su", "2026-11-17")
        assert found is not None
        assert found.recurrence.rule == "freq=daily;wkst=su"

    def test_counts_down_those_that_are_excluded_or_missed_so_that_the_end_stays(self) -> None:
        exclude = ("2026-11-20", "2026-11-21T00:00:00")
        found = advanced("FREQ=DAILY;COUNT=10", "2026-11-17", exclude=exclude)
        assert found is not None
        assert (found.dates.due, found.recurrence.rule) == ("2026-11-22", "FREQ=DAILY;COUNT=5")
        assert found.recurrence.exclude == ()

    def test_a_due_that_was_put_off_takes_one_of_a_count(self) -> None:
        found = advanced("FREQ=WEEKLY;BYDAY=MO;COUNT=2", "2026-11-18")
        assert found is not None
        assert (found.dates.due, found.recurrence.rule) == ("2026-11-23", "FREQ=WEEKLY;BYDAY=MO;COUNT=1")
        assert advanced("FREQ=WEEKLY;BYDAY=MO;COUNT=1", "2026-11-18") is None

    @pytest.mark.parametrize("rule", ["", "FREQ=SECONDLY", "FREQ=HOURLY", "no rule"])
    def test_one_that_the_task_cannot_follow_has_ended(self, rule: str) -> None:
        assert advanced(rule, "2026-11-20") is None
        assert advanced("FREQ=DAILY", None) is None


class TestOtherDate:
    @pytest.mark.parametrize(
        ("rule", "due", "start", "expected"),
        [
            # By days, at its time of day.
            ("FREQ=DAILY", "2026-11-20T17:00:00", "2026-11-20", ["2026-11-21T17:00:00", "2026-11-21"]),
            ("FREQ=WEEKLY", "2026-11-21", "2026-11-20T09:00:00", ["2026-11-28", "2026-11-27T09:00:00"]),
            ("FREQ=DAILY", "2026-03-29T03:30:00", "2026-03-28T02:30:00", None),
            # With the hours of the rule.
            ("FREQ=DAILY;BYHOUR=8,20", "2026-11-20T21:00:00", "2026-11-20T20:00:00",
             ["2026-11-21T09:00:00", "2026-11-21T08:00:00"]),
        ],
    )  # fmt: skip
    def test_moves_by_as_much_as_the_anchor(
        self, rule: str, due: str, start: str, expected: list[str] | None
    ) -> None:
        found = next_dates(rule, due, start, BERLIN, now=f"{due[:10]}T09:00:00", mode="each")
        assert found == (expected or ["2026-03-30T03:30:00", "2026-03-29T02:30:00"])

    def test_of_elapsed_hours_moves_by_elapsed_hours(self) -> None:
        # Five hours on the clock, four that elapse.
        task = ("FREQ=HOURLY;INTERVAL=4", "2026-03-28T22:30:00", "2026-03-28T22:00:00")
        assert next_dates(*task, BERLIN, mode="each") == ["2026-03-29T03:30:00", "2026-03-29T03:00:00"]
        task = ("FREQ=HOURLY;INTERVAL=4", "2026-03-29T00:30:00", "2026-03-28T21:00:00")
        assert next_dates(*task, BERLIN, mode="each") == ["2026-03-29T05:30:00", "2026-03-29T01:00:00"]
        assert next_dates(*task, mode="each") == ["2026-03-29T04:30:00", "2026-03-29T01:00:00"]

    def test_after_the_last_year_ends_the_series(self) -> None:
        assert advanced("FREQ=DAILY", "9998-12-31", "9998-12-01") is None
        assert advanced("FREQ=YEARLY", "9998-02-01", "9997-12-01") is None
        assert next_dates("FREQ=DAILY", "9998-12-30", "9998-12-01") == ["9998-12-31", "9998-12-02"]

    def test_before_the_first_year_stays(self) -> None:
        task = ("FREQ=DAILY;BYMONTH=1", "2027-01-20", "1900-07-02")
        assert next_dates(*task, mode="completion", now="2025-12-31T10:00:00") == ["2026-01-01", "1900-07-02"]


class TestShift:
    def test_moves_the_dates_of_other_tasks(self) -> None:
        found = advanced("FREQ=WEEKLY", "2026-11-20T09:00:00", zone=BERLIN)
        assert found is not None
        assert found.shift == Shift(7, timedelta(7))
        assert found.shift.moved("2026-11-19", None) == "2026-11-26"
        assert found.shift.moved("2026-11-19T23:00:00", "America/New_York") == "2026-11-26T23:00:00"
        assert found.shift.moved("9998-12-30", None) is None
        assert found.shift.moved("9999-12-30T00:00:00", None) is None

    def test_moves_an_instant_at_its_time_of_day(self) -> None:
        shift = Shift(7, timedelta(7))
        assert shift.moved_instant(utc("2026-03-25T08:00:00"), BERLIN) == utc("2026-04-01T07:00:00")
        shift = Shift(0, timedelta(hours=5), timedelta(hours=4))
        assert shift.moved_instant(utc("2026-03-28T20:00:00"), BERLIN) == utc("2026-03-29T00:00:00")


class TestStanding:
    @pytest.mark.parametrize(
        ("occurrence", "due", "standing"),
        [
            ("2026-11-20", "2026-11-20", "current"),
            ("2026-11-19", "2026-11-20", "earlier"),
            ("2026-11-21", "2026-11-20", "later"),
            ("2026-11-20T09:00", "2026-11-20T09:00:00", "current"),
            ("2026-11-20T08:00:00Z", "2026-11-20T09:00:00", "current"),
            ("2026-11-20T08:59:59", "2026-11-20T09:00:00", "earlier"),
            ("2026-11-20T09:00:01", "2026-11-20T09:00:00", "later"),
            ("2026-11-19", "2026-11-20T09:00:00", "earlier"),
            ("2026-11-19T09:00:00", "2026-11-20", "earlier"),
            ("2026-11-20", "2026-11-20T09:00:00", "later"),
            ("2026-11-20T09:00:00", "2026-11-20", "later"),
        ],
    )
    def test_is_that_of_the_occurrence_to_the_due(
        self, occurrence: str, due: str, standing: Standing
    ) -> None:
        assert standing_of(parse_when(occurrence), dates_of(due, "2026-11-01", BERLIN), BERLIN) == standing
        assert standing_of(parse_when(occurrence), dates_of(None, due), BERLIN) == standing


RULE, MODE = TypeAdapter[Any](RecurrenceRule), TypeAdapter[Any](Mode)
EXCLUDE = TypeAdapter[Any](RecurrenceExclude)


def problem(adapter: TypeAdapter[Any], value: object) -> list[Any]:
    with pytest.raises(ValidationError) as raised:
        adapter.validate_python(value)
    (error,) = raised.value.errors()
    return [*error["loc"], error["type"]]


class TestInput:
    def test_of_a_rule_is_kept_as_it_is(self) -> None:
        assert RULE.validate_python("freq=weekly;byday=mo,mo") == "freq=weekly;byday=mo,mo"

    @pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["recurrence"][:40])
    def test_of_a_rule_is_refused_by_its_code(self, case: dict[str, str]) -> None:
        assert problem(RULE, case["recurrence"]) == [case["code"]]

    def test_of_a_mode(self) -> None:
        assert [MODE.validate_python(mode) for mode in ("next", "each", "completion")] == [
            "next", "each", "completion",
        ]  # fmt: skip
        for wrong in ("last", "", None, 1, ["next"]):
            assert problem(MODE, wrong) == ["invalid"]

    def test_of_excluded_ones(self) -> None:
        assert EXCLUDE.validate_python(["2026-12-25", "2026-12-26T09:00", "2026-12-27T09:00:00.0"]) == [
            "2026-12-25", "2026-12-26T09:00:00", "2026-12-27T09:00:00",
        ]  # fmt: skip
        for wrong in ("2026-12-25T09:00:00Z", "2026-12-25T09:00:00+01:00", "2026-02-30", "", None, 20261225):
            assert problem(EXCLUDE, ["2026-12-25", wrong]) == [1, "invalid_date"]
        assert len(EXCLUDE.validate_python(["2026-12-25"] * 100)) == 100
        assert problem(EXCLUDE, ["2026-12-25"] * 101) == ["too_many"]


STORED = Recurrence("FREQ=WEEKLY", "each", ("2026-12-25",))


class TestRequest:
    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            ({}, STORED),
            ({"recurrence": "FREQ=DAILY"}, Recurrence("FREQ=DAILY", "each", ("2026-12-25",))),
            ({"recurrence_mode": "completion"}, Recurrence("FREQ=WEEKLY", "completion", ("2026-12-25",))),
            ({"recurrence_exclude": ["2026-12-26"]}, Recurrence("FREQ=WEEKLY", "each", ("2026-12-26",))),
            ({"recurrence_exclude": None}, Recurrence("FREQ=WEEKLY", "each")),
            ({"recurrence": None}, NO_RECURRENCE),
            ({"recurrence": None, "recurrence_mode": "completion"}, NO_RECURRENCE),
        ],
    )
    def test_changes_what_it_names(self, sent: Mapping[str, Any], expected: Recurrence) -> None:
        assert resolve(sent, STORED, dates_of("2026-11-20")) == expected
        assert resolve(sent, STORED, dates_of(None, "2026-11-20")) == expected

    def test_without_a_rule_has_no_effect(self) -> None:
        sent = {"recurrence_mode": "each", "recurrence_exclude": ["2026-12-26"]}
        assert resolve(sent, NO_RECURRENCE, dates_of("2026-11-20")) == NO_RECURRENCE

    def test_that_clears_the_dates_clears_the_rule(self) -> None:
        assert resolve({}, STORED, NO_DATES) == NO_RECURRENCE
        assert resolve({"recurrence": None}, STORED, NO_DATES) == NO_RECURRENCE

    @pytest.mark.parametrize(
        ("rule", "dates", "code"),
        [
            ("FREQ=DAILY", NO_DATES, "needs_date"),
            ("FREQ=HOURLY", NO_DATES, "needs_date"),
            ("FREQ=HOURLY", dates_of("2026-11-20"), "invalid"),
            ("FREQ=MINUTELY", dates_of("2026-11-20", "2026-11-19"), "invalid"),
        ],
    )
    def test_that_leaves_a_rule_without_its_date_is_refused(self, rule: str, dates: Dates, code: str) -> None:
        with pytest.raises(Invalid) as raised:
            resolve({"recurrence": rule}, NO_RECURRENCE, dates)
        (violation,) = raised.value.violations
        assert (violation.source, violation.name, violation.code) == ("body", "/recurrence", code)

    def test_that_takes_the_time_of_day_from_hours_is_refused(self) -> None:
        stored = Recurrence("FREQ=HOURLY")
        assert resolve({}, stored, dates_of("2026-11-20T09:00:00")) == stored
        assert resolve({}, stored, dates_of("2026-11-20", "2026-11-20T09:00:00")) == stored
        with pytest.raises(Invalid):
            resolve({}, stored, dates_of("2026-11-20"))


MOMENTS = st.datetimes(local("2009-01-01T00:00:00"), local("2039-01-01T00:00:00")).map(
    lambda moment: moment.replace(microsecond=0)
)
TIMED_RULES = st.tuples(st.sampled_from(("HOURLY", "MINUTELY")), st.integers(1, 2_000)).map(
    lambda parts: f"FREQ={parts[0]};INTERVAL={parts[1]}"
)


class TestAnyTask:
    @given(
        rules() | TIMED_RULES,
        st.sampled_from(("next", "each")),
        MOMENTS,
        st.timedeltas(timedelta(-30), timedelta(900)),
        st.sampled_from(ZONES),
        st.sampled_from((True, False, None)),
        st.timedeltas(timedelta(0), timedelta(40)),
    )
    @example(
        "FREQ=HOURLY",
        "next",
        local("2026-10-25T01:30:00"),
        timedelta(hours=1, minutes=20),
        BERLIN,
        True,
        timedelta(0),
    )
    def test_comes_to_a_later_date_that_is_not_past(
        self,
        rule: str,
        mode: RecurrenceMode,
        due: datetime,
        late: timedelta,
        zone: str,
        zoned: bool | None,
        span: timedelta,
    ) -> None:
        """`zoned`: None is a task with dates alone."""
        start = due - timedelta(seconds=int(span.total_seconds()))
        texts = [str(each.date()) if zoned is None else each.isoformat() for each in (due, start)]
        dates = dates_of(texts[0], texts[1], zone if zoned else None)
        now = instant_of(due, zone) + late
        found = advance(dates, Recurrence(rule, mode), now, zone)
        if found is None:
            return
        assert found.recurrence == Recurrence(rule, mode)
        assert found.dates.time_zone == dates.time_zone
        moved = [parse_when(text) for text in (found.dates.due, found.dates.start)]
        pairs = list(zip(moved, (parse_when(text) for text in texts), strict=True))
        assert any(after > before for after, before in pairs)
        if mode == "next":
            assert any(not is_past(after, now, zone) for after in moved)
        if not rule.startswith(("FREQ=HOURLY", "FREQ=MINUTELY")):
            (forward, *rest) = {after - before for after, before in pairs}
            assert not rest
            assert forward > timedelta(0)


def is_past(when: date, now: datetime, zone: str) -> bool:
    if isinstance(when, datetime):
        return instant_of(when, zone) <= now
    return instant_of(datetime.combine(when + timedelta(1), datetime.min.time()), zone) <= now


def test_completion_never_gives_a_past_time() -> None:
    for hour in range(24):
        now = datetime(2026, 11, 20, hour, 30, tzinfo=UTC)
        task = dates_of("2026-11-10T08:00:00", zone=BERLIN)
        found = advance(task, Recurrence("FREQ=DAILY;BYHOUR=8,20", "completion"), now, BERLIN)
        assert found is not None
        assert found.dates.due_at is not None
        assert found.dates.due_at > now
