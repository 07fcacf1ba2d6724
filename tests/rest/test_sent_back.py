"""A client that reads a task, changes one member and sends the whole task back changes that member alone."""

from typing import Any

import httpx2
import pytest

from harness.responses import create, violation

STATES = ("open", "in_progress", "completed", "cancelled")


@pytest.mark.parametrize("before", STATES)
class TestWholeTask:
    @pytest.mark.parametrize("after", STATES)
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_with_another_status(
        self, client: httpx2.Client, tasks: str, before: str, after: str, method: str
    ) -> None:
        task = create(client, tasks, status=before)
        changed = client.request(method, f"{tasks}/{task['id']}", json={**task, "status": after}).json()
        assert (changed["status"], changed["completed"]) == (after, after in {"completed", "cancelled"})

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_with_completed_inverted(
        self, client: httpx2.Client, tasks: str, before: str, method: str
    ) -> None:
        """As clients do that know no `status`."""
        task = create(client, tasks, status=before)
        body = {**task, "completed": not task["completed"]}
        changed = client.request(method, f"{tasks}/{task['id']}", json=body).json()
        assert changed["completed"] is not task["completed"]
        assert changed["status"] == ("completed" if changed["completed"] else "open")

    def test_in_a_batch(self, client: httpx2.Client, tasks: str, before: str) -> None:
        task = create(client, tasks, status=before)
        body = {**task, "completed": not task["completed"]}
        step = {"op": "update", "id": task["id"], "version": task["version"], "task": body}
        answer = client.post(f"{tasks}/batch", json={"operations": [step]})
        assert answer.json()["results"][0]["task"]["completed"] is not task["completed"]

    def test_with_nothing_changed(self, client: httpx2.Client, tasks: str, before: str) -> None:
        task = create(client, tasks, status=before, due="2026-11-20T09:00", time_zone="Europe/Berlin",
                      labels=["a"], extra={"a": 1}, priority=3)  # fmt: skip
        changed = client.put(f"{tasks}/{task['id']}", json=task).json()
        other = {name for name in task if task[name] != changed[name]}
        assert other <= {"updated_at", "version"}


@pytest.mark.parametrize("completed", [True, False])
def test_two_that_contradict_each_other_are_refused(
    client: httpx2.Client, tasks: str, completed: bool
) -> None:
    """Of a body that is not a whole task nobody knows which is meant."""
    task = create(client, tasks)
    body: dict[str, Any] = {"status": "open" if completed else "cancelled", "completed": completed}
    answers = [
        client.post(tasks, json={"title": "x", **body}),
        client.patch(f"{tasks}/{task['id']}", json=body),
        client.put(f"{tasks}/{task['id']}", json=body),
    ]
    for answer in answers:
        found = violation(answer)
        assert (found["pointer"], found["code"]) == ("/status", "status_conflict")
    assert client.get(tasks).json() == [task]
