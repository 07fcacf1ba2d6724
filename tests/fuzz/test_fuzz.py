"""The short form of `python -m fuzz`: the server answers as its OpenAPI document says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fuzz.expectations import ENDLESS
from fuzz.run import SHORT, fuzz
from harness.figures import Figures
from harness.openapi_slots import operations
from tests.conftest import DATABASES, EVERYTHING

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "openapi.json").read_text())
# The same operations are at the first mount; the signed-in user asks for both.
SECOND_MOUNT = r"^/api/\{user_id\}/"
FIRST_MOUNT_ALONE = f"{ENDLESS}|{SECOND_MOUNT}"


def check(figures: Figures, without: str) -> None:
    assert figures.broken == []
    count = sum(not re.search(without, operation.path) for operation in operations(DOCUMENT))
    assert figures.values["operations"] == count >= 60
    assert figures.values["requests with an answer that was checked"] >= 500


# SQLite is asked below, at both mounts.
@pytest.mark.parametrize("database_kind", DATABASES if EVERYTHING else DATABASES[-1:], indirect=True)
@pytest.mark.timeout(600)
def test_to_anybody_the_server_answers_as_documented(database_url: str, tmp_path: Path) -> None:
    figures = fuzz("anybody", database_url, tmp_path, SHORT, seed=1, without=FIRST_MOUNT_ALONE)
    check(figures, FIRST_MOUNT_ALONE)


@pytest.mark.timeout(600)
def test_to_one_user_it_answers_as_documented_and_to_nobody_else(tmp_path: Path) -> None:
    check(fuzz("signed in", f"sqlite:///{tmp_path}/test.db", tmp_path, SHORT, seed=1), ENDLESS)
