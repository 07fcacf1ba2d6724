"""Recurrence rules: which parse, on which days they fall, and what comes next."""

import json
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st

from taskwell.core.recurrence.rule import Code, Frequency, Rule, RuleError, parse_rule, with_count
from taskwell.core.recurrence.series import Series, falls_on_anchor
from taskwell.core.time_zones import instant_of
from tests.conftest import share_of

CASES: dict[str, Any] = json.loads((Path(__file__).parent / "recurrence_cases.json").read_text())
local = datetime.fromisoformat
BERLIN, UTC_ZONE = "Europe/Berlin", "UTC"


def at_a_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def when(text: str) -> date:
    return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def upcoming(
    rule: str, anchor: str, number: int = 3, *, now: str | None = None, zone: str = UTC_ZONE, **more: Any
) -> list[str]:
    """The first occurrences after the anchor, as texts."""
    series = Series(parse_rule(rule), when(anchor), zone, **more)
    found = islice(series.upcoming(None if now is None else utc(now)), number)
    return [occurrence.when.isoformat() for occurrence in found]


def code_of(text: str) -> Code:
    with pytest.raises(RuleError) as raised:
        parse_rule(text)
    assert raised.value.detail[-1] != "."
    return raised.value.code


class TestParsing:
    def test_knows_every_part(self) -> None:
        text = (
            "FREQ=YEARLY;INTERVAL=2;COUNT=7;BYMONTH=12,1;BYYEARDAY=-1,+2;BYMONTHDAY=31,-31;BYDAY=-1FR,MO,+53SU;"
            "BYHOUR=0,23;BYMINUTE=59,0;BYSECOND=30;BYSETPOS=-366,1;WKST=SU"
        )
        assert parse_rule(text) == Rule(
            "YEARLY",
            interval=2,
            count=7,
            months=(1, 12),
            year_days=(-1, 2),
            month_days=(-31, 31),
            days=((-1, 4), (0, 0), (53, 6)),
            hours=(0, 23),
            minutes=(0, 59),
            seconds=(30,),
            positions=(-366, 1),
            week_start=6,
        )
        assert parse_rule("FREQ=YEARLY;BYWEEKNO=53,-53").weeks == (-53, 53)

    @pytest.mark.parametrize("frequency", ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"])
    def test_knows_every_frequency(self, frequency: Frequency) -> None:
        assert parse_rule(f"FREQ={frequency}") == Rule(frequency)

    @pytest.mark.parametrize(
        ("text", "until"),
        [
            ("20261231", date(2026, 12, 31)),
            ("20261231T080000", datetime.fromisoformat("2026-12-31T08:00:00")),
            ("20261231t235959z", utc("2026-12-31T23:59:59")),
        ],
    )
    def test_until_is_a_date_a_local_time_or_an_instant(self, text: str, until: date) -> None:
        assert parse_rule(f"FREQ=DAILY;UNTIL={text}").until == until

    @pytest.mark.parametrize("text", CASES["accepted_as_given"])
    def test_accepts(self, text: str) -> None:
        assert parse_rule(text).frequency == text[5 : text.index(";")].upper()

    @pytest.mark.parametrize(
        "text",
        [
            "INTERVAL=2;FREQ=DAILY",
            "FREQ=DAILY;INTERVAL=32767;COUNT=10000",
            "FREQ=MINUTELY;INTERVAL=0005;UNTIL=20270101T000000Z",
            "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23;BYMINUTE=0,30,30",
            "FREQ=DAILY;BYMONTHDAY=1;BYMONTH=1;BYDAY=MO;BYSETPOS=1",
            "FREQ=WEEKLY;BYMONTH=1",
            "FREQ=MONTHLY;BYDAY=5MO,-5MO",
            "FREQ=YEARLY;BYDAY=53MO;BYMONTH=1",
        ],
    )
    def test_accepts_what_is_at_a_limit(self, text: str) -> None:
        parse_rule(text)

    @pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["recurrence"][:40])
    def test_refuses(self, case: dict[str, str]) -> None:
        assert code_of(case["recurrence"]) == case["code"]

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", "required"),
            ("COUNT=3", "required"),
            *[
                (text, "invalid")
                for text in (
                    " ", ";", "FREQ", "FREQ=",
                    "FREQ=DAILY;", ";FREQ=DAILY", "FREQ=DAILY;;COUNT=1", "FREQ =DAILY",
                    "FREQ= DAILY", "FREQ=DAILY COUNT=1",
                    "FREQ=FORTNIGHTLY", "FREQ=DAILY=1", "FREQ=DAILY,WEEKLY",
                    "FREQ=DAILY\r\n", "FREQ=DAILY\n",
                    "FREQ=DAILY\0", "FREQ=DA\u0131LY", "FREQ=DAILY;COUNT=\u0661",
                    "FREQ=DAILY;X-A=1", "RRULE=FREQ", "FREQ=DAILY;INTERVAL=+1", "FREQ=DAILY;INTERVAL=1.0",
                    "FREQ=DAILY;COUNT=-1", "FREQ=DAILY;COUNT=1,2", "FREQ=DAILY;COUNT=",
                    "FREQ=DAILY;UNTIL=2026-12-31", "FREQ=DAILY;UNTIL=20261231T", "FREQ=DAILY;UNTIL=00000101",
                    "FREQ=DAILY;UNTIL=20260229",
                    "FREQ=DAILY;UNTIL=20261231T240000", "FREQ=DAILY;UNTIL=20261231Z",
                    "FREQ=DAILY;UNTIL=20261231T235960Z", "FREQ=DAILY;UNTIL=20261231T080000+0100",
                    "FREQ=DAILY;BYMONTH=+1", "FREQ=DAILY;BYMONTH=-1", "FREQ=DAILY;BYMONTH=1,,2",
                    "FREQ=DAILY;BYMONTH=1,", "FREQ=DAILY;BYHOUR=-1", "FREQ=DAILY;BYHOUR=8:00",
                    "FREQ=MONTHLY;BYMONTHDAY=--1", "FREQ=DAILY;BYDAY=M", "FREQ=DAILY;BYDAY=MON",
                    "FREQ=DAILY;BYDAY=1MO", "FREQ=MONTHLY;BYDAY=MO1", "FREQ=MONTHLY;BYDAY=1 MO",
                    "FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO", "FREQ=MONTHLY;BYWEEKNO=1", "FREQ=DAILY;BYWEEKNO=1",
                    "FREQ=MONTHLY;BYYEARDAY=1", "FREQ=WEEKLY;BYYEARDAY=1", "FREQ=DAILY;BYYEARDAY=1",
                    "FREQ=DAILY;WKST=1", "FREQ=DAILY;WKST=MO,TU",
                    "FREQ=DAILY;WKST=1MO", "FREQ=DAILY;freq=DAILY",
                    "FREQ=DAILY;BYMONTH=1;BYMONTH=2", "FREQ=DAILY;UNTIL=20270101;COUNT=1",
                )
            ],
            *[
                (text, "out_of_range")
                for text in (
                    "FREQ=DAILY;COUNT=10001", f"FREQ=DAILY;COUNT={'9' * 400}", "FREQ=DAILY;INTERVAL=00",
                    "FREQ=DAILY;BYMONTH=0", "FREQ=DAILY;BYMONTH=13", "FREQ=YEARLY;BYWEEKNO=0",
                    "FREQ=YEARLY;BYWEEKNO=-54", "FREQ=YEARLY;BYYEARDAY=367", "FREQ=YEARLY;BYYEARDAY=-0",
                    "FREQ=DAILY;BYMONTHDAY=-32", "FREQ=DAILY;BYMINUTE=60", "FREQ=DAILY;BYSECOND=60",
                    "FREQ=DAILY;BYHOUR=1;BYSETPOS=0", "FREQ=DAILY;BYHOUR=1;BYSETPOS=367",
                    "FREQ=MONTHLY;BYDAY=6MO", "FREQ=MONTHLY;BYDAY=0MO", "FREQ=YEARLY;BYDAY=-54MO",
                )
            ],
            *[
                (text, "unsupported")
                for text in (
                    "FREQ=HOURLY;BYDAY=MO", "FREQ=MINUTELY;BYSETPOS=1",
                    "FREQ=HOURLY;BYHOUR=9", "FREQ=secondly",
                    "FREQ=YEARLY;SKIP=OMIT", "FREQ=YEARLY;RSCALE=GREGORIAN",
                )
            ],
            ("FREQ=DAILY;BYMINUTE=" + ",".join(map(str, range(49))), "too_many"),
            ("FREQ=DAILY;BYHOUR=1,2,3,4,5,6,7;BYMINUTE=1,2,3,4,5,6,7", "too_many"),
            ("FREQ=DAILY" + " " * 491, "too_long"),
        ],
    )  # fmt: skip
    def test_refuses_more(self, text: str, code: Code) -> None:
        assert code_of(text) == code

    @given(
        st.text(st.sampled_from("FREQ=DAILYBYMOUNT;,+-0123456789TZ \u0131\u017f\n"), max_size=60) | st.text()
    )
    def test_any_other_text_is_no_rule_either(self, text: str) -> None:
        with suppress(RuleError):
            parse_rule(text)

    def test_only_a_count_is_written_anew(self) -> None:
        assert with_count("freq=Daily;Count=0010;WKST=su", 9) == "freq=Daily;Count=9;WKST=su"


