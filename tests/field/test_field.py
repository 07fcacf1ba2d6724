"""The short form of `python -m field`: real proxies in front of the server, and real clients."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import field.situations  # noqa: F401 (they add themselves)
from field.__main__ import DIRECT, column
from field.matrix import SERVERS, Outcome
from field.proxies import PROXIES
from harness.databases import new_database
from harness.servers import local_server
from taskwell.core.settings import Settings
from tests.conftest import DATABASES, EVERYTHING

pytestmark = pytest.mark.timeout(300)
# What a proxy does depends little on the database.
ON_EACH_DATABASE = (DIRECT, "nginx as it comes")
CASES = [
    (database, proxy)
    for database in DATABASES
    for proxy in (DIRECT, *PROXIES)
    if EVERYTHING or database == DATABASES[0] or proxy in ON_EACH_DATABASE
]


@pytest.fixture(scope="module")
def ports(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Where the servers are, by name."""
    with ExitStack() as stack:
        found = {}
        for name, environment in SERVERS.items():
            url = stack.enter_context(new_database(database_kind, tmp_path_factory.mktemp("field")))
            values = {key.removeprefix("TASKWELL_").lower(): value for key, value in environment.items()}
            settings = Settings.model_validate({"database_url": url, **values})
            found[name] = stack.enter_context(local_server(settings)).port
        yield found


@pytest.mark.parametrize(("database_kind", "proxy"), CASES, indirect=["database_kind"])
def test_nothing_is_lost_on_the_way(proxy: str, ports: dict[str, int]) -> None:
    if proxy != DIRECT and (reason := PROXIES[proxy].missing()) is not None and "CI" not in os.environ:
        pytest.skip(reason)
    outcomes = column(proxy, ports, short=True)
    assert {row: outcome.reason for row, outcome in outcomes.items() if outcome.mark == "FAIL"} == {}
    assert any(outcome == Outcome("ok") for outcome in outcomes.values())
