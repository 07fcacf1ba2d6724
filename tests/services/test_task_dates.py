"""The dates of a task after requests."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from taskwell.core.errors import Invalid
from taskwell.core.time_zones import instant_of, local_time_of
from taskwell.schemas.dates import parse_when
from taskwell.services.task_dates import NO_DATES, Dates, recomputed, resolve
from tests.core.test_time_zones import LOCAL_TIMES, ZONES, local

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def parsed(sent: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if value is None or name == "time_zone" else parse_when(value)
        for name, value in sent.items()
    }


def after(*requests: dict[str, Any], default_zone: str = "UTC", stored: Dates = NO_DATES) -> Dates:
    """The dates after requests, one after the other."""
    for sent in requests:
        stored = resolve(parsed(sent), stored, default_zone)
    return stored


def shown(dates: Dates) -> dict[str, Any]:
    """The members of a response that a client may send back."""
    return {"start": dates.start, "due": dates.due, "time_zone": dates.time_zone}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def violation_of(*requests: dict[str, Any], default_zone: str = "UTC", stored: Dates = NO_DATES) -> list[str]:
    with pytest.raises(Invalid) as raised:
        after(*requests, default_zone=default_zone, stored=stored)
    (violation,) = raised.value.violations
    return [violation.source, violation.name, violation.code]


TEXTS = st.one_of(
    st.dates(date(1900, 1, 1), date(9998, 12, 31)).map(date.isoformat),
    LOCAL_TIMES.map(datetime.isoformat),
    LOCAL_TIMES.map(lambda moment: f"{moment.isoformat()}Z"),
    # Around changes of clocks.
    st.integers(0, 47).map(lambda n: f"2026-03-{28 + n // 24}T{n % 24:02}:30"),
    st.integers(0, 47).map(lambda n: f"2026-10-{24 + n // 24}T{n % 24:02}:30Z"),
    st.integers(0, 71).map(lambda n: f"2011-12-{29 + n // 24}T{n % 24:02}:15:00Z"),
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "start": st.none() | TEXTS,
        "due": st.none() | TEXTS,
        "time_zone": st.none() | st.sampled_from(ZONES),
    },
)


class TestOneRequest:
    @pytest.mark.parametrize(
        ("sent", "due", "zone", "due_at"),
        [
            ({"due": "2026-11-20"}, "2026-11-20", None, None),
            ({"due": "2026-11-20", "time_zone": BERLIN}, "2026-11-20", None, None),
            ({"due": "2026-11-20T09:00"}, "2026-11-20T09:00:00", None, None),
            ({"due": "2026-11-20T09:00", "time_zone": None}, "2026-11-20T09:00:00", None, None),
            (
                {"due": "2026-11-20T09:00", "time_zone": BERLIN},
                "2026-11-20T09:00:00", BERLIN, "2026-11-20T08:00",
            ),
            ({"due": "2026-11-20T08:00Z"}, "2026-11-20T03:00:00", NEW_YORK, "2026-11-20T08:00"),
            (
                {"due": "2026-11-20T08:00Z", "time_zone": BERLIN},
                "2026-11-20T09:00:00", BERLIN, "2026-11-20T08:00",
            ),
            (
                {"due": "2026-11-20T08:00Z", "time_zone": "UTC"},
                "2026-11-20T08:00:00", "UTC", "2026-11-20T08:00",
            ),
            (
                {"due": "2026-11-20T08:00Z", "time_zone": "Etc/UTC"},
                "2026-11-20T08:00:00", "Etc/UTC", "2026-11-20T08:00",
            ),
            (
                {"due": "2026-11-20T08:00Z", "time_zone": None},
                "2026-11-20T03:00:00", NEW_YORK, "2026-11-20T08:00",
            ),
            ({"time_zone": BERLIN}, None, None, None),
            ({"due": None, "time_zone": BERLIN}, None, None, None),
            # Skipped, and twice: both instants of the latter have one local time, whose instant is the first.
            (
                {"due": "2026-03-29T02:30", "time_zone": BERLIN},
                "2026-03-29T02:30:00", BERLIN, "2026-03-29T01:30",
            ),
            (
                {"due": "2026-10-25T00:30Z", "time_zone": BERLIN},
                "2026-10-25T02:30:00", BERLIN, "2026-10-25T00:30",
            ),
            (
                {"due": "2026-10-25T01:30Z", "time_zone": BERLIN},
                "2026-10-25T02:30:00", BERLIN, "2026-10-25T00:30",
            ),
            (
                {"due": "2026-10-25T01:30Z", "time_zone": "UTC"},
                "2026-10-25T01:30:00", "UTC", "2026-10-25T01:30",
            ),
            # Beyond the years as UTC, but not as local time.
            (
                {"due": "9998-12-31T23:30-12:00", "time_zone": "Etc/GMT+12"},
                "9998-12-31T23:30:00", "Etc/GMT+12", "9999-01-01T11:30",
            ),
        ],
    )  # fmt: skip
    def test_gives_a_new_task_its_dates(
        self, sent: dict[str, Any], due: str | None, zone: str | None, due_at: str | None
    ) -> None:
        expected = Dates(None, due, zone, due_at and utc(due_at), None)  # type: ignore[arg-type]
        assert after(sent, default_zone=NEW_YORK) == expected

    def test_gives_a_start_its_instant_too(self) -> None:
        sent = {"start": "2026-11-20T08:00Z", "due": "2026-11-20T10:00", "time_zone": BERLIN}
        assert after(sent) == Dates(
            "2026-11-20T09:00:00",
            "2026-11-20T10:00:00",
            BERLIN,
            utc("2026-11-20T09:00"),
            utc("2026-11-20T08:00"),
        )

    def test_puts_two_instants_into_one_zone(self) -> None:
        dates = after({"start": "2026-11-20T01:00+09:00", "due": "2026-11-20T08:00Z"}, default_zone=BERLIN)
        assert shown(dates) == {
            "start": "2026-11-19T17:00:00", "due": "2026-11-20T09:00:00", "time_zone": BERLIN,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("due", "zone"), [("1900-01-01T00:00Z", NEW_YORK), ("9998-12-31T23:59:59Z", "Pacific/Kiritimati")]
    )
    @pytest.mark.parametrize("name", ["start", "due"])
    def test_with_an_instant_that_leaves_the_years_is_refused(self, name: str, due: str, zone: str) -> None:
        assert violation_of({name: due, "time_zone": zone}) == ["body", f"/{name}", "invalid_date"]
        assert violation_of({name: due}, default_zone=zone) == ["body", f"/{name}", "invalid_date"]


ZONED = {"due": "2026-11-20T09:00", "time_zone": BERLIN}


class TestSeveralRequests:
    @pytest.mark.parametrize(
        ("sent", "due", "zone"),
        [
            ({}, "2026-11-20T09:00:00", BERLIN),
            ({"due": "2026-11-21T10:00"}, "2026-11-21T10:00:00", BERLIN),
            ({"due": "2026-11-21T10:00Z"}, "2026-11-21T11:00:00", BERLIN),
            ({"due": "2026-11-21T10:00Z", "time_zone": NEW_YORK}, "2026-11-21T05:00:00", NEW_YORK),
            ({"due": "2026-11-21T10:00Z", "time_zone": None}, "2026-11-21T10:00:00", "UTC"),
            ({"due": "2026-11-21T10:00", "time_zone": None}, "2026-11-21T10:00:00", None),
            ({"due": "2026-11-21"}, "2026-11-21", None),
            ({"due": None}, None, None),
            ({"time_zone": NEW_YORK}, "2026-11-20T09:00:00", NEW_YORK),
            ({"time_zone": None}, "2026-11-20T09:00:00", None),
            # A date beside the time, which keeps its zone.
            ({"start": "2026-11-19"}, "2026-11-20T09:00:00", BERLIN),
            ({"start": None}, "2026-11-20T09:00:00", BERLIN),
            ({"start": "2026-11-20T07:00Z"}, "2026-11-20T09:00:00", BERLIN),
            ({"start": "2026-11-20T07:00Z", "time_zone": NEW_YORK}, "2026-11-20T09:00:00", NEW_YORK),
        ],
    )
    def test_change_a_zoned_task(self, sent: dict[str, Any], due: str | None, zone: str | None) -> None:
        dates = after(ZONED, sent)
        assert (dates.due, dates.time_zone) == (due, zone)
        at = instant_of(datetime.fromisoformat(due), zone) if due and zone else None
        assert dates.due_at == at

    def test_keep_the_zone_as_long_as_a_time_is_left(self) -> None:
        both = ZONED | {"start": "2026-11-20T08:00"}
        assert after(both, {"due": "2026-11-21"}).time_zone == BERLIN
        assert after(both, {"due": "2026-11-21"}, {"due": "2026-11-21T10:00"}).time_zone == BERLIN
        assert after(both, {"due": "2026-11-21"}, {"start": None}).time_zone is None
        assert after(ZONED, {"due": "2026-11-21"}, {"due": "2026-11-21T10:00"}).time_zone is None

    def test_zone_a_floating_task_by_an_instant(self) -> None:
        floating = {"due": "2026-11-20T09:00"}
        dates = after(floating, {"start": "2026-11-20T07:00Z"}, default_zone=BERLIN)
        assert shown(dates) == {
            "start": "2026-11-20T08:00:00",
            "due": "2026-11-20T09:00:00",
            "time_zone": BERLIN,
        }
        assert dates.due_at == utc("2026-11-20T08:00")

    def test_of_other_fields_change_nothing_even_with_an_old_tz_database(self) -> None:
        stored = Dates(due="2026-11-20T09:00:00", time_zone=BERLIN, due_at=utc("2026-11-20T07:00"))
        assert resolve({"title": "Buy milk"}, stored, "UTC") is stored

    @given(st.lists(REQUESTS, max_size=4), st.sampled_from(ZONES), st.sampled_from(ZONES))
    def test_a_response_sent_back_changes_nothing(
        self, requests: list[dict[str, Any]], zone: str, other: str
    ) -> None:
        dates = NO_DATES
        for sent in requests:
            try:
                dates = after(sent, stored=dates, default_zone=zone)
            except Invalid:
                continue
            assert after(shown(dates), stored=dates, default_zone=other) == dates
            assert after(shown(dates), default_zone=other) == dates
            for name, value in shown(dates).items():
                assert after({name: value}, stored=dates, default_zone=other) == dates
            assert recomputed(dates) == dates

    @given(st.lists(REQUESTS, max_size=4), st.sampled_from(ZONES))
    def test_an_instant_is_there_just_with_a_time_and_a_zone(
        self, requests: list[dict[str, Any]], zone: str
    ) -> None:
        dates = NO_DATES
        for sent in requests:
            try:
                dates = after(sent, stored=dates, default_zone=zone)
            except Invalid:
                continue
            for text, at in ((dates.due, dates.due_at), (dates.start, dates.start_at)):
                assert (at is not None) == (
                    text is not None and len(text) == 19 and dates.time_zone is not None
                )
            times = [text for text in (dates.start, dates.due) if text and len(text) == 19]
            assert times or dates.time_zone is None

    @given(LOCAL_TIMES, st.sampled_from(ZONES))
    @example(local("2026-10-25T01:30:00"), BERLIN)
    @example(local("2026-10-25T00:30:00"), BERLIN)
    @example(local("2026-11-01T06:30:00"), NEW_YORK)
    @example(local("2026-04-04T15:15:00"), "Australia/Lord_Howe")
    @example(local("2011-12-30T10:00:00"), "Pacific/Apia")
    def test_an_instant_is_kept_unless_its_local_time_occurred_before(
        self, moment: datetime, zone: str
    ) -> None:
        instant = moment.replace(tzinfo=UTC)
        time = local_time_of(instant, zone)
        assume(1900 <= time.year <= 9998)
        dates = after({"due": f"{moment.isoformat()}Z"}, default_zone=zone)
        assert dates.due == time.isoformat()
        assert dates.due_at == instant_of(time, zone)
        assert dates.due_at == instant or instant.astimezone(ZoneInfo(zone)).fold == 1


class TestStartAndDue:
    @pytest.mark.parametrize(
        ("start", "due"),
        [
            ("2026-11-20", "2026-11-20"),
            ("2026-11-20T23:00", "2026-11-20"),
            ("2026-11-20", "2026-11-20T01:00"),
            ("2026-11-20T09:00", "2026-11-20T09:00"),
            ("2026-11-19T23:00", "2026-11-20"),
        ],
    )
    def test_may_be_one(self, start: str, due: str) -> None:
        assert after({"start": start, "due": due}).due is not None

    @pytest.mark.parametrize(
        ("start", "due"),
        [
            ("2026-11-21", "2026-11-20"),
            ("2026-11-21T00:00", "2026-11-20"),
            ("2026-11-21", "2026-11-20T23:00"),
            ("2026-11-20T09:00:01", "2026-11-20T09:00"),
            ("2026-11-20T09:00:01Z", "2026-11-20T10:00+01:00"),
            # The second hour begins after 02:15 of the first, but ends as the same local times.
            ("2026-10-25T00:30Z", "2026-10-25T01:15Z"),
        ],
    )
    def test_are_refused_in_the_other_order(self, start: str, due: str) -> None:
        sent = {"start": start, "due": due}
        expected = ["body", "/start", "start_after_due"]
        assert violation_of(sent, default_zone=BERLIN) == expected
        assert violation_of({"start": start}, {"due": due}, default_zone=BERLIN) == expected
        assert violation_of({"due": due}, {"start": start}, default_zone=BERLIN) == expected

    def test_of_another_protocol_may_stay_as_they_are(self) -> None:
        stored = Dates(start="2026-11-21", due="2026-11-20")
        assert after({"time_zone": BERLIN}, stored=stored) == stored
        assert after({"due": "2026-11-20"}, stored=stored) == stored
        assert after({"start": None}, stored=stored) == Dates(due="2026-11-20")
        assert violation_of({"due": "2026-11-19"}, stored=stored)[2] == "start_after_due"

    def test_an_instant_is_compared_in_the_zone_that_both_get(self) -> None:
        """00:30 UTC is the day after in Berlin, and the day before in New York."""
        sent = {"start": "2026-11-20", "due": "2026-11-20T00:30Z"}
        assert after(sent, default_zone=BERLIN).due == "2026-11-20T01:30:00"
        assert violation_of(sent, default_zone=NEW_YORK)[2] == "start_after_due"


class TestOtherTzDatabase:
    def test_moves_instants_and_keeps_local_times(self) -> None:
        fresh = after({"start": "2026-11-20T08:00", "due": "2026-11-20T09:00", "time_zone": BERLIN})
        stale = fresh._replace(due_at=utc("2026-11-20T07:00"), start_at=utc("2026-11-20T06:00"))
        assert recomputed(stale) == fresh
        assert shown(recomputed(stale)) == shown(stale)

    def test_without_the_zone_changes_nothing(self) -> None:
        dates = Dates(due="2026-11-20T09:00:00", time_zone="Mars/Olympus", due_at=utc("2026-11-20T07:00"))
        assert recomputed(dates) is dates


class TestPitfalls:
    """What other task apps got wrong."""

    @pytest.mark.parametrize("zone", ZONES)
    def test_a_date_is_not_the_day_before_west_of_utc(self, zone: str) -> None:
        dates = after({"due": "2026-11-20", "time_zone": zone}, default_zone=zone)
        assert dates == Dates(due="2026-11-20")

    def test_a_date_loses_no_day_by_round_trips(self) -> None:
        dates = after({"due": "2026-11-20"})
        for zone in ZONES * 3:
            dates = after(shown(dates), {"time_zone": zone}, stored=dates, default_zone=zone)
        assert dates.due == "2026-11-20"

    def test_an_instant_is_not_anchored_in_utc(self) -> None:
        """What was sent as an instant in summer is due at the same hour of the clock in winter."""
        dates = after({"due": "2026-10-24T07:00:00Z"}, {"due": "2026-10-26T09:00:00"}, default_zone=BERLIN)
        assert dates.time_zone == BERLIN
        assert dates.due_at == utc("2026-10-26T08:00")
