"""A database with something of everything in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.databases import new_database
from tests.cli.contents import fill


@pytest.fixture
def database_url(database_kind: str, tmp_path: Path) -> Iterator[str]:
    """A database without a table, for the test alone."""
    with new_database(database_kind, tmp_path) as url:
        yield url


@pytest.fixture(scope="module")
def filled(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL. Tests only read it."""
    with new_database(database_kind, tmp_path_factory.mktemp("filled")) as url:
        fill(url)
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def any_other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database of either kind, whatever the kind of the first."""
    with new_database(request.param, tmp_path_factory.mktemp("other")) as url:
        yield url


@pytest.fixture
def other(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database of the other kind."""
    kind = "postgresql" if database_kind == "sqlite" else "sqlite"
    with new_database(kind, tmp_path_factory.mktemp("other")) as url:
        yield url
