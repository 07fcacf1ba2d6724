"""Changes as they happen: server-sent events that lose nothing and repeat nothing."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness.cluster import PROCESSES
from harness.databases import new_postgres_database
from harness.responses import create, problem, violation
from harness.servers import LocalServer, local_server, server_process
from harness.side_effects import at_once, execute, fold, instant, purge_expired, scribble
from taskwell.core.settings import Settings


@pytest.fixture
def events(client: httpx2.Client, tasks: str) -> str:
    """The path of the streams. Of several servers, those that still had a stream of the user that `client`
    deleted learn of it at their next poll; a stream that joined one of these would end there.
    """
    if PROCESSES:
        time.sleep(0.6)
    return tasks.removesuffix("tasks") + "events"


@dataclass
class Event:
    number: int
    record: dict[str, Any]


class Stream:
    """The events of an answer, as they come."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.headers = answer.headers
        self._lines = answer.iter_lines()

    def block(self) -> list[str]:
        """The lines up to the next blank one; none at the end."""
        lines: list[str] = []
        for line in self._lines:
            if not line:
                return lines
            lines.append(line)
        assert not lines, "the stream ended within an event"
        return []

    def ready(self) -> tuple[str, Any]:
        """The first event: the number that the stream follows, as its id and as its data."""
        identity, event, data = self.block()
        assert event == "event: ready"
        return identity.removeprefix("id: "), json.loads(data.removeprefix("data: "))

    def event(self, *expected: str) -> Event:
        """The next event, which is of one of the kinds, tasks unless told."""
        while (block := self.block())[0].startswith(":"):
            assert len(block) == 1
        assert [line.partition(": ")[0] for line in block] == ["id", "event", "data"]
        number, kind, data = (line.partition(": ")[2] for line in block)
        assert kind in (expected or ("task",))
        event = Event(int(number), json.loads(data))
        assert event.record["version"] == event.number
        return event

    def until(self, number: int) -> list[Event]:
        """The events up to a number, of tasks and lists."""
        events = [self.event("task", "list")]
        while events[-1].number < number:
            events.append(self.event("task", "list"))
        return events

    def numbers(self, count: int) -> list[int]:
        return [self.event().number for _ in range(count)]


@contextmanager
def listening(client: httpx2.Client, path: str, **headers: str) -> Iterator[Stream]:
    """A stream that is ready. What does not come within 10 s is a failure."""
    with beginning(client, path, **headers) as stream:
        stream.ready()
        yield stream


