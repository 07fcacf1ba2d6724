"""What only the collector could free is freed late, and looked for among all that the connections have."""

import gc
from collections.abc import Callable, Iterator

import httpx2
import pytest

from harness.responses import create, unknown_id
from harness.servers import LocalServer, wait_for
from taskwell.http.admission import RequestPeek
from taskwell.http.connection import Cycle
from tests.http.test_admission import full

Ask = Callable[[httpx2.Client, str], httpx2.Response]


def ask_for_one_that_is_there_and_one_that_is_not(client: httpx2.Client, tasks: str) -> httpx2.Response:
    """Who is known by the first goes no long way for the second."""
    client.get(f"{tasks}/{create(client, tasks)['id']}")
    return client.get(f"{tasks}/{unknown_id()}")


REQUESTS: dict[str, Ask] = {
    "create": lambda client, tasks: client.post(tasks, json={"title": "Buy milk"}),
    "page": lambda client, tasks: client.get(tasks, params={"limit": 2}),
    "whole list": lambda client, tasks: client.get(tasks),
    "filtered": lambda client, tasks: client.get(tasks, params={"completed": "true", "limit": 2}),
    "unknown task": ask_for_one_that_is_there_and_one_that_is_not,
    "no task": lambda client, tasks: client.patch(f"{tasks}/x", json={"title": "Buy bread"}),
    "bad body": lambda client, tasks: client.post(tasks, json={"title": ""}),
    "keyed": lambda client, tasks: client.post(
        tasks, json={"title": "Buy milk"}, headers={"Idempotency-Key": "a"}
    ),
    "changes": lambda client, tasks: client.get(tasks.removesuffix("tasks") + "changes"),
    "health": lambda client, _: client.get("/health/ready"),
    "nowhere": lambda client, _: client.get("/nowhere"),
}


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nothing is collected, and what is there already is not counted."""
    gc.disable()
    gc.freeze()
    yield
    gc.enable()


@pytest.mark.slow
@pytest.mark.parametrize("ask", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.usefixtures("uncollected")
def test_a_request_leaves_no_cycle(client: httpx2.Client, tasks: str, ask: Ask) -> None:
    for _ in range(20):
        ask(client, tasks)
    wait_for(lambda: alive(Cycle) <= 2)


@pytest.mark.usefixtures("uncollected")
def test_a_refusal_leaves_no_cycle(server: LocalServer, client: httpx2.Client, tasks: str) -> None:
    with full(server):
        for _ in range(20):
            assert client.get(tasks).status_code == 503
    wait_for(lambda: alive(RequestPeek) == 0)


def alive(kind: type[object]) -> int:
    return sum(type(it) is kind for it in gc.get_objects())