class TestDays:
    """Occurrences on days, by hand: where python-dateutil is wrong, or where a case deserves a name."""

    @pytest.mark.parametrize("rule", CASES["never"])
    @pytest.mark.parametrize("anchor", ["2026-11-20", "2026-11-20T09:00:00", "1900-01-01", "9998-12-31"])
    def test_a_rule_that_never_comes_has_none(self, rule: str, anchor: str) -> None:
        assert upcoming(rule, anchor) == []

    @pytest.mark.parametrize(
        ("rule", "anchor", "expected"),
        [
            # The set of a week is the same whichever of its days the anchor is.
            ("FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1", "2026-11-25", "2026-11-27 2026-12-04 2026-12-11"),
            ("FREQ=WEEKLY;BYDAY=SU,MO;BYSETPOS=1", "2026-11-24", "2026-11-30 2026-12-07 2026-12-14"),
            ("FREQ=WEEKLY;BYDAY=SU,MO;BYSETPOS=1;WKST=SU", "2026-11-24", "2026-11-29 2026-12-06 2026-12-13"),
            (
                "FREQ=WEEKLY;BYDAY=TU,SA;BYSETPOS=2;INTERVAL=2",
                "2026-12-22",
                "2026-12-26 2027-01-09 2027-01-23",
            ),
            # A week that begins in December.
            ("FREQ=WEEKLY;BYDAY=WE,SA;BYSETPOS=2", "2026-12-31", "2027-01-02 2027-01-09 2027-01-16"),
            ("FREQ=WEEKLY;BYDAY=WE,SA;BYSETPOS=1", "2026-12-29", "2026-12-30 2027-01-06 2027-01-13"),
            (
                "FREQ=WEEKLY;BYMONTH=1;BYDAY=WE,SA;BYSETPOS=1",
                "2026-12-29",
                "2027-01-02 2027-01-06 2027-01-13",
            ),
            # Days with and without numbers are one set.
            ("FREQ=MONTHLY;BYDAY=TH,3SA", "2026-11-12", "2026-11-19 2026-11-21 2026-11-26"),
            ("FREQ=YEARLY;BYDAY=53FR,1MO", "2026-01-05", "2027-01-04 2027-12-31 2028-01-03"),
            ("FREQ=YEARLY;BYDAY=-53FR", "2026-01-05", "2027-01-01 2032-01-02 2038-01-01"),
            ("FREQ=YEARLY;BYMONTH=1,2;BYDAY=-5SA", "2026-01-01", "2026-01-03 2027-01-02 2028-01-01"),
            # Without a day part, the weekday of the anchor.
            ("FREQ=YEARLY;BYWEEKNO=20", "2026-05-12", "2027-05-18 2028-05-16 2029-05-15"),
            ("FREQ=YEARLY;BYWEEKNO=53", "2026-12-31", "2032-12-30 2037-12-31 2043-12-31"),
            ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO", "2026-05-12", "2027-01-04 2028-01-03 2029-01-01"),
            ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO", "2029-01-01", "2029-12-31 2030-12-30 2031-12-29"),
            ("FREQ=YEARLY;BYWEEKNO=-1;BYDAY=SU", "2026-12-01", "2027-01-03 2028-01-02 2028-12-31"),
            ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU", "2026-12-01", "2027-01-03 2033-01-02 2038-01-03"),
            ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=SA;WKST=SU", "2026-12-01", "2032-01-03 2037-01-03 2043-01-03"),
            ("FREQ=YEARLY;BYYEARDAY=60", "2026-03-01", "2027-03-01 2028-02-29 2029-03-01"),
            ("FREQ=YEARLY;BYYEARDAY=-366,366", "2026-03-01", "2028-01-01 2028-12-31 2032-01-01"),
            ("FREQ=YEARLY;INTERVAL=100", "2026-03-01", "2126-03-01"),
            ("FREQ=YEARLY;INTERVAL=101", "2026-03-01", ""),
            ("FREQ=MONTHLY;INTERVAL=5;BYMONTHDAY=30", "2026-09-30", "2027-07-30 2027-12-30 2028-05-30"),
            ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "2026-11-13", "2027-08-13 2028-10-13 2029-04-13"),
            ("FREQ=DAILY;INTERVAL=1000", "2026-03-01", "2028-11-25 2031-08-22 2034-05-18"),
            ("FREQ=DAILY;BYDAY=MO;BYMONTH=2;INTERVAL=2", "2027-01-31", "2027-02-08 2027-02-22 2028-02-07"),
            ("FREQ=DAILY", "9998-12-29", "9998-12-30 9998-12-31"),
            ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO,TU,WE,TH,FR,SA,SU", "9998-12-31", ""),
        ],
    )
    def test_are_as_worked_out_by_hand(self, rule: str, anchor: str, expected: str) -> None:
        assert upcoming(rule, anchor) == expected.split()

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("FREQ=DAILY;BYHOUR=8,20", "20T20:00:00 21T08:00:00 21T20:00:00"),
            ("FREQ=DAILY;BYHOUR=20,8;BYMINUTE=30", "20T20:30:00 21T08:30:00 21T20:30:00"),
            ("FREQ=DAILY;BYMINUTE=45,15", "20T09:15:00 20T09:45:00 21T09:15:00"),
            ("FREQ=DAILY;BYHOUR=8,20;BYSETPOS=-1", "20T20:00:00 21T20:00:00 22T20:00:00"),
            ("FREQ=DAILY;BYHOUR=8,20;BYSETPOS=3", ""),
            ("FREQ=WEEKLY;BYDAY=FR,SA;BYHOUR=8,20;BYSETPOS=2,3", "20T20:00:00 21T08:00:00 27T20:00:00"),
            ("FREQ=DAILY;BYSECOND=1,0", "20T09:00:01 21T09:00:00 21T09:00:01"),
        ],
    )
    def test_have_the_times_of_the_rule(self, rule: str, expected: str) -> None:
        assert upcoming(rule, "2026-11-20T09:00:00") == [f"2026-11-{text}" for text in expected.split()]

    def test_of_a_series_of_dates_have_no_times(self) -> None:
        rule = "FREQ=DAILY;BYHOUR=8,20;BYMINUTE=0,30;BYSETPOS=1"
        assert upcoming(rule, "2026-11-20") == ["2026-11-21", "2026-11-22", "2026-11-23"]

    @pytest.mark.parametrize(
        ("rule", "anchor", "expected"),
        [
            ("FREQ=WEEKLY", "2026-11-20", True),
            ("FREQ=WEEKLY;BYDAY=FR", "2026-11-20", True),
            ("FREQ=WEEKLY;BYDAY=TH", "2026-11-20", False),
            ("FREQ=DAILY;BYHOUR=9", "2026-11-20T09:00:00", True),
            ("FREQ=DAILY;BYHOUR=9", "2026-11-20T09:30:00", True),
            ("FREQ=DAILY;BYHOUR=9", "2026-11-20T08:00:00", False),
            ("FREQ=DAILY;BYHOUR=9", "2026-11-20", False),
            ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-11-30", True),
            ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-11-27", False),
            ("FREQ=HOURLY", "2026-11-20T08:00:00", True),
            ("FREQ=HOURLY", "2026-11-20", False),
            ("FREQ=DAILY;COUNT=1", "2026-11-20", True),
            ("FREQ=DAILY;UNTIL=20200101", "2026-11-20", True),
        ],
    )
    def test_an_anchor_is_one_of_them_or_not(self, rule: str, anchor: str, expected: bool) -> None:
        assert falls_on_anchor(parse_rule(rule), when(anchor)) is expected


