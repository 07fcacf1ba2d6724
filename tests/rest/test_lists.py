"""Lists, and what becomes of the tasks in them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from harness.responses import create, problem, unknown_id, violation
from harness.servers import LocalServer, local_server
from harness.side_effects import at_once, execute, instant, purge_expired
from taskwell.core.settings import Settings

NEW = {"If-None-Match": "*"}
SOME = unknown_id()
SHOWN = {"Prefer": "return=representation"}
FIELDS = [
    "id", "user_id", "name", "color", "position", "archived_at", "created_at", "updated_at", "version",
]  # fmt: skip


@pytest.fixture
def lists(tasks: str) -> str:
    return tasks.removesuffix("tasks") + "lists"


def make(client: httpx2.Client, lists: str, name: str = "Home", **members: Any) -> dict[str, Any]:
    answer = client.post(lists, json={"name": name, **members})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def ids(client: httpx2.Client, path: str) -> list[str]:
    return [one["id"] for one in client.get(path).raise_for_status().json()]


def names(client: httpx2.Client, lists: str) -> list[str]:
    return [one["name"] for one in client.get(lists).raise_for_status().json()]


def version(client: httpx2.Client, tasks: str) -> int:
    """The user's latest number."""
    return int(client.get(tasks).headers["etag"].strip('"').partition("-")[0])


class TestCreate:
    def test_gives_every_field(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        answer = client.post(lists, json={"name": "  Home ", "color": "#2E7D32"})
        made = answer.json()
        assert answer.status_code == 201
        assert list(made) == FIELDS
        assert (made["name"], made["color"], made["archived_at"]) == ("Home", "#2e7d32", None)
        assert made["created_at"] == made["updated_at"]
        assert answer.headers["location"] == f"{lists}/{made['id']}"
        assert answer.headers["etag"] == f'"{made["version"]}"'
        assert client.get(f"{lists}/{made['id']}").json() == made
        assert version(client, tasks) == made["version"]

    @pytest.mark.parametrize(
        ("color", "kept"), [("#2E7D32FF", "#2e7d32"), ("#abcdef", "#abcdef"), (None, None)]
    )
    def test_keeps_a_color(
        self, client: httpx2.Client, lists: str, color: str | None, kept: str | None
    ) -> None:
        assert make(client, lists, color=color)["color"] == kept

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({}, "/name", "required"),
            ({"name": None}, "/name", "invalid_type"),
            ({"name": " "}, "/name", "too_short"),
            ({"name": "\u200b"}, "/name", "blank"),
            ({"name": "x" * 101}, "/name", "too_long"),
            ({"name": "a\nb"}, "/name", "invalid_text"),
            ({"name": "x", "color": "red"}, "/color", "invalid_color"),
            ({"name": "x", "color": "#2e7d3"}, "/color", "invalid_color"),
            ({"name": "x", "color": "#2e7d32f"}, "/color", "invalid_color"),
            ({"name": "x", "color": "#2e7d32\n"}, "/color", "invalid_color"),
            ({"name": "x", "color": 7}, "/color", "invalid_type"),
            ({"name": "x", "position": "!"}, "/position", "invalid_position"),
            ({"name": "x", "position": None}, "/position", "invalid_type"),
        ],
    )
    def test_refuses_what_is_no_list(
        self, client: httpx2.Client, lists: str, body: Any, pointer: str, code: str
    ) -> None:
        found = violation(client.post(lists, json=body))
        assert (found["pointer"], found["code"]) == (pointer, code)
        assert client.get(lists).json() == []

    def test_takes_the_longest_name_and_the_same_one_twice(self, client: httpx2.Client, lists: str) -> None:
        for _ in range(2):
            make(client, lists, "😀" * 100)
        assert names(client, lists) == ["😀" * 100] * 2

    def test_creates_no_user_where_the_server_creates_none(self, database_url: str) -> None:
        settings = Settings(database_url=database_url, create_users=False)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            problem(client.post("/api/nobody/lists", json={"name": "x"}), 404, "not_found")
            body = {"operations": [{"op": "create", "kind": "list", "list": {"name": "x"}}]}
            problem(client.post("/api/nobody/tasks/batch", json=body), 404, "not_found")
            assert client.get("/api/nobody/lists").json() == []

    def test_the_thousand_and_first_is_a_conflict(self, client: httpx2.Client, lists: str) -> None:
        first = make(client, lists)
        many = [{"op": "create", "kind": "list", "list": {"name": f"{number}"}} for number in range(999)]
        batch = f"{lists.removesuffix('lists')}tasks/batch"
        client.post(batch, json={"operations": many}, timeout=60).raise_for_status()
        assert len(names(client, lists)) == 1_000
        problem(client.post(lists, json={"name": "x"}), 409, "conflict")
        problem(client.put(f"{lists}/{uuid4()}", json={"name": "x"}, headers=NEW), 409, "conflict")
        assert client.delete(f"{lists}/{first['id']}").status_code == 204
        last = make(client, lists)
        problem(client.post(f"{lists}/{first['id']}/restore"), 409, "conflict")
        assert client.delete(f"{lists}/{last['id']}").status_code == 204
        assert client.post(f"{lists}/{first['id']}/restore").status_code == 200


