"""Undo: field by field, of single versions or of what a token or a program has written."""

import random
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from harness.responses import create, problem, violation
from tests.rest.test_history import RICH, assert_whole, everything, read

Json = dict[str, Any]

AGENT = {"Taskwell-Agent": "agent"}


@pytest.fixture
def api(tasks: str) -> str:
    return tasks.removesuffix("/tasks")


def undo(client: httpx2.Client, api: str, /, **body: Any) -> Json:
    answer = client.post(f"{api}/undo", json=body)
    assert answer.status_code == 200, answer.text
    result: Json = answer.json()
    return result


def state(task: Json) -> Json:
    return {name: value for name, value in task.items() if name not in {"version", "updated_at"}}


def states(client: httpx2.Client, tasks: str) -> dict[str, Json]:
    return {task["id"]: state(task) for task in read(client, tasks)}


class TestVersions:
    def test_a_change_goes_back(self, client: httpx2.Client, tasks: str, api: str) -> None:
        task = create(client, tasks, **RICH)
        path = f"{tasks}/{task['id']}"
        changes: Json = {
            "title": "Other", "description": None, "due": None, "start": None, "priority": None,
            "labels": ["x"], "link": None, "extra": {"example.com/n": None, "k": 1}, "completed": True,
        }  # fmt: skip
        changed = client.patch(path, json=changes).json()
        result = undo(client, api, versions=[changed["version"]])
        assert result["left"] == []
        (undone,) = result["undone"]
        assert undone["undoes"] == [changed["version"]]
        assert undone["task"] == read(client, path)
        assert state(undone["task"]) == state(task)
        assert undone["version"] == undone["task"]["version"] == changed["version"] + 1
        record = read(client, f"{api}/history")[0]
        assert (record["op"], record["undoes"]) == ("undone", [changed["version"]])
        again = undo(client, api, versions=[undone["version"]])
        assert state(again["undone"][0]["task"]) == state(changed)
        assert_whole(client, tasks, f"{api}/history")

    def test_only_what_no_other_has_changed_since(self, client: httpx2.Client, tasks: str, api: str) -> None:
        task = create(client, tasks, title="First")
        path = f"{tasks}/{task['id']}"
        changed = client.patch(path, json={"title": "Second", "priority": 1}).json()
        client.patch(path, json={"title": "Third"}, headers={"Taskwell-Agent": "other"})
        result = undo(client, api, versions=[changed["version"]])
        assert (result["undone"][0]["task"]["title"], result["undone"][0]["task"]["priority"]) == (
            "Third",
            None,
        )
        (left,) = result["left"]
        assert (left["version"], left["fields"], left["reason"]) == (
            changed["version"], ["title"], "changed_since",
        )  # fmt: skip
        assert left["by"]["client"] == "other"

    def test_a_creation_goes_to_the_trash_unless_it_was_used(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        one, two = create(client, tasks), create(client, tasks)
        client.patch(f"{tasks}/{two['id']}", json={"priority": 3})
        result = undo(client, api, versions=[one["version"], two["version"]])
        assert [entry["task"]["id"] for entry in result["undone"]] == [one["id"]]
        assert "deleted_at" in result["undone"][0]["task"]
        assert [(entry["version"], entry["reason"]) for entry in result["left"]] == [
            (two["version"], "changed_since")
        ]
        assert [task["id"] for task in read(client, tasks)] == [two["id"]]
        back = undo(client, api, versions=[result["undone"][0]["version"]])
        assert state(back["undone"][0]["task"]) == state(one)

    def test_a_deleted_tree_comes_back(self, client: httpx2.Client, tasks: str, api: str) -> None:
        made = client.post(f"{api}/lists", json={"name": "Home"}).json()
        top = create(client, tasks, list_id=made["id"])
        part = create(client, tasks, parent_id=top["id"])
        create(client, tasks, parent_id=part["id"])
        before = states(client, tasks)
        gone = client.delete(f"{tasks}/{top['id']}", headers={"Prefer": "return=representation"}).json()
        result = undo(client, api, versions=[gone["version"]])
        assert len(result["undone"]) == 3
        assert states(client, tasks) == before
        deleted = client.delete(f"{api}/lists/{made['id']}", headers={"Prefer": "return=representation"})
        version = (
            deleted.json()["version"] if deleted.content else read(client, f"{api}/history")[0]["version"]
        )
        result = undo(client, api, versions=[version])
        assert result["left"] == []
        assert states(client, tasks) == before
        assert [one["name"] for one in read(client, f"{api}/lists")] == ["Home"]
        assert_whole(client, tasks, f"{api}/history")

    def test_a_list_goes_after_the_tasks_that_were_made_in_it(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        made = client.post(f"{api}/lists", json={"name": "Plan"}, headers=AGENT).json()
        for title in "ab":
            client.post(tasks, json={"title": title, "list_id": made["id"]}, headers=AGENT)
        result = undo(client, api, client="agent", since=0)
        assert result["left"] == []
        assert (read(client, tasks), read(client, f"{api}/lists")) == ([], [])
        undo(client, api, versions=[one["version"] for one in result["undone"]])
        assert [task["list_id"] for task in read(client, tasks)] == [made["id"]] * 2
        assert_whole(client, tasks, f"{api}/history")

    def test_a_list_that_came_back_goes_again_with_its_tasks(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        made = client.post(f"{api}/lists", json={"name": "Home"}).json()
        create(client, tasks, list_id=made["id"])
        client.delete(f"{api}/lists/{made['id']}")
        back = undo(client, api, versions=[read(client, f"{api}/history")[0]["version"]])
        again = undo(client, api, versions=[one["version"] for one in back["undone"]])
        assert again["left"] == []
        assert (read(client, tasks), read(client, f"{api}/lists")) == ([], [])

    def test_a_move_to_another_list_goes_back_with_its_parts(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        home, work = (client.post(f"{api}/lists", json={"name": name}).json()["id"] for name in "ab")
        top = create(client, tasks, list_id=home)
        create(client, tasks, parent_id=top["id"])
        before = states(client, tasks)
        moved = client.patch(f"{tasks}/{top['id']}", json={"list_id": work}).json()
        undo(client, api, versions=[moved["version"]])
        assert states(client, tasks) == before
        moved = client.patch(f"{tasks}/{top['id']}", json={"list_id": work}).json()
        client.delete(f"{api}/lists/{home}")
        result = undo(client, api, versions=[moved["version"]])
        assert [entry["reason"] for entry in result["left"]] == ["no_place"]
        assert result["undone"] == []

    def test_what_was_moved_and_then_deleted_comes_back_where_it_was(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        home = client.post(f"{api}/lists", json={"name": "Home"}).json()["id"]
        top, other = create(client, tasks, list_id=home), create(client, tasks)
        part = create(client, tasks, parent_id=top["id"])
        before, start = states(client, tasks), part["version"]
        client.patch(f"{tasks}/{part['id']}", json={"list_id": None}, headers=AGENT)
        client.patch(f"{tasks}/{top['id']}", json={"parent_id": other["id"]}, headers=AGENT)
        client.delete(f"{tasks}/{part['id']}", headers=AGENT)
        client.delete(f"{tasks}/{other['id']}", headers=AGENT)
        result = undo(client, api, client="agent", since=start)
        assert result["left"] == []
        assert states(client, tasks) == before
        undo(client, api, versions=[one["version"] for one in result["undone"]])
        assert read(client, tasks) == []
        assert_whole(client, tasks, f"{api}/history")

    def test_what_was_put_below_a_new_task_comes_out_before_it_goes(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        task = create(client, tasks)
        before = states(client, tasks)
        new = client.post(tasks, json={"title": "New"}, headers=AGENT).json()
        client.patch(f"{tasks}/{task['id']}", json={"parent_id": new["id"]}, headers=AGENT)
        assert undo(client, api, client="agent", since=task["version"])["left"] == []
        assert states(client, tasks) == before

    def test_a_parent_and_its_part_that_changed_places_change_back(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        top = create(client, tasks)
        part = create(client, tasks, parent_id=top["id"])
        before = states(client, tasks)
        client.patch(f"{tasks}/{part['id']}", json={"parent_id": None}, headers=AGENT)
        client.patch(f"{tasks}/{top['id']}", json={"parent_id": part["id"]}, headers=AGENT)
        assert undo(client, api, client="agent", since=part["version"])["left"] == []
        assert states(client, tasks) == before

    def test_where_there_is_no_place_the_other_fields_go_back(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        home = client.post(f"{api}/lists", json={"name": "Home"}).json()["id"]
        task = create(client, tasks, title="Mine", list_id=home)
        client.patch(f"{tasks}/{task['id']}", json={"title": "x", "list_id": None}, headers=AGENT)
        client.delete(f"{api}/lists/{home}")
        result = undo(client, api, client="agent", since=task["version"])
        assert [(one["reason"], one["fields"]) for one in result["left"]] == [("no_place", ["list_id"])]
        after = read(client, f"{tasks}/{task['id']}")
        assert (after["title"], after["list_id"]) == ("Mine", None)

    def test_a_parent_with_parts_of_others_stays(self, client: httpx2.Client, tasks: str, api: str) -> None:
        top = create(client, tasks)
        part = create(client, tasks, parent_id=top["id"])
        result = undo(client, api, versions=[top["version"]])
        assert [entry["reason"] for entry in result["left"]] == ["changed_since"]
        result = undo(client, api, versions=[top["version"], part["version"]])
        assert len(result["undone"]) == 2
        assert read(client, tasks) == []

    def test_what_is_not_there_is_told(self, client: httpx2.Client, tasks: str, api: str) -> None:
        create(client, tasks)
        assert undo(client, api, versions=[999])["left"][0]["reason"] == "unknown"
        empty: Json = {"undone": [], "left": []}
        assert undo(client, api, client="nothing", since=0) == empty


class TestClient:
    def test_a_whole_run_goes_back(self, client: httpx2.Client, tasks: str, api: str) -> None:
        made = [create(client, tasks, title=f"Task {n}") for n in range(20)]
        before = states(client, tasks)
        start = made[-1]["version"]
        for n, task in enumerate(made):
            path = f"{tasks}/{task['id']}"
            if n % 4 == 0:
                client.delete(path, headers=AGENT)
            else:
                client.patch(path, json={"title": "Agent"}, headers=AGENT)
                client.post(f"{path}/toggle", headers=AGENT)
        client.post(tasks, json={"title": "New"}, headers=AGENT)
        client.patch(f"{tasks}/{made[1]['id']}", json={"title": "Mine"})
        result = undo(client, api, client="agent", since=start)
        assert len(result["undone"]) == 21
        assert [entry["fields"] for entry in result["left"]] == [["title"]]
        after = states(client, tasks)
        assert after.pop(made[1]["id"])["title"] == "Mine"
        before.pop(made[1]["id"])
        assert after == before
        assert_whole(client, tasks, f"{api}/history")

    def test_parts_come_back_where_their_parent_does(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        """Its list is in the trash, so it comes back to the inbox."""
        home = client.post(f"{api}/lists", json={"name": "Home"}).json()["id"]
        parent = create(client, tasks, list_id=home)["id"]
        part = create(client, tasks, parent_id=parent)["id"]
        start = everything(client, f"{api}/history")[-1]["version"]
        for task in (part, parent):
            client.delete(f"{tasks}/{task}", headers=AGENT).raise_for_status()
        client.delete(f"{api}/lists/{home}").raise_for_status()
        undo(client, api, client="agent", since=start)
        found = {task["id"]: (task["list_id"], task["parent_id"]) for task in read(client, tasks)}
        assert found == {parent: (None, None), part: (None, parent)}
        assert_whole(client, tasks, f"{api}/history")

    @pytest.mark.parametrize("above", ["parent", "grandparent"])
    def test_a_part_comes_back_below_what_moves_back(
        self, client: httpx2.Client, tasks: str, api: str, above: str
    ) -> None:
        """As it comes out of the trash, its parent is still in another list."""
        home = client.post(f"{api}/lists", json={"name": "Home"}).json()["id"]
        ids = {"grandparent": create(client, tasks)["id"]}
        ids["parent"] = create(client, tasks, parent_id=ids["grandparent"])["id"]
        part = create(client, tasks, parent_id=ids["parent"])["id"]
        start, before = everything(client, f"{api}/history")[-1]["version"], states(client, tasks)
        client.delete(f"{tasks}/{part}", headers=AGENT).raise_for_status()
        place = {"list_id": home, "parent_id": None}
        client.patch(f"{tasks}/{ids[above]}", json=place, headers=AGENT).raise_for_status()
        result = undo(client, api, client="agent", since=start)
        assert result["left"] == []
        assert states(client, tasks) == before
        assert_whole(client, tasks, f"{api}/history")

    def test_twice_is_the_identity_also_of_a_part_that_moved_along(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        """The undo writes the part by itself, and once more as it moves its parent."""
        home = client.post(f"{api}/lists", json={"name": "Home"}).json()["id"]
        parent = create(client, tasks)["id"]
        start = everything(client, f"{api}/history")[-1]["version"]
        client.patch(f"{tasks}/{parent}", json={"list_id": home}, headers=AGENT)
        part = create(client, tasks, parent_id=parent)["id"]
        client.patch(f"{tasks}/{part}", json={"status": "completed"}, headers=AGENT)
        client.delete(f"{tasks}/{part}", headers=AGENT)
        before, trash = states(client, tasks), read(client, tasks, deleted="true")
        result = undo(client, api, client="agent", since=start)
        shown = {entry["task"]["id"]: entry["task"] for entry in result["undone"]}
        assert (shown[part]["completed"], shown[part]["list_id"]) == (False, None)
        again = undo(client, api, versions=[entry["version"] for entry in result["undone"]])
        assert again["left"] == []
        assert states(client, tasks) == before
        assert [state(task)["status"] for task in read(client, tasks, deleted="true")] == [
            state(task)["status"] for task in trash
        ]
        assert_whole(client, tasks, f"{api}/history")

    @pytest.mark.parametrize("seed", range(4))
    def test_random_writes_of_two(self, client: httpx2.Client, tasks: str, api: str, seed: int) -> None:
        """What only one has touched is back, the rest is as it was, and twice is the identity."""
        rng = random.Random(seed)
        made = [create(client, tasks, title=f"Task {n}")["id"] for n in range(6)]
        start = everything(client, f"{api}/history")[-1]["version"]
        before = states(client, tasks)
        touched: dict[str, dict[str, set[str]]] = {"agent": {}, "other": {}}
        for _ in range(40):
            who, key = rng.choice(["agent", "other"]), rng.choice(made)
            name = rng.choice(["title", "priority", "completed", "labels"])
            value: Any = {
                "title": f"{who} {rng.random()}", "priority": rng.randint(1, 9),
                "completed": rng.random() < 0.5, "labels": [f"l{rng.randint(0, 3)}"],
            }[name]  # fmt: skip
            headers = {"Taskwell-Agent": who}
            client.patch(f"{tasks}/{key}", json={name: value}, headers=headers)
            touched[who].setdefault(key, set()).add(name)
        changed = states(client, tasks)
        result = undo(client, api, client="agent", since=start)
        after = states(client, tasks)
        for key in made:
            for name in ("title", "priority", "completed", "labels"):
                own = name in touched["agent"].get(key, set())
                others = name in touched["other"].get(key, set())
                if own and not others:
                    assert after[key][name] == before[key][name]
                if not own:
                    assert after[key][name] == changed[key][name]
        assert_whole(client, tasks, f"{api}/history")
        if result["undone"]:
            undo(client, api, versions=[entry["version"] for entry in result["undone"]])
        assert states(client, tasks) == changed


class TestInput:
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"versions": []},
            {"versions": ["1"]},
            {"versions": [-1]},
            {"versions": [1], "since": 1},
            {"since": 1},
            {"client": "x"},
            {"token": "x", "since": 1},
            {"client": "", "since": 1},
        ],
    )
    def test_bad_ones_are_refused(self, client: httpx2.Client, api: str, body: Json) -> None:
        answer = client.post(f"{api}/undo", json=body)
        problem(answer, 400, "validation_error")
        assert {error["detail"] for error in answer.json()["errors"]}.isdisjoint({"is not valid"})

    @pytest.mark.parametrize("token", ["me", "00000000-0000-4000-8000-000000000000"])
    def test_a_token_that_is_none_of_the_user_is_refused(
        self, client: httpx2.Client, tasks: str, api: str, token: str
    ) -> None:
        create(client, tasks)
        answer = client.post(f"{api}/undo", json={"token": token, "since": 0})
        assert violation(answer)["code"] == "no_such_token"

    def test_others_versions_are_not_known(self, client: httpx2.Client, user: str) -> None:
        task = create(client, f"/api/{user}/tasks")
        create(client, f"/api/{user}-other/tasks")
        result = undo(client, f"/api/{user}-other", versions=[task["version"] + 5])
        assert result["undone"] == []
        assert read(client, f"/api/{user}/tasks/{task['id']}") == task

    def test_with_a_key_it_happens_once(self, client: httpx2.Client, tasks: str, api: str) -> None:
        task = create(client, tasks)
        changed = client.patch(f"{tasks}/{task['id']}", json={"title": "x"}).json()
        body, key = {"versions": [changed["version"]]}, {"Idempotency-Key": uuid4().hex}
        first = client.post(f"{api}/undo", json=body, headers=key)
        second = client.post(f"{api}/undo", json=body, headers=key)
        assert (first.status_code, first.json()) == (second.status_code, second.json())
        assert len(everything(client, f"{api}/history")) == 3