class TestEnd:
    @pytest.mark.parametrize(
        ("until", "anchor", "zone", "floating", "left"),
        [
            ("20261122", "2026-11-20", UTC_ZONE, False, 2),
            ("20261122", "2026-11-20T23:59:59", "America/New_York", False, 2),
            ("20261122T090000", "2026-11-20T09:00:00", BERLIN, False, 2),
            ("20261122T085959", "2026-11-20T09:00:00", BERLIN, False, 1),
            ("20261122T080000Z", "2026-11-20T09:00:00", BERLIN, False, 2),
            ("20261122T075959Z", "2026-11-20T09:00:00", BERLIN, False, 1),
            ("20261122T080000Z", "2026-11-20T09:00:00", BERLIN, True, 2),
            ("20261121T235959Z", "2026-11-20T09:00:00", "Pacific/Auckland", False, 2),
            # The day as written, wherever the caller is.
            ("20261122T000000Z", "2026-11-20", "America/New_York", False, 2),
            ("20261121T235959Z", "2026-11-20", "Pacific/Auckland", False, 1),
            ("20261122T000000", "2026-11-20", "Pacific/Auckland", False, 2),
            ("20261120", "2026-11-20", UTC_ZONE, False, 0),
            ("19970101", "2026-11-20", UTC_ZONE, False, 0),
            # 02:30 that clocks skip is 01:30Z.
            ("20270328T013000Z", "2027-03-27T02:30:00", BERLIN, False, 1),
            ("20270328T012959Z", "2027-03-27T02:30:00", BERLIN, False, 0),
        ],
    )
    def test_until_is_inclusive(self, until: str, anchor: str, zone: str, floating: bool, left: int) -> None:
        rule = f"FREQ=DAILY;UNTIL={until}"
        assert len(upcoming(rule, anchor, 9, zone=zone, floating=floating)) == left

    def test_count_has_the_anchor_as_the_first(self) -> None:
        assert upcoming("FREQ=DAILY;COUNT=3", "2026-11-20", 9) == ["2026-11-21", "2026-11-22"]
        assert upcoming("FREQ=WEEKLY;BYDAY=SU;COUNT=2", "2026-11-24", 9) == ["2026-11-29"]
        assert upcoming("FREQ=DAILY;COUNT=1", "2026-11-20", 9) == []

    def test_count_goes_down_by_what_was_missed_or_is_excluded(self) -> None:
        more: dict[str, Any] = {"excluded": (date(2026, 11, 23),)}
        now = "2026-11-22T10:00:00"
        assert upcoming("FREQ=DAILY;COUNT=6", "2026-11-20", 9, now=now, **more) == [
            "2026-11-22", "2026-11-24", "2026-11-25",
        ]  # fmt: skip
        assert upcoming("FREQ=HOURLY;COUNT=4", "2026-11-22T08:00:00", 9, now=now) == ["2026-11-22T11:00:00"]

    def test_a_number_is_that_of_the_series(self) -> None:
        rule = parse_rule("FREQ=MONTHLY;BYDAY=FR,SA;BYHOUR=8,20;BYSETPOS=1,3,4")
        series = Series(rule, datetime.fromisoformat("2020-01-03T08:00:00"), UTC_ZONE)
        found = list(islice(series.upcoming(), 300))
        assert [occurrence.number for occurrence in found] == list(range(1, 301))
        late = next(series.upcoming(utc(found[200].when.isoformat())))
        assert late == found[201]


