"""The short form of `python -m fuzz`: the server answers as its OpenAPI document says."""

import json
from pathlib import Path
from typing import Any

import pytest

from fuzz.run import SHORT, fuzz
from harness.figures import Figures
from harness.openapi_slots import operations

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "openapi.json").read_text())
# All but the two that never end.
COUNT = len(operations(DOCUMENT)) - 2


def check(figures: Figures) -> None:
    assert figures.broken == []
    assert figures.values["operations"] == COUNT
    assert figures.values["requests with an answer that was checked"] >= 500


@pytest.mark.timeout(600)
def test_to_anybody_the_server_answers_as_documented(database_url: str, tmp_path: Path) -> None:
    check(fuzz("anybody", database_url, tmp_path, SHORT, seed=1))


@pytest.mark.timeout(600)
def test_to_one_user_it_answers_as_documented_and_to_nobody_else(tmp_path: Path) -> None:
    check(fuzz("signed in", f"sqlite:///{tmp_path}/test.db", tmp_path, SHORT, seed=1))