class TestPut:
    def test_creates_it_with_the_id(self, client: httpx2.Client, lists: str) -> None:
        path = f"{lists}/{uuid4()}"
        answer = client.put(path, json={"name": "Home"}, headers=NEW)
        assert (answer.status_code, answer.headers["location"]) == (201, path)
        assert client.get(path).json() == answer.json()
        again = client.put(path, json={"name": "Home"}, headers=NEW)
        problem(again, 412, "precondition_failed")
        assert again.headers["etag"] == answer.headers["etag"]

    def test_of_one_in_the_trash_is_412(self, client: httpx2.Client, lists: str) -> None:
        path = f"{lists}/{make(client, lists)['id']}"
        client.delete(path)
        problem(client.put(path, json={"name": "x"}, headers=NEW), 412, "precondition_failed")

    def test_needs_a_name(self, client: httpx2.Client, lists: str) -> None:
        found = violation(client.put(f"{lists}/{uuid4()}", json={"color": None}, headers=NEW))
        assert (found["pointer"], found["code"]) == ("/name", "required")

    def test_merges_otherwise(self, client: httpx2.Client, lists: str) -> None:
        made = make(client, lists, color="#000000")
        changed = client.put(f"{lists}/{made['id']}", json={"name": "x"}).json()
        assert (changed["name"], changed["color"]) == ("x", "#000000")
        problem(client.put(f"{lists}/{uuid4()}", json={"name": "x"}), 404, "not_found")


class TestUpdate:
    def test_changes_what_was_sent(self, client: httpx2.Client, lists: str) -> None:
        made = make(client, lists, color="#000000")
        path = f"{lists}/{made['id']}"
        changed = client.patch(path, json={"color": None, "position": "a0"}).json()
        assert changed == made | {
            "color": None, "position": "a0", "updated_at": changed["updated_at"],
            "version": made["version"] + 1,
        }  # fmt: skip
        assert changed["updated_at"] > made["updated_at"]
        assert client.patch(path, json={}).json() == changed

    def test_ignores_what_is_read_only_unless_strict(self, client: httpx2.Client, lists: str) -> None:
        made = make(client, lists)
        path = f"{lists}/{made['id']}"
        body = made | {"archived_at": "2026-01-01T00:00:00Z", "name": "x"}
        changed = client.put(path, json=body).json()
        assert (changed["name"], changed["archived_at"]) == ("x", None)
        refused = violation(client.put(path, json=body, headers={"Prefer": "handling=strict"}))
        assert refused["code"] == "unknown_member"

    def test_someone_elses_is_as_good_as_none(self, client: httpx2.Client, lists: str, user: str) -> None:
        others = f"/api/other-{user}/lists"
        theirs = make(client, others)
        deleted = make(client, lists)
        client.delete(f"{lists}/{deleted['id']}")
        texts = set()
        for list_id in (theirs["id"], deleted["id"], unknown_id()):
            path = f"{lists}/{list_id}"
            answers = [
                client.get(path), client.patch(path, json={"name": "x"}), client.delete(path),
                client.post(f"{path}/archive"), client.post(f"{path}/move", json={"after": None}),
            ]  # fmt: skip
            for answer in answers:
                members = problem(answer, 404, "not_found")
                texts.add(members["detail"])
        assert len(texts) == 1
        assert client.get(f"{others}/{theirs['id']}").json() == theirs