class TestPast:
    @pytest.mark.parametrize(
        ("anchor", "zone", "now", "expected"),
        [
            ("2026-11-20", BERLIN, "2026-11-23T22:59:59", "2026-11-23"),
            ("2026-11-20", BERLIN, "2026-11-23T23:00:00", "2026-11-24"),
            ("2026-11-20T09:00:00", BERLIN, "2026-11-23T07:59:59", "2026-11-23T09:00:00"),
            ("2026-11-20T09:00:00", BERLIN, "2026-11-23T08:00:00", "2026-11-24T09:00:00"),
            # 02:30 that clocks skip is 03:30.
            ("2026-03-20T02:30:00", BERLIN, "2026-03-29T01:29:59", "2026-03-29T02:30:00"),
            ("2026-03-20T02:30:00", BERLIN, "2026-03-29T01:30:00", "2026-03-30T02:30:00"),
            # 02:30 that comes twice is the first.
            ("2026-10-20T02:30:00", BERLIN, "2026-10-25T00:29:59", "2026-10-25T02:30:00"),
            ("2026-10-20T02:30:00", BERLIN, "2026-10-25T00:30:00", "2026-10-26T02:30:00"),
            # Half an hour on Lord Howe Island; 4 October 2026, 02:00 becomes 02:30.
            ("2026-10-01T02:15:00", "Australia/Lord_Howe", "2026-10-03T15:44:59", "2026-10-04T02:15:00"),
            ("2026-10-01T02:15:00", "Australia/Lord_Howe", "2026-10-03T15:45:00", "2026-10-05T02:15:00"),
            # A day that Samoa left out is the day after.
            ("2011-12-29T09:00:00", "Pacific/Apia", "2011-12-30T18:59:59", "2011-12-30T09:00:00"),
            ("2011-12-29T09:00:00", "Pacific/Apia", "2011-12-30T19:00:00", "2012-01-01T09:00:00"),
        ],
    )
    def test_an_occurrence_is_past_from_its_instant_on(
        self, anchor: str, zone: str, now: str, expected: str
    ) -> None:
        assert upcoming("FREQ=DAILY", anchor, 1, now=now, zone=zone) == [expected]
        assert upcoming("FREQ=DAILY", anchor, 1, now=now, zone=zone, floating=True) == [expected]

    @given(
        st.datetimes(local("2000-01-01T00:00:00"), local("2039-01-01T00:00:00")).map(at_a_second),
        st.integers(-100, 5_000_000),
        st.sampled_from((
            "Europe/Berlin", "America/New_York",
            "Pacific/Auckland", "Australia/Lord_Howe", "Africa/Casablanca",
            "Pacific/Apia", "Asia/Beirut", "UTC",
        )),
        st.sampled_from((
            "FREQ=DAILY;BYHOUR=0,2,3;BYMINUTE=0,15,30,45", "FREQ=HOURLY", "FREQ=MINUTELY;INTERVAL=20",
        )),
        st.booleans(),
    )  # fmt: skip
    @example(local("2026-03-28T02:30:00"), 1_560, BERLIN, "FREQ=HOURLY", False)
    @example(local("2011-12-29T09:00:00"), 2_000, "Pacific/Apia", "FREQ=MINUTELY;INTERVAL=20", True)
    def test_no_occurrence_is_lost_around_changes_of_clocks(
        self, anchor: datetime, minutes: int, zone: str, rule: str, floating: bool
    ) -> None:
        now = instant_of(anchor, zone) + timedelta(minutes=minutes)
        series = Series(parse_rule(rule), anchor, zone, floating)
        (found,) = islice(series.upcoming(now), 1)
        assert found.when > anchor
        assert instant_of(found.when, zone) > now  # type: ignore[arg-type]
        # From a few days before, one by one.
        near = (each for each in series.upcoming(now - timedelta(days=3)))
        assert found == next(each for each in near if instant_of(each.when, zone) > now)  # type: ignore[arg-type]


