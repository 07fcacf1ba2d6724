"""The order that users give their tasks: a move puts one beside another, and touches no other task."""

from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from harness.responses import create, problem, unknown_id, violation
from harness.servers import LocalServer, local_server
from harness.side_effects import at_once, execute, instant
from taskwell.core.clock import utc_now
from taskwell.core.positions import is_position
from taskwell.core.settings import Settings
from taskwell.services.moves import LONGEST_KEY

Task = dict[str, Any]


def move(
    client: httpx2.Client, tasks: str, task: Task, body: Any, headers: dict[str, str] | None = None
) -> httpx2.Response:
    return client.post(f"{tasks}/{task['id']}/move", json=body, headers=headers)


def moved(client: httpx2.Client, tasks: str, task: Task, **body: Any) -> Task:
    answer = move(client, tasks, task, body)
    assert answer.status_code == 200, answer.text
    found: Task = answer.json()
    assert answer.headers["etag"] == f'"{found["version"]}"'
    return found


def batch(client: httpx2.Client, tasks: str, *operations: Any) -> httpx2.Response:
    return client.post(f"{tasks}/batch", json={"operations": operations}, timeout=120)


def order(client: httpx2.Client, tasks: str, parent: Task | None = None) -> list[str]:
    """The titles in the users' order: that of all tasks below one, or of those that are no part."""
    above = parent and parent["id"]
    found = [task for task in client.get(tasks).json() if task["parent_id"] == above]
    return [task["title"] for task in sorted(found, key=lambda task: (task["position"], task["id"]))]


def state(client: httpx2.Client, tasks: str) -> tuple[str, bytes]:
    alive = client.get(tasks)
    return alive.headers["etag"], alive.content


def new_list(server: LocalServer, user_id: str) -> str:
    """The id of a list that exists."""
    list_id = uuid4()
    stored = list_id.hex if server.settings.database.is_sqlite else str(list_id)
    now = instant(server.settings, utc_now())
    execute(
        server.settings,
        "INSERT INTO lists (user_id, id, name, position, created_at, updated_at, version) "
        f"VALUES ('{user_id}', '{stored}', 'Home', 'a0', {now}, {now}, 1)",
    )
    return str(list_id)


@pytest.fixture
def made(client: httpx2.Client, tasks: str) -> dict[str, Task]:
    """Four tasks, in the order in which they were made."""
    return {title: create(client, tasks, title=title) for title in "abcd"}


