"""Figures in the prose are those of the modules that decide them."""

import re

import pytest

from taskwell.database import coalescing
from taskwell.http import admission, connection
from taskwell.services import live_changes
from tests.docs import DOCS

OVERLOAD = "decisions/0010-admission-control.md"


@pytest.mark.parametrize(
    ("page", "figure", "value"),
    [
        ("threat-model.md", r"(\d+) slots", admission._SLOTS),
        ("threat-model.md", r"a queue of ([\d.]+) s", admission._MAX_WAIT_SECONDS),
        ("glossary.md", r"(\d+) slots", admission._SLOTS),
        ("operations.md", r"serves (\d+) fast-path requests", admission._SLOTS),
        ("operations.md", r"counts as six: (\d+) of them", admission._SLOTS // admission.SLOW_PATH_COST),
        ("operations.md", r"answer in ([\d.]+) s", admission._MAX_WAIT_SECONDS),
        ("operations.md", r"A client has (\d+) s to send", connection.TIMEOUT_SECONDS),
        (OVERLOAD, r"there are (\d+) slots", admission._SLOTS),
        (OVERLOAD, r"0\.3 s, ([\d,]+) at most", admission._MAX_QUEUE),
        (OVERLOAD, r"In a turn of the event loop (\d+) slots", admission._SLOTS_PER_TURN),
        (OVERLOAD, r"does not begin before (\d+)\s", coalescing._GOOD_SIZE),
        (OVERLOAD, r"or (\d+) turns are over", coalescing._MAX_LOOP_TURNS),
        ("live-updates.md", r"at most ([\d,]+) streams", live_changes._MAX_STREAMS),
        ("live-updates.md", r"silent for (\d+) s", live_changes._HEARTBEAT_SECONDS),
        ("rate-limits.md", r"at most ([\d,]+) event streams", live_changes._MAX_STREAMS),
    ],
)
def test_a_figure_is_that_of_the_module(page: str, figure: str, value: float) -> None:
    (found,) = re.findall(figure, (DOCS / page).read_text())
    assert float(found.replace(",", "")) == value
