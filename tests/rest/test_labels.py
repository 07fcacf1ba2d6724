"""Labels: names on tasks, counted, renamed and removed everywhere at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from harness.responses import create, violation

Json = dict[str, Any]


@pytest.fixture
def labels(tasks: str) -> str:
    return tasks.removesuffix("/tasks") + "/labels"


def read(client: httpx2.Client, path: str, **query: str) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def label(name: str, opened: int, total: int, **more: Any) -> Json:
    own = {"name": name, "color": None, "position": None, "version": None}
    return {**own, **more, "open": opened, "total": total}


def version_of(client: httpx2.Client, tasks: str, task: Json) -> int:
    version: int = read(client, f"{tasks}/{task['id']}")["version"]
    return version


class TestList:
    def test_has_every_name_in_use_and_how_often(
        self, client: httpx2.Client, tasks: str, labels: str
    ) -> None:
        assert read(client, labels) == []
        create(client, tasks, labels=["home", "work"])
        create(client, tasks, labels=["Home"], completed=True)
        create(client, tasks, labels=["home"])
        gone = create(client, tasks, labels=["gone", "home"])
        client.delete(f"{tasks}/{gone['id']}")
        assert read(client, labels) == [label("home", 2, 3), label("work", 1, 1)]
        assert read(client, labels, name="WORK") == [label("work", 1, 1)]
        assert read(client, labels, name="nothing") == []

    def test_has_those_with_a_place_first(self, client: httpx2.Client, tasks: str, labels: str) -> None:
        create(client, tasks, labels=["a", "b", "c"])
        for name, position in (("c", "a1"), ("b", "a2")):
            assert client.put(f"{labels}/{name}", json={"position": position}).status_code == 200
        assert [one["name"] for one in read(client, labels)] == ["c", "b", "a"]

    def test_has_no_others_labels(self, client: httpx2.Client, user: str) -> None:
        create(client, f"/api/{user}-other/tasks", labels=["secret"])
        create(client, f"/api/{user}/tasks", labels=["mine"])
        assert [one["name"] for one in read(client, f"/api/{user}/labels")] == ["mine"]
        assert client.get(f"/api/{user}/labels/secret").status_code == 404
        for answer in (
            client.patch(f"/api/{user}/labels/secret", json={"name": "x"}),
            client.delete(f"/api/{user}/labels/secret"),
        ):
            assert answer.status_code == 404
        assert read(client, f"/api/{user}-other/labels") == [label("secret", 1, 1)]


class TestPut:
    def test_gives_a_color_before_any_task_has_it(self, client: httpx2.Client, labels: str) -> None:
        put = client.put(f"{labels}/Home", json={"color": "#AABBCCDD"})
        assert put.json() == {"name": "Home", "color": "#aabbcc", "position": None, "version": 1}
        again = client.put(f"{labels}/home", json={"position": "a0"}).json()
        assert again == {"name": "home", "color": "#aabbcc", "position": "a0", "version": 2}
        assert read(client, labels) == [label("home", 0, 0, color="#aabbcc", position="a0", version=2)]
        assert client.put(f"{labels}/home", json={"color": None}).json()["color"] is None

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({"color": "red"}, "/color", "invalid_color"),
            ({"color": 7}, "/color", "invalid_type"),
            ({"position": "zz top"}, "/position", "invalid_position"),
        ],
    )
    def test_refuses_what_is_wrong(
        self, client: httpx2.Client, labels: str, body: Json, pointer: str, code: str
    ) -> None:
        found = violation(client.put(f"{labels}/home", json=body))
        assert (found["pointer"], found["code"]) == (pointer, code)
        assert read(client, labels) == []

    @pytest.mark.parametrize("name", ["x" * 61, "%20", "a%00b", "%E2%80%AE"])
    def test_refuses_what_is_no_name(self, client: httpx2.Client, labels: str, name: str) -> None:
        assert client.put(f"{labels}/{name}", json={}).status_code == 400
        assert client.put(f"{labels}?name={name}", json={}).status_code == 400


class TestRename:
    def test_renames_in_every_task_under_a_number_each(
        self, client: httpx2.Client, tasks: str, labels: str
    ) -> None:
        made = [create(client, tasks, labels=names) for names in (["a", "x"], ["A"], ["x"], ["b", "a", "B2"])]
        trashed = create(client, tasks, labels=["a"])
        client.delete(f"{tasks}/{trashed['id']}")
        last = max(version_of(client, tasks, task) for task in made) + 3
        answer = client.patch(f"{labels}/a", json={"name": "b"})
        assert answer.json() == {"name": "b", "color": None, "position": None, "version": None}
        shown = [read(client, f"{tasks}/{task['id']}") for task in made]
        assert [task["labels"] for task in shown] == [["b", "x"], ["b"], ["x"], ["b", "B2"]]
        numbers = [task["version"] for task in (shown[0], shown[1], shown[3])]
        assert numbers == [last, last + 1, last + 2]
        assert shown[2] == made[2]
        assert client.post(f"{tasks}/{trashed['id']}/restore").json()["labels"] == ["b"]
        assert [one["name"] for one in read(client, labels)] == ["b", "B2", "x"]

    def test_of_a_thousand_tasks_is_one_change(self, client: httpx2.Client, tasks: str, labels: str) -> None:
        body = [{"op": "create", "task": {"title": "t", "labels": ["a", f"n{n % 7}"]}} for n in range(1_000)]
        for _ in range(2):
            assert client.post(f"{tasks}/batch", json={"operations": body}).status_code == 200
        assert client.patch(f"{labels}/A", json={"name": "Straße"}).status_code == 200
        changed = read(client, tasks)
        assert all("Straße" in task["labels"] and "a" not in task["labels"] for task in changed)
        assert sorted(task["version"] for task in changed) == [*range(2_001, 4_001)]
        assert client.delete(f"{labels}/{quote('STRASSE')}").status_code == 204
        assert all(len(task["labels"]) == 1 for task in read(client, tasks))

    def test_keeps_color_and_place(self, client: httpx2.Client, tasks: str, labels: str) -> None:
        create(client, tasks, labels=["a"])
        client.put(f"{labels}/a", json={"color": "#112233", "position": "a5"})
        renamed = client.patch(f"{labels}/a", json={"name": "b"}).json()
        assert renamed | {"version": 0} == {"name": "b", "color": "#112233", "position": "a5", "version": 0}
        client.put(f"{labels}/c", json={"color": "#445566"})
        merged = client.patch(f"{labels}/b", json={"name": "C"}).json()
        assert (merged["name"], merged["color"], merged["position"]) == ("C", "#445566", None)
        assert [one["name"] for one in read(client, labels)] == ["C"]

    def test_of_the_case_alone(self, client: httpx2.Client, tasks: str, labels: str) -> None:
        task = create(client, tasks, labels=["home", "x"])
        assert client.patch(f"{labels}/HOME", json={"name": "Home"}).status_code == 200
        assert read(client, f"{tasks}/{task['id']}")["labels"] == ["Home", "x"]

    def test_a_name_may_have_a_slash(self, client: httpx2.Client, tasks: str, labels: str) -> None:
        task = create(client, tasks, labels=["a/b", 'q"uote', "b\\s,"])
        for before, after in (("a/b", "c/d"), ('q"uote', '"'), ("b\\s,", "ü/%")):
            answer = client.patch(labels, params={"name": before}, json={"name": after})
            assert answer.status_code == 200, answer.text
        assert read(client, f"{tasks}/{task['id']}")["labels"] == ["c/d", '"', "ü/%"]
        assert client.put(labels, params={"name": "c/d"}, json={"color": "#000000"}).status_code == 200
        assert client.delete(labels, params={"name": "c/d"}).status_code == 204
        assert read(client, f"{tasks}/{task['id']}")["labels"] == ['"', "ü/%"]

    def test_a_name_within_another_is_another(self, client: httpx2.Client, tasks: str, labels: str) -> None:
        task = create(client, tasks, labels=["home", "at home", 'home","x', "hom"])
        other = create(client, tasks, labels=['at"home', "\\home"])
        client.delete(f"{labels}/home")
        assert read(client, f"{tasks}/{task['id']}")["labels"] == ["at home", 'home","x', "hom"]
        assert read(client, f"{tasks}/{other['id']}") == other
        assert client.delete(f"{labels}/home").status_code == 404

    def test_to_nothing_takes_no_number(self, client: httpx2.Client, labels: str) -> None:
        before = client.put(f"{labels}/home", json={"color": "#123456"}).json()
        answer = client.patch(f"{labels}/home", json={})
        assert (answer.status_code, answer.json()) == (200, before)
        assert client.get(labels).json()[0]["version"] == before["version"]

    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    def test_of_a_label_that_is_nowhere_is_a_404(
        self, client: httpx2.Client, tasks: str, labels: str, method: str
    ) -> None:
        body = {"name": "b"} if method == "PATCH" else None
        assert client.request(method, f"{labels}/a", json=body).status_code == 404
        create(client, tasks, labels=["b"])
        assert client.request(method, f"{labels}/a", json=body).status_code == 404


class TestAtOnce:
    def test_two_clients_that_tag_lose_none(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        names = [f"label {n}" for n in range(24)]
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda name: client.patch(path, json={"labels_add": [name]}), names)
            assert {answer.status_code for answer in answers} == {200}
        assert sorted(read(client, path)["labels"]) == sorted(names)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: client.patch(path, json={"labels_remove": [name]}), names[::2]))
        assert sorted(read(client, path)["labels"]) == sorted(names[1::2])


class TestFeed:
    def test_has_labels_on_request(self, client: httpx2.Client, tasks: str, labels: str) -> None:
        changes = tasks.removesuffix("/tasks") + "/changes"
        client.put(f"{labels}/a", json={"color": "#112233"})
        create(client, tasks, labels=["a"])
        client.patch(f"{labels}/a", json={"name": "b"})
        assert [one["version"] for one in read(client, changes)["changes"]] == [3]
        found = read(client, changes, types="label")["changes"]
        assert [(one["type"], one["name"], one["version"]) for one in found] == [
            ("label", "a", 4), ("label", "b", 5),
        ]  # fmt: skip
        assert found[0]["deleted"] is True
        assert (found[1]["color"], found[1]["position"]) == ("#112233", None)

    def test_has_them_as_events(self, client: httpx2.Client, tasks: str, labels: str) -> None:
        path = tasks.removesuffix("/tasks") + "/events?since=0"
        client.put(f"{labels}/a", json={"position": "a0"})
        create(client, tasks, labels=["a"])
        seen = []
        with client.stream("GET", path) as answer:
            for line in answer.iter_lines():
                seen += [line.removeprefix("event: ")] if line.startswith("event: ") else []
                if len(seen) == 3:
                    break
        assert seen == ["ready", "label", "task"]
