"""The flows of the two kinds of clients that the two mounts are for, on a server as an operator runs it."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from harness.databases import new_postgres_database
from harness.responses import JSON
from harness.servers import server_process

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with ExitStack() as stack:
        url = "sqlite:///taskwell.db"
        if database_kind == "postgresql":
            url = stack.enter_context(new_postgres_database())
        folder = tmp_path_factory.mktemp("live")
        server = stack.enter_context(server_process(folder, DATABASE_URL=url))
        yield stack.enter_context(httpx2.Client(base_url=server.url, headers=JSON))


@pytest.mark.plan("A1", "A11", "A12")
def test_a_single_user_client(live: httpx2.Client) -> None:
    """Trailing slashes, PATCH, toggle without a body, and a problem's `detail` shown as it is."""
    assert live.get("/api/tasks/").json() == []
    first = live.post("/api/tasks/", json={"title": "Buy milk"}).json()
    second = live.post("/api/tasks/", json={"title": "Call mum", "description": "Sunday"}).json()
    assert live.get("/api/tasks/").json() == [second, first]

    toggled = live.post(f"/api/tasks/{first['id']}/toggle").json()
    assert toggled["completed"] is True
    edited = live.patch(f"/api/tasks/{second['id']}/", json={"title": "Call dad"}).json()
    assert (edited["title"], edited["description"]) == ("Call dad", "Sunday")

    refused = live.post("/api/tasks/", json={"title": "   "})
    assert refused.status_code == 400
    assert isinstance(refused.json()["detail"], str)

    assert live.delete(f"/api/tasks/{first['id']}").status_code == 204
    assert live.get("/api/tasks/").json() == [edited]


@pytest.mark.plan("B1", "B3", "B4")
def test_a_multi_user_client(live: httpx2.Client) -> None:
    """Users never seen before, PUT with parts of a task and with more, PATCH complete without a body."""
    alice, bob = "wWkWBQTB0k1F5kPDxh4sjvlZdmRkW2rM", "auth0|bob"
    assert live.get(f"/api/{alice}/tasks").json() == []
    task = live.post(f"/api/{alice}/tasks", json={"title": "Buy milk", "urgency": "high"}).json()
    assert task["user_id"] == alice

    def sent_back(changes: dict[str, Any]) -> dict[str, Any]:
        answer = live.put(f"/api/{alice}/tasks/{task['id']}", json=changes)
        assert answer.status_code == 200
        changed: dict[str, Any] = answer.json()
        return changed

    assert sent_back({"description": "Two bottles", "colour": "red"})["title"] == "Buy milk"
    assert sent_back(task | {"title": "Buy bread"})["description"] is None

    done = live.patch(f"/api/{alice}/tasks/{task['id']}/complete")
    assert done.json()["completed"] is True
    assert live.get(f"/api/{bob}/tasks").json() == []
    assert live.delete(f"/api/{bob}/tasks/{task['id']}").status_code == 404
    deleted = live.delete(f"/api/{alice}/tasks/{task['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert live.get(f"/api/{alice}/tasks").json() == []
