"""The client of docs/offline-sync.md, run as it stands there."""

import random
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness.responses import create

PAGE = Path(__file__).parents[2] / "docs" / "offline-sync.md"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)
    return names


def write(client: httpx2.Client, tasks: list[str], chance: random.Random) -> None:
    """Any of the operations, on any of the tasks."""
    task = f"/api/tasks/{chance.choice(tasks)}"
    match chance.randrange(6):
        case 0:
            tasks.append(create(client, "/api/tasks", title=f"{chance.random()}")["id"])
        case 1:
            client.patch(task, json={"title": f"{chance.random()}"})
        case 2:
            client.post(f"{task}/toggle")
        case 3:
            client.delete(task)
        case 4:
            client.post(f"{task}/restore")
        case _:
            client.request("DELETE", "/api/tasks?completed=true")


def test_it_keeps_its_copy_equal(client: httpx2.Client, page: dict[str, Any]) -> None:
    chance = random.Random(17)
    tasks = [create(client, "/api/tasks")["id"]]
    copy: dict[str, Any] = {}
    since = None
    for _ in range(40):
        for _ in range(chance.randrange(6)):
            write(client, tasks, chance)
        since = page["sync"](client, copy, since)
        assert copy == {task["id"]: task for task in client.get("/api/tasks").json()}


def test_it_begins_anew_where_its_cursor_is_gone(client: httpx2.Client, page: dict[str, Any]) -> None:
    task = create(client, "/api/tasks")
    copy: dict[str, Any] = {"gone": {}}
    assert page["sync"](client, copy, "999-0") == f"{task['version']}-0"
    assert copy == {task["id"]: task}


def test_it_is_as_short_as_it_says() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip()]) <= 20