class TestElapsedTime:
    @pytest.mark.parametrize(
        ("rule", "anchor", "zone", "expected"),
        [
            ("FREQ=HOURLY;INTERVAL=4", "2026-03-28T22:00:00", BERLIN, "2026-03-29T03:00:00"),
            ("FREQ=HOURLY;INTERVAL=6", "2026-10-24T22:00:00", BERLIN, "2026-10-25T03:00:00"),
            ("FREQ=HOURLY", "2026-10-25T02:30:00", BERLIN, "2026-10-25T03:30:00"),
            ("FREQ=MINUTELY;INTERVAL=15", "2026-10-25T02:45:00", BERLIN, "2026-10-25T03:00:00"),
            ("FREQ=HOURLY", "2026-03-29T02:30:00", BERLIN, "2026-03-29T04:30:00"),
            ("FREQ=HOURLY", "2026-04-05T01:45:00", "Australia/Lord_Howe", "2026-04-05T02:15:00"),
            ("FREQ=HOURLY;INTERVAL=12", "2011-12-29T18:00:00", "Pacific/Apia", "2011-12-31T06:00:00"),
            ("FREQ=HOURLY;INTERVAL=24", "2026-11-01T00:30:00", "America/New_York", "2026-11-01T23:30:00"),
        ],
    )
    def test_in_a_zone_hours_elapse(self, rule: str, anchor: str, zone: str, expected: str) -> None:
        assert upcoming(rule, anchor, 1, zone=zone) == [expected]

    def test_without_a_zone_the_clock_counts(self) -> None:
        more: dict[str, Any] = {"zone": BERLIN, "floating": True}
        assert upcoming("FREQ=HOURLY;INTERVAL=4", "2026-03-28T22:00:00", 1, **more) == ["2026-03-29T02:00:00"]
        assert upcoming("FREQ=HOURLY", "2026-10-25T02:30:00", 1, **more) == ["2026-10-25T03:30:00"]

    def test_ends_with_the_year_9998(self) -> None:
        rule = "FREQ=HOURLY;INTERVAL=32767"
        assert upcoming(rule, "9998-01-01T00:00:00") == []
        for floating in (True, False):
            last = upcoming("FREQ=HOURLY;INTERVAL=10", "9998-12-31T03:00:00", zone=BERLIN, floating=floating)
            assert last == ["9998-12-31T13:00:00", "9998-12-31T23:00:00"]
        assert upcoming(rule, "9994-01-01T00:00:00", floating=True) == ["9997-09-27T07:00:00"]

    def test_passes_excluded_days_at_once(self) -> None:
        days = tuple(date(2026, 1, 2) + timedelta(number) for number in range(100))
        series = Series(parse_rule("FREQ=MINUTELY"), local("2026-01-01T23:59:00"), BERLIN, excluded=days)
        assert next(series.upcoming()) == (local("2026-04-12T00:00:00"), 143_941)


