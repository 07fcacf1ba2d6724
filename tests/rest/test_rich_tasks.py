"""Status, priority, labels, links, objects for apps, dates and subtasks, through HTTP on both databases."""

from itertools import product
from typing import Any

import httpx2
import pytest

from harness.responses import create, problem, unknown_id, violation
from harness.side_effects import at_once

Task = dict[str, Any]

STATUSES = ("open", "in_progress", "completed", "cancelled")
DONE = {"completed", "cancelled"}


def refused(answer: httpx2.Response, pointer: str, code: str) -> None:
    found = violation(answer)
    assert (found["pointer"], found["code"]) == (pointer, code)


def patched(client: httpx2.Client, path: str, **change: Any) -> Task:
    answer = client.patch(path, json=change)
    assert answer.status_code == 200, answer.text
    task: Task = answer.json()
    assert client.get(path).json() == task
    return task


def made(client: httpx2.Client, tasks: str, **task: Any) -> str:
    """The path of a new task."""
    return f"{tasks}/{create(client, tasks, **task)['id']}"


def id_of(path: str) -> str:
    return path.rpartition("/")[2]


class TestStatus:
    @pytest.mark.parametrize("status", STATUSES)
    def test_it_says_whether_a_new_task_is_completed(
        self, client: httpx2.Client, tasks: str, status: str
    ) -> None:
        task = create(client, tasks, status=status)
        assert (task["status"], task["completed"]) == (status, status in DONE)
        assert (task["completed_at"] is not None) == task["completed"]

    @pytest.mark.parametrize("completed", [False, True])
    def test_completed_alone_is_the_plain_one(
        self, client: httpx2.Client, tasks: str, completed: bool
    ) -> None:
        task = create(client, tasks, completed=completed)
        assert task["status"] == ("completed" if completed else "open")

    @pytest.mark.parametrize(("status", "completed"), list(product(STATUSES, [False, True])))
    def test_both_have_to_agree(
        self, client: httpx2.Client, tasks: str, status: str, completed: bool
    ) -> None:
        body = {"title": "Buy milk", "status": status, "completed": completed}
        path = made(client, tasks)
        before = client.get(path).json()
        answers = [
            client.post(tasks, json=body),
            client.patch(path, json=body),
            client.put(path, json=body),
            client.post(f"{tasks}/batch", json={"operations": [{"op": "create", "task": body}]}),
        ]
        if completed == (status in DONE):
            assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
            assert client.get(path).json()["status"] == status
            return
        for answer in answers[:3]:
            refused(answer, "/status", "status_conflict")
        refused(answers[3], "/operations/0/task/status", "status_conflict")
        assert client.get(path).json() == before
        assert len(client.get(tasks).json()) == 1

    @pytest.mark.parametrize("others", [{}, {"due": "2026-11-20"}, {"subtasks": "complete"}])
    def test_a_contradiction_is_told_whether_the_task_is_there_or_not(
        self, client: httpx2.Client, tasks: str, others: dict[str, str]
    ) -> None:
        body = {"completed": True, "status": "open"} | others
        path = f"{tasks}/{unknown_id()}"
        refused(client.patch(path, json=body), "/status", "status_conflict")
        refused(client.patch(made(client, tasks), json=body), "/status", "status_conflict")

    @pytest.mark.parametrize(("before", "after"), list(product(STATUSES, STATUSES)))
    def test_any_may_follow_any(self, client: httpx2.Client, tasks: str, before: str, after: str) -> None:
        path = made(client, tasks, status=before)
        first = client.get(path).json()
        task = patched(client, path, status=after)
        assert (task["status"], task["completed"]) == (after, after in DONE)
        if {before, after} <= DONE:
            assert task["completed_at"] == first["completed_at"]

    @pytest.mark.parametrize(("before", "completed"), list(product(STATUSES, [False, True])))
    def test_completed_changes_it_only_if_it_changes(
        self, client: httpx2.Client, tasks: str, before: str, completed: bool
    ) -> None:
        path = made(client, tasks, status=before)
        same = completed == (before in DONE)
        task = patched(client, path, completed=completed)
        assert task["status"] == (before if same else "completed" if completed else "open")

    @pytest.mark.parametrize("before", STATUSES)
    @pytest.mark.parametrize("way", ["toggle", "complete"])
    def test_a_toggle_ends_it(self, client: httpx2.Client, tasks: str, before: str, way: str) -> None:
        path = made(client, tasks, status=before)
        completed = before not in DONE
        if way == "toggle":
            task = client.post(f"{path}/toggle").json()
        else:
            task = client.patch(f"{path}/complete", json={"completed": completed}).json()
        assert task["completed"] == completed
        assert task["status"] == ("completed" if completed else "open")

    @pytest.mark.parametrize("status", [None, "", "done", "Open", 1, True, ["open"]])
    def test_no_other_is_known(self, client: httpx2.Client, tasks: str, status: Any) -> None:
        answer = client.post(tasks, json={"title": "Buy milk", "status": status})
        refused(answer, "/status", "invalid_status")


