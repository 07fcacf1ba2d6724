"""What other task programs got wrong, each by the number that the design has for it, on both databases.

These have their tests elsewhere:
- 30, a ring of parents: `test_rich_tasks.py::TestSubtasks::test_there_is_no_ring`, and by two at once
  `test_rich_tasks.py::TestSubtasks::test_of_two_moves_that_would_make_a_ring_one_is_refused`
- 33, repeated drops into one gap: `test_moves.py::TestRoom::test_always_behind_the_first`,
  `test_moves.py::TestRoom::test_the_same_two_swapped`
- the 304 of the tasks if only a list changes:
  `test_lists.py::TestConditions::test_the_304_of_the_tasks_is_right_when_a_list_changes`
- today in two zones has two ETags: `test_filters.py::TestZones::test_two_zones_of_one_second_have_two_etags`
- a record of a list comes to nobody who has not asked:
  `test_changes.py::TestTypes::test_without_them_it_is_as_if_there_were_tasks_alone`
- a list that is restored brings back nothing that was deleted before:
  `test_lists.py::TestRestore::test_brings_back_what_was_deleted_with_it`,
  `test_lists.py::TestRestore::test_leaves_what_was_deleted_before_even_if_the_clock_was_set_back`
- every way gives the same bytes:
  `test_direct_dispatch.py::TestEquality::test_no_answer_tells_which_way_it_came`
- new time zones are written once:
  `../services/test_zone_changes.py::TestNewZones::test_two_servers_write_what_differs_once`
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest

from harness.responses import create

Task = dict[str, Any]

WEST, UTC, EAST = "Pacific/Honolulu", "UTC", "Pacific/Kiritimati"
ZONES = (WEST, UTC, EAST)
RICH: Task = {
    "description": "All of it",
    "due": "2026-11-20T09:00:00",
    "time_zone": "Europe/Berlin",
    "start": "2026-11-19",
    "priority": 2,
    "labels": ["home", "Büro"],
    "link": "https://example.com/",
    "extra": {"example.com/n": [1, {"a": "ü"}]},
    "status": "in_progress",
}


def found(client: httpx2.Client, tasks: str, **query: Any) -> list[str]:
    """The titles, in the order of the list."""
    answer = client.get(tasks, params=query)
    assert answer.status_code == 200, answer.text
    return [task["title"] for task in answer.json()]


def days(zone: str) -> Iterator[tuple[str, str]]:
    """Words for the days around today in a zone, and their dates."""
    today = datetime.now(ZoneInfo(zone)).date()
    for offset, word in enumerate(("yesterday", "today", "tomorrow"), -1):
        yield word, (today + timedelta(days=offset)).isoformat()


def at_one_day(client: httpx2.Client, tasks: str, zone: str, word: str) -> tuple[list[str], list[str]]:
    """What a word finds, and what is expected, on one and the same day of the zone."""
    expected = {"today": ["today"], "tomorrow": ["tomorrow"], "overdue": ["yesterday"]}[word]
    while True:
        before = dict(days(zone))
        client.delete(tasks)
        for title, date in before.items():
            create(client, tasks, title=title, due=date)
        titles = found(client, tasks, due=word, tz=zone)
        if dict(days(zone)) == before:
            return titles, expected


class TestDates:
    def test_5_a_date_is_not_the_day_before_in_the_west(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, title="a", due="2026-11-20")
        assert (task["due"], task["due_at"], task["time_zone"]) == ("2026-11-20", None, None)
        for zone in ZONES:
            assert found(client, tasks, due="2026-11-20", tz=zone) == ["a"]
            assert found(client, tasks, due="2026-11-19,2026-11-21", tz=zone) == []

    @pytest.mark.parametrize("due", ["2026-11-20", "2026-11-20T00:00:00"])
    def test_6_a_date_loses_no_day_on_its_way(self, client: httpx2.Client, tasks: str, due: str) -> None:
        task = create(client, tasks, due=due, start=due)
        path = f"{tasks}/{task['id']}"
        for zone in ZONES * 2:
            sent = client.get(path).json()
            answer = client.put(path, params={"tz": zone}, json=sent)
            assert answer.status_code == 200, answer.text
        task = client.get(path).json()
        assert (task["due"], task["start"], task["time_zone"]) == (due, due, None)

    def test_7_one_date_is_one_day_in_any_zone(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks, title="a", due="2026-11-20")
        for zone in ZONES:
            assert found(client, tasks, due_before="2026-11-21", tz=zone) == ["a"]
            assert found(client, tasks, due_before="2026-11-20", tz=zone) == []
            assert found(client, tasks, due_after="2026-11-19", tz=zone) == ["a"]
            assert found(client, tasks, due_after="2026-11-20", tz=zone) == []

    @pytest.mark.parametrize("zone", ZONES)
    def test_8_today_has_no_tasks_of_tomorrow(self, client: httpx2.Client, tasks: str, zone: str) -> None:
        for word in ("today", "tomorrow"):
            titles, expected = at_one_day(client, tasks, zone, word)
            assert titles == expected

    @pytest.mark.parametrize("zone", ZONES)
    def test_9_a_date_is_not_overdue_on_its_day(self, client: httpx2.Client, tasks: str, zone: str) -> None:
        titles, expected = at_one_day(client, tasks, zone, "overdue")
        assert titles == expected


class TestFields:
    def test_26_who_does_not_know_a_field_leaves_it(self, client: httpx2.Client, tasks: str) -> None:
        """By every way to change a task that the plainest client has."""
        task = create(client, tasks, title="a", **RICH)
        path = f"{tasks}/{task['id']}"
        plain = {"title": "b", "description": RICH["description"], "completed": False}
        for method, end, body in (
            ("PATCH", "", {"title": "b"}),
            ("PUT", "", plain),
            ("POST", "/toggle", None),
            ("PATCH", "/complete", {"completed": False}),
            ("PATCH", "", {"status": "in_progress"}),
            ("DELETE", "", None),
            ("POST", "/restore", None),
        ):
            answer = client.request(method, path + end, json=body)
            assert answer.status_code in {200, 204}, answer.text
        steps = [{"op": "update", "id": task["id"], "task": {"title": "c"}}]
        client.post(f"{tasks}/batch", json={"operations": steps})
        after = client.get(path).json()
        assert {name: after[name] for name in RICH} == RICH
        assert after["title"] == "c"

    def test_27_no_priority_stays_none(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, title="none")
        for priority in (5, 9):
            create(client, tasks, title=f"{priority}", priority=priority)
        path = f"{tasks}/{task['id']}"
        client.put(path, json=client.get(path).json() | {"description": "x"})
        client.post(f"{path}/toggle")
        assert client.get(path).json()["priority"] is None
        assert found(client, tasks, sort="priority") == ["5", "9", "none"]
        assert found(client, tasks, priority="none") == ["none"]
        assert found(client, tasks, priority="5") == ["5"]

    def test_28_what_is_cancelled_does_not_come_back_open(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, status="cancelled")
        path = f"{tasks}/{task['id']}"
        client.put(path, json={"title": "x", "completed": True})
        client.patch(path, json={"completed": True})
        client.post(f"{path}/toggle", json={"completed": True})
        client.delete(path)
        client.post(f"{path}/restore")
        after = client.get(path).json()
        assert (after["status"], after["completed"]) == ("cancelled", True)
        assert after["completed_at"] == task["completed_at"]


class TestOrder:
    def test_29_no_subtask_vanishes_between_pages(self, client: httpx2.Client, tasks: str) -> None:
        """Wherever a page ends, also between a task and its parts."""
        titles = []
        for n in range(4):
            top = create(client, tasks, title=f"{n}")
            parts = [create(client, tasks, title=f"{n}.{m}", parent_id=top["id"]) for m in range(2)]
            titles += [top["title"], *(part["title"] for part in parts)]
        for size, query in ((1, ""), (2, "&sort=position"), (5, "&sort=title"), (5, "&completed=false")):
            met, path = [], f"{tasks}?limit={size}{query}"
            while path:
                answer = client.get(path)
                met += [task["title"] for task in answer.json()]
                path = answer.links.get("next", {}).get("url", "")
            assert sorted(met) == sorted(titles)

    def test_31_the_order_stays_whatever_happens_to_tasks(self, client: httpx2.Client, tasks: str) -> None:
        lists = tasks.removesuffix("tasks") + "lists"
        home = client.post(lists, json={"name": "Home"}).json()["id"]
        made = [create(client, tasks, title=title, list_id=home) for title in "abcde"]
        client.post(f"{tasks}/{made[4]['id']}/move", json={"after": None})
        order = ["e", "a", "b", "c", "d"]
        query = {"list": home, "sort": "position"}
        assert found(client, tasks, **query) == order
        path = f"{tasks}/{made[1]['id']}"
        for method, end in (
            ("POST", "/toggle"), ("POST", "/toggle"), ("DELETE", ""), ("POST", "/restore"),
        ):  # fmt: skip
            client.request(method, path + end)
        client.patch(path, json={"due": "2026-11-20", "priority": 1})
        client.put(path, json=client.get(path).json())
        for end in ("archive", "unarchive"):
            client.post(f"{lists}/{home}/{end}")
        client.delete(f"{lists}/{home}")
        client.post(f"{lists}/{home}/restore")
        assert found(client, tasks, **query) == order

    def test_32_a_move_in_a_filtered_view_changes_no_other(self, client: httpx2.Client, tasks: str) -> None:
        """Of a, b, c and d only a and d are seen: d goes before a, or behind it, and b and c stay."""
        made = {title: create(client, tasks, title=title, labels=["x"] * (title in "ad")) for title in "abcd"}
        client.post(f"{tasks}/{made['d']['id']}/move", json={"after": made["a"]["id"]})
        assert found(client, tasks, sort="position") == ["a", "d", "b", "c"]
        assert found(client, tasks, sort="position", label="x") == ["a", "d"]
        client.post(f"{tasks}/{made['d']['id']}/move", json={"before": made["a"]["id"]})
        assert found(client, tasks, sort="position") == ["d", "a", "b", "c"]
        for title in "abc":
            assert client.get(f"{tasks}/{made[title]['id']}").json() == made[title]

    def test_34_due_before_leaves_out_what_has_no_due(self, client: httpx2.Client, tasks: str) -> None:
        for title, due in (("none", None), ("early", "2026-11-20"), ("late", "2026-11-22")):
            create(client, tasks, title=title, due=due)
        assert found(client, tasks, due_before="2026-11-21") == ["early"]
        assert found(client, tasks, due_after="2026-11-21") == ["late"]
        assert found(client, tasks, due="none") == ["none"]
        answer = client.delete(tasks, params={"due_before": "2026-11-21"})
        assert answer.json() == {"deleted": 1}


def test_those_that_are_elsewhere_are_there() -> None:
    for file, cls, test in re.findall(r"`(\S+\.py)::(\w+)::(\w+)`", __doc__ or ""):
        text = (Path(__file__).parent / file).read_text()
        assert f"class {cls}" in text, cls
        assert f"def {test}(" in text.partition(f"class {cls}")[2], test