class TestPlaces:
    @pytest.mark.parametrize(
        ("title", "body", "expected"),
        [
            ("d", {"after": "a"}, "adbc"),
            ("a", {"after": "b"}, "bacd"),
            ("a", {"after": "d"}, "bcda"),
            ("a", {"before": "d"}, "bcad"),
            ("d", {"before": "a"}, "dabc"),
            ("c", {"before": "b"}, "acbd"),
            ("c", {"after": None}, "cabd"),
            ("b", {"before": None}, "acdb"),
            ("a", {"after": None}, "abcd"),
            ("d", {"before": None}, "abcd"),
            ("b", {"after": "a"}, "abcd"),
            ("b", {"before": "c"}, "abcd"),
        ],
    )
    def test_of_every_form(
        self,
        client: httpx2.Client,
        tasks: str,
        made: dict[str, Task],
        title: str,
        body: dict[str, str | None],
        expected: str,
    ) -> None:
        ids = {name: other and made[other]["id"] for name, other in body.items()}
        found = moved(client, tasks, made[title], **ids)
        assert "".join(order(client, tasks)) == expected
        own = {name: found[name] for name in ("position", "updated_at")} | {"version": 5}
        assert found == made[title] | own
        others = {task["id"]: task for task in client.get(tasks).json() if task["id"] != found["id"]}
        assert list(others.values()) == [made[other] for other in "dcba" if other != title]

    def test_a_new_task_is_the_last(self, client: httpx2.Client, tasks: str, made: dict[str, Task]) -> None:
        moved(client, tasks, made["a"], before=None)
        moved(client, tasks, made["c"], after=None)
        create(client, tasks, title="e")
        assert order(client, tasks) == list("cbdae")

    def test_an_only_task_may_be_moved(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        for body in ({"after": None}, {"before": None}):
            assert is_position(moved(client, tasks, task, **body)["position"])

    def test_among_the_parts_of_a_task(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task]
    ) -> None:
        """The tasks beside the parent are no siblings."""
        parts = {title: create(client, tasks, title=title, parent_id=made["b"]["id"]) for title in "xyz"}
        moved(client, tasks, parts["z"], after=parts["x"]["id"])
        assert order(client, tasks, made["b"]) == list("xzy")
        moved(client, tasks, parts["y"], after=None)
        assert order(client, tasks, made["b"]) == list("yxz")
        assert order(client, tasks) == list("abcd")
        assert violation(move(client, tasks, parts["x"], {"after": made["a"]["id"]})) == {
            "pointer": "/after",
            "code": "invalid_position",
            "detail": "must be another one in the same list and below the same parent, not in the trash",
        }

    def test_below_another_task_and_out_again(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task]
    ) -> None:
        x, y = (create(client, tasks, title=title, parent_id=made["b"]["id"]) for title in "xy")
        found = moved(client, tasks, made["a"], before=y["id"], parent_id=made["b"]["id"])
        assert found["parent_id"] == made["b"]["id"]
        assert order(client, tasks, made["b"]) == list("xay")
        assert order(client, tasks) == list("bcd")
        found = moved(client, tasks, x, after=made["c"]["id"], parent_id=None)
        assert found["parent_id"] is None
        assert order(client, tasks) == list("bcxd")

    def test_into_a_list_with_all_parts_and_back(
        self, client: httpx2.Client, server: LocalServer, tasks: str, made: dict[str, Task]
    ) -> None:
        home = new_list(server, made["a"]["user_id"])
        part = create(client, tasks, title="x", parent_id=made["b"]["id"])
        deep = create(client, tasks, title="y", parent_id=part["id"])
        assert moved(client, tasks, made["d"], after=None, list_id=home)["list_id"] == home
        found = moved(client, tasks, made["b"], before=made["d"]["id"], list_id=home)
        after = {task["title"]: task for task in client.get(tasks).json()}
        assert {title for title, task in after.items() if task["list_id"] == home} == set("bdxy")
        assert [after[title]["version"] for title in "xy"] == [found["version"] + 1, found["version"] + 2]
        assert (after["x"]["parent_id"], after["y"]["parent_id"]) == (made["b"]["id"], part["id"])
        assert after["b"]["position"] < after["d"]["position"]
        problem(move(client, tasks, made["a"], {"after": made["b"]["id"]}), 400, "validation_error")
        moved(client, tasks, deep, after=made["a"]["id"], list_id=None)
        assert order(client, tasks)[:3] != []
        after = {task["title"]: task for task in client.get(tasks).json()}
        assert (after["y"]["list_id"], after["y"]["parent_id"]) == (None, None)
        assert made["a"]["position"] < after["y"]["position"] < made["c"]["position"]


