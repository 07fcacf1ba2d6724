"""Recurring tasks: completing one moves its dates, on every path, once, and it can be undone."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from harness.databases import migrated_database
from harness.responses import create, problem, violation
from harness.servers import server_process
from tests.conftest import EVERYTHING
from tests.core.test_recurrence import CASES
from tests.later import calendar
from tests.rest.test_history import assert_whole, read

Json = dict[str, Any]

WEEKLY = {"title": "Bins", "due": "2099-11-23", "recurrence": "FREQ=WEEKLY;BYDAY=MO"}
ALL_MOVE = ("due", "start", "due_at", "recurrence")


@pytest.fixture
def api(tasks: str) -> str:
    return tasks.removesuffix("/tasks")


# Each completes a task at an instant: path, body, and the task in the answer.
def _toggle(client: httpx2.Client, path: str, query: str, done: Json) -> httpx2.Response:
    return client.post(f"{path}/toggle{query}", json=done)


def _complete(client: httpx2.Client, path: str, query: str, done: Json) -> httpx2.Response:
    return client.patch(f"{path}/complete{query}", json=done)


def _patch(client: httpx2.Client, path: str, query: str, done: Json) -> httpx2.Response:
    return client.patch(f"{path}{query}", json=done)


def _put(client: httpx2.Client, path: str, query: str, done: Json) -> httpx2.Response:
    return client.put(f"{path}{query}", json=done)


def _batch_toggle(client: httpx2.Client, path: str, query: str, done: Json) -> httpx2.Response:
    return _in_batch(client, path, query, {"op": "toggle", "task": done})


def _batch_update(client: httpx2.Client, path: str, query: str, done: Json) -> httpx2.Response:
    return _in_batch(client, path, query, {"op": "update", "task": done})


def _in_batch(client: httpx2.Client, path: str, query: str, operation: Json) -> httpx2.Response:
    tasks, _, task_id = path.rpartition("/")
    return client.post(f"{tasks}/batch{query}", json={"operations": [{"id": task_id, **operation}]})


def task_of(answer: httpx2.Response) -> Json:
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    task: Json = body["results"][0]["task"] if "results" in body else body
    return task


WAYS = [_toggle, _complete, _patch, _put, _batch_toggle, _batch_update]
# Of the worked cases each takes two of the ways, or all in the long form of the tests.
WAYS_OF_A_CASE = 6 if EVERYTHING else 2
by_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))


@pytest.fixture(scope="module")
def later(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A server in the year 2097, when all worked cases are past."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("a later day needs a C compiler on Linux")
    folder = tmp_path_factory.mktemp("later")
    with (
        migrated_database(database_kind, folder) as url,
        calendar(71) as environment,
        server_process(folder, DATABASE_URL=url, **environment) as server,
        httpx2.Client(base_url=server.url) as client,
    ):
        yield client


class TestWorkedCases:
    @pytest.mark.parametrize(
        ("place", "case"),
        [pytest.param(*pair, id=pair[1]["id"]) for pair in enumerate(CASES["vectors"])],
    )
    def test_every_path_gives_the_dates_of_the_case(
        self, later: httpx2.Client, place: int, case: Json
    ) -> None:
        tasks, query = f"/api/user-{uuid4().hex}/tasks", f"?tz={case['user_zone']}"
        names = ("due", "start", "time_zone", "recurrence", "recurrence_mode", "recurrence_exclude")
        new = {"title": case["id"]} | {name: case[name] for name in names}
        done = {"completed": True, "completed_at": case["completed_at"]}
        for way in [*WAYS, *WAYS][place % 6 :][:WAYS_OF_A_CASE]:
            answer = later.post(f"{tasks}{query}", json=new)
            assert answer.status_code == 201, answer.text
            task = answer.json()
            after = task_of(way(later, f"{tasks}/{task['id']}", query, done))
            if case["next"] is None:
                kept = {name: task[name] for name in names} | {"completed": True, "status": "completed"}
                assert {name: after[name] for name in kept} == kept
                assert as_instant(after["completed_at"]) == as_instant(case["completed_at"])
            else:
                assert not after["completed"]
                assert after["completed_at"] is None
                assert {name: after[name] for name in ALL_MOVE} == {
                    name: instant_or(case["next"][name]) for name in ALL_MOVE
                }
        assert_whole(later, tasks, tasks.removesuffix("tasks") + "history")

    @pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["recurrence"][:60])
    def test_rules_are_refused_with_their_code(
        self, client: httpx2.Client, tasks: str, case: Mapping[str, str]
    ) -> None:
        new = {"title": "t", "due": "2026-11-20T09:00:00", "recurrence": case["recurrence"]}
        for answer in (
            client.post(tasks, json=new),
            client.patch(f"{tasks}/{create(client, tasks)['id']}", json=new),
        ):
            error = violation(answer)
            assert (error["pointer"], error["code"]) == ("/recurrence", case["code"])
            assert case["recurrence"] not in answer.text


def as_instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def instant_or(text: str | None) -> str | None:
    """An instant of a case as the server writes it."""
    if text is None or "=" in text or not text.endswith("Z"):
        return text
    return as_instant(text).isoformat(timespec="microseconds").replace("+00:00", "Z")


class TestFields:
    def test_a_task_that_does_not_recur_says_so(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        assert (task["recurrence"], task["recurrence_mode"], task["recurrence_exclude"]) == (None, "next", [])

    def test_a_rule_comes_back_as_it_was_sent(self, client: httpx2.Client, tasks: str) -> None:
        rule = "freq=Weekly;byday=mo,TH;WKST=SU"
        task = create(client, tasks, due="2026-11-23", recurrence=rule, recurrence_mode="each",
                      recurrence_exclude=["2026-11-30", "2026-12-07T09:00"])  # fmt: skip
        assert (task["recurrence"], task["recurrence_mode"]) == (rule, "each")
        assert task["recurrence_exclude"] == ["2026-11-30", "2026-12-07T09:00:00"]

    @pytest.mark.parametrize(
        ("sent", "pointer", "code"),
        [
            ({"recurrence": "FREQ=DAILY"}, "/recurrence", "needs_date"),
            ({"recurrence": "FREQ=HOURLY", "due": "2026-11-20"}, "/recurrence", "invalid"),
            ({"recurrence_mode": None}, "/recurrence_mode", "invalid"),
            ({"recurrence_mode": "never"}, "/recurrence_mode", "invalid"),
            ({"recurrence_exclude": ["2026-02-30"]}, "/recurrence_exclude/0", "invalid_date"),
            ({"recurrence_exclude": ["2026-11-20T09:00:00Z"]}, "/recurrence_exclude/0", "invalid_date"),
            ({"recurrence_exclude": ["2026-11-20"] * 101}, "/recurrence_exclude", "too_many"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, client: httpx2.Client, tasks: str, sent: Json, pointer: str, code: str
    ) -> None:
        task = create(client, tasks)
        for answer in (
            client.post(tasks, json={"title": "t", **sent}),
            client.patch(f"{tasks}/{task['id']}", json=sent),
        ):
            error = violation(answer)
            assert (error["pointer"], error["code"]) == (pointer, code)
        assert read(client, tasks) == [task]

    def test_a_rule_goes_with_the_dates(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks, **WEEKLY, recurrence_mode='each')['id']}"
        changed = client.patch(path, json={"due": None}).json()
        assert (changed["recurrence"], changed["recurrence_mode"]) == (None, "next")

    def test_filters_find_it(self, client: httpx2.Client, tasks: str) -> None:
        one, other = create(client, tasks, **WEEKLY), create(client, tasks)
        assert read(client, f"{tasks}?recurring=true") == [one]
        assert read(client, f"{tasks}?recurring=false") == [other]


class TestCompleting:
    @pytest.mark.parametrize("body", [None, {}, {"completed": True}])
    def test_a_toggle_moves_it(self, client: httpx2.Client, tasks: str, body: Json | None) -> None:
        task = create(client, tasks, **WEEKLY)
        path = f"{tasks}/{task['id']}/toggle"
        answer = client.post(path) if body is None else client.post(path, json=body)
        after = answer.json()
        assert answer.status_code == 200
        assert (after["due"], after["completed"], after["version"]) == ("2099-11-30", False, 2)
        assert answer.headers["Completion"] == "2"
        assert read(client, f"{tasks}/{task['id']}") == after

    def test_plain_tasks_beside_it_toggle_as_ever(self, client: httpx2.Client, tasks: str) -> None:
        plain, task = create(client, tasks), create(client, tasks, **WEEKLY)
        for one in (plain, task, plain, task):
            answer = client.post(f"{tasks}/{one['id']}/toggle")
            assert answer.status_code == 200
            assert ("Completion" in answer.headers) is (one is task)
        assert read(client, f"{tasks}/{plain['id']}")["completed"] is False
        assert read(client, f"{tasks}/{task['id']}")["due"] == "2099-12-07"

    @by_way
    def test_one_record_says_it(self, client: httpx2.Client, tasks: str, api: str, way: Any) -> None:
        task = create(client, tasks, **WEEKLY)
        answer = way(client, f"{tasks}/{task['id']}", "", {"completed": True})
        (record, _) = read(client, f"{api}/history")
        assert (record["op"], record["occurrence"]) == ("completed", "2099-11-23")
        assert record["changes"] == {"due": ["2099-11-23", "2099-11-30"]}
        assert datetime.now(UTC) - as_instant(record["completed_at"]) < timedelta(minutes=1)
        assert task_of(answer)["version"] == record["version"] == 2

    def test_what_is_sent_along_is_changed_too(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks, **WEEKLY)['id']}"
        after = client.patch(path, json={"completed": True, "title": "Glass", "due": "2099-12-01"}).json()
        assert (after["title"], after["due"], after["completed"]) == ("Glass", "2099-12-07", False)

    def test_a_series_ends_for_good(self, client: httpx2.Client, tasks: str, api: str) -> None:
        task = create(client, tasks, **WEEKLY | {"recurrence": "FREQ=WEEKLY;BYDAY=MO;COUNT=2"})
        path = f"{tasks}/{task['id']}"
        first = client.post(f"{path}/toggle").json()
        assert (first["recurrence"], first["completed"]) == ("FREQ=WEEKLY;BYDAY=MO;COUNT=1", False)
        answer = client.post(f"{path}/toggle")
        last = answer.json()
        assert (last["completed"], last["status"], last["due"]) == (True, "completed", "2099-11-30")
        assert answer.headers["Completion"] == str(last["version"])
        reopened = client.post(f"{path}/toggle").json()
        assert (reopened["completed"], reopened["due"]) == (False, "2099-11-30")
        assert_whole(client, tasks, f"{api}/history")

    @pytest.mark.parametrize("sent", [{"completed": True, "recurrence": None}, {"status": "cancelled"}])
    def test_a_client_ends_a_series(self, client: httpx2.Client, tasks: str, sent: Json) -> None:
        path = f"{tasks}/{create(client, tasks, **WEEKLY)['id']}"
        after = client.patch(path, json=sent).json()
        assert (after["completed"], after["due"]) == (True, "2099-11-23")

    def test_a_claim_ends_with_its_occurrence(self, client: httpx2.Client, tasks: str, api: str) -> None:
        task = create(client, tasks, **WEEKLY)
        claimed = client.post(f"{tasks}/{task['id']}/claim", json={"minutes": 5})
        assert claimed.status_code == 200, claimed.text
        assert client.post(f"{tasks}/{task['id']}/toggle").status_code == 200
        assert read(client, f"{api}/claims") == []

    def test_the_users_zone_says_what_is_past(self, client: httpx2.Client, user: str) -> None:
        tasks, moment = f"/api/{user}/tasks", "2020-06-10T23:30:00Z"  # the 11th in Berlin
        new = {"title": "t", "due": "2020-06-10", "recurrence": "FREQ=DAILY"}
        done = {"completed": True, "completed_at": moment}
        for zone in ("Europe/Berlin", "UTC", "Pacific/Apia"):
            path = f"{tasks}/{create(client, tasks, **new)['id']}"
            assert client.post(f"{path}/toggle?tz={zone}", json=done).json()["due"] == "2020-06-11"
        late = done | {"completed_at": "2020-06-12T23:30:00Z"}
        for zone, due in (("Europe/Berlin", "2020-06-13"), ("UTC", "2020-06-12")):
            path = f"{tasks}/{create(client, tasks, **new)['id']}"
            assert client.post(f"{path}/toggle?tz={zone}", json=late).json()["due"] == due


class TestCompletedAt:
    def test_it_is_kept(self, client: httpx2.Client, tasks: str) -> None:
        done = {"completed": True, "completed_at": "2020-01-02T03:04:05.5+01:00"}
        plain = create(client, tasks)
        assert client.patch(f"{tasks}/{plain['id']}", json=done).json()["completed_at"] == (
            "2020-01-02T02:04:05.500000Z"
        )
        again = client.patch(f"{tasks}/{plain['id']}", json=done | {"completed_at": "2021-01-01T00:00:00Z"})
        assert again.json()["completed_at"] == "2020-01-02T02:04:05.500000Z"
        new = client.post(tasks, json={"title": "t", **done}).json()
        assert new["completed_at"] == "2020-01-02T02:04:05.500000Z"
        put = client.put(f"{tasks}/{uuid4()}", json={"title": "t", **done}, headers={"If-None-Match": "*"})
        assert put.json()["completed_at"] == "2020-01-02T02:04:05.500000Z"
        task = create(client, tasks, **WEEKLY)
        client.post(f"{tasks}/{task['id']}/toggle", json=done)
        (done_once,) = read(client, f"{tasks}/{task['id']}/completions")
        assert done_once["completed_at"] == "2020-01-02T02:04:05.500000Z"

    @pytest.mark.parametrize("moment", ["1969-12-31T23:59:59Z", "2150-01-01T00:00:00Z"])
    @by_way
    def test_it_is_neither_ancient_nor_ahead(
        self, client: httpx2.Client, tasks: str, way: Any, moment: str
    ) -> None:
        task = create(client, tasks, **WEEKLY)
        done = {"completed": True, "completed_at": moment}
        error = violation(way(client, f"{tasks}/{task['id']}", "", done))
        assert error["pointer"].endswith("/completed_at")
        assert error["code"] == "out_of_range"
        assert read(client, tasks) == [task]

    def test_a_task_that_is_sent_back_stays_as_it_is(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, completed=True)
        back = client.put(f"{tasks}/{task['id']}", json=task | {"completed": False}).json()
        assert (back["completed"], back["completed_at"]) == (False, None)


class TestRetries:
    @by_way
    def test_an_occurrence_is_completed_once(self, client: httpx2.Client, tasks: str, way: Any) -> None:
        path = f"{tasks}/{create(client, tasks, **WEEKLY)['id']}"
        done = {"completed": True, "occurrence": "2099-11-23"}
        first = task_of(way(client, path, "", done))
        assert task_of(way(client, path, "", done)) == first
        assert first["due"] == "2099-11-30"

    def test_a_toggle_with_an_occurrence_never_reopens(self, client: httpx2.Client, tasks: str) -> None:
        once = WEEKLY | {"recurrence": "FREQ=WEEKLY;COUNT=1"}
        path = f"{tasks}/{create(client, tasks, **once)['id']}/toggle"
        done = {"occurrence": "2099-11-23"}
        first = client.post(path, json=done).json()
        assert first["completed"] is True
        assert client.post(path, json=done).json() == first

    @by_way
    def test_a_later_one_is_refused(self, client: httpx2.Client, tasks: str, way: Any) -> None:
        task = create(client, tasks, **WEEKLY)
        done = {"completed": True, "occurrence": "2099-11-30"}
        problem(way(client, f"{tasks}/{task['id']}", "", done), 409, "conflict")
        assert read(client, tasks) == [task]

    def test_what_else_a_late_retry_changes_is_changed(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks, **WEEKLY)['id']}"
        sent = {"completed": True, "occurrence": "2099-11-23"}
        client.patch(path, json=sent)
        after = client.patch(path, json=sent | {"title": "Glass"}).json()
        assert (after["title"], after["due"], after["version"]) == ("Glass", "2099-11-30", 3)

    def test_an_occurrence_is_one_to_complete(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks, **WEEKLY)['id']}"
        for sent in ({"occurrence": "2099-11-23"}, {"completed": False, "occurrence": "2099-11-23"}):
            assert violation(client.patch(path, json=sent))["code"] == "invalid_occurrence"
        assert violation(client.patch(path, json={"occurrence": "soon", "completed": True}))["code"] == (
            "invalid_date"
        )

    def test_a_version_guards_too(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks, **WEEKLY)['id']}/toggle"
        assert client.post(path, headers={"If-Match": '"1"'}).status_code == 200
        assert client.post(path, headers={"If-Match": '"1"'}).status_code == 412

    def test_a_key_answers_again(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks, **WEEKLY)['id']}/toggle"
        key = {"Idempotency-Key": str(uuid4())}
        first, again = client.post(path, headers=key), client.post(path, headers=key)
        assert again.json() == first.json()
        assert again.headers["Completion"] == first.headers["Completion"] == "2"

    def test_a_dry_run_names_no_completion(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, **WEEKLY)
        answer = client.post(f"{tasks}/{task['id']}/toggle?dry_run=true")
        assert answer.json()["due"] == "2099-11-30"
        assert "Completion" not in answer.headers
        assert read(client, tasks) == [task]


class TestSubtasks:
    def test_completed_ones_are_reopened_and_move_along(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        task = create(client, tasks, **WEEKLY)
        done = create(client, tasks, title="done", parent_id=task["id"], due="2099-11-22", completed=True)
        below = create(client, tasks, title="below", parent_id=done["id"], status="cancelled")
        is_open = create(client, tasks, title="open", parent_id=task["id"], due="2099-11-22")
        other = create(client, tasks, title="recurs", parent_id=task["id"], due="2099-11-22",
                       recurrence="FREQ=DAILY;COUNT=1")  # fmt: skip
        client.post(f"{tasks}/{other['id']}/toggle")
        answer = client.post(f"{tasks}/{task['id']}/toggle")
        version = answer.json()["version"]
        assert answer.headers["Completion"] == f"{version}-{version + 2}"
        after = {one["title"]: one for one in read(client, tasks)}
        assert (after["done"]["completed"], after["done"]["due"]) == (False, "2099-11-29")
        assert after["below"]["status"] == "open"
        assert after["open"] == is_open
        assert after["recurs"]["completed"] is True
        assert [after[name]["version"] for name in ("done", "below")] == [version + 1, version + 2]
        assert_whole(client, tasks, f"{api}/history")
        assert below["status"] == "cancelled"

    def test_with_all_of_them(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, **WEEKLY)
        create(client, tasks, title="open", parent_id=task["id"], due="2099-11-22")
        done = {"completed": True, "subtasks": "complete"}
        client.post(f"{tasks}/{task['id']}/toggle", json=done)
        after = {one["title"]: one for one in read(client, tasks)}
        assert (after["open"]["completed"], after["open"]["due"]) == (False, "2099-11-29")

    def test_those_completed_with_the_last_occurrence_are_named(
        self, client: httpx2.Client, tasks: str, api: str
    ) -> None:
        task = create(client, tasks, **WEEKLY | {"recurrence": "FREQ=WEEKLY;BYDAY=MO;COUNT=1"})
        part = create(client, tasks, title="part", parent_id=task["id"])
        done = {"completed": True, "subtasks": "complete"}
        answer = client.post(f"{tasks}/{task['id']}/toggle", json=done)
        first = answer.json()["version"]
        assert answer.headers["Completion"] == f"{first}-{first + 1}"
        versions = list(range(first, first + 2))
        assert client.post(f"{api}/undo", json={"versions": versions}).status_code == 200
        after = {one["id"]: one["completed"] for one in read(client, tasks)}
        assert after == {task["id"]: False, part["id"]: False}


class TestUndo:
    def test_a_completion_goes_back(self, client: httpx2.Client, tasks: str, api: str) -> None:
        new = WEEKLY | {"recurrence": "FREQ=WEEKLY;BYDAY=MO;COUNT=9", "recurrence_exclude": ["2099-11-23"]}
        task = create(client, tasks, **new)
        part = create(client, tasks, title="part", parent_id=task["id"], due="2099-11-22", completed=True)
        answer = client.post(f"{tasks}/{task['id']}/toggle")
        first, _, last = answer.headers["Completion"].partition("-")
        assert len(read(client, f"{tasks}/{task['id']}/completions")) == 1
        versions = list(range(int(first), int(last or first) + 1))
        undone = client.post(f"{api}/undo", json={"versions": versions}).json()
        assert undone["left"] == []
        known = {one["id"]: unversioned(one) for one in read(client, tasks)}
        assert known == {one["id"]: unversioned(one) for one in (task, part)}
        assert read(client, f"{tasks}/{task['id']}/completions") == []
        again = [one["version"] for one in undone["undone"]]
        client.post(f"{api}/undo", json={"versions": again})
        assert len(read(client, f"{tasks}/{task['id']}/completions")) == 1
        assert read(client, f"{tasks}/{task['id']}")["due"] == "2099-11-30"
        assert_whole(client, tasks, f"{api}/history")

    def test_what_was_changed_since_stays(self, client: httpx2.Client, tasks: str, api: str) -> None:
        task = create(client, tasks, **WEEKLY)
        version = client.post(f"{tasks}/{task['id']}/toggle").json()["version"]
        client.patch(f"{tasks}/{task['id']}", json={"due": None})
        result = client.post(f"{api}/undo", json={"versions": [version]}).json()
        assert [one["reason"] for one in result["left"]] == ["changed_since"]
        assert read(client, f"{tasks}/{task['id']}")["recurrence"] is None


def unversioned(task: Json) -> Json:
    return {name: value for name, value in task.items() if name not in {"version", "updated_at"}}


class TestSkip:
    def test_it_moves_and_is_not_done(self, client: httpx2.Client, tasks: str, api: str) -> None:
        task = create(client, tasks, **WEEKLY)
        part = create(client, tasks, parent_id=task["id"], completed=True)
        path = f"{tasks}/{task['id']}"
        answer = client.post(f"{path}/skip")
        assert (answer.json()["due"], answer.json()["completed"]) == ("2099-11-30", False)
        assert "Completion" not in answer.headers
        assert read(client, f"{tasks}/{part['id']}") == part
        record = read(client, f"{api}/history?op=skipped")[0]
        assert (record["occurrence"], record["completed_at"]) == ("2099-11-23", None)
        (one,) = read(client, f"{path}/completions")
        assert one["skipped"] is True
        again = client.post(f"{path}/skip", json={"occurrence": "2099-11-23"}).json()
        assert again == answer.json()
        problem(client.post(f"{path}/skip", json={"occurrence": "2099-12-25"}), 409, "conflict")

    @pytest.mark.parametrize("mode", ["next", "each", "completion"])
    @pytest.mark.parametrize(
        ("rule", "due", "skipped"),
        [
            ("FREQ=DAILY", "2099-11-23", ["2099-11-24", "2099-11-25"]),
            ("FREQ=WEEKLY;BYDAY=MO", "2099-11-23", ["2099-11-30", "2099-12-07"]),
            ("FREQ=MONTHLY", "2099-11-23T09:00:00", ["2099-12-23T09:00:00", "2100-01-23T09:00:00"]),
            ("FREQ=HOURLY;INTERVAL=5", "2099-11-23T09:00:00", ["2099-11-23T14:00:00", "2099-11-23T19:00:00"]),
        ],
    )
    def test_one_to_come_is_passed_in_every_mode(
        self, client: httpx2.Client, tasks: str, mode: str, rule: str, due: str, skipped: list[str]
    ) -> None:
        task = create(client, tasks, due=due, recurrence=rule, recurrence_mode=mode)
        path = f"{tasks}/{task['id']}/skip"
        assert [client.post(path).json()["due"] for _ in skipped] == skipped
        assert client.post(path, json={"occurrence": due}).json()["due"] == skipped[-1]

    def test_the_last_one_is_cancelled(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks, **WEEKLY | {'recurrence': 'FREQ=WEEKLY;COUNT=1'})['id']}"
        assert client.post(f"{path}/skip").json()["status"] == "cancelled"
        problem(client.post(f"{path}/skip"), 409, "conflict")

    def test_a_plain_task_has_none(self, client: httpx2.Client, tasks: str) -> None:
        problem(client.post(f"{tasks}/{create(client, tasks)['id']}/skip"), 409, "conflict")
        problem(client.post(f"{tasks}/{uuid4()}/skip"), 404, "not_found")

    def test_in_a_batch(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, **WEEKLY)
        operation = {"op": "skip", "id": task["id"], "occurrence": "2099-11-23"}
        answer = client.post(f"{tasks}/batch", json={"operations": [operation, operation]})
        assert [one["task"]["due"] for one in answer.json()["results"]] == ["2099-11-30"] * 2
        assert [one["completion"] for one in answer.json()["results"]] == [None, None]

    @pytest.mark.parametrize("query", ["", "?dry_run=true"])
    def test_completed_in_a_batch_the_result_says_what_the_header_says(
        self, client: httpx2.Client, tasks: str, query: str
    ) -> None:
        home = create(client, tasks, **WEEKLY)
        for title in ("a", "b"):
            create(client, tasks, title=title, parent_id=home["id"], completed=True)
        single, other = create(client, tasks, **WEEKLY), create(client, tasks)
        last = create(client, tasks, **{**WEEKLY, "recurrence": "FREQ=WEEKLY;COUNT=1"})
        done = {"completed": True}
        steps = [
            {"op": "toggle", "id": home["id"], "task": done},
            {"op": "update", "id": single["id"], "task": {**done, "occurrence": single["due"]}},
            {"op": "update", "id": single["id"], "task": {**done, "occurrence": single["due"]}},
            {"op": "update", "id": single["id"], "task": {"title": "x"}},
            {"op": "toggle", "id": other["id"]},
            {"op": "toggle", "id": last["id"]},
            {"op": "create", "task": {"title": "y"}},
        ]
        answer = client.post(f"{tasks}/batch{query}", json={"operations": steps})
        results = answer.json()["results"]
        at = last["version"]
        told = [f"{at + 1}-{at + 3}", f"{at + 4}", None, None, None, f"{at + 7}", None]
        assert [one["completion"] for one in results] == told
        assert all("completion" not in one["task"] for one in results)
        if query:
            path = f"{tasks}/{last['id']}"
            assert client.post(f"{path}/toggle").headers["completion"] == f"{at + 1}"
        else:
            undone = client.post(
                f"{tasks.removesuffix('tasks')}undo", json={"versions": [at + 1, at + 2, at + 3]}
            )
            assert undone.status_code == 200, undone.text
            assert read(client, f"{tasks}/{home['id']}")["due"] == home["due"]


class TestCompletions:
    def test_pages_newest_first(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks, **WEEKLY)['id']}"
        for _ in range(5):
            client.post(f"{path}/toggle")
        whole = read(client, f"{path}/completions")
        assert [one["occurrence"] for one in whole] == [
            "2099-12-21", "2099-12-14", "2099-12-07", "2099-11-30", "2099-11-23",
        ]  # fmt: skip
        assert whole[0]["by"] == {"user": whole[0]["by"]["user"], "token": None, "client": None, "via": "api"}
        seen, page = [], client.get(f"{path}/completions?limit=2")
        while True:
            seen += page.json()
            if "next" not in page.links:
                break
            page = client.get(page.links["next"]["url"])
        assert seen == whole

    def test_of_a_task_that_is_not_there(self, client: httpx2.Client, tasks: str) -> None:
        problem(client.get(f"{tasks}/{uuid4()}/completions"), 404, "not_found")
        assert read(client, f"{tasks}/{create(client, tasks)['id']}/completions") == []

    def test_a_cursor_of_another_task_is_refused(self, client: httpx2.Client, tasks: str) -> None:
        paths = [f"{tasks}/{create(client, tasks, **WEEKLY)['id']}" for _ in range(2)]
        for _ in range(2):
            client.post(f"{paths[0]}/toggle")
        url = client.get(f"{paths[0]}/completions?limit=1").links["next"]["url"]
        cursor = url.partition("cursor=")[2]
        assert violation(client.get(f"{paths[1]}/completions?limit=1&cursor={cursor}"))["code"] == (
            "invalid_cursor"
        )


def test_the_feed_shows_the_next_date(client: httpx2.Client, tasks: str) -> None:
    path = f"{tasks}/{create(client, tasks, **WEEKLY)['id']}"
    after = client.post(f"{path}/toggle").json()
    page = client.get(f"{tasks.removesuffix('tasks')}changes?since=0").json()
    assert page["changes"] == [after]
