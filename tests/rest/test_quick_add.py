"""Quick add: a task from a line of words. The words themselves have their own cases."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from harness.responses import create, problem, violation
from tests.rest.test_history import read

Json = dict[str, Any]


def add(client: httpx2.Client, tasks: str, text: str, query: str = "", **more: Any) -> Json:
    answer = client.post(f"{tasks}/quick{query}", json={"text": text, **more})
    assert answer.status_code == 201, answer.text
    added: Json = answer.json()
    return added


@pytest.fixture
def lists(tasks: str) -> str:
    return tasks.removesuffix("tasks") + "lists"


def test_all_words_become_fields(client: httpx2.Client, tasks: str, lists: str) -> None:
    family = client.post(lists, json={"name": "Family"}).json()
    text = 'Call mum 2099-12-05 18:00 #family @phone @"at home" !1 every week //Ask about Sunday'
    answer = client.post(f"{tasks}/quick", json={"text": text, "tz": "Europe/Berlin"})
    assert answer.status_code == 201
    task, understood = answer.json()["task"], answer.json()["understood"]
    assert {name: task[name] for name in understood if name in task} == {
        "due": "2099-12-05T18:00:00",
        "recurrence": "FREQ=WEEKLY;BYDAY=SA",
        "recurrence_mode": "next",
        "labels": ["phone", "at home"],
        "priority": 1,
        "description": "Ask about Sunday",
    }
    assert (task["title"], task["time_zone"], task["list_id"]) == ("Call mum", "Europe/Berlin", family["id"])
    assert understood["list"] == "Family"
    assert understood["rest"] == "Call mum"
    path = answer.headers["Location"]
    assert read(client, path) == task
    assert path == f"{tasks}/{task['id']}"


def test_a_line_without_words_is_a_title(client: httpx2.Client, tasks: str) -> None:
    added = add(client, tasks, "Buy milk")
    assert added["understood"] == {
        "due": None, "recurrence": None, "recurrence_mode": "next", "list": None, "labels": [],
        "priority": None, "description": None, "rest": "Buy milk", "unknown_lists": [],
    }  # fmt: skip
    assert added["task"]["title"] == "Buy milk"


@pytest.mark.parametrize(
    ("query", "body", "zone"),
    [("", {}, None), ("?tz=Asia/Tokyo", {}, "Asia/Tokyo"), ("?tz=UTC", {"tz": "Asia/Tokyo"}, "Asia/Tokyo")],
)
def test_a_time_is_of_the_zone_that_is_known(
    client: httpx2.Client, tasks: str, query: str, body: Json, zone: str | None
) -> None:
    task = add(client, tasks, "Call mum 2099-12-05 18:00", query, **body)["task"]
    assert (task["due"], task["time_zone"]) == ("2099-12-05T18:00:00", zone)


def test_the_users_zone_is_known(client: httpx2.Client) -> None:
    client.patch("/api/users/me", json={"time_zone": "Europe/Berlin"}).raise_for_status()
    assert add(client, "/api/tasks", "Call mum 2099-12-05 18:00")["task"]["time_zone"] == "Europe/Berlin"
    assert add(client, "/api/tasks", "Call mum 2099-12-05")["task"]["time_zone"] is None


def test_the_zone_says_what_today_is(client: httpx2.Client, tasks: str) -> None:
    days = {add(client, tasks, "t today", f"?tz={zone}")["task"]["due"]
            for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago")}  # fmt: skip
    assert len(days) == 2


def test_a_list_that_is_not_there_stays_in_the_title(client: httpx2.Client, tasks: str, lists: str) -> None:
    archived = client.post(lists, json={"name": "Old"}).json()
    client.post(f"{lists}/{archived['id']}/archive").raise_for_status()
    added = add(client, tasks, "Paint #old #new")
    assert (added["task"]["title"], added["task"]["list_id"]) == ("Paint #old #new", None)
    assert added["understood"]["unknown_lists"] == ["old", "new"]


@pytest.mark.parametrize(
    ("text", "code"),
    [("tomorrow", "nothing_left"), ("", "nothing_left"), ("  ", "nothing_left"), ("x" * 1_001, "too_long"),
     ("x" * 201, "too_long"), ("a\u202eb", "invalid_text"), (f"a @{'x' * 61}", "too_long"),
     ("a //\u0007", "invalid_text"), (7, "invalid_type"), (None, "invalid_type")],
)  # fmt: skip
def test_what_is_no_task_is_refused(client: httpx2.Client, tasks: str, text: Any, code: str) -> None:
    answer = client.post(f"{tasks}/quick", json={"text": text})
    error = violation(answer)
    assert (error["pointer"], error["code"]) == ("/text", code)
    assert read(client, tasks) == []


@pytest.mark.parametrize(
    ("text", "detail"),
    [("x" * 201, "has a title that must have 1 to 200 characters"),
     (f"a @{'x' * 61}", "has a label that must have 1 to 60 characters"),
     ("a " + " ".join(f"@l{number}" for number in range(31)), "has labels that must be at most 30 labels"),
     ("a //" + "x" * 2_001, "must have at most 1,000 characters")],
)  # fmt: skip
def test_a_refusal_names_the_part(client: httpx2.Client, tasks: str, text: str, detail: str) -> None:
    assert violation(client.post(f"{tasks}/quick", json={"text": text}))["detail"] == detail


def test_an_unknown_zone_is_refused(client: httpx2.Client, tasks: str) -> None:
    answer = client.post(f"{tasks}/quick", json={"text": "a", "tz": "Mars/Base"})
    assert (violation(answer)["pointer"], violation(answer)["code"]) == ("/tz", "unknown_time_zone")


def test_a_dry_run_only_shows_it(client: httpx2.Client, tasks: str) -> None:
    answer = client.post(f"{tasks}/quick?dry_run=true", json={"text": "Buy milk 2099-12-05"})
    assert answer.status_code == 200
    assert answer.headers["Dry-Run"] == "true"
    assert answer.json()["understood"]["due"] == answer.json()["task"]["due"] == "2099-12-05"
    assert read(client, tasks) == []


def test_a_key_creates_once(client: httpx2.Client, tasks: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first, again = (client.post(f"{tasks}/quick", json={"text": "a"}, headers=key) for _ in range(2))
    assert first.json() == again.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert len(read(client, tasks)) == 1


def test_a_guard_of_the_list_holds(client: httpx2.Client, tasks: str) -> None:
    create(client, tasks)
    answer = client.post(f"{tasks}/quick", json={"text": "a"}, headers={"If-Match": '"list-0"'})
    problem(answer, 412, "precondition_failed")