class TestExclusions:
    def test_a_date_excludes_its_day_and_a_time_itself(self) -> None:
        rule, anchor = "FREQ=DAILY;BYHOUR=8,20", "2026-11-20T08:00:00"
        excluded = (when("2026-11-21"), when("2026-11-20T20:00:00"), when("2026-11-22T08:30:00"))
        assert upcoming(rule, anchor, 2, excluded=excluded) == ["2026-11-22T08:00:00", "2026-11-22T20:00:00"]

    def test_a_time_excludes_the_day_of_a_date(self) -> None:
        assert upcoming("FREQ=DAILY", "2026-11-20", 1, excluded=(when("2026-11-21T09:00:00"),)) == [
            "2026-11-22"
        ]


def test_whole_months_end_with_shorter_ones() -> None:
    more: dict[str, Any] = {"whole_months": True}
    assert upcoming("FREQ=MONTHLY", "2026-01-31", **more) == ["2026-02-28", "2026-03-31", "2026-04-30"]
    assert upcoming("FREQ=YEARLY;INTERVAL=2", "2024-02-29", **more) == [
        "2026-02-28",
        "2028-02-29",
        "2030-02-28",
    ]
    assert upcoming("FREQ=MONTHLY;BYMONTHDAY=31", "2026-01-31", 1, **more) == ["2026-03-31"]
    assert upcoming("FREQ=MONTHLY;INTERVAL=1200", "2026-01-31", **more) == ["2126-01-31"]
    assert upcoming("FREQ=MONTHLY", "9998-11-30", **more) == ["9998-12-30"]
    excluded = (date(2026, 2, 28),)
    assert upcoming("FREQ=MONTHLY", "2026-01-31", 1, excluded=excluded, **more) == ["2026-03-31"]


