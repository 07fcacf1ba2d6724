"""Time zones: the names that are accepted, and instants around changes of clocks."""

import os
import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tzdata
from hypothesis import example, given
from hypothesis import strategies as st

from taskwell.core.time_zones import NAMES, VERSION, instant_of, local_time_of, zone

ZONES = (
    "UTC", "Etc/UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia",
    "Pacific/Kiritimati", "Asia/Kathmandu", "Asia/Calcutta", "Etc/GMT+12", "America/Sao_Paulo",
)  # fmt: skip
local = datetime.fromisoformat
LOCAL_TIMES = st.datetimes(local("1900-01-01T00:00:00"), local("9998-12-31T23:59:59")).map(
    lambda moment: moment.replace(microsecond=0)
)


class TestNames:
    @pytest.mark.parametrize("name", [*ZONES, "Europe/Kiev", "Europe/Kyiv", "GMT+0", "EST5EDT", "Zulu"])
    def test_of_the_tz_database_are_kept_as_written(self, name: str) -> None:
        assert zone(name).key == name

    @pytest.mark.parametrize(
        "name",
        [
            "", " ", "Europe", "Europe/", "Europe/Berlin ", "europe/berlin", "EUROPE/BERLIN", "utc", "Z",
            "GMT+1", "+01:00", "CEST", "W. Europe Standard Time", "Mars/Olympus", "posixrules", "localtime",
            "Factory", "zone.tab", "tzdata.zi", "posix/UTC", "right/UTC", "__init__.py", "Europe/__init__.py",
            "../zones", "/etc/localtime", "Europe/../UTC", "./UTC", "Europe\\Berlin", "UTC\0", "UTC\n",
            "\ud800",
            "\uff35" * 70_000,
        ],
    )  # fmt: skip
    def test_that_it_lacks_are_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"^unknown time zone$"):
            zone(name)

    def test_every_one_can_be_read(self) -> None:
        assert len(NAMES) > 590
        for name in NAMES:
            assert zone(name).utcoffset(local("2026-07-01T00:00:00")) is not None

    def test_one_zone_is_read_once(self) -> None:
        assert zone("Europe/Berlin") is zone("Europe/Berlin")


class TestDatabase:
    def test_is_that_of_the_package(self) -> None:
        assert tzdata.IANA_VERSION == VERSION
        assert zoneinfo.TZPATH == ()

    def test_is_not_that_of_the_system(self, tmp_path: Path) -> None:
        """A system whose Berlin is in Tokyo, even if another library read it before."""
        (tmp_path / "Europe").mkdir()
        tokyo = Path(tzdata.__file__).with_name("zoneinfo") / "Asia" / "Tokyo"
        (tmp_path / "Europe" / "Berlin").write_bytes(tokyo.read_bytes())
        program = (
            "from datetime import datetime; from zoneinfo import ZoneInfo; "
            "early = ZoneInfo('Europe/Berlin'); "
            "from taskwell.core.time_zones import instant_of; local = datetime(2026, 1, 1, 12); "
            "print(early.utcoffset(local), instant_of(local, 'Europe/Berlin').hour)"
        )
        environment = os.environ | {"PYTHONTZPATH": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        )
        assert done.stdout.split() == [b"9:00:00", b"11"]


class TestInstants:
    @pytest.mark.parametrize(
        ("text", "name", "instant"),
        [
            ("2026-11-20T09:00:00", "UTC", "2026-11-20T09:00:00"),
            ("2026-11-20T09:00:00", "Europe/Berlin", "2026-11-20T08:00:00"),
            ("2026-07-20T09:00:00", "Europe/Berlin", "2026-07-20T07:00:00"),
            ("2026-11-20T09:00:00", "Asia/Kathmandu", "2026-11-20T03:15:00"),
            ("2026-11-20T09:00:00", "Pacific/Kiritimati", "2026-11-19T19:00:00"),
            ("2026-11-20T09:00:00", "Etc/GMT+12", "2026-11-20T21:00:00"),
            # Skipped: by the offset before.
            ("2026-03-29T02:30:00", "Europe/Berlin", "2026-03-29T01:30:00"),
            ("2026-03-08T02:30:00", "America/New_York", "2026-03-08T07:30:00"),
            ("2026-10-04T02:15:00", "Australia/Lord_Howe", "2026-10-03T15:45:00"),
            ("2011-12-30T10:00:00", "Pacific/Apia", "2011-12-30T20:00:00"),
            ("1994-12-31T12:00:00", "Pacific/Kiritimati", "1994-12-31T22:00:00"),
            ("2018-11-04T00:00:00", "America/Sao_Paulo", "2018-11-04T03:00:00"),
            # Twice: the first.
            ("2026-10-25T02:30:00", "Europe/Berlin", "2026-10-25T00:30:00"),
            ("2026-11-01T01:30:00", "America/New_York", "2026-11-01T05:30:00"),
            ("2026-04-05T01:45:00", "Australia/Lord_Howe", "2026-04-04T14:45:00"),
            # The years of `due` end where its instant does not.
            ("1900-01-01T00:00:00", "Europe/Berlin", "1899-12-31T23:00:00"),
            ("9998-12-31T23:59:59", "Etc/GMT+12", "9999-01-01T11:59:59"),
        ],
    )
    def test_of_local_times(self, text: str, name: str, instant: str) -> None:
        assert instant_of(local(text), name) == local(instant).replace(tzinfo=UTC)

    def test_is_the_first_whatever_the_fold_says(self) -> None:
        twice = local("2026-10-25T02:30:00")
        assert instant_of(twice.replace(fold=1), "Europe/Berlin") == instant_of(twice, "Europe/Berlin")

    @given(LOCAL_TIMES, st.sampled_from(ZONES))
    @example(local("2026-10-25T02:30:00"), "Europe/Berlin")
    def test_lead_back_to_the_local_time_or_out_of_a_gap(self, time: datetime, name: str) -> None:
        instant = instant_of(time, name)
        shown = local_time_of(instant, name)
        assert shown.tzinfo is None
        assert shown == time or timedelta(0) < shown - time <= timedelta(days=1)
        if shown == time:  # no earlier instant has the same local time
            for earlier in (timedelta(minutes=30), timedelta(hours=1)):
                assert local_time_of(instant - earlier, name) != time

    @given(LOCAL_TIMES, st.sampled_from(ZONES))
    @example(local("2026-10-25T01:30:00"), "Europe/Berlin")
    def test_are_kept_by_local_times_but_in_the_second_of_two_hours(self, utc: datetime, name: str) -> None:
        instant = utc.replace(tzinfo=UTC)
        back = instant_of(local_time_of(instant, name), name)
        assert back == instant or (instant.astimezone(zone(name)).fold == 1 and back < instant)