class TestPriority:
    @pytest.mark.parametrize("priority", [1, 2, 5, 9, None])
    def test_it_comes_back_as_it_was(self, client: httpx2.Client, tasks: str, priority: int | None) -> None:
        assert create(client, tasks, priority=priority)["priority"] == priority

    @pytest.mark.parametrize("priority", [0, 10, -1, 2**40, 1.5, "1", True])
    def test_no_other_is_taken(self, client: httpx2.Client, tasks: str, priority: Any) -> None:
        path = made(client, tasks, priority=2)
        for answer in (
            client.post(tasks, json={"title": "Buy milk", "priority": priority}),
            client.patch(path, json={"priority": priority}),
        ):
            assert violation(answer)["pointer"] == "/priority"
        assert client.get(path).json()["priority"] == 2

    def test_null_clears_it(self, client: httpx2.Client, tasks: str) -> None:
        assert patched(client, made(client, tasks, priority=2), priority=None)["priority"] is None


class TestLabels:
    def test_the_first_spelling_counts_and_the_order_stays(self, client: httpx2.Client, tasks: str) -> None:
        sent = ["Büro", " home ", "HOME", "STRASSE", "straße", "BÜRO"]
        assert create(client, tasks, labels=sent)["labels"] == ["Büro", "home", "STRASSE"]

    def test_null_and_nothing_are_empty(self, client: httpx2.Client, tasks: str) -> None:
        nothing: tuple[Any, ...] = (None, [])
        for labels in nothing:
            path = made(client, tasks, labels=["home"])
            assert patched(client, path, labels=labels)["labels"] == []
            assert create(client, tasks, labels=labels)["labels"] == []

    @pytest.mark.parametrize(
        ("labels", "pointer"),
        [
            (["x" * 61], "/labels/0"),
            (["home", ""], "/labels/1"),
            (["two\nlines"], "/labels/0"),
            (["\u202e"], "/labels/0"),
            ([1], "/labels/0"),
            ([f"label {n}" for n in range(31)], "/labels"),
            ("home", "/labels"),
        ],
    )
    def test_beyond_the_limits(self, client: httpx2.Client, tasks: str, labels: Any, pointer: str) -> None:
        answer = client.post(tasks, json={"title": "Buy milk", "labels": labels})
        assert violation(answer)["pointer"] == pointer

    def test_at_the_limits(self, client: httpx2.Client, tasks: str) -> None:
        labels = [f"{n:02} " + "é" * 57 for n in range(30)]
        assert create(client, tasks, labels=labels)["labels"] == labels

    def test_add_and_remove_change_what_is_there(self, client: httpx2.Client, tasks: str) -> None:
        path = made(client, tasks, labels=["home", "Büro"])
        task = patched(client, path, labels_add=["garden", "HOME"], labels_remove=["BÜRO", "none such"])
        assert task["labels"] == ["home", "garden"]
        assert task["version"] == 2

    def test_remove_is_stronger_and_both_come_after_labels(self, client: httpx2.Client, tasks: str) -> None:
        path = made(client, tasks, labels=["old"])
        task = patched(client, path, labels=["a", "b"], labels_add=["c"], labels_remove=["C", "a"])
        assert task["labels"] == ["b"]

    def test_a_put_that_creates_adds_to_nothing(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.put(
            f"{tasks}/{unknown_id()}",
            json={"title": "Buy milk", "labels_add": ["home"], "labels_remove": ["garden"]},
            headers={"If-None-Match": "*"},
        )
        assert (answer.status_code, answer.json()["labels"]) == (201, ["home"])

    def test_a_put_that_creates_adds_to_and_removes_from_its_labels(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        body = {"title": "x", "labels": ["a", "b"], "labels_add": ["c"], "labels_remove": ["B"]}
        answer = client.put(f"{tasks}/{unknown_id()}", json=body, headers={"If-None-Match": "*"})
        assert (answer.status_code, answer.json()["labels"]) == (201, ["a", "c"])
        many = body | {"labels": [f"label {n}" for n in range(30)]}
        refused(
            client.put(f"{tasks}/{unknown_id()}", json=many, headers={"If-None-Match": "*"}),
            "/labels_add",
            "too_many",
        )

    def test_adding_one_too_many_is_refused(self, client: httpx2.Client, tasks: str) -> None:
        labels = [f"label {n}" for n in range(30)]
        path = made(client, tasks, labels=labels)
        refused(client.patch(path, json={"labels_add": ["another"]}), "/labels_add", "too_many")
        assert client.get(path).json()["labels"] == labels
        change = {"labels_add": ["another"], "labels_remove": ["label 0"]}
        assert patched(client, path, **change)["labels"] == [*labels[1:], "another"]

    def test_two_clients_at_once_lose_none(self, client: httpx2.Client, tasks: str) -> None:
        path = made(client, tasks, labels=[f"old {n}" for n in range(8)])

        def change(n: int) -> int:
            body = {"labels_add": [f"new {n}"], "labels_remove": [f"old {n}"]}
            return client.patch(path, json=body).status_code

        assert at_once(8, change) == [200] * 8
        task = client.get(path).json()
        assert sorted(task["labels"]) == [f"new {n}" for n in range(8)]
        assert task["version"] == 9


class TestLink:
    @pytest.mark.parametrize(
        ("sent", "shown"),
        [
            ("https://example.com/a?b=c&d=%20#e", None),
            (" https://example.com/ ", "https://example.com/"),
            ("mailto:ada@example.com", None),
            ("message:%3C7@example.com%3E", None),
            ("obsidian://open?vault=home", None),
            ("https://bücher.example/ß", None),
            ("https://example.com/" + "x" * 2_028, None),
        ],
    )
    def test_an_absolute_address(
        self, client: httpx2.Client, tasks: str, sent: str, shown: str | None
    ) -> None:
        path = made(client, tasks, link=sent)
        assert client.get(path).json()["link"] == (shown or sent)
        assert patched(client, path, link=None)["link"] is None

    @pytest.mark.parametrize(
        "link",
        [
            "", "/recipes/7", "example.com", "https:", "https://example.com/a b", 'https://example.com/"',
            "https://example.com/<script>", "https://example.com/\n", "java\nscript:alert(1)",
            "javascript:alert(1)", "JavaScript:alert(1)", " javascript:alert(1)", "\x01javascript:alert(1)",
            "java\tscript:alert(1)", "data:text/html,x", "DATA:text/html,x", "vbscript:x",
            "https://example.com/\u0085x", "https://example.com/\u2028x",
        ],
    )  # fmt: skip
    def test_what_is_none_or_runs_is_refused(self, client: httpx2.Client, tasks: str, link: str) -> None:
        path = made(client, tasks)
        link = link if link != "https://example.com/\n" else "https://example.com/\nx"
        for answer in (
            client.post(tasks, json={"title": "Buy milk", "link": link}),
            client.patch(path, json={"link": link}),
        ):
            refused(answer, "/link", "invalid_link")

    def test_one_too_long_is_refused(self, client: httpx2.Client, tasks: str) -> None:
        link = "https://example.com/" + "x" * 2_029
        refused(client.post(tasks, json={"title": "Buy milk", "link": link}), "/link", "too_long")


def nested(levels: int) -> Any:
    return {"deep": nested(levels - 1)} if levels else 7


class TestExtra:
    def test_a_change_merges_its_members(self, client: httpx2.Client, tasks: str) -> None:
        path = made(client, tasks, extra={"a": {"b": 1, "c": [1, None]}, "d": "x"})
        task = patched(client, path, extra={"a": {"b": None, "e": {"f": None, "g": 2}}, "h": None})
        assert task["extra"] == {"a": {"c": [1, None], "e": {"g": 2}}, "d": "x"}
        assert patched(client, path, extra={"a": 7, "d": None})["extra"] == {"a": 7}
        assert patched(client, path, title="Buy bread")["extra"] == {"a": 7}
        assert patched(client, path, extra=None)["extra"] == {}

    def test_a_new_one_has_no_nulls_either(self, client: httpx2.Client, tasks: str) -> None:
        assert create(client, tasks, extra={"a": None, "b": {"c": None}})["extra"] == {"b": {}}

    def test_two_apps_at_once_do_not_lose_each_others(self, client: httpx2.Client, tasks: str) -> None:
        path = made(client, tasks)
        at_once(8, lambda n: client.patch(path, json={"extra": {f"app {n}": n}}))
        assert client.get(path).json()["extra"] == {f"app {n}": n for n in range(8)}

    def test_its_texts_come_back_to_the_letter(self, client: httpx2.Client, tasks: str) -> None:
        extra = {"\u2028": 'a"\\/\b\x7f😀</script>', "n": [1e300, -0.5, 2**53, True, False, {}]}
        assert create(client, tasks, extra=extra)["extra"] == extra

    @pytest.mark.parametrize(
        ("extra", "code"),
        [
            ({"big": "x" * (16_384 - 9)}, "too_large"),
            (nested(9), "too_deep_json"),
            ({"list": [[[[[[[[1]]]]]]]]}, "too_deep_json"),
            ({"": 1}, "invalid_name"),
            ({"a": [{"x" * 101: 1}]}, "invalid_name"),
        ],
    )
    def test_beyond_the_limits(self, client: httpx2.Client, tasks: str, extra: Any, code: str) -> None:
        path = made(client, tasks, extra={"a": 1})
        refused(client.post(tasks, json={"title": "Buy milk", "extra": extra}), "/extra", code)
        refused(client.patch(path, json={"extra": extra}), "/extra", code)
        assert client.get(path).json()["extra"] == {"a": 1}

    @pytest.mark.parametrize(
        "extra", [{"big": "x" * (16_384 - 10)}, nested(8), {"list": [[[[[[[1]]]]]]]}, {"x" * 100: 1}]
    )
    def test_at_the_limits(self, client: httpx2.Client, tasks: str, extra: Any) -> None:
        assert create(client, tasks, extra=extra)["extra"] == extra

    def test_what_comes_of_a_merge_has_the_limits_too(self, client: httpx2.Client, tasks: str) -> None:
        path = made(client, tasks, extra={"a": "x" * 10_000})
        refused(client.patch(path, json={"extra": {"b": "x" * 10_000}}), "/extra", "too_large")
        assert patched(client, path, extra={"a": None, "b": "x" * 10_000})["extra"].keys() == {"b"}

    @pytest.mark.parametrize("extra", [[], "x", 7, True])
    def test_it_is_an_object(self, client: httpx2.Client, tasks: str, extra: Any) -> None:
        answer = client.post(tasks, json={"title": "Buy milk", "extra": extra})
        assert violation(answer)["pointer"] == "/extra"

    @pytest.mark.parametrize("text", ['"\\ud800"', "1e400", "NaN", "-Infinity"])
    def test_what_json_cannot_say_is_refused(self, client: httpx2.Client, tasks: str, text: str) -> None:
        content = f'{{"title": "Buy milk", "extra": {{"a": {text}}}}}'
        answer = client.post(tasks, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text
        assert client.get(tasks).json() == []


def dates(task: Task) -> tuple[Any, ...]:
    return task["start"], task["due"], task["time_zone"], task["due_at"]


class TestDates:
    @pytest.mark.parametrize(
        ("sent", "shown"),
        [
            ({"due": "2026-11-20"}, (None, "2026-11-20", None, None)),
            ({"due": "2026-11-20T09:00"}, (None, "2026-11-20T09:00:00", None, None)),
            (
                {"due": "2026-11-20T09:00:00.000", "time_zone": "Europe/Berlin"},
                (None, "2026-11-20T09:00:00", "Europe/Berlin", "2026-11-20T08:00:00.000000Z"),
            ),
            (
                {"due": "2026-11-20T08:00:00Z", "time_zone": "Europe/Berlin"},
                (None, "2026-11-20T09:00:00", "Europe/Berlin", "2026-11-20T08:00:00.000000Z"),
            ),
            (
                {"due": "2026-11-20T08:00:00-05:00"},
                (None, "2026-11-20T13:00:00", "UTC", "2026-11-20T13:00:00.000000Z"),
            ),
            # In the gap the offset before it counts; of a doubled hour, the first.
            (
                {"due": "2026-03-29T02:30:00", "time_zone": "Europe/Berlin"},
                (None, "2026-03-29T02:30:00", "Europe/Berlin", "2026-03-29T01:30:00.000000Z"),
            ),
            (
                {"due": "2026-10-25T02:30:00", "time_zone": "Europe/Berlin"},
                (None, "2026-10-25T02:30:00", "Europe/Berlin", "2026-10-25T00:30:00.000000Z"),
            ),
            ({"due": "2026-11-20", "time_zone": "Europe/Berlin"}, (None, "2026-11-20", None, None)),
            (
                {"start": "2026-11-20T09:00", "due": "2026-11-20", "time_zone": "Asia/Calcutta"},
                ("2026-11-20T09:00:00", "2026-11-20", "Asia/Calcutta", None),
            ),
        ],
    )
    def test_of_a_new_task(self, client: httpx2.Client, tasks: str, sent: Any, shown: Any) -> None:
        path = made(client, tasks, **sent)
        assert dates(client.get(path).json()) == shown
        created = client.put(
            f"{tasks}/{unknown_id()}", json={"title": "Buy milk", **sent}, headers={"If-None-Match": "*"}
        )
        assert dates(created.json()) == shown
        assert dates(patched(client, made(client, tasks), **sent)) == shown

    @pytest.mark.parametrize(
        ("change", "shown"),
        [
            (
                {"due": "2026-11-21T10:00"},
                (
                    "2026-11-19T08:00:00",
                    "2026-11-21T10:00:00",
                    "Europe/Berlin",
                    "2026-11-21T09:00:00.000000Z",
                ),
            ),
            ({"due": "2026-11-21"}, ("2026-11-19T08:00:00", "2026-11-21", "Europe/Berlin", None)),
            ({"due": "2026-11-21", "start": None}, (None, "2026-11-21", None, None)),
            (
                {"time_zone": "America/New_York"},
                (
                    "2026-11-19T08:00:00",
                    "2026-11-20T09:00:00",
                    "America/New_York",
                    "2026-11-20T14:00:00.000000Z",
                ),
            ),
            ({"time_zone": None}, ("2026-11-19T08:00:00", "2026-11-20T09:00:00", None, None)),
            ({"start": None, "due": None}, (None, None, None, None)),
            (
                {"title": "Buy bread"},
                (
                    "2026-11-19T08:00:00",
                    "2026-11-20T09:00:00",
                    "Europe/Berlin",
                    "2026-11-20T08:00:00.000000Z",
                ),
            ),
        ],
    )
    def test_of_a_change(self, client: httpx2.Client, tasks: str, change: Any, shown: Any) -> None:
        sent = {"start": "2026-11-19T08:00", "due": "2026-11-20T09:00", "time_zone": "Europe/Berlin"}
        assert dates(patched(client, made(client, tasks, **sent), **change)) == shown

    @pytest.mark.parametrize("field", ["due", "start"])
    @pytest.mark.parametrize(
        "date",
        [
            "", "tomorrow", "2026-02-29", "2026-13-01", "1899-12-31", "9999-01-01", "2026-11-20T24:00",
            "2026-11-20T23:59:60", "2026-11-20T09:00:00.5", "2026-W47-5", "20261120", "2026-11-20 09:00",
            "2026-11-20T09:00:00Z[Europe/Berlin]", "2026-11-20T09:00:00+0100", " 2026-11-20", "2026-11-20\n",
            20261120, True, {"date": "2026-11-20"},
        ],
    )  # fmt: skip
    def test_what_is_no_date(self, client: httpx2.Client, tasks: str, field: str, date: Any) -> None:
        path = made(client, tasks)
        refused(client.post(tasks, json={"title": "Buy milk", field: date}), f"/{field}", "invalid_date")
        refused(client.patch(path, json={field: date}), f"/{field}", "invalid_date")
        assert dates(client.get(path).json()) == (None,) * 4

    def test_an_instant_beyond_the_years_in_its_zone(self, client: httpx2.Client, tasks: str) -> None:
        body = {"title": "Buy milk", "due": "1900-01-01T00:00:00Z", "time_zone": "America/New_York"}
        refused(client.post(tasks, json=body), "/due", "invalid_date")

    @pytest.mark.parametrize(
        "zone",
        [
            "europe/berlin",
            "Europe/Nowhere",
            "GMT+1",
            "W. Europe Standard Time",
            "+01:00",
            "",
            "../UTC",
            "CEST",
        ],
    )
    def test_what_is_no_zone(self, client: httpx2.Client, tasks: str, zone: str) -> None:
        body = {"title": "Buy milk", "due": "2026-11-20T09:00", "time_zone": zone}
        answer = client.post(tasks, json=body)
        refused(answer, "/time_zone", "unknown_time_zone")
        assert "resolvedOptions().timeZone" in violation(answer)["detail"]

    @pytest.mark.parametrize(
        ("start", "due", "fine"),
        [
            ("2026-11-20", "2026-11-20", True),
            ("2026-11-21", "2026-11-20", False),
            ("2026-11-20T23:00", "2026-11-20", True),
            ("2026-11-21T00:00", "2026-11-20", False),
            ("2026-11-20", "2026-11-20T00:00", True),
            ("2026-11-20T09:00", "2026-11-20T09:00", True),
            ("2026-11-20T09:01", "2026-11-20T09:00", False),
        ],
    )
    def test_a_start_is_not_later_than_the_due(
        self, client: httpx2.Client, tasks: str, start: str, due: str, fine: bool
    ) -> None:
        path, other = made(client, tasks, start=start), made(client, tasks, due=due)
        answers = [
            client.post(tasks, json={"title": "Buy milk", "start": start, "due": due}),
            client.patch(path, json={"due": due}),
            client.patch(other, json={"start": start}),
        ]
        for answer in answers:
            if fine:
                assert answer.is_success, answer.text
            else:
                refused(answer, "/start", "start_after_due")

    @pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "batch"])
    def test_the_request_may_name_the_zone_of_its_instants(
        self, client: httpx2.Client, tasks: str, method: str
    ) -> None:
        zone = {"tz": "Asia/Tokyo"}
        body = {"title": "Buy milk", "due": "2026-11-20T08:00:00Z"}
        if method == "batch":
            operations = {"operations": [{"op": "create", "task": body}]}
            answer = client.post(f"{tasks}/batch", json=operations, params=zone)
            task = answer.json()["results"][0]["task"]
        else:
            path = tasks if method == "POST" else made(client, tasks)
            task = client.request(method, path, json=body, params=zone).json()
        shown = (None, "2026-11-20T17:00:00", "Asia/Tokyo", "2026-11-20T08:00:00.000000Z")
        assert dates(task) == shown

    def test_a_zone_of_the_task_counts_before_that_of_the_request(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        path = made(client, tasks, due="2026-11-20T09:00", time_zone="Europe/Berlin")
        answer = client.patch(path, json={"due": "2026-11-21T08:00:00Z"}, params={"tz": "Asia/Tokyo"})
        assert dates(answer.json())[1:3] == ("2026-11-21T09:00:00", "Europe/Berlin")
        assert client.patch(path, json={"due": "2026-11-21T10:00"}).json()["time_zone"] == "Europe/Berlin"

    def test_a_local_time_takes_no_zone_from_the_request(self, client: httpx2.Client, tasks: str) -> None:
        body = {"title": "Buy milk", "due": "2026-11-20T09:00"}
        task = client.post(tasks, json=body, params={"tz": "Asia/Tokyo"}).json()
        assert dates(task) == (None, "2026-11-20T09:00:00", None, None)

    @pytest.mark.parametrize("tz", ["europe/berlin", "Nowhere", "+01:00"])
    def test_a_bad_zone_of_the_request(self, client: httpx2.Client, tasks: str, tz: str) -> None:
        answer = client.post(tasks, json={"title": "Buy milk"}, params={"tz": tz})
        found = violation(answer)
        assert (found["parameter"], found["code"]) == ("tz", "unknown_time_zone")
        assert client.get(tasks).json() == []


class TestPosition:
    def test_new_tasks_come_last_in_their_order(self, client: httpx2.Client, tasks: str) -> None:
        first = create(client, tasks)["position"]
        operations = [{"op": "create", "task": {"title": f"{n}"}} for n in range(5)]
        answer = client.post(f"{tasks}/batch", json={"operations": operations}).json()
        batch = [result["task"]["position"] for result in answer["results"]]
        last = create(client, tasks, priority=1)["position"]
        found = [first, *batch, last]
        assert found == sorted(set(found))

    @pytest.mark.parametrize("position", ["a0", "Zz", "i8DhyrHb7oV"])
    def test_a_client_may_compute_one(self, client: httpx2.Client, tasks: str, position: str) -> None:
        path = made(client, tasks, position=position)
        assert client.get(path).json()["position"] == position
        assert patched(client, path, position="a1")["position"] == "a1"

    @pytest.mark.parametrize("position", ["", "a", "a00", "A0", "a0!", "ä0", "i" + "0" * 255, 1, None])
    def test_what_is_no_key_is_refused(self, client: httpx2.Client, tasks: str, position: Any) -> None:
        answer = client.post(tasks, json={"title": "Buy milk", "position": position})
        assert violation(answer)["pointer"] == "/position"


def chain(client: httpx2.Client, tasks: str, levels: int) -> list[str]:
    """The paths of tasks, each a part of the one before."""
    paths: list[str] = []
    for level in range(levels):
        parent = {"parent_id": id_of(paths[-1])} if paths else {}
        paths.append(made(client, tasks, title=f"level {level}", **parent))
    return paths


class TestSubtasks:
    def test_there_are_eight_levels(self, client: httpx2.Client, tasks: str) -> None:
        paths = chain(client, tasks, 8)
        body = {"title": "One too many", "parent_id": id_of(paths[-1])}
        refused(client.post(tasks, json=body), "/parent_id", "too_deep")
        assert len(client.get(tasks).json()) == 8

    def test_a_tree_that_moves_has_no_more_levels_either(self, client: httpx2.Client, tasks: str) -> None:
        above, below = chain(client, tasks, 5), chain(client, tasks, 4)
        refused(client.patch(below[0], json={"parent_id": id_of(above[-1])}), "/parent_id", "too_deep")
        assert patched(client, below[0], parent_id=id_of(above[-2]))["parent_id"] == id_of(above[-2])

    @pytest.mark.parametrize("level", [0, 1, 7])
    def test_there_is_no_ring(self, client: httpx2.Client, tasks: str, level: int) -> None:
        paths = chain(client, tasks, 8)
        before = client.get(tasks).json()
        for method in ("PATCH", "PUT"):
            answer = client.request(method, paths[0], json={"parent_id": id_of(paths[level])})
            refused(answer, "/parent_id", "cycle")
        assert client.get(tasks).json() == before

    def test_one_cannot_be_made_below_itself(self, client: httpx2.Client, tasks: str) -> None:
        own = unknown_id()
        answer = client.put(
            f"{tasks}/{own}", json={"title": "Buy milk", "parent_id": own}, headers={"If-None-Match": "*"}
        )
        assert violation(answer)["pointer"] == "/parent_id"
        assert client.get(tasks).json() == []

    def test_a_parent_that_is_not_there_has_one_answer(
        self, client: httpx2.Client, tasks: str, user: str
    ) -> None:
        """Missing, deleted, and of somebody else: nobody learns which."""
        path, deleted = made(client, tasks), made(client, tasks)
        client.delete(deleted)
        foreign = create(client, f"/api/{user}-2/tasks")["id"]
        before = client.get(path).json()
        found = []
        for parent in (unknown_id(), id_of(deleted), foreign):
            created = client.post(tasks, json={"title": "Buy milk", "parent_id": parent})
            refused(created, "/parent_id", "no_such_parent")
            found += [violation(created), violation(client.patch(path, json={"parent_id": parent}))]
        assert all(answer == found[0] for answer in found)
        assert client.get(path).json() == before
        assert client.get(f"/api/{user}-2/tasks").json()[0]["parent_id"] is None

    def test_a_list_that_is_not_there(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.post(tasks, json={"title": "Buy milk", "list_id": unknown_id()})
        refused(answer, "/list_id", "no_such_list")

    def test_a_batch_may_make_a_tree(self, client: httpx2.Client, tasks: str) -> None:
        ids = [unknown_id() for _ in range(3)]
        operations = [
            {"op": "create", "id": own, "task": {"title": "Buy milk", "parent_id": parent}}
            for own, parent in zip(ids, (None, *ids), strict=False)
        ]
        answer = client.post(f"{tasks}/batch", json={"operations": operations})
        assert answer.status_code == 200, answer.text
        assert [result["task"]["parent_id"] for result in answer.json()["results"]] == [None, *ids[:2]]
        later = unknown_id()
        operations = [
            {"op": "create", "task": {"title": "A part", "parent_id": later}},
            {"op": "create", "id": later, "task": {"title": "Its parent"}},
        ]
        answer = client.post(f"{tasks}/batch", json={"operations": operations})
        refused(answer, "/operations/0/task/parent_id", "no_such_parent")
        assert len(client.get(tasks).json()) == 3

    def test_null_takes_a_task_out(self, client: httpx2.Client, tasks: str) -> None:
        paths = chain(client, tasks, 3)
        assert patched(client, paths[1], parent_id=None)["parent_id"] is None
        assert client.get(paths[2]).json()["parent_id"] == id_of(paths[1])

    def test_completing_leaves_the_parts_alone(self, client: httpx2.Client, tasks: str) -> None:
        paths = chain(client, tasks, 3)
        before = client.get(paths[1]).json()
        client.post(f"{paths[0]}/toggle")
        assert client.get(paths[1]).json() == before

    def test_a_tree_is_deleted_and_restored_as_one(self, client: httpx2.Client, tasks: str) -> None:
        paths = chain(client, tasks, 3)
        other, gone_before = made(client, tasks), made(client, tasks, parent_id=id_of(paths[0]))
        client.delete(gone_before)
        number = client.get(other).json()["version"]
        answer = client.delete(paths[0], headers={"Prefer": "return=representation"})
        assert answer.status_code == 200
        assert [client.get(path).status_code for path in paths] == [404] * 3
        trash = {task["id"]: task for task in client.get(f"{tasks}?deleted=true").json()}
        assert {trash[id_of(path)]["deleted_at"] for path in paths} == {answer.json()["deleted_at"]}
        versions = [trash[id_of(path)]["version"] for path in paths]
        assert len({*versions, number}) == 4
        back = client.post(f"{paths[0]}/restore").json()
        assert back == client.get(paths[0]).json()
        assert [client.get(path).json()["parent_id"] for path in paths] == [None, *map(id_of, paths[:2])]
        assert {client.get(path).json()["updated_at"] for path in paths} == {back["updated_at"]}
        assert client.get(gone_before).status_code == 404, "it was not deleted with the others"
        assert len({client.get(path).json()["version"] for path in paths}) == 3

    def test_a_part_whose_parent_is_gone_comes_back_alone(self, client: httpx2.Client, tasks: str) -> None:
        paths = chain(client, tasks, 2)
        client.delete(paths[0])
        assert client.post(f"{paths[1]}/restore").json()["parent_id"] is None
        client.post(f"{paths[0]}/restore")
        assert client.get(paths[1]).json()["parent_id"] is None

    @pytest.mark.parametrize("goes", ["into", "out of"])
    def test_a_part_whose_parent_is_in_another_list_comes_back_alone(
        self, client: httpx2.Client, tasks: str, goes: str
    ) -> None:
        lists = tasks.removesuffix("tasks") + "lists"
        places = [None, client.post(lists, json={"name": "Home"}).json()["id"]]
        before, after = places if goes == "into" else reversed(places)
        top = made(client, tasks, list_id=before)
        part = made(client, tasks, parent_id=id_of(top))
        client.delete(part)
        patched(client, top, list_id=after)
        task = client.post(f"{part}/restore").json()
        assert (task["list_id"], task["parent_id"]) == (before, None)

    def test_a_tree_takes_its_precondition_from_its_top(self, client: httpx2.Client, tasks: str) -> None:
        paths = chain(client, tasks, 2)
        problem(client.delete(paths[0], headers={"If-Match": '"99"'}), 412, "precondition_failed")
        assert [client.get(path).status_code for path in paths] == [200] * 2

    def test_the_feed_tells_of_every_task_of_a_tree(self, client: httpx2.Client, tasks: str) -> None:
        paths = chain(client, tasks, 3)
        feed = tasks.replace("/tasks", "/changes")
        since = client.get(feed).json()["next"]
        client.delete(paths[0])
        changes = client.get(feed, params={"since": since}).json()["changes"]
        assert sorted(change["id"] for change in changes) == sorted(map(id_of, paths))
        assert all(change["deleted"] for change in changes)

    def test_of_two_moves_that_would_make_a_ring_one_is_refused(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        for _ in range(10):
            first, second = made(client, tasks), made(client, tasks)
            moves = [(first, second), (second, first)]

            def move(index: int, moves: list[tuple[str, str]] = moves) -> int:
                path, parent = moves[index]
                return client.patch(path, json={"parent_id": id_of(parent)}).status_code

            assert sorted(at_once(2, move)) == [200, 400]
            parents = [client.get(path).json()["parent_id"] for path in (first, second)]
            assert parents.count(None) == 1

    def test_a_parent_that_is_deleted_meanwhile_keeps_no_part(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        """Either the part went along, or it was refused."""
        for _ in range(10):
            parent = made(client, tasks)

            def act(index: int, parent: str = parent) -> httpx2.Response:
                if index:
                    return client.delete(parent)
                return client.post(tasks, json={"title": "A part", "parent_id": id_of(parent)})

            created, _ = at_once(2, act)
            if created.status_code == 201:
                assert client.get(f"{tasks}/{created.json()['id']}").status_code == 404
            else:
                refused(created, "/parent_id", "no_such_parent")
