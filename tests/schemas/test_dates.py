"""What a date of a task may look like in a request."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from taskwell.core.time_zones import NAMES
from taskwell.schemas.dates import PATTERN, Due, Start, TimeZoneName

DUE: TypeAdapter[date | datetime] = TypeAdapter(Due)
START: TypeAdapter[date | datetime] = TypeAdapter(Start)
TIME_ZONE: TypeAdapter[str] = TypeAdapter(TimeZoneName)
SCHEMAS = {"due": DUE.json_schema(), "start": START.json_schema(), "time_zone": TIME_ZONE.json_schema()}
local = datetime.fromisoformat
NINE = local("2026-11-20T09:00:00")


def error_of(adapter: TypeAdapter[Any], value: object) -> tuple[str, str]:
    with pytest.raises(ValidationError) as raised:
        adapter.validate_python(value)
    (error,) = raised.value.errors()
    return error["type"], error["msg"]


class TestDates:
    @pytest.mark.parametrize(
        ("text", "when"),
        [
            ("2026-11-20", date(2026, 11, 20)),
            ("2024-02-29", date(2024, 2, 29)),
            ("1900-01-01", date(1900, 1, 1)),
            ("9998-12-31", date(9998, 12, 31)),
            ("2026-11-20T09:00", NINE),
            ("2026-11-20T09:00:00", NINE),
            ("2026-11-20T09:00:00.000", NINE),
            ("2026-11-20T23:59:59", local("2026-11-20T23:59:59")),
            ("2026-11-20T09:00:00Z", NINE.replace(tzinfo=UTC)),
            ("2026-11-20T09:00Z", NINE.replace(tzinfo=UTC)),
            ("2026-11-20T09:00:00.000Z", NINE.replace(tzinfo=UTC)),
            ("2026-11-20T09:00:00.000000000Z", NINE.replace(tzinfo=UTC)),
            ("2026-11-20T10:00:00+01:00", NINE.replace(tzinfo=UTC)),
            ("2026-11-20T10:00:00.0+01:00", NINE.replace(tzinfo=UTC)),
            ("2026-11-20T14:45:00+05:45", NINE.replace(tzinfo=UTC)),
            ("2026-11-20T04:00:00-05:00", NINE.replace(tzinfo=UTC)),
            ("2026-11-20T09:00:00-00:00", NINE.replace(tzinfo=UTC)),
            ("1900-01-01T00:00:00+23:59", datetime(1899, 12, 31, 0, 1, tzinfo=UTC)),
            ("9998-12-31T23:59:59-23:59", datetime(9999, 1, 1, 23, 58, 59, tzinfo=UTC)),
        ],
    )
    def test_have_the_type_of_their_form(self, text: str, when: date) -> None:
        for adapter in (DUE, START):
            found = adapter.validate_python(text)
            assert found == when
            assert type(found) is type(when)
            assert getattr(found, "tzinfo", None) == getattr(when, "tzinfo", None)
        assert re.search(PATTERN, text)

    @pytest.mark.parametrize(
        "text",
        [
            "", " ", "today", "2026", "2026-11", "2026-11-20 ", " 2026-11-20", "2026-11-20\n", "2026-11-20T",
            "2026-11-31", "2026-02-29", "2026-13-01", "2026-00-01", "2026-01-00", "2026-1-1", "26-11-20",
            "1899-12-31", "9999-01-01", "0000-01-01", "10000-01-01", "+2026-11-20", "-2026-11-20",
            "20261120", "20261120T090000", "2026-11-20T0900", "2026-W47-5", "2026-324", "20.11.2026",
            "2026-11-20T9:00", "2026-11-20T09", "2026-11-20T24:00", "2026-11-20T24:00:00", "2026-11-20T09:60",
            "2026-11-20T23:59:60", "2016-12-31T23:59:60Z", "2026-11-20T09:00:00.5",
            "2026-11-20T09:00:00.001Z",
            "2026-11-20T09:00:00.", "2026-11-20T09:00:00,000", "2026-11-20T09:00.0", "2026-11-20 09:00:00",
            "2026-11-20t09:00:00", "2026-11-20T09:00:00z", "2026-11-20T09:00:00 +01:00", "2026-11-20Z",
            "2026-11-20T09:00:00+01", "2026-11-20T09:00:00+0100", "2026-11-20T09:00:00+24:00",
            "2026-11-20T09:00:00+01:60", "2026-11-20T09:00:00+01:00:00", "2026-11-20T09:00:00UTC",
            "2026-11-20T09:00:00[Europe/Berlin]", "2026-11-20T09:00:00Z[UTC]", "1899-12-31T23:00:00-05:00",
            "9999-01-01T00:00:00+05:00", "\u0662\u0660\u0662\u0666-11-20", "202\uff16-11-20",
            "2026-11-20T09:0\u0660:00", "2026\u221211\u221220", "2026-11-20T09:00:00\u221201:00",
            "2026-11-20\0", "\ud800", "2026-11-20T09:00:00." + "0" * 99_999 + "1",
        ],
    )  # fmt: skip
    def test_of_another_form_are_refused(self, text: str) -> None:
        code, detail = error_of(DUE, text)
        assert code == "invalid_date"
        assert all(word in detail for word in ("2026-11-20,", "2026-11-20T09:00:00", "2026-11-20T08:00:00Z"))

    @pytest.mark.parametrize("value", [None, True, 0, 20261120, 1.5, [], {}, b"2026-11-20", date(2026, 1, 1)])
    def test_are_text(self, value: object) -> None:
        assert error_of(DUE, value)[0] == "invalid_date"

    @given(st.from_regex(PATTERN, fullmatch=True))
    def test_the_pattern_allows_no_more_than_days_and_years_that_do_not_exist(self, text: str) -> None:
        year, month, day = map(int, text[:10].split("-"))
        try:
            date(year, month, day)
        except ValueError:
            exists = False
        else:
            exists = 1900 <= year <= 9998
        if exists:
            DUE.validate_python(text)
        else:
            assert error_of(DUE, text)[0] == "invalid_date"

    @given(
        st.datetimes(local("1900-01-02T00:00:00"), local("9998-12-30T00:00:00")),
        st.sampled_from([None, UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=5, minutes=45))]),
    )
    def test_come_back_from_what_python_writes(self, moment: datetime, offset: timezone | None) -> None:
        when = moment.replace(microsecond=0, tzinfo=offset)
        assert DUE.validate_python(when.isoformat()) == when
        assert START.validate_python(when.date().isoformat()) == when.date()


class TestTimeZones:
    @pytest.mark.parametrize("name", ["Europe/Berlin", "Asia/Calcutta", "UTC", "Etc/UTC", "GMT+0"])
    def test_are_kept_as_written(self, name: str) -> None:
        assert TIME_ZONE.validate_python(name) == name

    @pytest.mark.parametrize(
        "name",
        ["", "europe/berlin", "W. Europe Standard Time", "GMT+1", "CEST", "+01:00", "../UTC"],
    )
    def test_that_are_unknown_are_refused_with_a_hint(self, name: str) -> None:
        code, detail = error_of(TIME_ZONE, name)
        assert code == "unknown_time_zone"
        assert "Intl.DateTimeFormat().resolvedOptions().timeZone" in detail

    def test_are_text(self) -> None:
        assert error_of(TIME_ZONE, 1)[0] == "string_type"

    def test_have_names_of_the_pattern(self) -> None:
        assert [name for name in NAMES if not re.search(SCHEMAS["time_zone"]["pattern"], name)] == []


class TestSchemas:
    def test_have_examples_that_are_accepted_and_differ(self) -> None:
        examples = {name: schema["examples"] for name, schema in SCHEMAS.items()}
        assert examples == {
            "due": ["2026-11-20T09:00:00"],
            "start": ["2026-11-19"],
            "time_zone": ["Europe/Berlin"],
        }
        for name, adapter in (("due", DUE), ("start", START), ("time_zone", TIME_ZONE)):
            assert re.search(SCHEMAS[name]["pattern"], examples[name][0])
            adapter.validate_python(examples[name][0])

    def test_say_what_it_is(self) -> None:
        assert len({schema["description"] for schema in SCHEMAS.values()}) == len(SCHEMAS)

    def test_members_are_written_in_the_form_of_their_type(self) -> None:
        class Body(BaseModel):
            due: Due | None = None
            start: Start | None = None

        body = Body.model_validate({"due": "2026-11-20T09:00", "start": "2026-11-20"})
        assert body.model_dump(mode="json") == {"due": "2026-11-20T09:00:00", "start": "2026-11-20"}
        assert Body.model_validate({"due": None}).due is None