def numbers(*of: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(of), min_size=1, max_size=3, unique=True).map(
        lambda chosen: ",".join(map(str, chosen))
    )


_END = "9998-12-31T23:59:59"
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def weekdays(*of: int) -> st.SearchStrategy[str]:
    """Names of days, all with numbers or all without: python-dateutil takes only those that are both."""
    name = st.sampled_from(WEEKDAYS)
    numbered = st.tuples(st.sampled_from(of), name).map(lambda pair: f"{pair[0]}{pair[1]}") if of else name
    return st.one_of(*(st.lists(day, min_size=1, max_size=3).map(",".join) for day in (name, numbered)))


_OF_MANY = {"BYMONTH": numbers(*range(1, 13)), "WKST": st.sampled_from(WEEKDAYS)}
_MONTH_DAYS = {"BYMONTHDAY": numbers(*range(1, 32), *range(-31, 0))}
_POSITIONS = {"BYSETPOS": numbers(1, 2, 3, -1, -2)}
_PARTS: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "DAILY": _OF_MANY | _MONTH_DAYS | {"BYDAY": weekdays()},
    "WEEKLY": _OF_MANY | {"BYDAY": weekdays()},
    "MONTHLY": _OF_MANY | _MONTH_DAYS | _POSITIONS | {"BYDAY": weekdays(*range(1, 6), *range(-5, 0))},
    "YEARLY": _OF_MANY
    | _MONTH_DAYS
    | _POSITIONS
    | {
        "BYDAY": weekdays(*range(1, 54), *range(-53, 0)),
        "BYYEARDAY": numbers(*range(1, 367), *range(-366, 0)),
    },
}
_TIMES = {"BYHOUR": numbers(*range(24)), "BYMINUTE": numbers(*range(60)), "BYSECOND": numbers(*range(60))}


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Rules for which python-dateutil is right, if it ends."""
    frequency = draw(st.sampled_from(tuple(_PARTS)))
    parts = draw(st.fixed_dictionaries({}, optional=_PARTS[frequency] | _TIMES))
    interval = draw(st.integers(1, 4))
    if parts.keys() <= {"BYSETPOS", "WKST"}:
        parts.pop("BYSETPOS", None)
    return ";".join(
        [f"FREQ={frequency}", f"INTERVAL={interval}", *(f"{name}={parts[name]}" for name in parts)]
    )


# For what never comes python-dateutil walks to the end of the calendar: near to it, that is less far.
ANCHORS = st.datetimes(local("9975-01-01T00:00:00"), local("9990-01-01T00:00:00")).map(at_a_second)


class TestAgainstDateutil:
    def compare(self, rule: str, anchor: datetime) -> None:
        series = Series(parse_rule(rule), anchor, UTC_ZONE)
        oracle = (each for each in rrulestr(rule, dtstart=anchor) if anchor < each <= local(_END))
        try:
            expected = list(islice(oracle, 25))
        except IndexError:  # it has a nth weekday of a year that is beyond the year's end
            reject()
        except ValueError:  # it fails where a week goes on in the year 10000
            reject()
        assert [each.when for each in islice(series.upcoming(), 25)] == expected

    @settings(max_examples=share_of(300), deadline=None)
    @given(rules(), ANCHORS)
    def test_occurrences_are_the_same(self, rule: str, anchor: datetime) -> None:
        self.compare(rule, anchor)

    @settings(deadline=None)
    @given(
        numbers(*range(1, 52), *range(-51, 0)), weekdays(), st.sampled_from(WEEKDAYS), st.booleans(), ANCHORS
    )
    def test_weeks_are_the_same(
        self, weeks: str, days: str, week_start: str, in_summer: bool, anchor: datetime
    ) -> None:
        months = ";BYMONTH=6,7,12,1" if in_summer else ""
        self.compare(f"FREQ=YEARLY;BYWEEKNO={weeks};BYDAY={days};WKST={week_start}{months}", anchor)

    @settings(deadline=None)
    @given(st.integers(1, 3), weekdays(), numbers(*range(24)), numbers(1, 2, 3, 4, -1, -2, -3), ANCHORS,
           st.sampled_from(WEEKDAYS))  # fmt: skip
    def test_positions_in_weeks_are_the_same_from_the_first_day_of_a_week_on(
        self, interval: int, days: str, hours: str, positions: str, anchor: datetime, week_start: str
    ) -> None:
        """Elsewhere, python-dateutil begins the first week's set at the anchor."""
        rule = (
            f"FREQ=WEEKLY;INTERVAL={interval};BYDAY={days};BYHOUR={hours};BYMINUTE=0;BYSECOND=0;"
            f"BYSETPOS={positions};WKST={week_start}"
        )
        into_week = timedelta((anchor.weekday() - WEEKDAYS.index(week_start)) % 7)
        first = datetime.combine(anchor.date() - into_week, datetime.min.time())
        oracle = (each for each in rrulestr(rule, dtstart=first) if anchor < each <= local(_END))
        series = Series(parse_rule(rule), anchor, UTC_ZONE)
        assert [each.when for each in islice(series.upcoming(), 10)] == list(islice(oracle, 10))

    @settings(deadline=None)
    @given(st.sampled_from(("MONTHLY", "YEARLY")), weekdays(), weekdays(-3, -1, 1, 2, 4), ANCHORS)
    def test_days_with_and_without_numbers_are_one_set(
        self, frequency: str, days: str, others: str, anchor: datetime
    ) -> None:
        """python-dateutil takes only days that are in both sets."""
        of_each = (rrulestr(f"FREQ={frequency};BYDAY={each}", dtstart=anchor) for each in (days, others))
        oracle = sorted({each for rule in of_each for each in rule if anchor < each <= local(_END)})
        series = Series(parse_rule(f"FREQ={frequency};BYDAY={days},{others}"), anchor, UTC_ZONE)
        assert [each.when for each in islice(series.upcoming(), 50)] == oracle[:50]

    @settings(deadline=None)
    @given(rules(), ANCHORS, st.integers(2, 40))
    def test_a_count_ends_at_the_same(self, rule: str, anchor: datetime, count: int) -> None:
        assume(falls_on_anchor(parse_rule(rule), anchor))
        self.compare(f"{rule};COUNT={count}", anchor)