class TestRefusals:
    @pytest.mark.parametrize("body", [{}, {"list_id": None}, {"after": None, "before": None}])
    def test_one_neighbour_is_named(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task], body: Any
    ) -> None:
        before = state(client, tasks)
        told = violation(move(client, tasks, made["b"], body))
        assert (told["pointer"], told["code"]) == ("", "invalid_position")
        assert state(client, tasks) == before

    @pytest.mark.parametrize("name", ["after", "before"])
    @pytest.mark.parametrize(
        "value",
        [1, True, "", "a", [], {}, "null", "' OR 1=1 --", "x" * 5_000, "{}", "../a", 1e300, ["a"]],
        ids=lambda value: repr(value)[:20],
    )
    def test_a_neighbour_is_an_id(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task], name: str, value: Any
    ) -> None:
        before = state(client, tasks)
        for member in (name, "list_id", "parent_id"):
            told = violation(move(client, tasks, made["b"], {name: None} | {member: value}))
            assert (told["pointer"], told["code"]) == (f"/{member}", "invalid_id")
        assert state(client, tasks) == before

    @pytest.mark.parametrize("body", ["null", "[]", "1", '"after"', '{"after": null', "{'after': null}"])
    def test_the_body_is_an_object(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task], body: str
    ) -> None:
        json = {"Content-Type": "application/json"}
        answer = client.post(f"{tasks}/{made['a']['id']}/move", content=body, headers=json)
        problem(answer, 400, "validation_error")
        problem(client.post(f"{tasks}/{made['a']['id']}/move"), 400, "validation_error")

    @pytest.mark.parametrize("name", ["after", "before"])
    def test_the_neighbour_is_a_sibling(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task], name: str
    ) -> None:
        part = create(client, tasks, parent_id=made["c"]["id"])
        elsewhere = create(client, f"/api/user-{uuid4().hex}/tasks")
        client.delete(f"{tasks}/{made['d']['id']}")
        before = state(client, tasks)
        for other in (made["b"], made["d"], part, elsewhere, {"id": unknown_id()}):
            told = violation(move(client, tasks, made["b"], {name: other["id"]}))
            assert (told["pointer"], told["code"]) == (f"/{name}", "invalid_position")
        body = {name: made["a"]["id"], "parent_id": made["c"]["id"]}
        assert violation(move(client, tasks, made["b"], body))["code"] == "invalid_position"
        assert state(client, tasks) == before

    def test_the_place_is_one(self, client: httpx2.Client, tasks: str, made: dict[str, Task]) -> None:
        part = create(client, tasks, parent_id=made["a"]["id"])
        deepest = part
        for _ in range(6):
            deepest = create(client, tasks, parent_id=deepest["id"])
        elsewhere = create(client, f"/api/user-{uuid4().hex}/tasks")
        client.delete(f"{tasks}/{made['d']['id']}")
        before = state(client, tasks)
        for body, pointer, code in (
            ({"parent_id": made["a"]["id"]}, "/parent_id", "cycle"),
            ({"parent_id": part["id"]}, "/parent_id", "cycle"),
            ({"parent_id": deepest["id"]}, "/parent_id", "cycle"),
            ({"parent_id": made["d"]["id"]}, "/parent_id", "no_such_parent"),
            ({"parent_id": elsewhere["id"]}, "/parent_id", "no_such_parent"),
            ({"list_id": unknown_id()}, "/list_id", "no_such_list"),
        ):
            told = violation(move(client, tasks, made["a"], {"after": None} | body))
            assert (told["pointer"], told["code"]) == (pointer, code)
        disagree = {"after": None, "list_id": unknown_id(), "parent_id": made["c"]["id"]}
        told = violation(move(client, tasks, made["b"], disagree))
        assert (told["pointer"], told["code"]) == ("/list_id", "no_such_list")
        told = violation(move(client, tasks, made["b"], {"after": None, "parent_id": deepest["id"]}))
        assert (told["pointer"], told["code"]) == ("/parent_id", "too_deep")
        assert state(client, tasks) == before

    def test_the_task_is_there(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task], user: str
    ) -> None:
        client.delete(f"{tasks}/{made['d']['id']}")
        elsewhere = create(client, f"/api/else-{user}/tasks")
        for task in (made["d"], elsewhere, {"id": unknown_id()}):
            problem(move(client, tasks, task, {"after": None}), 404, "not_found")

    def test_of_a_user_nobody_has_seen(self, client: httpx2.Client, user: str) -> None:
        problem(move(client, f"/api/{user}/tasks", {"id": unknown_id()}, {"after": None}), 404, "not_found")
        problem(client.get(f"/api/users/{user}"), 404, "not_found")


class TestConditions:
    def test_if_match(self, client: httpx2.Client, tasks: str, made: dict[str, Task]) -> None:
        before = state(client, tasks)
        answer = move(client, tasks, made["c"], {"after": None}, {"If-Match": '"1"'})
        problem(answer, 412, "precondition_failed")
        assert answer.headers["etag"] == '"3"'
        assert state(client, tasks) == before
        answer = move(client, tasks, made["c"], {"after": None}, {"If-Match": '"3"'})
        assert (answer.status_code, answer.json()["version"]) == (200, 5)

    def test_a_repeat_of_a_keyed_move_does_nothing(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task]
    ) -> None:
        key = {"Idempotency-Key": unknown_id()}
        first, again = (move(client, tasks, made["c"], {"after": None}, key) for _ in range(2))
        assert (first.content, first.status_code) == (again.content, again.status_code)
        assert again.headers["idempotent-replayed"] == "true"
        problem(move(client, tasks, made["c"], {"before": None}, key), 422, "idempotency_key_reused")
        assert order(client, tasks) == list("cabd")

    def test_a_server_may_require_one(self, database_url: str) -> None:
        settings = Settings(database_url=database_url, require_if_match=True)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            task = create(client, "/api/tasks")
            answer = move(client, "/api/tasks", task, {"after": None})
            problem(answer, 428, "precondition_required")
            step = {"op": "move", "id": task["id"], "after": None}
            problem(batch(client, "/api/tasks", step), 428, "precondition_required")
            assert batch(client, "/api/tasks", step | {"version": 1}).status_code == 200


