"""The feed of changes: what a client needs to keep its copy equal to the server."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from harness.responses import create, problem, violation
from harness.servers import LocalServer
from harness.side_effects import at_once, execute, fold, instant, purge_expired, scribble

EPOCH = 2**32


@pytest.fixture
def feed(tasks: str) -> str:
    return tasks.removesuffix("tasks") + "changes"


@pytest.fixture
def lists(tasks: str) -> str:
    return tasks.removesuffix("tasks") + "lists"


def ask(client: httpx2.Client, feed: str, since: str | None = None, **query: str) -> dict[str, Any]:
    answer = client.get(feed, params=query if since is None else {"since": since, **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert list(found) == ["changes", "next", "more"]
    return found


def delete(client: httpx2.Client, path: str) -> dict[str, Any]:
    deleted: dict[str, Any] = client.delete(path, headers={"Prefer": "return=representation"}).json()
    return deleted


def tombstone(deleted: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": deleted["id"],
        "deleted": True,
        "version": deleted["version"],
        "deleted_at": deleted["deleted_at"],
    }


def purge(server: LocalServer, *deleted: dict[str, Any]) -> None:
    """As if these had been in the trash for long enough."""
    at = instant(server.settings, datetime.now(UTC) - timedelta(days=31))
    for task in deleted:
        where = f"WHERE user_id = '{task['user_id']}' AND version = {task['version']}"
        execute(server.settings, f"UPDATE tasks SET deleted_at = {at} {where}")
    purge_expired(server.settings)


class TestChanges:
    def test_of_a_user_nobody_has_seen_are_none(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        found = ask(client, feed)
        assert (found["changes"], found["more"]) == ([], False)
        task = create(client, tasks)
        assert ask(client, feed, found["next"])["changes"] == [task]

    def test_are_the_tasks_in_the_order_of_their_numbers(
        self, client: httpx2.Client, tasks: str, feed: str
    ) -> None:
        made = [create(client, tasks) for _ in range(3)]
        changed = client.patch(f"{tasks}/{made[1]['id']}", json={"title": "x"}).json()
        found = ask(client, feed)
        assert found["changes"] == [made[0], made[2], changed]
        assert found["more"] is False

    def test_show_each_task_once_in_its_latest_state(
        self, client: httpx2.Client, tasks: str, feed: str
    ) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        start = ask(client, feed)["next"]
        for _ in range(3):
            client.post(f"{path}/toggle")
        (only,) = ask(client, feed, start)["changes"]
        assert only == client.get(path).json()

    def test_show_a_deleted_task_as_a_mark(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        start = ask(client, feed)["next"]
        deleted = delete(client, path)
        for since in (start, None):
            (mark,) = ask(client, feed, since)["changes"]
            assert mark == tombstone(deleted)
            assert list(mark) == ["id", "deleted", "version", "deleted_at"]

    def test_show_a_restored_task_whole(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        client.delete(path)
        start = ask(client, feed)["next"]
        restored = client.post(f"{path}/restore").json()
        assert ask(client, feed, start)["changes"] == [restored]

    def test_show_what_was_done_to_many(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        made = [create(client, tasks, completed=number < 2) for number in range(3)]
        start = ask(client, feed)["next"]
        client.delete(f"{tasks}?completed=true")
        operations = [{"op": "toggle", "id": made[2]["id"]}, {"op": "create", "task": {"title": "x"}}]
        results = client.post(f"{tasks}/batch", json={"operations": operations}).json()["results"]
        found = ask(client, feed, start)["changes"]
        assert [change["version"] for change in found] == [4, 5, 6, 7]
        assert [change["id"] for change in found[:2]] == [made[0]["id"], made[1]["id"]]
        assert all(change["deleted"] for change in found[:2])
        assert found[2:] == [result["task"] for result in results]

    def test_show_nothing_of_others(self, client: httpx2.Client, user: str) -> None:
        create(client, "/api/tasks")
        assert ask(client, f"/api/{user}/changes")["changes"] == []

    def test_are_the_same_at_both_mounts(self, client: httpx2.Client) -> None:
        create(client, "/api/tasks")
        client.delete(f"/api/tasks/{create(client, '/api/tasks')['id']}")
        assert ask(client, "/api/changes") == ask(client, "/api/default/changes")


ALL = "task,list,label"


def make_list(client: httpx2.Client, lists: str, name: str = "Home") -> dict[str, Any]:
    made: dict[str, Any] = client.post(lists, json={"name": name}).raise_for_status().json()
    return made


def put_label(server: LocalServer, owner: str, name: str, *, deleted: bool = False) -> int:
    """Write a label's row under the owner's next number, which is returned."""
    with httpx2.Client(base_url=server.url) as client:
        number = int(client.get(f"/api/{owner}/tasks").headers["etag"].strip('"').partition("-")[0]) + 1
    at = instant(server.settings, datetime(2026, 11, 29, tzinfo=UTC)) if deleted else "NULL"
    execute(
        server.settings,
        f"UPDATE users SET last_seq = {number} WHERE id = '{owner}'",
        f"DELETE FROM labels WHERE user_id = '{owner}' AND key = '{name}'",
        "INSERT INTO labels (user_id, key, name, color, position, version, deleted_at) "
        f"VALUES ('{owner}', '{name}', '{name}', '#2e7d32', NULL, {number}, {at})",
    )
    return number


class TestTypes:
    """Every kind in one order, for who asks."""

    def test_show_each_kind_in_the_order_of_the_numbers(
        self, client: httpx2.Client, server: LocalServer, tasks: str, lists: str, feed: str
    ) -> None:
        first, task = make_list(client, lists), create(client, tasks)
        label = put_label(server, task["user_id"], "home")
        second, done = make_list(client, lists), create(client, tasks, list_id=first["id"])
        shown = [
            {"type": "list", **first},
            {"type": "task", **task},
            {"type": "label", "name": "home", "color": "#2e7d32", "position": None, "version": label},
            {"type": "list", **second},
            {"type": "task", **done},
        ]
        found = ask(client, feed, types=ALL)
        assert found["changes"] == shown
        assert [next(iter(change)) for change in found["changes"]] == ["type"] * 5
        for types in ("task", "list", "label", "list,task", "label,list"):
            expected = [change for change in shown if change["type"] in types.split(",")]
            assert ask(client, feed, types=types)["changes"] == expected
        assert ask(client, feed)["changes"] == [task, done]

    def test_without_them_it_is_as_if_there_were_tasks_alone(
        self, client: httpx2.Client, tasks: str, lists: str, feed: str
    ) -> None:
        made, task = make_list(client, lists), create(client, tasks)
        start = ask(client, feed)["next"]
        client.delete(f"{lists}/{made['id']}")
        assert ask(client, feed, start) == {"changes": [], "next": start, "more": False}
        assert ask(client, feed, "0")["changes"] == [task]

    def test_show_tombstones(
        self, client: httpx2.Client, server: LocalServer, tasks: str, lists: str, feed: str
    ) -> None:
        made = make_list(client, lists)
        create(client, tasks, list_id=made["id"])
        start = ask(client, feed, types=ALL)["next"]
        deleted = client.delete(f"{lists}/{made['id']}", headers={"Prefer": "return=representation"}).json()
        (task,) = client.get(f"{tasks}?deleted=true").json()
        label = put_label(server, made["user_id"], "home", deleted=True)
        for since in (start, None):
            found = ask(client, feed, since, types=ALL)["changes"]
            at = "2026-11-29T00:00:00.000000Z"
            assert found == [
                {"type": "task", **tombstone(task)},
                {"type": "list", **tombstone(deleted)},
                {"type": "label", "name": "home", "deleted": True, "version": label, "deleted_at": at},
            ]

    def test_can_be_followed_in_pages(
        self, client: httpx2.Client, server: LocalServer, tasks: str, lists: str, feed: str
    ) -> None:
        owner = create(client, tasks)["user_id"]
        for number in range(4):
            make_list(client, lists)
            put_label(server, owner, f"label-{number}")
            create(client, tasks)
        whole = ask(client, feed, types=ALL)["changes"]
        assert [change["version"] for change in whole] == [*range(whole[0]["version"], len(whole) + 1)]
        for limit in (1, 2, 5):
            pages, since, more = [], None, True
            while more:
                found = ask(client, feed, since, types=ALL, limit=f"{limit}")
                pages += found["changes"]
                since, more = found["next"], found["more"]
            assert pages == whole

    @pytest.mark.parametrize("kind", ["lists", "labels"])
    def test_a_cursor_from_before_a_purge_is_gone(
        self, client: httpx2.Client, server: LocalServer, tasks: str, lists: str, feed: str, kind: str
    ) -> None:
        made = make_list(client, lists)
        before = ask(client, feed, types=ALL)["next"]
        if kind == "lists":
            client.delete(f"{lists}/{made['id']}")
        else:
            put_label(server, made["user_id"], "home", deleted=True)
        after = ask(client, feed, before, types=ALL)["next"]
        create(client, tasks)
        at = instant(server.settings, datetime.now(UTC) - timedelta(days=31))
        where = f"WHERE user_id = '{made['user_id']}' AND deleted_at IS NOT NULL"
        execute(server.settings, f"UPDATE {kind} SET deleted_at = {at} {where}")
        purge_expired(server.settings)
        for types in ({"types": ALL}, {}):
            problem(client.get(feed, params={"since": before, **types}), 410, "gone")
        assert [change["type"] for change in ask(client, feed, after, types=ALL)["changes"]] == ["task"]

    @pytest.mark.parametrize("types", ["tasks", "task,", "task,,list", "Task", "task list", "*"])
    def test_what_is_no_type_is_refused(self, client: httpx2.Client, feed: str, types: str) -> None:
        found = violation(client.get(feed, params={"types": types}))
        assert (found["parameter"], found["code"]) == ("types", "invalid_types")

    def test_show_nothing_of_others(self, client: httpx2.Client, user: str) -> None:
        make_list(client, "/api/lists")
        assert ask(client, f"/api/{user}/changes", types=ALL)["changes"] == []

    def test_miss_nothing_while_others_write(
        self, client: httpx2.Client, tasks: str, lists: str, feed: str
    ) -> None:
        """Of lists and of the tasks in them, at once, a copy ends up as what is there."""

        def work(index: int) -> None:
            for number in range(15):
                made = make_list(client, lists, f"{index}")
                task = create(client, tasks, list_id=made["id"])
                if number % 3 == 0:
                    client.delete(f"{lists}/{made['id']}")
                client.patch(f"{lists}/{made['id']}", json={"name": "x"})
                client.patch(f"{tasks}/{task['id']}", json={"title": "x"})

        copy: dict[str, dict[str, Any]] = {}
        since: str | None = None
        with ThreadPoolExecutor(1) as threads:
            writing, ended = threads.submit(at_once, 3, work), False
            while not ended:
                ended = writing.done()
                found = ask(client, feed, since, types=ALL)
                since = found["next"]
                for change in found["changes"]:
                    fold(copy, change)
            writing.result()
        there = [{"type": "task", **one} for one in client.get(tasks).json()]
        there += [{"type": "list", **one} for one in client.get(lists).json()]
        assert copy == {one["id"]: one for one in there}


class TestPaging:
    def test_goes_on_while_there_is_more(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        made = [create(client, tasks) for _ in range(7)]
        pages, since, more = [], None, True
        while more:
            found = ask(client, feed, since, limit="3")
            pages.append(found["changes"])
            since, more = found["next"], found["more"]
        assert pages == [made[:3], made[3:6], made[6:]]

    def test_a_page_that_ends_the_feed_says_so(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        for _ in range(3):
            create(client, tasks)
        assert ask(client, feed, limit="3")["more"] is False
        assert ask(client, feed, limit="2")["more"] is True

    def test_what_changes_on_the_way_comes_later(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        first, second = create(client, tasks), create(client, tasks)
        start = ask(client, feed, limit="1")
        assert start["changes"] == [first]
        changed = [client.post(f"{tasks}/{task['id']}/toggle").json() for task in (second, first)]
        assert ask(client, feed, start["next"])["changes"] == changed

    def test_a_page_has_at_most_1000(self, client: httpx2.Client, user: str) -> None:
        new = {"op": "create", "task": {"title": "x"}}
        for count in (1_000, 1):
            client.post(f"/api/{user}/tasks/batch", json={"operations": [new] * count}, timeout=60)
        for query in ({}, {"limit": "1001"}, {"limit": "9999999999"}):
            found = ask(client, f"/api/{user}/changes", **query)
            assert len(found["changes"]) == 1_000
            assert found["more"] is True
        assert len(ask(client, f"/api/{user}/changes", found["next"])["changes"]) == 1

    @pytest.mark.parametrize("limit", ["0", "-1", "ten", "1.5"])
    def test_a_limit_is_a_whole_number_from_1(self, client: httpx2.Client, feed: str, limit: str) -> None:
        assert violation(client.get(feed, params={"limit": limit}))["parameter"] == "limit"


class TestSince:
    def test_nothing_new_is_an_empty_answer_and_the_same_place(
        self, client: httpx2.Client, tasks: str, feed: str
    ) -> None:
        create(client, tasks)
        start = ask(client, feed)["next"]
        assert ask(client, feed, start) == {"changes": [], "next": start, "more": False}

    def test_a_number_alone_is_a_place(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        made = [create(client, tasks) for _ in range(3)]
        for number in range(4):
            answer = ask(client, feed, str(number))
            assert answer["changes"] == made[number:]
            assert answer["next"] == "3-0"

    def test_0_is_the_beginning(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        assert ask(client, feed, "0")["changes"] == []
        task = create(client, tasks)
        assert ask(client, feed, "0")["changes"] == ask(client, feed)["changes"] == [task]

    def test_an_empty_one_is_none(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        task = create(client, tasks)
        assert ask(client, feed, "") == ask(client, feed)
        assert ask(client, feed, "")["changes"] == [task]

    NO_CURSORS = (
        "x", "-1", "+1", "1-", "-", "1--1", "1-2-3-4", "1.5", " 1", "1 ", "0x1", "٣", "1" * 17, "1_0",
        "null",
    )  # fmt: skip

    def test_what_is_no_cursor_is_refused(
        self, client: httpx2.Client, tasks: str, feed: str, subtests: pytest.Subtests
    ) -> None:
        create(client, tasks)
        for since in self.NO_CURSORS:
            with subtests.test(since=since):
                found = violation(client.get(feed, params={"since": since}))
                assert (found["parameter"], found["code"]) == ("since", "invalid_cursor")

    def test_given_twice_it_is_refused(self, client: httpx2.Client, feed: str) -> None:
        assert violation(client.get(f"{feed}?since=0&since=1"))["code"] == "repeated"


class TestGone:
    def gone(self, client: httpx2.Client, feed: str, since: str) -> None:
        problem(client.get(feed, params={"since": since}), 410, "gone")

    def test_a_cursor_beyond_the_last_number_is(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        self.gone(client, feed, "1")
        version = create(client, tasks)["version"]
        ask(client, feed, str(version))
        for since in (version + 1, 1_000, EPOCH, EPOCH + version, 2**53):
            self.gone(client, feed, str(since))

    def test_a_cursor_of_an_earlier_epoch_is(
        self, client: httpx2.Client, server: LocalServer, tasks: str, feed: str
    ) -> None:
        owner = create(client, tasks)["user_id"]
        starts = (ask(client, feed)["next"], "1")
        execute(server.settings, f"UPDATE users SET last_seq = {EPOCH + 7} WHERE id = '{owner}'")
        for since in starts:
            self.gone(client, feed, since)
        task = create(client, tasks)
        assert task["version"] == EPOCH + 8
        for since in starts:
            self.gone(client, feed, since)
        assert ask(client, feed, str(EPOCH + 7))["changes"] == [task]
        assert ask(client, feed, ask(client, feed)["next"])["changes"] == []

    def test_a_cursor_from_before_a_purge_is(
        self, client: httpx2.Client, server: LocalServer, tasks: str, feed: str
    ) -> None:
        create(client, tasks)
        doomed = create(client, tasks)
        before = ask(client, feed)["next"]
        deleted = delete(client, f"{tasks}/{doomed['id']}")
        after = ask(client, feed, before)["next"]
        purge(server, deleted)
        for since in (before, "1", str(deleted["version"] - 1)):
            self.gone(client, feed, since)
        for since in (after, str(deleted["version"])):
            assert ask(client, feed, since)["changes"] == []

    def test_a_copy_begun_before_a_purge_has_to_begin_anew(
        self, client: httpx2.Client, server: LocalServer, tasks: str, feed: str
    ) -> None:
        doomed, _ = create(client, tasks), create(client, tasks)
        first = ask(client, feed, limit="1")
        assert first["changes"] == [doomed]
        purge(server, delete(client, f"{tasks}/{doomed['id']}"))
        self.gone(client, feed, first["next"])

    def test_who_began_after_the_purge_is_not_refused(
        self, client: httpx2.Client, server: LocalServer, tasks: str, feed: str
    ) -> None:
        kept = [create(client, tasks) for _ in range(2)]
        doomed = create(client, tasks)
        purge(server, delete(client, f"{tasks}/{doomed['id']}"))
        first = ask(client, feed, limit="1")
        assert first["changes"] == kept[:1]
        second = ask(client, feed, first["next"])
        assert second["changes"] == kept[1:]
        new = create(client, tasks)
        assert ask(client, feed, second["next"])["changes"] == [new]

    def test_who_began_after_a_purge_is_refused_after_the_next_one(
        self, client: httpx2.Client, server: LocalServer, tasks: str, feed: str
    ) -> None:
        made = [create(client, tasks) for _ in range(3)]
        purge(server, delete(client, f"{tasks}/{made[1]['id']}"))
        start = ask(client, feed)["next"]
        purge(server, delete(client, f"{tasks}/{made[2]['id']}"))
        self.gone(client, feed, start)
        assert ask(client, feed)["changes"] == [made[0]]


@pytest.mark.slow
class TestCopy:
    """What the feed is for."""

    def follow(self, client: httpx2.Client, feed: str, copy: dict[str, Any], since: str | None) -> str:
        more, numbers = True, [0]
        while more:
            found = ask(client, feed, since, limit="7")
            for change in found["changes"]:
                numbers.append(change["version"])
                fold(copy, change)
            since, more = found["next"], found["more"]
        assert numbers == sorted(set(numbers))
        assert since is not None
        return since

    def test_stays_equal_while_others_write(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        copy: dict[str, Any] = {}
        since = None
        with ThreadPoolExecutor(1) as threads:
            writing = threads.submit(at_once, 4, lambda index: scribble(client, tasks, index, 30))
            while not writing.done():
                since = self.follow(client, feed, copy, since)
            writing.result()
        since = self.follow(client, feed, copy, since)
        assert sorted(copy) == sorted(task["id"] for task in client.get(tasks).json())
        assert list(copy.values()) != []
        assert all(copy[task["id"]] == task for task in client.get(tasks).json())

    def test_made_at_the_end_is_the_list(self, client: httpx2.Client, tasks: str, feed: str) -> None:
        scribble(client, tasks, 17, 60)
        copy: dict[str, Any] = {}
        self.follow(client, feed, copy, None)
        found = client.get(f"{tasks}?sort=updated_at").json()
        assert found
        assert sorted(copy.values(), key=lambda task: int(task["version"])) == sorted(
            found, key=lambda task: int(task["version"])
        )
