"""Claims: a task is in the hands of one worker until a time, and whoever has lost it is told."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from harness.databases import migrated_database
from harness.responses import create, problem, unknown_id, violation
from harness.servers import LocalServer, local_server
from harness.side_effects import at_once, execute, instant
from taskwell.core.clock import utc_now
from taskwell.core.settings import Settings
from tests.cli.commands import done

Json = dict[str, Any]

NOBODY = {"token": None, "client": None, "via": "api"}


@pytest.fixture
def claims(tasks: str) -> str:
    return tasks.removesuffix("/tasks") + "/claims"


def claim(client: httpx2.Client, tasks: str, task: Json, **body: Any) -> Json:
    answer = client.post(f"{tasks}/{task['id']}/claim", json=body)
    assert answer.status_code == 200, answer.text
    taken: Json = answer.json()
    return taken


def claim_next(client: httpx2.Client, tasks: str, **body: Any) -> list[Json]:
    answer = client.post(f"{tasks}/claims", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"claims"}
    taken: list[Json] = answer.json()["claims"]
    return taken


def titles(taken: list[Json]) -> list[str]:
    return [one["task"]["title"] for one in taken]


def read(client: httpx2.Client, path: str, **query: str) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def held(client: httpx2.Client, claims: str) -> list[int]:
    return [one["claim"] for one in read(client, claims)]


def exported(client: httpx2.Client, user: str) -> list[Json]:
    lines = [json.loads(line) for line in client.get(f"/api/users/{user}/export").text.splitlines()]
    return [line["claim"] for line in lines if "claim" in line]


def expire(server: LocalServer, task: Json) -> None:
    """Some minutes later, as far as the claims of a user are concerned."""
    past = instant(server.settings, utc_now() - timedelta(minutes=2))
    owner = task["user_id"]
    execute(
        server.settings,
        f"UPDATE tasks SET claimed_until = {past} WHERE user_id = '{owner}' AND claim IS NOT NULL",
    )


def last_number(client: httpx2.Client, tasks: str) -> int:
    return int(client.get(tasks).headers["etag"].strip('"').partition("-")[0])


class TestClaim:
    def test_takes_a_number_which_is_the_version_of_the_task(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, labels=["home"])
        before = utc_now()
        answer = client.post(f"{tasks}/{task['id']}/claim", json={"seconds": 60, "note": " worktree 3 "})
        taken = answer.json()
        assert answer.headers["etag"] == '"2"'
        assert taken.keys() == {"claim", "until", "task"}
        assert (taken["claim"], taken["task"]["version"]) == (2, 2)
        shown = taken["task"] | {name: task[name] for name in ("version", "updated_at")}
        assert shown == task
        until = datetime.fromisoformat(taken["until"])
        assert before + timedelta(seconds=60) <= until <= utc_now() + timedelta(seconds=60)
        assert read(client, f"{tasks}/{task['id']}") == taken["task"]

    def test_lasts_a_quarter_of_an_hour_if_nothing_is_said(self, client: httpx2.Client, tasks: str) -> None:
        task, before = create(client, tasks), utc_now()
        answer = client.post(f"{tasks}/{task['id']}/claim")
        until = datetime.fromisoformat(answer.json()["until"])
        assert timedelta(seconds=900) <= until - before < timedelta(seconds=930)

    def test_is_in_the_feed(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        changes = tasks.removesuffix("/tasks") + "/changes"
        since = read(client, changes)["next"]
        taken = claim(client, tasks, task)
        page = read(client, changes, since=since)
        assert page["changes"] == [taken["task"]]
        client.delete(f"{tasks}/{task['id']}/claim/{taken['claim']}")
        (released,) = read(client, changes, since=page["next"])["changes"]
        assert released["version"] == taken["claim"] + 1

    def test_is_refused_while_somebody_holds_the_task(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        taken = claim(client, tasks, task, note="first")
        again = problem(client.post(f"{tasks}/{task['id']}/claim", json={}), 409, "claimed")
        assert again["claim"] == {
            "by": {"user": task["user_id"], **NOBODY},
            "since": taken["task"]["updated_at"],
            "until": taken["until"],
            "note": "first",
            "yours": True,
        }
        assert last_number(client, tasks) == taken["claim"]

    def test_names_the_program(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        agent = {"Taskwell-Agent": "claude-code"}
        assert client.post(f"{tasks}/{task['id']}/claim", headers=agent).status_code == 200
        shown = problem(client.post(f"{tasks}/{task['id']}/claim"), 409, "claimed")["claim"]
        assert shown["by"] == {"user": task["user_id"], **NOBODY, "client": "claude-code"}

    def test_succeeds_after_another_has_expired(
        self, client: httpx2.Client, tasks: str, server: LocalServer
    ) -> None:
        task = create(client, tasks)
        first = claim(client, tasks, task)
        expire(server, task)
        assert claim(client, tasks, task)["claim"] == first["claim"] + 1

    def test_of_a_completed_task_is_a_conflict(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, completed=True)
        problem(client.post(f"{tasks}/{task['id']}/claim"), 409, "conflict")

    def test_of_a_task_that_is_not_there_is_a_404(self, client: httpx2.Client, tasks: str) -> None:
        gone = create(client, tasks)
        client.delete(f"{tasks}/{gone['id']}")
        for task_id in (gone["id"], unknown_id()):
            problem(client.post(f"{tasks}/{task_id}/claim"), 404, "not_found")
            problem(client.patch(f"{tasks}/{task_id}/claim/1", json={}), 404, "not_found")
            problem(client.delete(f"{tasks}/{task_id}/claim/1"), 404, "not_found")
            problem(client.delete(f"{tasks}/{task_id}/claim"), 404, "not_found")

    def test_of_a_user_nobody_has_seen(self, client: httpx2.Client, user: str) -> None:
        problem(client.post(f"/api/{user}/tasks/{unknown_id()}/claim"), 404, "not_found")
        assert claim_next(client, f"/api/{user}/tasks", count=100) == []
        assert client.get(f"/api/users/{user}").status_code == 404

    def test_of_somebody_elses_task_is_a_404(self, client: httpx2.Client, user: str) -> None:
        task = create(client, f"/api/{user}-other/tasks")
        create(client, f"/api/{user}/tasks")
        mine = f"/api/{user}/tasks/{task['id']}/claim"
        taken = claim(client, f"/api/{user}-other/tasks", task)
        for answer in (
            client.post(mine),
            client.delete(mine),
            client.patch(f"{mine}/{taken['claim']}", json={}),
            client.delete(f"{mine}/{taken['claim']}"),
        ):
            problem(answer, 404, "not_found")
        assert read(client, f"/api/{user}/claims") == []
        assert titles(claim_next(client, f"/api/{user}/tasks", count=5)) == ["Buy milk"]
        assert held(client, f"/api/{user}-other/claims") == [taken["claim"]]

    def test_is_guarded_by_the_version(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}/claim"
        stale = client.post(path, headers={"If-Match": '"99"'})
        problem(stale, 412, "precondition_failed")
        assert stale.headers["etag"] == '"1"'
        assert client.post(path, headers={"If-Match": '"1"'}).status_code == 200
        for answer in (
            client.patch(f"{path}/2", json={}, headers={"If-Match": '"1"'}),
            client.delete(f"{path}/2", headers={"If-Match": '"1"'}),
            client.delete(path, headers={"If-Match": '"1"'}),
        ):
            problem(answer, 412, "precondition_failed")
        assert client.patch(f"{path}/2", json={}, headers={"If-Match": '"2"'}).status_code == 200
        assert client.delete(path, headers={"If-Match": '"2"'}).status_code == 204

    def test_is_exported_while_it_holds_the_task(
        self, client: httpx2.Client, tasks: str, claims: str
    ) -> None:
        task = create(client, tasks)
        claim(client, tasks, task, note="worktree 3")
        (shown,) = read(client, claims)
        assert exported(client, task["user_id"]) == [shown]
        client.delete(f"{tasks}/{task['id']}/claim")
        assert exported(client, task["user_id"]) == []

    def test_a_retry_with_its_key_claims_once(self, client: httpx2.Client, tasks: str) -> None:
        task, key = create(client, tasks), {"Idempotency-Key": uuid4().hex}
        first, again = (client.post(f"{tasks}/{task['id']}/claim", headers=key) for _ in range(2))
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["etag"] == first.headers["etag"] == '"2"'
        assert again.headers["idempotent-replayed"] == "true"
        more = [create(client, tasks) for _ in range(3)]
        key = {"Idempotency-Key": uuid4().hex}
        first, again = (client.post(f"{tasks}/claims", json={"count": 2}, headers=key) for _ in range(2))
        assert first.json() == again.json()
        assert len(read(client, tasks, claimed="false")) == len(more) - 2

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({"seconds": 14}, "/seconds", "out_of_range"),
            ({"seconds": 0}, "/seconds", "out_of_range"),
            ({"seconds": -900}, "/seconds", "out_of_range"),
            ({"seconds": 86_401}, "/seconds", "out_of_range"),
            ({"seconds": 10**15}, "/seconds", "out_of_range"),
            ({"seconds": 60.5}, "/seconds", "invalid_type"),
            ({"seconds": "60"}, "/seconds", "invalid_type"),
            ({"seconds": True}, "/seconds", "invalid_type"),
            ({"seconds": None}, "/seconds", "invalid_type"),
            ({"note": "x" * 201}, "/note", "too_long"),
            ({"note": " "}, "/note", "too_short"),
            ({"note": "a\nb"}, "/note", "invalid_text"),
            ({"note": 7}, "/note", "invalid_type"),
        ],
    )
    def test_refuses_what_is_wrong(
        self, client: httpx2.Client, tasks: str, claims: str, body: Json, pointer: str, code: str
    ) -> None:
        task = create(client, tasks)
        for path in (f"{tasks}/{task['id']}/claim", f"{tasks}/claims"):
            found = violation(client.post(path, json=body))
            assert (found["pointer"], found["code"]) == (pointer, code)
        if pointer == "/seconds":
            found = violation(client.patch(f"{tasks}/{task['id']}/claim/1", json=body))
            assert (found["pointer"], found["code"]) == (pointer, code)
        assert read(client, claims) == []
        assert read(client, tasks) == [task]

    def test_an_unknown_member_is_ignored_unless_the_client_is_strict(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}/claim"
        strict = {"Prefer": "handling=strict"}
        assert violation(client.post(path, json={"sec": 60}, headers=strict))["code"] == "unknown_member"
        assert client.post(path, json={"sec": 60}).status_code == 200


class TestNext:
    def test_are_the_oldest_that_are_open_and_free(
        self, client: httpx2.Client, tasks: str, server: LocalServer
    ) -> None:
        made = [create(client, tasks, title=f"{number}") for number in range(7)]
        client.post(f"{tasks}/{made[0]['id']}/toggle")
        client.delete(f"{tasks}/{made[1]['id']}")
        claim(client, tasks, made[3])
        number = last_number(client, tasks)
        taken = claim_next(client, tasks, count=2, note="both")
        assert titles(taken) == ["2", "4"]
        assert [one["claim"] for one in taken] == [number + 1, number + 2]
        assert [one["task"]["version"] for one in taken] == [number + 1, number + 2]
        assert titles(claim_next(client, tasks, count=100)) == ["5", "6"]
        assert claim_next(client, tasks) == []
        expire(server, made[0])
        assert titles(claim_next(client, tasks)) == ["2"]

    def test_without_a_task_no_number_is_taken(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks, completed=True)
        assert claim_next(client, tasks, count=5) == []
        assert last_number(client, tasks) == 1

    def test_are_those_of_the_filter_in_its_order(self, client: httpx2.Client, tasks: str) -> None:
        home = {"labels": ["home"]}
        create(client, tasks, title="no label", due="2026-01-01")
        create(client, tasks, title="later", due="2026-01-03", **home)
        create(client, tasks, title="undated", **home)
        create(client, tasks, title="sooner", due="2026-01-02", priority=1, **home)
        wanted = {"label": ["HOME"]}
        assert titles(claim_next(client, tasks, filter={"priority": "1", "q": "soon"})) == ["sooner"]
        taken = claim_next(client, tasks, count=9, filter=wanted, sort="due")
        assert titles(taken) == ["later", "undated"]
        assert titles(claim_next(client, tasks, count=9, filter={})) == ["no label"]

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ({}, ["a", "b", "c"]),
            ({"label_any": ["x", "y"]}, ["a", "b"]),
            ({"label_not": ["x"]}, ["b", "c"]),
            ({"labelled": False}, ["c"]),
            ({"due": "overdue", "label": None, "priority": None, "completed": None}, ["b"]),
            ({"due": "none"}, ["a", "c"]),
            ({"priority": 2}, ["c"]),
            ({"list": "inbox", "parent": "none", "recurring": False}, ["a", "b", "c"]),
            ({"status": "in_progress"}, ["c"]),
            ({"status": "pending", "completed": False}, ["a", "b", "c"]),
            ({"status": "completed"}, []),
            ({"completed": True}, []),
            ({"claimed": True}, []),
            ({"claimed": "false"}, ["a", "b", "c"]),
            ({"created_after": "2020-01-01T00:00:00Z"}, ["a", "b", "c"]),
            ({"started": False}, []),
        ],
    )
    def test_take_every_filter_of_a_list(
        self, client: httpx2.Client, tasks: str, wanted: Json, found: list[str]
    ) -> None:
        create(client, tasks, title="a", labels=["x"])
        create(client, tasks, title="b", labels=["y"], due="2026-01-02")
        create(client, tasks, title="c", priority=2, status="in_progress")
        assert titles(claim_next(client, tasks, count=9, filter=wanted, sort="title")) == found

    def test_days_are_those_of_the_zone(self, client: httpx2.Client, tasks: str) -> None:
        """There are always two zones in which it is not the same day."""
        days = [
            f"{utc_now() + timedelta(hours=hours):%Y-%m-%d}" for hours in (14, -12)
        ]  # Kiritimati, and the last of all places
        for day in days:
            create(client, tasks, title=day, due=day)
        for zone, day in zip(("Pacific/Kiritimati", "Etc/GMT+12"), days, strict=True):
            body = {"filter": {"due": "today"}}
            answer = client.post(f"{tasks}/claims", params={"tz": zone}, json=body)
            assert titles(answer.json()["claims"]) == [day]

    def test_are_guarded_by_the_etag_of_the_list(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks)
        tag = client.get(tasks).headers["etag"]
        create(client, tasks)
        stale = client.post(f"{tasks}/claims", headers={"If-Match": tag})
        problem(stale, 412, "precondition_failed")
        assert client.post(f"{tasks}/claims", headers={"If-Match": stale.headers["etag"]}).status_code == 200

    def test_tasks_of_archived_lists_are_left_out_as_in_lists(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        lists = tasks.removesuffix("/tasks") + "/lists"
        one = client.post(lists, json={"name": "Home"}).json()
        create(client, tasks, list_id=one["id"])
        client.post(f"{lists}/{one['id']}/archive").raise_for_status()
        assert claim_next(client, tasks) == []
        assert len(claim_next(client, tasks, filter={"list": one["id"]})) == 1

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({"count": 0}, "/count", "out_of_range"),
            ({"count": 101}, "/count", "out_of_range"),
            ({"count": "1"}, "/count", "invalid_type"),
            ({"count": None}, "/count", "invalid_type"),
            ({"sort": "age"}, "/sort", "invalid_sort"),
            ({"sort": "due,due"}, "/sort", "invalid_sort"),
            ({"sort": ["due"]}, "/sort", "invalid_type"),
            ({"filters": {}}, "", "unknown_member"),
            ({"filter": {"labels": ["home"]}}, "/filter", "unknown_member"),
            ({"filter": {"deleted": True}}, "/filter", "unknown_member"),
            ({"filter": []}, "/filter", "invalid_type"),
            ({"filter": "due=today"}, "/filter", "invalid_type"),
            ({"filter": {"due": "someday"}}, "/filter/due", "invalid_date"),
            ({"filter": {"due": ["today"]}}, "/filter/due", "invalid_date"),
            ({"filter": {"label": "home"}}, "/filter/label", "invalid_type"),
            ({"filter": {"label": [" "]}}, "/filter/label/0", "too_short"),
            ({"filter": {"q": 7}}, "/filter/q", "invalid_type"),
            ({"filter": {"q": "x" * 201}}, "/filter/q", "too_long"),
            ({"filter": {"list": "home"}}, "/filter/list", "invalid_id"),
            ({"filter": {"priority": "10"}}, "/filter/priority", "invalid_priority"),
            ({"filter": {"completed": "maybe"}}, "/filter/completed", "invalid_flag"),
            ({"filter": {"status": "open", "completed": True}}, "/filter/status", "contradiction"),
        ],
    )
    def test_refuse_what_is_wrong(
        self, client: httpx2.Client, tasks: str, body: Json, pointer: str, code: str
    ) -> None:
        """Also what is not known: without it, other tasks would be claimed."""
        task = create(client, tasks)
        found = violation(client.post(f"{tasks}/claims", json=body))
        assert (found["pointer"], found["code"]) == (pointer, code)
        assert read(client, tasks) == [task]

    def test_eight_workers_take_no_task_twice(self, client: httpx2.Client, tasks: str) -> None:
        operations = [{"op": "create", "task": {"title": f"{number}"}} for number in range(60)]
        client.post(f"{tasks}/batch", json={"operations": operations}).raise_for_status()

        def work(index: int) -> list[str]:
            """One at a time, or several; until there is none."""
            done: list[str] = []
            while taken := claim_next(client, tasks, count=1 + index % 3):
                done += titles(taken)
            return done

        taken = [title for titles_of_one in at_once(8, work) for title in titles_of_one]
        assert sorted(taken, key=int) == [f"{number}" for number in range(60)]

    def test_eight_workers_on_one_task_are_one_and_seven(self, client: httpx2.Client, tasks: str) -> None:
        """Two processes that are offered the same task, and both claim it by its id."""
        task = create(client, tasks)
        answers = at_once(8, lambda _: client.post(f"{tasks}/{task['id']}/claim"))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7


class TestRenew:
    def test_takes_no_number(self, client: httpx2.Client, tasks: str, claims: str) -> None:
        task = create(client, tasks)
        taken = claim(client, tasks, task, seconds=15)
        before = utc_now()
        path = f"{tasks}/{task['id']}/claim/{taken['claim']}"
        renewed = client.patch(path, json={"seconds": 3_600}).json()
        assert renewed.keys() == {"claim", "until"}
        assert renewed["claim"] == taken["claim"]
        assert datetime.fromisoformat(renewed["until"]) >= before + timedelta(seconds=3_600)
        assert read(client, f"{tasks}/{task['id']}") == taken["task"]
        assert last_number(client, tasks) == taken["claim"]
        (shown,) = read(client, claims)
        assert shown["until"] == renewed["until"]
        sooner = client.patch(path, json={"seconds": 15}).json()["until"]
        assert sooner < renewed["until"]

    def test_after_the_end_succeeds_while_nobody_else_has_claimed(
        self, client: httpx2.Client, tasks: str, claims: str, server: LocalServer
    ) -> None:
        task = create(client, tasks)
        number = claim(client, tasks, task)["claim"]
        expire(server, task)
        assert read(client, claims) == []
        assert client.patch(f"{tasks}/{task['id']}/claim/{number}", json={}).status_code == 200
        assert held(client, claims) == [number]

    def test_of_what_somebody_else_has_is_lost(
        self, client: httpx2.Client, tasks: str, claims: str, server: LocalServer
    ) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}/claim"
        first = claim(client, tasks, task, note="first")
        expire(server, task)
        second = claim(client, tasks, task, note="second")
        for answer in (
            client.patch(f"{path}/{first['claim']}", json={}),
            client.delete(f"{path}/{first['claim']}"),
        ):
            lost = problem(answer, 412, "claim_lost")
            assert (lost["claim"]["note"], lost["claim"]["until"]) == ("second", second["until"])
            assert answer.headers["etag"] == f'"{second["claim"]}"'
        assert held(client, claims) == [second["claim"]]
        expire(server, task)
        assert problem(client.patch(f"{path}/{first['claim']}", json={}), 412, "claim_lost")["claim"] is None

    def test_of_a_task_that_is_done_is_lost(self, client: httpx2.Client, tasks: str, claims: str) -> None:
        task = create(client, tasks)
        number = claim(client, tasks, task)["claim"]
        client.patch(f"{tasks}/{task['id']}", json={"completed": True})
        path = f"{tasks}/{task['id']}/claim/{number}"
        assert problem(client.patch(path, json={}), 412, "claim_lost")["claim"] is None
        assert client.delete(path).status_code == 204
        client.patch(f"{tasks}/{task['id']}", json={"completed": False})
        assert read(client, claims) == []

    @pytest.mark.parametrize("number", ["0", "-1", "x", "1.0", "01", "9007199254740992", "%D9%A3", "1%20"])
    def test_refuses_what_is_no_number(self, client: httpx2.Client, tasks: str, number: str) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}/claim/{number}"
        for answer in (client.patch(path, json={}), client.delete(path)):
            found = violation(answer)
            assert (found["parameter"], found["code"]) == ("claim", "invalid_id")


class TestRelease:
    def test_takes_a_number_and_makes_room(self, client: httpx2.Client, tasks: str, claims: str) -> None:
        task = create(client, tasks)
        number = claim(client, tasks, task)["claim"]
        path = f"{tasks}/{task['id']}/claim/{number}"
        assert client.delete(path).status_code == 204
        assert read(client, claims) == []
        assert read(client, f"{tasks}/{task['id']}")["version"] == number + 1
        assert problem(client.delete(path), 412, "claim_lost")["claim"] is None
        problem(client.patch(path, json={}), 412, "claim_lost")
        assert claim(client, tasks, task)["claim"] == number + 2

    def test_after_the_end_succeeds_while_nobody_else_has_claimed(
        self, client: httpx2.Client, tasks: str, server: LocalServer
    ) -> None:
        task = create(client, tasks)
        number = claim(client, tasks, task)["claim"]
        expire(server, task)
        assert client.delete(f"{tasks}/{task['id']}/claim/{number}").status_code == 204

    def test_whoever_has_it(self, client: httpx2.Client, tasks: str, claims: str) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}/claim"
        assert client.delete(path).status_code == 204
        assert last_number(client, tasks) == 1
        number = claim(client, tasks, task)["claim"]
        assert client.delete(path).status_code == 204
        assert read(client, claims) == []
        assert last_number(client, tasks) == number + 1
        problem(client.patch(f"{path}/{number}", json={}), 412, "claim_lost")

    def test_a_released_worker_cannot_finish(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        version = claim(client, tasks, task)["claim"]
        client.delete(f"{tasks}/{task['id']}/claim").raise_for_status()
        guard = {"If-Match": f'"{version}"'}
        problem(client.patch(f"{tasks}/{task['id']}", json={"completed": True}, headers=guard), 412,
                "precondition_failed")  # fmt: skip


class TestFence:
    def test_a_superseded_worker_cannot_finish_as_if_it_held_the_task(
        self, client: httpx2.Client, tasks: str, server: LocalServer
    ) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        first = claim(client, tasks, task)
        noted = client.patch(path, json={"description": "begun"}, headers={"If-Match": f'"{first["claim"]}"'})
        assert noted.status_code == 200
        expire(server, task)
        second = claim(client, tasks, task)
        for late in (first["claim"], noted.json()["version"]):
            guard = {"If-Match": f'"{late}"'}
            for answer in (
                client.patch(path, json={"completed": True}, headers=guard),
                client.post(f"{path}/toggle", json={"completed": True}, headers=guard),
                client.delete(path, headers=guard),
            ):
                problem(answer, 412, "precondition_failed")
        guard = {"If-Match": f'"{second["claim"]}"'}
        assert client.patch(path, json={"completed": True}, headers=guard).status_code == 200

    def test_renewing_leaves_the_version_of_who_works(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        taken = claim(client, tasks, task)
        client.patch(f"{tasks}/{task['id']}/claim/{taken['claim']}", json={}).raise_for_status()
        guard = {"If-Match": f'"{taken["claim"]}"'}
        assert client.patch(f"{tasks}/{task['id']}", json={"title": "x"}, headers=guard).status_code == 200

    def test_nobody_else_is_locked_out(self, client: httpx2.Client, tasks: str, claims: str) -> None:
        """A person, who knows of no claim, changes the task; the claim goes on."""
        task = create(client, tasks)
        number = claim(client, tasks, task)["claim"]
        changed = client.patch(f"{tasks}/{task['id']}", json={"title": "Buy bread"})
        assert (changed.status_code, changed.json()["version"]) == (200, number + 1)
        assert held(client, claims) == [number]
        assert client.patch(f"{tasks}/{task['id']}/claim/{number}", json={}).status_code == 200


class TestList:
    def test_has_every_claim_that_holds(self, client: httpx2.Client, tasks: str, claims: str) -> None:
        made = [create(client, tasks) for _ in range(4)]
        taken = [claim(client, tasks, task, note=f"{n}") for n, task in enumerate(made)]
        client.post(f"{tasks}/{made[0]['id']}/toggle")
        client.delete(f"{tasks}/{made[1]['id']}")
        assert read(client, claims) == [
            {
                "task_id": made[n]["id"],
                "claim": taken[n]["claim"],
                "by": {"user": made[n]["user_id"], **NOBODY},
                "since": taken[n]["task"]["updated_at"],
                "until": taken[n]["until"],
                "note": f"{n}",
            }
            for n in (2, 3)
        ]

    def test_a_filter_tells_those_from_the_others(
        self, client: httpx2.Client, tasks: str, server: LocalServer
    ) -> None:
        free, expired, mine, done, gone = (create(client, tasks, title=f"{n}") for n in range(5))
        claim(client, tasks, expired)
        expire(server, expired)
        for task in (mine, done, gone):
            claim(client, tasks, task)
        client.post(f"{tasks}/{done['id']}/toggle")
        client.delete(f"{tasks}/{gone['id']}")

        def found(**query: str) -> list[str]:
            return [task["id"] for task in read(client, tasks, sort="title", **query)]

        assert found(claimed="true") == [mine["id"]]
        assert found(claimed="false") == [free["id"], expired["id"], done["id"]]
        assert found(claimed="false", status="pending") == [free["id"], expired["id"]]
        assert found(claimed="true", deleted="true") == []
        assert found(claimed="false", deleted="true") == [gone["id"]]
        assert found(claimed="true", due="none", tz="Europe/Berlin") == [mine["id"]]
        assert (
            client.get(f"{tasks}?claimed=true", headers={"Prefer": "count=exact"}).headers["x-total-count"]
            == "1"
        )
        assert violation(client.get(f"{tasks}?claimed=maybe"))["code"] == "invalid_flag"

    def test_pages_of_the_filter(self, client: httpx2.Client, tasks: str) -> None:
        made = [create(client, tasks) for _ in range(3)]
        for task in made[:2]:
            claim(client, tasks, task)
        page = client.get(f"{tasks}?claimed=true&limit=1")
        assert [task["id"] for task in page.json()] == [made[1]["id"]]
        rest = client.get(page.links["next"]["url"])
        assert [task["id"] for task in rest.json()] == [made[0]["id"]]
        assert "next" not in rest.links

    def test_the_list_has_the_present_also_when_it_was_asked_before(
        self, client: httpx2.Client, tasks: str, server: LocalServer
    ) -> None:
        """What depends on the clock is not taken from a cache of queries."""
        task = create(client, tasks)
        claim(client, tasks, task)
        for _ in range(2):
            assert len(read(client, tasks, claimed="true", limit="5")) == 1
        expire(server, task)
        assert read(client, tasks, claimed="true", limit="5") == []

    def test_many_can_be_deleted_by_it(self, client: httpx2.Client, tasks: str) -> None:
        made = [create(client, tasks) for _ in range(2)]
        claim(client, tasks, made[0])
        assert client.delete(f"{tasks}?claimed=false").json() == {"deleted": 1}
        assert [task["id"] for task in read(client, tasks)] == [made[0]["id"]]

    def test_its_etag_serves_a_304_while_nothing_is_claimed(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        tag = client.get(f"{tasks}?claimed=false").headers["etag"]
        claim(client, tasks, task)
        after = client.get(f"{tasks}?claimed=false", headers={"If-None-Match": tag})
        assert (after.status_code, after.json()) == (200, [])


class TestSettings:
    def test_claims_may_be_shorter_than_by_default(self, database_url: str) -> None:
        settings = Settings(database_url=database_url, claim_max_seconds=60)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            task, before = create(client, "/api/tasks"), utc_now()
            path = f"/api/tasks/{task['id']}/claim"
            for answer in (
                client.post(path, json={"seconds": 61}),
                client.post("/api/tasks/claims", json={"seconds": 61}),
                client.patch(f"{path}/1", json={"seconds": 61}),
            ):
                assert violation(answer)["detail"] == "must be at most 60"
            until = datetime.fromisoformat(client.post(path).json()["until"])
            assert until - before < timedelta(seconds=90)
            shown = client.get("/openapi.json").json()["components"]["schemas"]
            assert shown["ClaimRenew"]["properties"]["seconds"]["maximum"] == 60

    def test_a_version_may_be_required(self, database_url: str) -> None:
        settings = Settings(database_url=database_url, require_if_match=True)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            task = create(client, "/api/tasks")
            problem(client.post(f"/api/tasks/{task['id']}/claim"), 428, "precondition_required")
            assert len(claim_next(client, "/api/tasks")) == 1


class TestEpoch:
    def test_a_new_one_ends_every_claim(self, database_kind: str, tmp_path: Any) -> None:
        """The numbers of the lost epoch match nothing in the new one."""
        with migrated_database(database_kind, tmp_path) as url:
            settings = Settings(database_url=url)
            with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
                task = create(client, "/api/tasks")
                number = claim(client, "/api/tasks", task)["claim"]
            done(url, "db", "new-epoch")
            with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
                assert read(client, "/api/claims") == []
                path = f"/api/tasks/{task['id']}/claim"
                problem(client.patch(f"{path}/{number}", json={}), 412, "claim_lost")
                assert client.post(path).json()["claim"] > 2**32