class TestBatch:
    def test_moves_in_their_order(self, client: httpx2.Client, tasks: str, made: dict[str, Task]) -> None:
        a, b, c, d = (made[title]["id"] for title in "abcd")
        answer = batch(
            client,
            tasks,
            {"op": "move", "id": d, "after": None, "version": 4},
            {"op": "move", "id": a, "before": None},
            {"op": "move", "id": b, "after": c, "version": 2},
            {"op": "move", "id": c, "before": None, "parent_id": a},
        )
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        assert [(one["status"], one["task"]["version"]) for one in results] == [
            (200, 5), (200, 6), (200, 7), (200, 8),
        ]  # fmt: skip
        assert order(client, tasks) == list("dba")
        assert order(client, tasks, made["a"]) == ["c"]

    def test_one_that_fails_fails_all(self, client: httpx2.Client, tasks: str, made: dict[str, Task]) -> None:
        before = state(client, tasks)
        good = {"op": "move", "id": made["d"]["id"], "after": None}
        stale = problem(batch(client, tasks, good, good | {"version": 4}), 412, "precondition_failed")
        assert stale["index"] == 1
        for bad, pointer in (
            ({"after": unknown_id()}, "/operations/1/after"),
            ({"before": None, "parent_id": unknown_id()}, "/operations/1/parent_id"),
        ):
            step = {"op": "move", "id": made["a"]["id"]} | bad
            found = problem(batch(client, tasks, good, step), 400, "validation_error")
            assert (found["index"], found["errors"][0]["pointer"]) == (1, pointer)
        told = violation(batch(client, tasks, good, {"op": "move", "id": made["a"]["id"]}))
        assert (told["pointer"], told["code"]) == ("/operations/1", "invalid_position")
        assert state(client, tasks) == before


class TestOrder:
    def test_is_that_of_a_list_after_many_moves(self, client: httpx2.Client, tasks: str) -> None:
        dice = Random(1)
        expected = [create(client, tasks, title=f"{number}") for number in range(12)]
        for _ in range(150):
            task = expected.pop(dice.randrange(len(expected)))
            place = dice.randrange(len(expected) + 1)
            if dice.random() < 0.5:
                body = {"after": expected[place - 1]["id"] if place else None}
            else:
                body = {"before": expected[place]["id"] if place < len(expected) else None}
            moved(client, tasks, task, **body)
            expected.insert(place, task)
        assert order(client, tasks) == [task["title"] for task in expected]


class TestAtOnce:
    """Moves that run at the same time are one after another, in the order of the numbers they get."""

    @pytest.fixture(params=["inbox", "list", "parent"])
    def place(self, request: pytest.FixtureRequest, client: httpx2.Client, tasks: str) -> dict[str, str]:
        match request.param:
            case "list":
                made = client.post(tasks.removesuffix("tasks") + "lists", json={"name": "Home"})
                return {"list_id": made.json()["id"]}
            case "parent":
                return {"parent_id": create(client, tasks, title="parent")["id"]}
        return {}

    def test_every_one_counts(self, client: httpx2.Client, tasks: str, place: dict[str, str]) -> None:
        made = [create(client, tasks, title=f"{number}", **place) for number in range(12)]
        beside = create(client, tasks, title="beside")

        def work(index: int) -> list[tuple[int, str, dict[str, str | None]]]:
            dice, done = Random(index), []
            for _ in range(25):
                task, other = dice.sample(made, 2)
                body = {dice.choice(("after", "before")): None if dice.random() < 0.2 else other["id"]}
                done.append((moved(client, tasks, task, **body)["version"], task["id"], body))
                if dice.random() < 0.3:
                    client.post(f"{tasks}/{beside['id']}/toggle")
            return done

        done = sorted((one for some in at_once(12, work) for one in some), key=lambda one: one[0])
        expected = [task["id"] for task in made]
        for _, task_id, body in done:
            ((side, other),) = body.items()
            expected.remove(task_id)
            end = 0 if side == "after" else len(expected)
            index = end if other is None else expected.index(other) + (side == "after")
            expected.insert(index, task_id)
        found = [task for task in client.get(tasks).json() if task["id"] in expected]
        ordered = sorted(found, key=lambda task: (task["position"], task["id"]))
        assert [task["id"] for task in ordered] == expected
        versions = [version for version, _, _ in done]
        assert len(set(versions)) == len(versions) == 300

    def test_each_has_its_record(self, client: httpx2.Client, tasks: str) -> None:
        made = [create(client, tasks, title=f"{number}") for number in range(6)]

        def work(index: int) -> None:
            for _ in range(5):
                moved(client, tasks, made[index], after=made[(index + 1) % 6]["id"])

        at_once(6, work)
        for task in client.get(tasks).json():
            records = client.get(f"{tasks}/{task['id']}/history?limit=100").json()
            records.sort(key=lambda record: record["version"])
            known = None
            for record in records:
                old, new = record["changes"].get("position", (known, known))
                assert old == known
                known = new
            assert known == task["position"]
            assert records[-1]["version"] == task["version"]


