"""Four server processes on one PostgreSQL, behind a proxy that gives each request to the next one."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from harness.cluster import HAPROXY, NO_PROXY, Cluster, cluster
from harness.databases import new_postgres_database
from harness.responses import create

pytestmark = [
    pytest.mark.skipif(HAPROXY is None, reason=NO_PROXY),
    pytest.mark.timeout(600),
]
ROOT = Path(__file__).parents[2]
# `make scaling` runs all of tests/rest and tests/http.
SHORT = (
    "rest/test_events.py::TestStream",
    "rest/test_tasks.py::TestCreateTask",
    "http/test_conditional.py::TestIfMatch",
    "rest/test_idempotency.py::TestRepeat",
    "rest/test_changes.py::TestChanges",
)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with (
        new_postgres_database() as url,
        cluster(tmp_path_factory.mktemp("four"), url, 4) as found,
    ):
        yield found


def test_all_of_them_answer(four: Cluster) -> None:
    with httpx2.Client(base_url=four.url) as client:
        served = Counter(client.get("/api/tasks").headers["x-served-by"] for _ in range(40))
    assert len(served) == 4
    assert min(served.values()) >= 5


def test_what_one_has_written_the_next_one_reads(four: Cluster) -> None:
    with httpx2.Client(base_url=four.url) as client:
        for number in range(20):
            task = create(client, "/api/reader/tasks", title=f"{number}")
            answer = client.get(f"/api/reader/tasks/{task['id']}")
            assert answer.json() == task
            assert client.get("/api/reader/tasks").json()[0]["version"] == number + 1


def test_a_change_is_told_by_each_of_them(four: Cluster) -> None:
    """Whoever listens at one is told of what was written at another: the watcher asks the database."""
    with ExitStack() as stack:
        client = stack.enter_context(httpx2.Client(base_url=four.url))
        streams = []
        for server in four.servers:
            listener = stack.enter_context(httpx2.Client(base_url=server.url, timeout=30))
            answer = stack.enter_context(listener.stream("GET", "/api/listener/events"))
            streams.append(answer.iter_lines())
            next(streams[-1])
        made = [create(client, "/api/listener/tasks")["version"] for _ in range(8)]
        for lines in streams:
            told = (int(line.removeprefix("id: ")) for line in lines if line.startswith("id: "))
            assert [next(told) for _ in [0, *made]] == [0, *made]


def test_a_key_makes_one_task_whichever_is_asked(four: Cluster) -> None:
    with httpx2.Client(base_url=four.url, headers={"Idempotency-Key": "once"}) as client:
        made = {create(client, "/api/repeater/tasks")["id"] for _ in range(8)}
    assert len(made) == 1


def test_one_that_is_stopped_is_missed_by_nobody(four: Cluster) -> None:
    with httpx2.Client(base_url=four.url) as client:
        four.servers[0].stop()
        try:
            for _ in range(40):
                assert client.get("/api/tasks").status_code == 200
        finally:
            four.servers[0].start()
            four.servers[0].wait_until_up()


def test_the_contract_holds_behind_the_proxy() -> None:
    """In short: the tests of the API, asked through it."""
    arguments = ["-p", "no:xdist", "-q", *(f"tests/{name}" for name in SHORT)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        env=os.environ | {"TEST_PROCESSES": "4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5_000:]
    assert " passed" in done.stdout
