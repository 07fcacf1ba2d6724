"""Reminders: the field, the instants that follow from it, and that each is sent once."""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest

from harness.responses import create, violation
from harness.servers import local_server, server_process, wait_for
from taskwell.core.settings import Settings
from taskwell.database.database import Database, ReadTransaction
from taskwell.services import reminders
from tests.later import _YEAR, calendar

Json = dict[str, Any]
MINE = "/api/default/tasks"
BERLIN = ZoneInfo("Europe/Berlin")
TRIGGER = "must be a duration such as -PT15M"

on_a_later_day = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None or "AHEAD_SECONDS" in os.environ,
    reason="needs a C compiler on Linux, and today",
)


def soon(seconds: float = 2) -> str:
    """An instant that comes soon, as a trigger: at least so many seconds from now, less than one more."""
    when = datetime.now(UTC) + timedelta(seconds=seconds + 1)
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def at(trigger: str) -> list[Json]:
    return [{"trigger": trigger}]


def sent(client: httpx2.Client, user: str) -> list[Json]:
    """The records of reminders, in their order."""
    answer = client.get(f"/api/{user}/history?op=reminder,due&since=0&limit=200")
    return list(answer.raise_for_status().json())


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url)


class TestField:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ([{"trigger": "-PT15M"}, {"from": "start", "trigger": "P1W"}],
             [{"trigger": "-PT15M"}, {"trigger": "P1W", "from": "start"}]),
            ([{"trigger": "2031-05-06T07:08+02:00"}], [{"trigger": "2031-05-06T05:08:00Z"}]),
            ([{"trigger": "2031-05-06T07:08"}], [{"trigger": "2031-05-06T07:08:00"}]),
            ([{"trigger": "-P366D"}], [{"trigger": "-P366D"}]),
            ([], []),
            (None, []),
        ],
    )  # fmt: skip
    def test_is_shown_as_it_is_kept(
        self, client: httpx2.Client, tasks: str, value: Any, shown: list[Json]
    ) -> None:
        made = create(client, tasks, reminders=value)
        assert made["reminders"] == shown
        assert client.get(f"{tasks}/{made['id']}").json() == made
        other = create(client, tasks, due="2031-05-06", reminders=at("-PT1H"))
        changed = client.patch(f"{tasks}/{other['id']}", json={"reminders": value}).json()
        assert changed["reminders"] == shown
        assert client.get(tasks).json()[0] == changed

    @pytest.mark.parametrize(
        ("value", "pointer", "code"),
        [
            ("-PT15M", "/reminders", "invalid_type"),
            ([1], "/reminders/0", "invalid_type"),
            ([{}], "/reminders/0/trigger", "required"),
            (at("P1M"), "/reminders/0/trigger", "invalid_trigger"),
            (at("PT"), "/reminders/0/trigger", "invalid_trigger"),
            (at("-PT1.5H"), "/reminders/0/trigger", "invalid_trigger"),
            (at("2031-05-06"), "/reminders/0/trigger", "invalid_trigger"),
            (at("2031-02-30T09:00"), "/reminders/0/trigger", "invalid_trigger"),
            (at("9998-12-31T23:59:59-01:00"), "/reminders/0/trigger", "invalid_trigger"),
            (at("1900-01-01T00:00:00+01:00"), "/reminders/0/trigger", "invalid_trigger"),
            ([{"trigger": 15}], "/reminders/0/trigger", "invalid_trigger"),
            (at("P366DT1S"), "/reminders/0/trigger", "out_of_range"),
            (at("-PT99999999H"), "/reminders/0/trigger", "out_of_range"),
            ([{"trigger": "PT0S", "from": "due"}], "/reminders/0/from", "invalid"),
            ([{"trigger": "2031-05-06T07:08:09Z", "from": "start"}], "/reminders/0", "invalid"),
            ([{"trigger": "PT0S"}, {"trigger": "PT0S", "at": "x"}], "/reminders/1", "unknown_member"),
            (at("PT0S") * 11, "/reminders", "too_many"),
        ],
    )  # fmt: skip
    def test_what_is_refused(
        self, client: httpx2.Client, tasks: str, value: Any, pointer: str, code: str
    ) -> None:
        answer = client.post(tasks, json={"title": "Tea", "reminders": value})
        found = violation(answer)
        assert (found["pointer"], found["code"]) == (pointer, code)
        assert client.get(tasks).json() == []

    @pytest.mark.parametrize("zone", [None, "Etc/GMT+12"])
    @pytest.mark.parametrize("due", ["9998-12-31", "9998-12-31T23:59:59"])
    def test_what_no_calendar_has_is_silent(
        self, client: httpx2.Client, tasks: str, due: str, zone: str | None
    ) -> None:
        made = create(client, tasks, due=due, time_zone=zone, reminders=at("P366D"))
        assert made["reminders"] == at("P366D")
        other = create(client, tasks, due="2031-05-06", reminders=at("PT8784H"))
        changed = client.patch(f"{tasks}/{other['id']}", json={"due": due, "time_zone": zone})
        assert changed.status_code == 200

    def test_what_is_at_an_instant_moves_with_a_recurring_task(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        """By days on the clock, so that a change of clocks between them changes no time of day."""
        wanted = [*at("2031-03-28T07:00:00Z"), *at("2031-03-28T08:30"), *at("-PT15M")]
        task = create(
            client, tasks, due="2031-03-28T09:00", time_zone="Europe/Berlin", reminders=wanted,
            recurrence="FREQ=WEEKLY", recurrence_mode="each",
        )  # fmt: skip
        part = create(
            client, tasks, parent_id=task["id"], completed=True, reminders=at("2031-03-28T07:00:00Z")
        )
        moved = client.post(f"{tasks}/{task['id']}/toggle").json()
        assert moved["due"] == "2031-04-04T09:00:00"
        assert moved["reminders"] == [*at("2031-04-04T06:00:00Z"), *at("2031-04-04T08:30:00"), *at("-PT15M")]
        below = client.get(f"{tasks}/{part['id']}").json()
        assert (below["completed"], below["reminders"]) == (False, at("2031-04-04T07:00:00Z"))
        client.post(tasks.removesuffix("tasks") + "undo", json={"versions": [moved["version"]]})
        assert client.get(f"{tasks}/{task['id']}").json()["reminders"] == task["reminders"]


class Blocks:
    """The events of a stream."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.iter_lines()

    def next(self) -> tuple[int, str, Json]:
        block: list[str] = []
        for line in self._lines:
            if line:
                block.append(line)
            elif block[0].startswith(":"):
                block = []
            else:
                number, kind, data = (line.partition(": ")[2] for line in block)
                return int(number.partition("-")[0]), kind, json.loads(data)
        raise AssertionError("the stream ended")


@contextmanager
def stream(client: httpx2.Client, path: str, **headers: str) -> Iterator[Blocks]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    with client.stream("GET", path, headers=names, timeout=20) as answer:
        blocks = Blocks(answer)
        assert blocks.next()[1] == "ready"
        yield blocks


class TestLive:
    def test_is_an_event_a_record_and_no_change(self, client: httpx2.Client, tasks: str) -> None:
        user = tasks.removesuffix("tasks")
        when = soon()
        with stream(client, f"{user}events") as events:
            task = create(client, tasks, reminders=at(when))
            assert events.next()[2] == task
            number, kind, data = events.next()
        assert (number, kind) == (task["version"] + 1, "reminder")
        shown = when.replace("Z", ".000000Z")
        assert data == {"task_id": task["id"], "kind": "reminder", "at": shown}
        read = client.get(f"{tasks}/{task['id']}")
        assert (read.json(), read.headers["ETag"]) == (task, f'"{task["version"]}"')
        (record,) = client.get(f"{user}history?op=reminder").json()
        assert (record["version"], record["id"], record["op"]) == (number, task["id"], "reminder")
        assert record["changes"] == {"at": [None, shown]}
        assert record["by"]["via"] == "server"
        assert datetime.fromisoformat(record["at"]) >= datetime.fromisoformat(shown)
        other = create(client, tasks)
        found = client.get(f"{user}changes?since={task['version']}").json()
        assert found["changes"] == [other]
        assert other["version"] == number + 1
        assert client.get(f"{user}changes?since={number}").json()["changes"] == [other]

    def test_a_client_that_was_away_has_it_in_its_place(self, client: httpx2.Client, tasks: str) -> None:
        user = tasks.removesuffix("tasks")
        task = create(client, tasks, reminders=at(soon(1)))
        wait_for(lambda: bool(client.get(f"{user}history?op=reminder").json()))
        number, other = task["version"] + 1, create(client, tasks)
        for since in (0, task["version"] - 1):
            with stream(client, f"{user}events?since={since}") as events:
                names = [events.next()[:2] for _ in range(3)]
            assert names == [(task["version"], "task"), (number, "reminder"), (other["version"], "task")]
        with stream(client, f"{user}events", Last_Event_ID=str(number)) as events:
            assert events.next()[:2] == (other["version"], "task")

    def test_undo_leaves_it_and_is_not_held_up_by_it(self, client: httpx2.Client, tasks: str) -> None:
        user = tasks.removesuffix("tasks")
        task = create(client, tasks, reminders=at(soon(1)))
        wait_for(lambda: bool(client.get(f"{user}history?op=reminder").json()))
        number = task["version"] + 1
        answer = client.post(f"{user}undo", json={"versions": [number]}).json()
        (left,) = answer["left"]
        assert (answer["undone"], left["version"], left["reason"]) == ([], number, "unsupported")
        answer = client.post(f"{user}undo", json={"versions": [task["version"]]}).json()
        assert answer["left"] == []
        assert client.get(f"{tasks}/{task['id']}").status_code == 404

    def test_what_is_set_in_the_past_or_taken_back_is_not_sent(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        user = tasks.removesuffix("tasks")
        past = f"{datetime.now(UTC) - timedelta(seconds=5):%Y-%m-%dT%H:%M:%SZ}"
        create(client, tasks, reminders=at(past))
        create(client, tasks, due=past)
        when = soon()
        marker = create(client, tasks, title="Marker", reminders=at(soon(3)))
        toggled = create(client, tasks, reminders=at(when), due="2031-05-06")
        client.post(f"{tasks}/{toggled['id']}/toggle")
        deleted = create(client, tasks, reminders=at(when))
        client.delete(f"{tasks}/{deleted['id']}")
        cleared = create(client, tasks, reminders=at(when))
        client.patch(f"{tasks}/{cleared['id']}", json={"reminders": []})
        batched = create(client, tasks, reminders=at(when))
        operation = {"op": "update", "id": batched["id"], "task": {"reminders": at("2031-05-06T07:08:09Z")}}
        client.post(f"{tasks}/batch", json={"operations": [operation]})
        client.post(f"{tasks}?dry_run=true", json={"title": "Tea", "reminders": at(when)})
        wait_for(lambda: bool(client.get(f"{user}history?op=reminder,due").json()))
        (record,) = client.get(f"{user}history?op=reminder,due").json()
        assert record["id"] == marker["id"]


def next_change_of_clocks() -> date:
    """The day on which the clocks of Berlin skip an hour, in ten days or later."""
    today = datetime.now(UTC).date()
    days = (date(today.year + more, 3, day) for more in (0, 1) for day in range(25, 32))
    return next(day for day in days if day.weekday() == 6 and day >= today + timedelta(days=10))


@contextmanager
def later(folder: Path, database_url: str, when: datetime) -> Iterator[httpx2.Client]:
    """A server that is started then."""
    seconds = (when - datetime.now(UTC)).total_seconds() + 0.5
    with (
        calendar(seconds / _YEAR) as environment,
        server_process(folder, DATABASE_URL=database_url, **environment) as server,
        httpx2.Client(base_url=server.url) as client,
    ):
        yield client


BERLIN_TIME = {"time_zone": "Europe/Berlin"}
DAILY = {"recurrence": "FREQ=DAILY", "recurrence_mode": "each"}


@dataclass
class Plan:
    """Tasks about the day on which clocks skip an hour, and what is to be sent of them."""

    client: httpx2.Client
    day: date
    expected: list[tuple[str, str, datetime]] = field(default_factory=list)

    @property
    def before(self) -> date:
        return self.day - timedelta(days=1)

    @property
    def after(self) -> date:
        return self.day + timedelta(days=1)

    def expect(self, title: str, kind: str, when: date, hour: int, minute: int = 0) -> None:
        """At a time of day in Berlin."""
        local = datetime(when.year, when.month, when.day, hour, minute, tzinfo=BERLIN)
        self.expected.append((title, kind, local.astimezone(UTC)))

    def make(self, title: str, due: Any = None, *triggers: str, **others: Any) -> str:
        dates = {} if due is None else {"due": str(due)}
        wanted = [{"trigger": trigger} for trigger in triggers]
        made = create(self.client, MINE, title=title, **{"reminders": wanted, **dates, **others})
        return str(made["id"])

    def post(self, path: str, **body: Any) -> Json:
        answer = self.client.post(f"/api/default/{path}", json=body or None)
        return dict(answer.raise_for_status().json()) if answer.content else {}

    def toggle(self, task_id: str) -> None:
        self.post(f"tasks/{task_id}/toggle")

    def make_all(self) -> None:
        self.make_dates()
        self.make_silent()
        self.make_changed()
        self.make_on_other_paths()

    def make_dates(self) -> None:
        day, before, after = self.day, self.before, self.after
        self.make("date", day, "PT9H", "-PT15H")  # nextcloud/calendar#2648: not by UTC
        self.expect("date", "reminder", day, 9)
        self.expect("date", "reminder", before, 9)
        self.expect("date", "due", day, 9)
        self.make("timed", f"{day}T09:00", "-PT24H", "-P1D", "-PT15M", **BERLIN_TIME)
        self.expect("timed", "reminder", before, 8)
        self.expect("timed", "reminder", before, 9)
        self.expect("timed", "reminder", day, 8, 45)
        self.expect("timed", "due", day, 9)
        self.make("floating", f"{day}T10:00")
        self.expect("floating", "due", day, 10)
        self.make("skipped hour", f"{day}T02:30", **BERLIN_TIME)
        self.expect("skipped hour", "due", day, 3, 30)
        self.make("instants", None, f"{day}T07:45:00Z", f"{before}T08:00")
        self.expect("instants", "reminder", day, 9, 45)
        self.expect("instants", "reminder", before, 8)
        wanted = [{"trigger": "-PT1H", "from": "start"}, {"trigger": "-PT1H"}]
        self.make("start", f"{after}T12:00", start=f"{day}T08:00", reminders=wanted, **BERLIN_TIME)
        self.expect("start", "reminder", day, 7)
        self.expect("start", "reminder", after, 11)
        self.expect("start", "due", after, 12)

    def make_silent(self) -> None:
        today = datetime.now(UTC).date()
        self.make("no date", None, "-PT15M")
        self.make("of no start", None, reminders=[{"trigger": "-PT15M", "from": "start"}])
        self.make("very late", today + timedelta(days=1), "PT9H")
        self.make("past", today - timedelta(days=2), "PT9H")
        self.toggle(self.make("completed", self.day))
        self.client.delete(f"{MINE}/{self.make('deleted', self.day)}")
        self.client.patch(f"{MINE}/{self.make('cleared', self.day, '-PT1H')}", json={"due": None})

    def make_changed(self) -> None:
        day, before, after = self.day, self.before, self.after
        self.make("start alone", None, "PT9H", start=str(day))
        self.expect("start alone", "reminder", day, 9)
        restored = self.make("restored", day)
        self.client.delete(f"{MINE}/{restored}")
        self.post(f"tasks/{restored}/restore")
        self.expect("restored", "due", day, 9)
        reopened = self.make("reopened", day)
        self.toggle(reopened)
        self.toggle(reopened)
        self.expect("reopened", "due", day, 9)
        moved = self.make("moved", f"{before}T09:00", "-PT1H", **BERLIN_TIME)
        self.client.patch(f"{MINE}/{moved}", json={"due": str(after)})
        self.expect("moved", "due", after, 9)
        self.expect("moved", "reminder", day, 23)
        undone = self.make("undone", day)
        change = self.client.patch(f"{MINE}/{undone}", json={"due": "2040-01-01"}).json()
        self.post("undo", versions=[change["version"]])
        self.expect("undone", "due", day, 9)

    def make_on_other_paths(self) -> None:
        day, before = self.day, self.before
        self.toggle(self.make("recurring", before, f"{before}T20:00", **DAILY))
        self.expect("recurring", "reminder", day, 20)
        self.expect("recurring", "due", day, 9)
        self.post(f"tasks/{self.make('skipped', before, **DAILY)}/skip")
        self.expect("skipped", "due", day, 9)
        body = {"title": "put", "due": str(day)}
        new = "01a1fe04-9424-75e1-89a6-000000000001"
        self.client.put(f"{MINE}/{new}", json=body, headers={"If-None-Match": "*"})
        self.expect("put", "due", day, 9)
        task = {"title": "batch", "due": str(day)}
        self.post("tasks/batch", operations=[{"op": "create", "task": task}])
        self.expect("batch", "due", day, 9)
        trip = self.post("lists", name="Trip")["id"]
        self.make("in a list", day, list_id=trip)
        self.client.delete(f"/api/default/lists/{trip}")
        self.post(f"lists/{trip}/restore")
        self.expect("in a list", "due", day, 9)

    def titles(self) -> dict[str, str]:
        return {task["id"]: task["title"] for task in self.client.get(MINE).json()}


def instants(records: list[Json]) -> list[datetime]:
    return [instant(record["changes"]["at"][1]) for record in records]


@on_a_later_day
@pytest.mark.slow
class TestInstants:
    def test_what_an_outage_kept_is_sent_when_the_server_is_back(
        self, settings: Settings, database_url: str, tmp_path: Path
    ) -> None:
        """Each with the instant that was meant, in order; all around a change of clocks."""
        day = next_change_of_clocks()
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            client.patch("/api/users/me", json={"time_zone": "Asia/Tokyo"})
            plan = Plan(client, day)
            plan.make_all()
            client.patch("/api/users/me", json={"time_zone": "Europe/Berlin"})
            create(client, "/api/eve/tasks", due=str(day))  # she has no zone
            titles = plan.titles()
            last = client.get("/api/default/changes").json()["next"]
        end = datetime(day.year, day.month, day.day, 22, tzinfo=UTC) + timedelta(days=1)
        with later(tmp_path, database_url, end) as client:
            # Users have no order among each other.
            wait_for(lambda: len(sent(client, "default")) >= len(plan.expected) and bool(sent(client, "eve")))
            found = sent(client, "default")
            shown = [
                (titles[one["id"]], one["op"], when) for one, when in zip(found, instants(found), strict=True)
            ]
            assert sorted(shown) == sorted(plan.expected)
            assert instants(found) == sorted(instants(found))
            assert client.get(f"/api/default/changes?since={last}").json()["changes"] == []
            assert instants(sent(client, "eve")) == [datetime(day.year, day.month, day.day, 9, tzinfo=UTC)]
            # What was passed over does not come any more, and what recurs has its next instant.
            ids = {title: key for key, title in titles.items()}
            for title in ("completed", "recurring", "recurring"):
                client.post(f"{MINE}/{ids[title]}/toggle")
        with later(tmp_path, database_url, end + timedelta(days=2)) as client:
            wait_for(lambda: len(sent(client, "default")) >= len(plan.expected) + 2)
            again = sent(client, "default")[len(plan.expected) :]
            assert [(titles[one["id"]], one["op"]) for one in again] == [
                ("recurring", "due"), ("recurring", "reminder"),
            ]  # fmt: skip


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def send_at_once(settings: Settings, schedulers: int) -> None:
    async def work() -> None:
        databases = [Database(settings) for _ in range(schedulers)]
        for database in databases:
            database.ready = True
        try:
            await asyncio.gather(*(reminders.send_due(database) for database in databases))
        finally:
            for database in databases:
                await database.close()

    asyncio.run(work())


class TestSeveral:
    def test_six_at_once_send_each_once(self, settings: Settings) -> None:
        users = ("ada", "bob", "eve")
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            when = soon(4)
            for user in users:
                new = [{"op": "create", "task": {"title": f"{n}", "reminders": at(when)}} for n in range(80)]
                made = client.post(f"/api/{user}/tasks/batch", json={"operations": new}).json()["results"]
                for one in made[:8]:
                    client.post(f"/api/{user}/tasks/{one['task']['id']}/toggle")
        time.sleep(max(0.0, (instant(when) - datetime.now(UTC)).total_seconds() + 0.1))
        send_at_once(settings, schedulers=6)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            for user in users:
                found = sent(client, user)
                assert len({one["id"] for one in found}) == len(found) == 72
                assert [one["version"] for one in found] == list(range(89, 161))


class TestScheduler:
    def test_an_idle_database_is_left_alone(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody looks while nobody uses it, however often the minute comes; one use makes for one look."""
        monkeypatch.setattr(reminders, "_POLL_SECONDS", 0.01)
        monkeypatch.setattr(reminders, "_LOOK_SECONDS", 0.05)

        looks: list[float] = []
        earliest = reminders._earliest

        async def counted(transaction: ReadTransaction) -> datetime | None:
            looks.append(time.monotonic())
            return await earliest(transaction)

        monkeypatch.setattr(reminders, "_earliest", counted)

        async def work() -> list[int]:
            database = Database(settings)
            database.ready = True
            scheduler = asyncio.create_task(reminders.Reminders(database).run_forever())
            found = []
            for _ in range(3):
                await asyncio.sleep(0.4)
                found.append(len(looks))
            assert database.uses == 0  # housekeeping is not woken by it
            await database.read(earliest)
            await asyncio.sleep(0.4)
            scheduler.cancel()
            await database.close()
            return [*found, len(looks)]

        assert asyncio.run(work()) == [1, 1, 1, 2]
