"""The model test's own next occurrences, which are those of dateutil, are the server's."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stress import reference_recurrence
from stress.model_inputs import endless_rules
from stress.reference_dates import due_at
from taskwell.services.recurring import Recurrence, advance
from taskwell.services.task_dates import Dates, recomputed
from tests.conftest import share_of

_FIRST, _LAST = map(
    datetime.fromisoformat, ("2026-10-01", "2027-02-01")
)  # so that clocks are set back on the way
_DAYS = st.integers(0, 90).map(lambda days: _FIRST + timedelta(days=days))
_TEXTS = st.builds(
    lambda day, time: f"{day:%Y-%m-%d}{time}",
    _DAYS,
    st.sampled_from(["", "T00:00:00", "T02:30:00", "T09:30:00"]),
)
_RULES = st.builds(
    "{}{}".format,
    endless_rules,
    st.sampled_from(["", "", ";COUNT=1", ";COUNT=2", ";COUNT=7", ";UNTIL=20261130"]),
)
_ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati"])


_CASES = st.fixed_dictionaries(
    {
        "due": _TEXTS,
        "time_zone": st.none() | _ZONES,
        "recurrence": _RULES,
        "recurrence_mode": st.sampled_from(["next", "each", "completion"]),
        "recurrence_exclude": st.lists(_TEXTS, max_size=3),
    }
)


@settings(max_examples=share_of(400), deadline=None)
@given(case=_CASES, caller=_ZONES, moment=st.datetimes(_FIRST, _LAST), skips=st.booleans())
def test_an_occurrence_leads_to_the_same_next_one(
    case: dict[str, Any], caller: str, moment: datetime, skips: bool
) -> None:
    due, zone, now = case["due"], case["time_zone"], moment.replace(tzinfo=UTC)
    if "T" not in due:
        zone = None
    record = {**case, "start": None, "time_zone": zone, "due_at": due_at(due, zone)}
    recurrence = Recurrence(case["recurrence"], case["recurrence_mode"], tuple(case["recurrence_exclude"]))
    found = advance(recomputed(Dates(None, due, zone)), recurrence, now, caller, skips=skips)
    expected = reference_recurrence.advance(record, now, caller, skips=skips)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found.dates.due == expected.changes["due"]
        assert found.recurrence.rule == expected.changes["recurrence"]
        assert list(found.recurrence.exclude) == expected.changes["recurrence_exclude"]