@contextmanager
def beginning(client: httpx2.Client, path: str, **headers: str) -> Iterator[Stream]:
    """A stream before its first event."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with client.stream("GET", path, headers=sent, timeout=10) as answer:
        assert answer.status_code == 200
        stream = Stream(answer)
        assert stream.block()[0].startswith(":")
        yield stream


class TestStream:
    def test_is_one_that_nobody_holds_back_or_keeps(self, client: httpx2.Client, events: str) -> None:
        with listening(client, events) as stream:
            assert stream.headers["content-type"].partition(";")[0] == "text/event-stream"
            assert stream.headers["cache-control"] == "no-store, no-transform"
            assert stream.headers["x-accel-buffering"] == "no"
            assert "content-length" not in stream.headers
            assert "x-request-id" in stream.headers

    def test_shows_what_happens_from_now_on(self, client: httpx2.Client, tasks: str, events: str) -> None:
        create(client, tasks)
        with listening(client, events) as stream:
            task = create(client, tasks)
            assert stream.event().record == task
            changed = client.patch(f"{tasks}/{task['id']}", json={"title": "x"}).json()
            assert stream.event().record == changed

    def test_begins_with_a_users_first_write(self, client: httpx2.Client, tasks: str, events: str) -> None:
        with listening(client, events) as stream:
            task = create(client, tasks)
            assert stream.event().record == task

    def test_shows_lists_under_a_name_of_their_own(
        self, client: httpx2.Client, tasks: str, events: str
    ) -> None:
        lists = tasks.removesuffix("tasks") + "lists"
        start = create(client, tasks)["version"]
        with listening(client, events) as stream:
            made = client.post(lists, json={"name": "Home"}).json()
            task = create(client, tasks, list_id=made["id"])
            told = [stream.event("list"), stream.event()]
            assert [event.record for event in told] == [{"type": "list", **made}, task]
            client.delete(f"{lists}/{made['id']}")
            gone = [stream.event(), stream.event("list")]
            assert [event.record["deleted"] for event in gone] == [True, True]
            assert list(gone[0].record) == ["id", "deleted", "version", "deleted_at"]
            assert list(gone[1].record) == ["type", "id", "deleted", "version", "deleted_at"]
        with listening(client, f"{events}?since={start}") as stream:
            # A server that still holds the first stream repeats all of it, another tells only the last state.
            again = stream.until(gone[1].number)
            assert [event.record for event in again[-2:]] == [event.record for event in gone]

    def test_shows_a_deletion_as_a_mark(self, client: httpx2.Client, tasks: str, events: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        with listening(client, events) as stream:
            prefer = {"Prefer": "return=representation"}
            deleted = client.delete(path, headers=prefer).json()
            assert stream.event().record == {
                "id": deleted["id"],
                "deleted": True,
                "version": deleted["version"],
                "deleted_at": deleted["deleted_at"],
            }
            restored = client.post(f"{path}/restore").json()
            assert stream.event().record == restored

    def test_shows_each_task_of_what_was_done_to_many(
        self, client: httpx2.Client, tasks: str, events: str
    ) -> None:
        made = [create(client, tasks) for _ in range(3)]
        with listening(client, events) as stream:
            operations = [{"op": "toggle", "id": task["id"]} for task in made]
            client.post(f"{tasks}/batch", json={"operations": operations})
            assert stream.numbers(3) == [4, 5, 6]
            client.delete(tasks)
            assert stream.numbers(3) == [7, 8, 9]

    def test_shows_nothing_of_others(self, client: httpx2.Client, user: str) -> None:
        with listening(client, f"/api/{user}/events") as stream:
            create(client, "/api/tasks")
            task = create(client, f"/api/{user}/tasks")
            assert stream.event().record == task

    def test_shows_the_same_to_all_who_listen(self, client: httpx2.Client, tasks: str, events: str) -> None:
        with ExitStack() as stack:
            streams = [stack.enter_context(listening(client, events)) for _ in range(5)]
            made = [create(client, tasks) for _ in range(3)]
            for stream in streams:
                assert [stream.event().record for _ in made] == made

    def test_goes_on_for_others_when_one_leaves(self, client: httpx2.Client, tasks: str, events: str) -> None:
        with listening(client, events) as stays:
            with listening(client, events) as leaves:
                create(client, tasks)
                assert leaves.numbers(1) == stays.numbers(1)
            create(client, tasks)
            assert stays.numbers(1) == [2]

    def test_ends_with_its_user(self, client: httpx2.Client, tasks: str, events: str) -> None:
        owner, *_ = [create(client, tasks)["user_id"] for _ in range(3)]
        with listening(client, events) as stream, listening(client, events) as other:
            client.delete(f"/api/users/{owner}")
            assert stream.block() == other.block() == []
        with listening(client, f"{events}?since=0") as stream:
            task = create(client, tasks)
            assert stream.event().record == task

    def test_a_write_of_the_same_process_wakes_it(
        self, client: httpx2.Client, tasks: str, events: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with listening(client, events) as stream:
            create(client, tasks)
            monkeypatch.setattr("taskwell.services.live_changes._POLL_SECONDS", 60.0)
            assert stream.numbers(1) == [1]
            for number in range(2, 6):
                create(client, tasks)
                assert stream.numbers(1) == [number]

    @pytest.mark.direct
    def test_a_comment_keeps_a_silent_one_alive(
        self, client: httpx2.Client, tasks: str, events: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("taskwell.services.live_changes._HEARTBEAT_SECONDS", 0.05)
        with listening(client, events) as stream:
            for _ in range(3):
                (comment,) = stream.block()
                assert comment.startswith(":")
            task = create(client, tasks)
            assert stream.event().record == task
            assert stream.block()[0].startswith(":")

    def test_head_answers_at_once(self, client: httpx2.Client, events: str) -> None:
        answer = client.head(events)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


class TestLines:
    """Whatever a language takes for the end of a line: an event is the three lines that it is."""

    @pytest.mark.parametrize(
        "text",
        [f"Milk{end}data: bread{end}{end}id: 9" for end in ("\n", "\r\n", "\u2028", "\u2029", "\n\u2028")]
        + ["\u2028", "\u2029\u2029", "é\u2028日本\u2029😀", "\\u2028\u2028", "\u2027\u202f\u2030 stay"],
    )
    def test_an_event_is_not_broken(self, client: httpx2.Client, tasks: str, events: str, text: str) -> None:
        task = create(client, tasks, description=text)
        assert task["description"] == text
        assert client.get(tasks).json() == [task]
        self.is_whole(client, events, task)

    @pytest.mark.parametrize("end", ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\r"])
    def test_an_event_is_not_broken_by_what_is_older_than_the_rules(
        self, client: httpx2.Client, server: LocalServer, tasks: str, events: str, end: str
    ) -> None:
        """No client can send these, but a database may have them."""
        task = create(client, tasks)
        function = "char" if server.settings.database.is_sqlite else "chr"
        text = f"'Milk' || {function}({ord(end)}) || 'bread'"
        where = f"WHERE user_id = '{task['user_id']}' AND version = {task['version']}"
        execute(server.settings, f"UPDATE tasks SET description = {text} {where}")
        self.is_whole(client, events, task | {"description": f"Milk{end}bread"})

    def is_whole(self, client: httpx2.Client, events: str, task: dict[str, Any]) -> None:
        blocks = ""
        with client.stream("GET", f"{events}?since=0") as answer:
            for part in answer.iter_text():
                blocks += part
                if blocks.count("\n\n") == 3:
                    break
        *_, event = blocks.removesuffix("\n\n").split("\n\n")
        # Python's own way is the one that knows the most ends of lines.
        identity, kind, data = event.splitlines()
        assert (identity, kind) == (f"id: {task['version']}", "event: task")
        assert json.loads(data.removeprefix("data: ")) == task
        exported = client.get(f"/api/users/{task['user_id']}/export").text.splitlines()
        assert [json.loads(line) for line in exported][1] == {"task": task}


class TestReady:
    """A stream tells its number at once: a client that is cut before the first change comes back with it."""

    def test_is_the_first_event(self, client: httpx2.Client, tasks: str, events: str) -> None:
        with beginning(client, events) as stream:
            assert stream.ready() == ("0", {"version": 0})
        for _ in range(4):
            create(client, tasks)
        with beginning(client, events) as stream:
            assert stream.ready() == ("4", {"version": 4})
        for number in ("0", "2", "4"):
            expected = (number, {"version": int(number)})
            with beginning(client, f"{events}?since={number}") as stream:
                assert stream.ready() == expected
            with beginning(client, events, Last_Event_ID=number) as stream:
                assert stream.ready() == expected

    def test_nothing_is_lost_when_the_stream_is_cut_before_the_first_change(
        self, client: httpx2.Client, tasks: str, events: str
    ) -> None:
        for number in range(3):  # with the first write of a user too
            with beginning(client, events) as stream:
                last_event_id, _ = stream.ready()
            task = create(client, tasks)
            with beginning(client, events, Last_Event_ID=last_event_id) as stream:
                assert stream.ready() == (last_event_id, {"version": number})
                assert stream.event().record == task

    def test_nothing_is_lost_when_the_stream_is_cut_after_a_purge(
        self, client: httpx2.Client, server: LocalServer, tasks: str, events: str
    ) -> None:
        """A number below the highest that was purged is good only together with that."""
        feed = events.removesuffix("events") + "changes"
        owner = create(client, tasks)["user_id"]
        client.delete(f"{tasks}/{create(client, tasks)['id']}")
        at = instant(server.settings, datetime.now(UTC) - timedelta(days=31))
        execute(
            server.settings, f"UPDATE tasks SET deleted_at = {at} WHERE user_id = '{owner}' AND version = 3"
        )
        purge_expired(server.settings)
        following = client.get(feed).json()["next"]
        assert following == "1-3"
        for form in (following, "0"):
            with beginning(client, f"{events}?since={form}") as stream:
                last_event_id, _ = stream.ready()
            assert last_event_id == form
            with beginning(client, events, Last_Event_ID=last_event_id) as stream:
                assert stream.ready()[0] == last_event_id


class TestReplay:
    @pytest.mark.parametrize("count", [3, 300])
    def test_from_0_is_everything_and_then_what_comes(
        self, client: httpx2.Client, tasks: str, events: str, count: int
    ) -> None:
        new = {"op": "create", "task": {"title": "x"}}
        client.post(f"{tasks}/batch", json={"operations": [new] * count})
        with listening(client, f"{events}?since=0") as stream:
            assert stream.numbers(count) == list(range(1, count + 1))
            create(client, tasks)
            assert stream.numbers(1) == [count + 1]

    def test_shows_each_task_once_in_its_latest_state(
        self, client: httpx2.Client, tasks: str, events: str
    ) -> None:
        made = [create(client, tasks) for _ in range(3)]
        changed = client.post(f"{tasks}/{made[0]['id']}/toggle").json()
        client.delete(f"{tasks}/{made[1]['id']}")
        with listening(client, f"{events}?since=0") as stream:
            told = [stream.event().record for _ in made]
        assert told[:2] == [made[2], changed]
        assert told[2]["deleted"] is True

    def test_follows_the_number_that_was_seen(self, client: httpx2.Client, tasks: str, events: str) -> None:
        for _ in range(4):
            create(client, tasks)
        with listening(client, f"{events}?since=2") as stream:
            assert stream.numbers(2) == [3, 4]
        with listening(client, events, Last_Event_ID="3") as stream:
            assert stream.numbers(1) == [4]
        with listening(client, events, Last_Event_ID="4") as stream:
            create(client, tasks)
            assert stream.numbers(1) == [5]

    COMING_BACK = (
        ("since=0", "3"),
        ("lastEventId=0", "3"),
        ("lastEventId=0&since=1", "3"),
        ("lastEventId=3", None),
        ("lastEventID=3", None),
        ("last_event_id=3", None),
        ("Last-Event-ID=3", None),
        ("since=0&lastEventId=3", None),
        ("since=0&last_event_id=3", None),
        ("lastEventId=3&since=99", None),
        # What is empty is absent.
        ("since=3", ""),
        ("lastEventId=3", ""),
        ("since=3&lastEventId=", None),
        ("since=3&lastEventId=", ""),
        ("since=", "3"),
        ("since=&lastEventId=&last_event_id=3", ""),
    )

    def test_what_is_sent_on_coming_back_is_later_than_the_address(
        self, client: httpx2.Client, tasks: str, events: str, subtests: pytest.Subtests
    ) -> None:
        for _ in range(4):
            create(client, tasks)
        for query, header in self.COMING_BACK:
            with subtests.test(query=query, header=header):
                headers = {} if header is None else {"Last_Event_ID": header}
                with listening(client, f"{events}?{query}", **headers) as stream:
                    assert stream.numbers(1) == [4]

    @pytest.mark.parametrize("query", ["", "?since=", "?lastEventId=", "?last_event_id=&since="])
    def test_an_empty_number_is_none(
        self, client: httpx2.Client, tasks: str, events: str, query: str
    ) -> None:
        create(client, tasks)
        with beginning(client, f"{events}{query}", Last_Event_ID="") as stream:
            assert stream.ready() == ("1", {"version": 1})
            create(client, tasks)
            assert stream.numbers(1) == [2]
        assert client.get(events.removesuffix("events") + "changes?since=").json()["changes"]

    def test_goes_together_with_others_that_are_further(
        self, client: httpx2.Client, tasks: str, events: str
    ) -> None:
        create(client, tasks)
        with listening(client, events) as ahead:
            create(client, tasks)
            with listening(client, f"{events}?since=0") as behind:
                assert ahead.numbers(1) == [2]
                assert behind.numbers(2) == [1, 2]
                create(client, tasks)
                assert ahead.numbers(1) == behind.numbers(1) == [3]


class TestRefusal:
    """Before the stream begins, so that a client can read why."""

    NO_NUMBERS = ("x", "-1", "1.5", "1" * 17, "1-2-3-4", "null", "undefined", "1 2")

    def test_what_is_no_number_is_a_400_that_names_where_it_was_sent(
        self, client: httpx2.Client, events: str, subtests: pytest.Subtests
    ) -> None:
        for text in self.NO_NUMBERS:
            with subtests.test(text=text):
                for name in ("since", "lastEventId", "lastEventID", "last_event_id"):
                    answer = client.get(events, params={name: text})
                    assert violation(answer) == no_cursor(name)
                    assert answer.json()["detail"] == f"{name}: is not a cursor of this feed"
                answer = client.get(f"{events}?since=0", headers={"Last-Event-ID": text})
                assert violation(answer) == no_cursor("Last-Event-ID")

    @pytest.mark.parametrize("name", ["since", "lastEventId", "last_event_id"])
    def test_a_number_that_cannot_be_followed_is_named_too(
        self, client: httpx2.Client, events: str, name: str
    ) -> None:
        assert f"`{name}`" in problem(client.get(f"{events}?{name}=9"), 410, "gone")["detail"]
        answer = client.get(f"{events}?{name}=0", headers={"Last-Event-ID": "9"})
        assert "`Last-Event-ID`" in problem(answer, 410, "gone")["detail"]

    def test_a_number_beyond_the_last_is_a_410(self, client: httpx2.Client, tasks: str, events: str) -> None:
        version = create(client, tasks)["version"]
        problem(client.get(f"{events}?since={version + 1}"), 410, "gone")
        problem(client.get(events, headers={"Last-Event-ID": str(2**32)}), 410, "gone")

    def test_a_number_of_an_earlier_epoch_is_a_410(
        self, client: httpx2.Client, server: LocalServer, tasks: str, events: str
    ) -> None:
        owner = create(client, tasks)["user_id"]
        execute(server.settings, f"UPDATE users SET last_seq = {2**32} WHERE id = '{owner}'")
        problem(client.get(events, headers={"Last-Event-ID": "1"}), 410, "gone")
        with listening(client, events) as stream:
            create(client, tasks)
            assert stream.numbers(1) == [2**32 + 1]

    def test_a_number_from_before_a_purge_is_a_410(
        self, client: httpx2.Client, server: LocalServer, tasks: str, events: str
    ) -> None:
        owner = create(client, tasks)["user_id"]
        client.delete(f"{tasks}/{create(client, tasks)['id']}")
        at = instant(server.settings, datetime.now(UTC) - timedelta(days=31))
        execute(
            server.settings, f"UPDATE tasks SET deleted_at = {at} WHERE user_id = '{owner}' AND version = 3"
        )
        purge_expired(server.settings)
        problem(client.get(f"{events}?since=1"), 410, "gone")
        problem(client.get(events, headers={"Last-Event-ID": "2"}), 410, "gone")
        with listening(client, events, Last_Event_ID="3") as stream:
            task = create(client, tasks)
            assert stream.event().record == task


@pytest.mark.slow
class TestReconnects:
    def read(self, clients: list[httpx2.Client], events: str, count: int) -> list[int]:
        """So many numbers, over connections that each end after a few; the clients take turns."""
        numbers: list[int] = []
        turn = 0
        while len(numbers) < count:
            seen = str(numbers[-1]) if numbers else "0"
            with listening(clients[turn % len(clients)], events, Last_Event_ID=seen) as stream:
                numbers += stream.numbers(min(turn % 6 + 1, count - len(numbers)))
            turn += 1
        return numbers

    def write(self, client: httpx2.Client, tasks: str, count: int) -> None:
        for _ in range(count):
            create(client, tasks)

    def test_lose_and_repeat_nothing_while_others_write(
        self, client: httpx2.Client, tasks: str, events: str
    ) -> None:
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(self.read, [client], events, 120)
            at_once(4, lambda _: self.write(client, tasks, 30))
            assert reading.result() == list(range(1, 121))

    def test_lose_and_repeat_nothing_across_servers(
        self, pair: list[httpx2.Client], tasks: str, events: str
    ) -> None:
        pair[0].delete("/api/users/default")
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(self.read, pair, events, 80)
            at_once(4, lambda index: self.write(pair[index % 2], tasks, 20))
            assert reading.result() == list(range(1, 81))

    def test_a_copy_made_of_events_is_the_list(self, client: httpx2.Client, tasks: str, events: str) -> None:
        def read() -> dict[str, Any]:
            copy: dict[str, Any] = {}
            seen, last = 0, ""
            while last != "the end":
                with listening(client, events, Last_Event_ID=str(seen)) as stream:
                    for _ in range(9):
                        event = stream.event()
                        assert event.number > seen
                        seen, last = event.number, event.record.get("title", "")
                        fold(copy, event.record)
                        if last == "the end":
                            break
            return copy

        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(read)
            at_once(3, lambda index: scribble(client, tasks, index, 30))
            create(client, tasks, title="the end")
            copy = reading.result()
        assert copy == {task["id"]: task for task in client.get(tasks).json()}


@pytest.fixture(scope="module")
def pair(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[httpx2.Client]]:
    """Two server processes on one database."""
    with ExitStack() as stack:
        folders = [tmp_path_factory.mktemp("pair") for _ in range(2)]
        url = f"sqlite:///{folders[0]}/test.db"
        if database_kind == "postgresql":
            url = stack.enter_context(new_postgres_database())
        servers = [stack.enter_context(server_process(folder, DATABASE_URL=url)) for folder in folders]
        yield [stack.enter_context(httpx2.Client(base_url=server.url)) for server in servers]


@pytest.mark.slow
class TestSeveralProcesses:
    def test_a_write_through_one_is_seen_through_the_other(
        self, pair: list[httpx2.Client], tasks: str, events: str
    ) -> None:
        with listening(pair[0], events) as stream:
            for _ in range(3):
                task = create(pair[1], tasks)
                written = time.monotonic()
                assert stream.event().record == task
                assert time.monotonic() - written < 2

    def test_what_both_write_comes_in_one_order(self, pair: list[httpx2.Client], user: str) -> None:
        tasks, events = f"/api/{user}/tasks", f"/api/{user}/events"
        with listening(pair[0], events) as one, listening(pair[1], events) as other:
            made = [create(pair[number % 2], tasks) for number in range(6)]
            for stream in (one, other):
                assert [stream.event().record for _ in made] == made


@pytest.mark.slow
class TestEnd:
    def test_a_server_that_is_told_to_end_ends_its_streams(self, database_url: str, tmp_path: Path) -> None:
        with ExitStack() as stack:
            server = stack.enter_context(server_process(tmp_path, DATABASE_URL=database_url))
            client = stack.enter_context(httpx2.Client(base_url=server.url))
            paths = ["/api/events", "/api/events", "/api/alice/events"]
            streams = [stack.enter_context(listening(client, path)) for path in paths]
            create(client, "/api/alice/tasks")
            assert streams[-1].numbers(1) == [1]
            told = time.monotonic()
            server.stop()
            assert time.monotonic() - told < 3
            assert [stream.block() for stream in streams] == [[], [], []]

    def test_a_reader_that_stops_reading_is_cut(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("taskwell.http.connection.TIMEOUT_SECONDS", 0.3)
        settings = Settings(database_url=database_url, max_body_bytes=16_000_000)
        with socket.socket() as stalled:
            with local_server(settings) as server, httpx2.Client(base_url=server.url, timeout=60) as client:
                # More than the sockets of both sides hold.
                new = {"op": "create", "task": {"title": "x", "description": "🥛" * 2_000}}
                answer = client.post("/api/tasks/batch", json={"operations": [new] * 1_000})
                assert answer.status_code == 200
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                stalled.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
                stalled.sendall(b"GET /api/events?since=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert stalled.recv(12) == b"HTTP/1.1 200"
                leaving = time.monotonic()
            # A server ends when its last connection has: this one's reader never lets go of it.
            assert time.monotonic() - leaving < 15


def no_cursor(name: str) -> dict[str, str]:
    return {"parameter": name, "code": "invalid_cursor", "detail": "is not a cursor of this feed"}