class TestConditions:
    def test_a_stale_etag_is_412(self, client: httpx2.Client, lists: str) -> None:
        made = make(client, lists)
        path = f"{lists}/{made['id']}"
        current = client.patch(path, json={"name": "x"}).headers["etag"]
        stale = {"If-Match": f'"{made["version"]}"'}
        requests: list[tuple[str, str, Any]] = [
            ("PATCH", path, {"name": "y"}), ("PUT", path, {"name": "y"}), ("DELETE", path, None),
            ("POST", f"{path}/archive", None), ("POST", f"{path}/unarchive", None),
            ("POST", f"{path}/move", {"after": None}), ("POST", f"{path}/restore", None),
            ("PATCH", path, {}), ("GET", path, None),
        ]  # fmt: skip
        for method, target, body in requests:
            answer = client.request(method, target, json=body, headers=stale)
            assert "list" in problem(answer, 412, "precondition_failed")["detail"]
            assert answer.headers["etag"] == current
        assert client.get(path).json()["name"] == "x"
        assert client.delete(path, headers={"If-Match": current}).status_code == 204

    def test_a_read_can_be_unchanged(self, client: httpx2.Client, lists: str) -> None:
        path = f"{lists}/{make(client, lists)['id']}"
        for target in (path, lists, f"{lists}?deleted=true", f"{lists}?counts=true"):
            etag = client.get(target).headers["etag"]
            answer = client.get(target, headers={"If-None-Match": etag})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
            client.patch(path, json={"name": uuid4().hex})
            assert client.get(target, headers={"If-None-Match": etag}).status_code == 200
            problem(client.get(target, headers={"If-Match": etag}), 412, "precondition_failed")

    def test_the_304_of_the_tasks_is_right_when_a_list_changes(
        self, client: httpx2.Client, lists: str, tasks: str
    ) -> None:
        made = make(client, lists)
        create(client, tasks, list_id=made["id"])
        etag = client.get(tasks).headers["etag"]
        assert client.get(tasks, headers={"If-None-Match": etag}).status_code == 304
        client.delete(f"{lists}/{made['id']}")
        answer = client.get(tasks, headers={"If-None-Match": etag})
        assert (answer.status_code, answer.json()) == (200, [])

    def test_a_creation_can_be_guarded_by_the_lists(self, client: httpx2.Client, lists: str) -> None:
        etag = client.get(lists).headers["etag"]
        made = client.post(lists, json={"name": "x"}, headers={"If-Match": etag})
        assert made.status_code == 201
        problem(
            client.post(lists, json={"name": "y"}, headers={"If-Match": etag}), 412, "precondition_failed"
        )
        assert names(client, lists) == ["x"]

    def test_a_key_makes_a_retry_harmless(self, client: httpx2.Client, lists: str) -> None:
        key = {"Idempotency-Key": uuid4().hex}
        first, second = (client.post(lists, json={"name": "x"}, headers=key) for _ in range(2))
        assert second.headers["idempotent-replayed"] == "true"
        assert (first.content, first.headers["etag"]) == (second.content, second.headers["etag"])
        problem(client.post(lists, json={"name": "y"}, headers=key), 422, "idempotency_key_reused")
        assert names(client, lists) == ["x"]
        path, gone = f"{lists}/{first.json()['id']}", {"Idempotency-Key": uuid4().hex}
        assert [client.delete(path, headers=gone).status_code for _ in range(2)] == [204, 204]
        assert client.delete(path).status_code == 404

    def test_a_server_can_require_them(self, database_url: str) -> None:
        settings = Settings(database_url=database_url, require_if_match=True)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            made = make(client, "/api/lists")
            path = f"/api/lists/{made['id']}"
            problem(client.patch(path, json={"name": "x"}), 428, "precondition_required")
            for action in ("restore", "archive", "unarchive"):
                problem(client.post(f"{path}/{action}"), 428, "precondition_required")
            problem(client.post(f"{path}/move", json={"after": None}), 428, "precondition_required")
            problem(client.delete(path), 428, "precondition_required")
            operation = {"op": "delete", "kind": "list", "id": made["id"]}
            batch = {"operations": [operation]}
            problem(client.post("/api/tasks/batch", json=batch), 428, "precondition_required")
            batch = {"operations": [operation | {"version": made["version"]}]}
            assert client.post("/api/tasks/batch", json=batch).status_code == 200