class TestRoom:
    def grown(self, client: httpx2.Client, tasks: str, moves: Iterator[dict[str, Any]]) -> list[Task]:
        """The tasks after many moves, none of which left a long key."""
        answer = batch(client, tasks, *moves)
        assert answer.status_code == 200, answer.text
        longest = max(len(result["task"]["position"]) for result in answer.json()["results"])
        assert LONGEST_KEY - 10 < longest <= LONGEST_KEY
        found: list[Task] = client.get(tasks).json()
        assert max(len(task["position"]) for task in found) <= LONGEST_KEY
        numbers = [task["version"] for task in found]
        assert len(set(numbers)) == len(numbers)
        return found

    def test_always_behind_the_first(self, client: httpx2.Client, tasks: str, made: dict[str, Task]) -> None:
        first, *rest = (made[title]["id"] for title in "abcd")
        self.grown(
            client,
            tasks,
            ({"op": "move", "id": rest[number % 3], "after": first} for number in range(800)),
        )
        # The last three moves were those of d, b and c.
        assert order(client, tasks) == list("acbd")

    def test_the_same_two_swapped(self, client: httpx2.Client, tasks: str, made: dict[str, Task]) -> None:
        two = made["c"]["id"], made["b"]["id"]
        self.grown(
            client,
            tasks,
            ({"op": "move", "id": two[number % 2], "before": two[1 - number % 2]} for number in range(801)),
        )
        assert order(client, tasks) == list("acbd")

    def test_at_both_ends_keys_do_not_grow(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task]
    ) -> None:
        ids = [task["id"] for task in made.values()]
        ends: tuple[Any, ...] = ({"after": None}, {"before": None})
        answer = batch(
            client,
            tasks,
            *({"op": "move", "id": ids[number % 4], **ends[number % 3 % 2]} for number in range(300)),
        )
        assert {len(result["task"]["position"]) for result in answer.json()["results"]} == {10}

    def test_equal_neighbours_are_spread(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task]
    ) -> None:
        for title in "abc":
            client.patch(f"{tasks}/{made[title]['id']}", json={"position": "a5"})
        elsewhere = create(client, tasks, title="x", parent_id=made["a"]["id"])
        ordered = order(client, tasks)  # by their ids
        first, second = ordered[:2]
        found = moved(client, tasks, made["d"], after=made[first]["id"])
        assert order(client, tasks) == [first, "d", second, ordered[2]]
        after = {task["title"]: task for task in client.get(tasks).json()}
        assert len({after[title]["position"] for title in "abcd"}) == 4
        assert sorted(after[title]["version"] for title in "abc") == [
            found["version"] + number for number in (1, 2, 3)
        ]
        assert after["x"] == elsewhere
        changes = client.get(f"{tasks.removesuffix('/tasks')}/changes").json()["changes"]
        assert [change["title"] for change in changes][-4:] == ["d", first, second, ordered[2]]

    def test_no_key_and_a_long_one_are_spread(
        self, client: httpx2.Client, server: LocalServer, tasks: str, made: dict[str, Task]
    ) -> None:
        """'' is the key of a task that an older server made."""
        client.patch(f"{tasks}/{made['d']['id']}", json={"position": "a5" + "V" * 200})
        owner, versions = made["a"]["user_id"], (made["a"]["version"], made["b"]["version"])
        execute(
            server.settings,
            f"UPDATE tasks SET position = '' WHERE user_id = '{owner}' AND version IN {versions}",
        )
        first, second = order(client, tasks)[:2]
        assert {first, second} == set("ab")
        moved(client, tasks, made["c"], after=made[first]["id"])
        assert order(client, tasks) == [first, "c", second, "d"]
        assert all(len(task["position"]) <= 3 for task in client.get(tasks).json())

    @pytest.mark.parametrize("body", [{"after": None}, {"before": None}])
    def test_beside_tasks_without_a_key(
        self,
        client: httpx2.Client,
        server: LocalServer,
        tasks: str,
        made: dict[str, Task],
        body: dict[str, None],
    ) -> None:
        owner = made["a"]["user_id"]
        execute(server.settings, f"UPDATE tasks SET position = '' WHERE user_id = '{owner}'")
        before = [title for title in order(client, tasks) if title != "c"]
        moved(client, tasks, made["c"], **body)
        assert order(client, tasks) == (["c", *before] if "after" in body else [*before, "c"])
