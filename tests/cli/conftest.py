"""A database with something of everything in it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import make_url

from harness.databases import copied_database, new_database
from harness.side_effects import execute
from taskwell.core.settings import Settings
from tests.cli.contents import fill

FilledCopy = Callable[[str, Path], AbstractContextManager[str]]
OTHER = {"sqlite": "postgresql", "postgresql": "sqlite"}


@pytest.fixture
def database_url(database_kind: str, tmp_path: Path) -> Iterator[str]:
    """A database without a table, for the test alone."""
    with new_database(database_kind, tmp_path) as url:
        yield url


@pytest.fixture(scope="session")
def filled_copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledCopy]:
    """Makes a copy in a folder, and gives its URL: to fill one anew takes a hundred and more requests."""
    with ExitStack() as stack:

        @cache
        def original(kind: str) -> str:
            url = stack.enter_context(new_database(kind, tmp_path_factory.mktemp("original")))
            fill(url)
            return str(make_url(url).database)

        yield lambda kind, folder: copied_database(kind, original(kind), folder)


@pytest.fixture(scope="module")
def filled(
    database_kind: str, filled_copy: FilledCopy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Its URL. Tests only read it."""
    with filled_copy(database_kind, tmp_path_factory.mktemp("filled")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def any_other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database of either kind, whatever the kind of the first."""
    with new_database(request.param, tmp_path_factory.mktemp("other")) as url:
        yield url


@pytest.fixture
def other(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database of the other kind."""
    with new_database(OTHER[database_kind], tmp_path_factory.mktemp("other")) as url:
        yield url


@pytest.fixture
def other_filled(
    database_kind: str, filled_copy: FilledCopy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a database of the other kind that holds something else."""
    with filled_copy(OTHER[database_kind], tmp_path_factory.mktemp("other")) as url:
        execute(Settings(database_url=url), "UPDATE tasks SET title = 'Of another'")
        yield url
