"""The migrations begin with nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.databases import new_database


@pytest.fixture
def database_url(database_kind: str, tmp_path: Path) -> Iterator[str]:
    """A database without a table, for the test alone."""
    with new_database(database_kind, tmp_path) as url:
        yield url