class TestOrder:
    def test_is_that_of_the_positions(self, client: httpx2.Client, lists: str) -> None:
        for name, position in (("b", "a1"), ("c", "b00"), ("a", "Zz"), ("d", "i8DhyrHb7o")):
            make(client, lists, name, position=position)
        make(client, lists, "last")
        assert names(client, lists) == ["a", "b", "c", "d", "last"]

    def test_ties_are_resolved_by_id(self, client: httpx2.Client, lists: str) -> None:
        made = sorted(make(client, lists, position="a0")["id"] for _ in range(5))
        assert ids(client, lists) == made

    @pytest.mark.parametrize(
        ("moved", "side", "neighbor", "order"),
        [
            ("a", "after", "b", "bacd"), ("a", "after", None, "abcd"), ("d", "after", None, "dabc"),
            ("a", "before", None, "bcda"), ("d", "before", "b", "adbc"), ("b", "after", "d", "acdb"),
            ("b", "after", "a", "abcd"), ("b", "before", "c", "abcd"), ("c", "before", "a", "cabd"),
        ],
    )  # fmt: skip
    def test_changes_by_a_move(
        self, client: httpx2.Client, lists: str, tasks: str, moved: str, side: str, neighbor: str | None,
        order: str,
    ) -> None:  # fmt: skip
        made = {name: make(client, lists, name) for name in "abcd"}
        beside = neighbor and made[neighbor]["id"]
        before = version(client, tasks)
        answer = client.post(f"{lists}/{made[moved]['id']}/move", json={side: beside})
        assert answer.status_code == 200, answer.text
        assert "".join(names(client, lists)) == order
        assert version(client, tasks) == before + 1
        assert client.get(f"{lists}/{made[moved]['id']}").json() == answer.json()

    def test_has_room_between_equal_positions(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        """The place behind the first of equal keys does not exist until all are made anew."""
        made = [make(client, lists, name, position="a0")["id"] for name in "abc"]
        first, second, third = sorted(made)
        before = version(client, tasks)
        answer = client.post(f"{lists}/{third}/move", json={"after": first})
        assert ids(client, lists) == [first, third, second]
        found = client.get(lists).json()
        assert len({one["position"] for one in found}) == 3
        assert found[1]["version"] == before + 1
        assert found[1] == answer.json()

    def test_has_short_positions(self, client: httpx2.Client, lists: str) -> None:
        long = {name: f"a0{'V' * 98}{name}" for name in "124"}
        made = {name: make(client, lists, name, position=place)["id"] for name, place in long.items()}
        moved = make(client, lists, "3")["id"]
        client.post(f"{lists}/{moved}/move", json={"after": made["2"]}).raise_for_status()
        assert names(client, lists) == ["1", "2", "3", "4"]
        assert max(len(one["position"]) for one in client.get(lists).json()) <= 3

    @pytest.mark.parametrize("body", [{}, {"after": None, "before": None}])
    def test_needs_one_neighbor(self, client: httpx2.Client, lists: str, body: Any) -> None:
        path = f"{lists}/{make(client, lists)['id']}/move"
        found = violation(client.post(path, json=body))
        assert (found["pointer"], found["code"]) == ("", "invalid_position")

    def test_needs_a_neighbor_among_the_lists(self, client: httpx2.Client, lists: str, user: str) -> None:
        made, deleted = make(client, lists), make(client, lists)
        theirs = make(client, f"/api/other-{user}/lists")
        client.delete(f"{lists}/{deleted['id']}")
        answers = [
            violation(client.post(f"{lists}/{made['id']}/move", json={"before": list_id}))
            for list_id in (deleted["id"], theirs["id"], unknown_id(), made["id"])
        ]
        assert answers == [answers[0]] * 4
        assert (answers[0]["pointer"], answers[0]["code"]) == ("/before", "invalid_position")
        found = violation(client.post(f"{lists}/{made['id']}/move", json={"after": 7}))
        assert (found["pointer"], found["code"]) == ("/after", "invalid_id")


class TestArchive:
    def test_is_said_and_undone(self, client: httpx2.Client, lists: str) -> None:
        made = make(client, lists)
        path = f"{lists}/{made['id']}"
        archived = client.post(f"{path}/archive").json()
        assert archived["archived_at"] == archived["updated_at"] > made["updated_at"]
        assert client.get(lists).json() == [archived]
        assert client.post(f"{path}/archive").json() == archived
        back = client.post(f"{path}/unarchive").json()
        assert (back["archived_at"], back["version"]) == (None, archived["version"] + 1)
        assert client.post(f"{path}/unarchive").json() == back

    def test_leaves_its_tasks_as_they_are(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        made = make(client, lists)
        task = create(client, tasks, list_id=made["id"])
        client.post(f"{lists}/{made['id']}/archive")
        assert client.get(f"{tasks}/{task['id']}").json() == task


class TestDelete:
    def test_takes_the_tasks_along_at_one_instant(
        self, client: httpx2.Client, lists: str, tasks: str
    ) -> None:
        made = make(client, lists)
        parent = create(client, tasks, list_id=made["id"])
        child = create(client, tasks, parent_id=parent["id"])
        other = create(client, tasks)
        before = version(client, tasks)
        answer = client.delete(f"{lists}/{made['id']}", headers=SHOWN)
        deleted = answer.json()
        assert answer.headers["preference-applied"] == "return=representation"
        assert list(deleted) == [*FIELDS, "deleted_at"]
        assert ids(client, tasks) == [other["id"]]
        assert client.get(lists).json() == []
        assert client.get(f"{lists}?deleted=true").json() == [deleted]
        trash = {one["id"]: one for one in client.get(f"{tasks}?deleted=true").json()}
        assert trash.keys() == {parent["id"], child["id"]}
        assert {one["deleted_at"] for one in trash.values()} == {deleted["deleted_at"]}
        numbers = [*sorted(one["version"] for one in trash.values()), deleted["version"]]
        assert numbers == [before + 1, before + 2, before + 3]
        problem(client.delete(f"{lists}/{made['id']}"), 404, "not_found")

    def test_can_keep_the_tasks_in_the_inbox(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        made = make(client, lists)
        parent = create(client, tasks, list_id=made["id"])
        child = create(client, tasks, parent_id=parent["id"])
        assert client.delete(f"{lists}/{made['id']}?tasks=keep").status_code == 204
        kept = {one["id"]: one for one in client.get(tasks).json()}
        assert [kept[one["id"]]["list_id"] for one in (parent, child)] == [None, None]
        assert kept[child["id"]]["parent_id"] == parent["id"]
        assert len({one["version"] for one in kept.values()}) == 2
        client.post(f"{lists}/{made['id']}/restore").raise_for_status()
        assert [one["list_id"] for one in client.get(tasks).json()] == [None, None]

    @pytest.mark.parametrize("query", ["tasks=kept", "tasks=", "task=keep", "tasks=keep&tasks=keep"])
    def test_refuses_a_slip(self, client: httpx2.Client, lists: str, query: str) -> None:
        made = make(client, lists)
        answer = client.delete(f"{lists}/{made['id']}?{query}")
        (error,) = problem(answer, 400, "validation_error")["errors"]
        assert "keep" in error["detail"] or error["code"] in {"blank", "repeated", "unknown_parameter"}
        assert client.get(lists).json() == [made]

    def test_is_not_done_by_deleting_all_tasks(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        made = make(client, lists)
        create(client, tasks, list_id=made["id"])
        assert client.delete(tasks).json() == {"deleted": 1}
        assert client.get(lists).json() == [made]

    def test_takes_more_tasks_than_one_statement(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        made = make(client, lists)
        for count in (1_000, 5):
            new = {"op": "create", "task": {"title": "x", "list_id": made["id"]}}
            client.post(f"{tasks}/batch", json={"operations": [new] * count}).raise_for_status()
        client.delete(f"{lists}/{made['id']}").raise_for_status()
        assert client.get(tasks).json() == []
        client.post(f"{lists}/{made['id']}/restore").raise_for_status()
        found = client.get(tasks).json()
        assert len({one["version"] for one in found}) == len(found) == 1_005


class TestRestore:
    def test_brings_back_what_was_deleted_with_it(
        self, client: httpx2.Client, lists: str, tasks: str
    ) -> None:
        made = make(client, lists, color="#000000")
        earlier = create(client, tasks, list_id=made["id"])
        client.delete(f"{tasks}/{earlier['id']}")
        parent = create(client, tasks, list_id=made["id"])
        child = create(client, tasks, parent_id=parent["id"])
        deleted = client.delete(f"{lists}/{made['id']}", headers=SHOWN).json()
        restored = client.post(f"{lists}/{made['id']}/restore").json()
        new = {"version": restored["version"], "updated_at": restored["updated_at"]}
        assert restored == made | new
        assert restored["version"] == deleted["version"] + 1
        back = {one["id"]: one for one in client.get(tasks).json()}
        assert back.keys() == {parent["id"], child["id"]}
        assert {one["list_id"] for one in back.values()} == {made["id"]}
        assert back[child["id"]]["parent_id"] == parent["id"]
        assert ids(client, f"{tasks}?deleted=true") == [earlier["id"]]
        assert client.post(f"{lists}/{made['id']}/restore").json() == restored

    def test_leaves_what_was_deleted_before_even_if_the_clock_was_set_back(
        self, server: LocalServer, client: httpx2.Client, lists: str, tasks: str
    ) -> None:
        """Otherwise what was deleted before could have the same instant."""
        made = make(client, lists)
        earlier, later = (create(client, tasks, list_id=made["id"]) for _ in range(2))
        client.delete(f"{tasks}/{earlier['id']}")
        at = instant(server.settings, datetime.now(UTC) + timedelta(hours=1))
        owner = made["user_id"]
        execute(
            server.settings,
            f"UPDATE tasks SET updated_at = {at} WHERE user_id = '{owner}'",
            f"UPDATE tasks SET deleted_at = {at} WHERE user_id = '{owner}' AND deleted_at IS NOT NULL",
        )
        client.delete(f"{lists}/{made['id']}").raise_for_status()
        client.post(f"{lists}/{made['id']}/restore").raise_for_status()
        assert ids(client, tasks) == [later["id"]]

    def test_leaves_a_task_where_it_went_meanwhile(
        self, client: httpx2.Client, lists: str, tasks: str
    ) -> None:
        """Restored alone, a task comes back to the inbox, without a parent that is in the trash."""
        made = make(client, lists)
        parent = create(client, tasks, list_id=made["id"])
        child = create(client, tasks, parent_id=parent["id"])
        client.delete(f"{lists}/{made['id']}")
        alone = client.post(f"{tasks}/{child['id']}/restore").json()
        assert (alone["list_id"], alone["parent_id"]) == (None, None)
        client.post(f"{lists}/{made['id']}/restore").raise_for_status()
        assert client.get(f"{tasks}/{child['id']}").json() == alone
        assert client.get(f"{tasks}/{parent['id']}").json()["list_id"] == made["id"]

    def test_of_one_in_the_trash_can_be_guarded(self, client: httpx2.Client, lists: str) -> None:
        path = f"{lists}/{make(client, lists)['id']}"
        deleted = client.delete(path, headers=SHOWN).json()
        problem(client.post(f"{path}/restore", headers={"If-Match": '"1"'}), 412, "precondition_failed")
        guard = {"If-Match": f'"{deleted["version"]}"'}
        assert client.post(f"{path}/restore", headers=guard).status_code == 200

    def test_is_possible_until_the_trash_is_purged(
        self, server: LocalServer, client: httpx2.Client, lists: str, tasks: str
    ) -> None:
        made = make(client, lists)
        task = create(client, tasks, list_id=made["id"])
        recent = make(client, lists)
        for one in (made, recent):
            client.delete(f"{lists}/{one['id']}")
        at = instant(server.settings, datetime.now(UTC) - timedelta(days=31))
        execute(server.settings, f"UPDATE lists SET deleted_at = {at} WHERE id = '{_stored(server, made)}'")
        purge_expired(server.settings)
        assert ids(client, f"{lists}?deleted=true") == [recent["id"]]
        problem(client.post(f"{lists}/{made['id']}/restore"), 404, "not_found")
        assert client.post(f"{tasks}/{task['id']}/restore").json()["list_id"] is None

    def test_leaves_out_what_was_purged(
        self, server: LocalServer, client: httpx2.Client, lists: str, tasks: str
    ) -> None:
        made = make(client, lists)
        parent = create(client, tasks, list_id=made["id"])
        child = create(client, tasks, parent_id=parent["id"])
        client.delete(f"{lists}/{made['id']}")
        execute(server.settings, f"DELETE FROM tasks WHERE id = '{_stored(server, parent)}'")
        client.post(f"{lists}/{made['id']}/restore").raise_for_status()
        (only,) = client.get(tasks).json()
        assert (only["id"], only["parent_id"], only["list_id"]) == (child["id"], None, made["id"])


def _stored(server: LocalServer, one: dict[str, Any]) -> str:
    """The id as the database has it."""
    text: str = one["id"]
    return text.replace("-", "") if server.settings.database.is_sqlite else text


class TestCounts:
    def test_are_those_of_the_open_tasks(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        made, empty = make(client, lists), make(client, lists)
        yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
        far = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
        for due in (yesterday, far, None):
            create(client, tasks, list_id=made["id"], due=due)
        create(client, tasks, list_id=made["id"], due=yesterday, completed=True)
        gone = create(client, tasks, list_id=made["id"], due=yesterday)
        client.delete(f"{tasks}/{gone['id']}")
        create(client, tasks, due=yesterday)
        found = client.get(f"{lists}?counts=true&tz=UTC").json()
        assert found == [made | {"open": 3, "overdue": 1}, empty | {"open": 0, "overdue": 0}]
        assert client.get(f"{lists}?counts=true&deleted=true").json() == []
        assert client.get(lists).json() == [made, empty]

    def test_are_overdue_in_the_zone_that_is_asked(
        self, client: httpx2.Client, lists: str, tasks: str
    ) -> None:
        """It is one day or the other: the two zones are 25 hours apart."""
        made = make(client, lists)
        today_in_the_west = (datetime.now(UTC) - timedelta(hours=11)).date().isoformat()
        create(client, tasks, list_id=made["id"], due=today_in_the_west)
        etags = set()
        for zone, overdue in (("Pacific/Kiritimati", 1), ("Pacific/Pago_Pago", 0)):
            answer = client.get(f"{lists}?counts=true&tz={zone}")
            etags.add(answer.headers["etag"])
            assert answer.json() == [made | {"open": 1, "overdue": overdue}]
        assert len(etags) == 2
        assert violation(client.get(f"{lists}?counts=true&tz=Mars"))["code"] == "unknown_time_zone"


class TestTasksOfLists:
    def test_one_answer_for_no_list(self, client: httpx2.Client, lists: str, tasks: str, user: str) -> None:
        task = create(client, tasks)
        deleted, theirs = make(client, lists), make(client, f"/api/other-{user}/lists")
        client.delete(f"{lists}/{deleted['id']}")
        found = []
        for list_id in (deleted["id"], theirs["id"], unknown_id()):
            body = {"list_id": list_id}
            found.append(violation(client.post(tasks, json={"title": "x", **body})))
            found.append(violation(client.patch(f"{tasks}/{task['id']}", json=body)))
        assert found == [found[0]] * 6
        assert (found[0]["pointer"], found[0]["code"]) == ("/list_id", "no_such_list")
        assert client.get(tasks).json() == [task]

    @pytest.mark.both_mounts
    def test_none_is_alive_in_a_dead_list(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        """Lists are deleted while tasks are created in them, and moved into them."""
        for _ in range(5):
            made = make(client, lists)
            moved = [create(client, tasks) for _ in range(4)]

            def work(index: int, made: dict[str, Any] = made, moved: Any = moved) -> int:
                body = {"list_id": made["id"]}
                if index == 0:
                    return client.delete(f"{lists}/{made['id']}").status_code
                if index % 2:
                    return client.post(tasks, json={"title": "x", **body}).status_code
                return client.patch(f"{tasks}/{moved[index // 2 - 1]['id']}", json=body).status_code

            statuses = at_once(9, work)
            assert statuses[0] == 204
            assert set(statuses[1:]) <= {200, 201, 400}
            alive = [one for one in client.get(tasks).json() if one["list_id"] is not None]
            assert alive == []

    def test_a_list_that_is_restored_while_it_is_deleted_is_whole(
        self, client: httpx2.Client, lists: str, tasks: str
    ) -> None:
        made = make(client, lists)
        own = {create(client, tasks, list_id=made["id"])["id"] for _ in range(20)}
        path = f"{lists}/{made['id']}"
        with ThreadPoolExecutor(4) as threads:
            for _ in range(20):
                threads.submit(client.delete, path)
                threads.submit(client.post, f"{path}/restore")
        if client.get(path).status_code == 404:
            assert client.get(tasks).json() == []
            client.post(f"{path}/restore").raise_for_status()
        assert set(ids(client, tasks)) == own


class TestBatch:
    def test_works_on_lists_beside_tasks(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        first, second = str(uuid4()), str(uuid4())
        before = version(client, tasks)
        found = results(
            client,
            tasks,
            on_list("create", id=first, list={"name": "Home", "color": "#ABCDEF"}),
            {"op": "create", "kind": "task", "task": {"title": "x", "list_id": first}},
            on_list("create", id=second, list={"name": "Work"}),
            on_list("update", id=first, list={"name": "House"}, version=before + 1),
            on_list("move", id=second, before=first),
            on_list("archive", id=first),
            on_list("unarchive", id=first),
            on_list("delete", id=first),
            on_list("restore", id=first),
        )
        assert [one["status"] for one in found] == [201, 201, 201, *[200] * 6]
        assert [list(one)[1] for one in found] == ["list", "task", *["list"] * 7]
        shown = [one.get("list") or one["task"] for one in found]
        assert [one["version"] - before for one in shown] == [1, 2, 3, 4, 5, 6, 7, 9, 10]
        assert list(shown[7]) == [*FIELDS, "deleted_at"]
        assert client.get(lists).json() == [shown[4], shown[8]]
        assert shown[8] == shown[0] | {
            "name": "House", "updated_at": shown[8]["updated_at"], "version": before + 10,
        }  # fmt: skip
        (task,) = client.get(tasks).json()
        assert (task["list_id"], task["version"]) == (first, before + 11)

    def test_can_keep_the_tasks_of_a_deleted_list(
        self, client: httpx2.Client, lists: str, tasks: str
    ) -> None:
        made = make(client, lists)
        create(client, tasks, list_id=made["id"])
        results(client, tasks, on_list("delete", id=made["id"], tasks="keep"))
        assert [one["list_id"] for one in client.get(tasks).json()] == [None]

    def test_does_nothing_if_an_operation_fails(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        made = make(client, lists)
        failing: list[tuple[dict[str, Any], int, str]] = [
            (on_list("update", id=made["id"], list={"name": "y"}, version=1_000), 412, "precondition_failed"),
            (on_list("delete", id=unknown_id()), 404, "not_found"),
            (on_list("create", id=made["id"], list={"name": "y"}), 412, "precondition_failed"),
            (on_list("move", id=made["id"], after=unknown_id()), 400, "validation_error"),
        ]
        for operation, status, token in failing:
            batch = {"operations": [on_list("create", list={"name": "x"}), operation]}
            answer = client.post(f"{tasks}/batch", json=batch)
            assert problem(answer, status, token)["index"] == 1
        assert client.get(lists).json() == [made]

    @pytest.mark.parametrize(
        ("operation", "pointer", "code"),
        [
            ({"op": "create", "kind": "label"}, "", "invalid_kind"),
            ({"op": "create", "kind": None}, "", "invalid_kind"),
            ({"op": "create", "kind": ["list"]}, "", "invalid_kind"),
            ({"op": "toggle", "kind": "list", "id": unknown_id()}, "", "invalid_op"),
            ({"op": "archive", "id": unknown_id()}, "", "invalid_op"),
            ({"kind": "list"}, "", "required"),
            ({"op": "create", "kind": "list"}, "/list", "required"),
            ({"op": "create", "kind": "list", "list": {"name": ""}}, "/list/name", "too_short"),
            ({"op": "delete", "kind": "list"}, "/id", "required"),
            (
                {"op": "delete", "kind": "list", "id": unknown_id(), "version": "1"},
                "/version",
                "invalid_type",
            ),
            ({"op": "delete", "kind": "list", "id": unknown_id(), "tasks": "x"}, "/tasks", "invalid"),
        ],
    )
    def test_names_the_place_of_what_is_wrong(
        self, client: httpx2.Client, tasks: str, operation: Any, pointer: str, code: str
    ) -> None:
        found = violation(client.post(f"{tasks}/batch", json={"operations": [operation]}))
        assert (found["pointer"], found["code"]) == (f"/operations/0{pointer}", code)

    def test_is_strict_if_it_is_asked_to_be(self, client: httpx2.Client, lists: str, tasks: str) -> None:
        strict = {"Prefer": "handling=strict"}
        operation = on_list("create", list={"name": "x", "icon": "y"})
        answer = client.post(f"{tasks}/batch", json={"operations": [operation]}, headers=strict)
        found = violation(answer)
        assert (found["pointer"], found["code"]) == ("/operations/0/list", "unknown_member")
        both = [
            on_list("create", list={"name": "x"}),
            {"op": "create", "kind": "task", "task": {"title": "x"}},
        ]
        assert client.post(f"{tasks}/batch", json={"operations": both}, headers=strict).status_code == 200
        assert names(client, lists) == ["x"]


def on_list(op: str, **members: Any) -> dict[str, Any]:
    return {"op": op, "kind": "list", **members}


def results(client: httpx2.Client, tasks: str, *operations: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post(f"{tasks}/batch", json={"operations": operations})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found
