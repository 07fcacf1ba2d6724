"""A new version of the tz database: the instants of what is due follow it, once, and nothing else changes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx2
import pytest

from harness.responses import create
from harness.servers import local_server, wait_for
from harness.side_effects import beside, execute, instant
from taskwell.admin import backup
from taskwell.admin.copy import Progress
from taskwell.core import time_zones
from taskwell.core.settings import Settings
from taskwell.database.database import Database, ReadTransaction, Transaction
from taskwell.services import housekeeping, reminder_rows, reminders, zone_changes

TASKS = "/api/ada/tasks"
BERLIN = {"time_zone": "Europe/Berlin"}
WRONG = datetime(2031, 6, 1, 3, 4, tzinfo=UTC)

Task = dict[str, Any]


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(housekeeping, "_POLL_SECONDS", 0.01)
    return Settings(database_url=database_url)


def change_zones(settings: Settings, column: str, *tasks: Task, to: datetime = WRONG) -> None:
    """As if the tz database had said something else when the tasks were written."""
    wrong = instant(settings, to)
    ids = ", ".join(f"'{_stored(settings, task['id'])}'" for task in tasks)
    execute(
        settings,
        f"UPDATE tasks SET {column} = {wrong} WHERE id IN ({ids})",
        "DELETE FROM housekeeping",
    )


def _stored(settings: Settings, task_id: str) -> str:
    return task_id.replace("-", "") if settings.database.is_sqlite else task_id


def use(*urls: str) -> None:
    """Until it is done by one of the servers, at the first use of each."""
    for url in urls:
        assert httpx2.get(f"{url}{TASKS}").status_code == 200


async def recompute(settings: Settings, servers: int = 1) -> None:
    databases = [Database(settings) for _ in range(servers)]
    for database in databases:
        database.ready = True
    try:
        await asyncio.gather(*(zone_changes.recompute_instants(database) for database in databases))
    finally:
        for database in databases:
            await database.close()


class TestNewZones:
    def test_two_servers_write_what_differs_once(self, settings: Settings) -> None:
        with (
            local_server(settings) as one,
            local_server(settings) as two,
            httpx2.Client(base_url=one.url) as client,
        ):
            wrong = create(client, TASKS, due="2031-06-01T09:00", **BERLIN)
            others = [
                create(client, TASKS, due="2031-06-01T09:00", **BERLIN),
                create(client, TASKS, due="2031-06-01T09:00"),
                create(client, TASKS, due="2031-06-01"),
                create(client, TASKS),
            ]
            wait_for(lambda: is_done(settings))
            change_zones(settings, "due_at", wrong)
        with local_server(settings) as one, local_server(settings) as two:
            use(one.url, two.url)
            wait_for(lambda: is_done(settings))
            with httpx2.Client(base_url=one.url) as client:
                found = client.get(f"{TASKS}/{wrong['id']}").json()
                number = create(client, TASKS)["version"]
                kept = [client.get(f"{TASKS}/{other['id']}").json() for other in others]
        assert kept == others
        assert found == wrong | {"version": others[-1]["version"] + 1, "updated_at": found["updated_at"]}
        assert found["updated_at"] > wrong["updated_at"]
        assert number == found["version"] + 1

    def test_two_at_the_same_moment_take_one_number_for_each(self, settings: Settings) -> None:
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            made = [create(client, TASKS, due="2031-06-01T09:00", **BERLIN) for _ in range(20)]
            elsewhere = create(client, "/api/bob/tasks", start="2031-06-01T08:00", **BERLIN)
            wait_for(lambda: is_done(settings))
        change_zones(settings, "due_at", *made)
        change_zones(settings, "start_at", elsewhere)
        asyncio.run(recompute(settings, servers=4))
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            found = client.get(f"{TASKS}?sort=created_at").json()
            assert [task["due_at"] for task in found] == ["2031-06-01T07:00:00.000000Z"] * 20
            assert sorted(task["version"] for task in found) == list(range(21, 41))
            assert client.get("/api/bob/tasks").json()[0]["version"] == 2

    def test_in_stretches(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zone_changes, "_AT_ONCE", 2)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            made = [create(client, TASKS, due="2031-06-01T09:00", **BERLIN) for _ in range(5)]
            wait_for(lambda: is_done(settings))
            change_zones(settings, "due_at", *made)
            asyncio.run(recompute(settings))
            found = client.get(TASKS).json()
            assert {task["due_at"] for task in found} == {"2031-06-01T07:00:00.000000Z"}

    def test_what_is_over_stays_and_what_is_in_the_trash_follows(self, settings: Settings) -> None:
        long_ago = datetime.now(UTC) - timedelta(days=2)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            over = create(client, TASKS, due=f"{long_ago:%Y-%m-%dT%H:%M:%S}", **BERLIN)
            gone = create(client, TASKS, due="2031-06-01T09:00", **BERLIN)
            client.delete(f"{TASKS}/{gone['id']}")
            wait_for(lambda: is_done(settings))
            change_zones(settings, "due_at", over, to=long_ago)
            change_zones(settings, "due_at", gone)
            asyncio.run(recompute(settings))
            assert client.get(f"{TASKS}/{over['id']}").json()["version"] == over["version"]
            restored = client.post(f"{TASKS}/{gone['id']}/restore").json()
            assert restored["due_at"] == gone["due_at"]

    def test_the_feed_tells_of_it(self, settings: Settings) -> None:
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            task = create(client, TASKS, due="2031-06-01T09:00", **BERLIN)
            cursor = client.get("/api/ada/changes").json()["next"]
            wait_for(lambda: is_done(settings))
            change_zones(settings, "due_at", task)
            asyncio.run(recompute(settings))
            (change,) = client.get(f"/api/ada/changes?since={cursor}").json()["changes"]
            assert (change["id"], change["due_at"]) == (task["id"], task["due_at"])

    def test_another_version_of_the_zones_is_another_chore(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            task = create(client, TASKS, due="2031-06-01T09:00", **BERLIN)
            wait_for(lambda: is_done(settings))
            wrong = instant(settings, WRONG)
            execute(settings, f"UPDATE tasks SET due_at = {wrong}")
            asyncio.run(recompute(settings))
            assert client.get(TASKS).json()[0]["version"] == task["version"]
            monkeypatch.setattr(time_zones, "VERSION", "2099a")
            asyncio.run(recompute(settings))
            found = client.get(TASKS).json()[0]
            assert (found["version"], found["due_at"]) == (task["version"] + 1, task["due_at"])

    def test_what_is_restored_is_recomputed(self, settings: Settings, tmp_path: Path) -> None:
        """A backup may be of the time of older rules."""
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            task = create(client, TASKS, due="2031-06-01T09:00", **BERLIN)
            wait_for(lambda: is_done(settings))
        execute(settings, f"UPDATE tasks SET due_at = {instant(settings, WRONG)}")
        file = tmp_path / "old.backup"
        asyncio.run(backup.back_up(settings, file, Progress()))
        asyncio.run(backup.restore(settings, file, Progress(), replace=True))
        assert not is_done(settings)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            use(server.url)
            wait_for(lambda: is_done(settings))
            assert client.get(TASKS).json()[0]["due_at"] == task["due_at"]


TOKYO = ZoneInfo("Asia/Tokyo")


def remind_at(seconds: float, zone: ZoneInfo) -> str:
    """A local time that comes soon in a zone."""
    return f"{datetime.now(zone) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"


def sent(client: httpx2.Client, user: str) -> list[tuple[str, str]]:
    records = client.get(f"/api/{user}/history?op=reminder,due&since=0").raise_for_status().json()
    return [(record["id"], record["op"]) for record in records]


@pytest.fixture
def rewritten(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The users whose reminders have been computed anew."""
    users: list[str] = []
    rewrite = reminder_rows.rewrite_some

    async def counted(transaction: Transaction, user_id: str, after: UUID) -> UUID | None:
        users.append(user_id)
        return await rewrite(transaction, user_id, after)

    monkeypatch.setattr(reminders, "rewrite_some", counted)
    return users


class TestReminders:
    """Their instants are computed anew at the start of a server, once for what they follow from."""

    def test_follow_the_zone_of_the_server(self, settings: Settings, rewritten: list[str]) -> None:
        tokyo = settings.model_copy(update={"time_zone": "Asia/Tokyo"})
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            wait_for(lambda: are_reminders_done(settings))
            when = remind_at(10, TOKYO)  # in nine hours by UTC
            floating = create(client, TASKS, due=when, reminders=[{"trigger": when}])
            create(client, "/api/default/tasks", due=when)
            client.patch("/api/users/me", json={"time_zone": "UTC"}).raise_for_status()
            create(client, "/api/eve/tasks", due=when, time_zone="UTC")
        with local_server(settings):
            time.sleep(0.5)
        assert rewritten == []  # all were written with their tasks
        with local_server(tokyo) as one, local_server(tokyo), httpx2.Client(base_url=one.url) as client:
            wait_for(lambda: are_reminders_done(tokyo))
            wait_for(lambda: len(sent(client, "ada")) == 2)
            assert {*rewritten} == {"ada", "default", "eve"}
        count = len(rewritten)
        with local_server(tokyo) as server, httpx2.Client(base_url=server.url) as client:
            time.sleep(1.5)
            assert sorted(sent(client, "ada")) == [(floating["id"], "due"), (floating["id"], "reminder")]
            assert sent(client, "default") == sent(client, "eve") == []
        assert len(rewritten) == count

    def test_follow_a_new_version_of_the_zones(
        self, settings: Settings, rewritten: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            wait_for(lambda: are_reminders_done(settings))
            when = remind_at(10, ZoneInfo("Europe/Berlin"))
            task = create(client, TASKS, due=when, reminders=[{"trigger": when}], **BERLIN)
            # As if the tz database had said something else when the task was written.
            wrong = instant(settings, WRONG)
            execute(settings, f"UPDATE reminders SET at = {wrong}", f"UPDATE tasks SET due_at = {wrong}")
        with local_server(settings):
            time.sleep(0.5)
        assert rewritten == []
        monkeypatch.setattr(time_zones, "VERSION", "2099a")
        with (
            local_server(settings) as one,
            local_server(settings) as two,
            httpx2.Client(base_url=one.url) as client,
        ):
            use(one.url, two.url)
            wait_for(lambda: are_reminders_done(settings) and is_done(settings))
            wait_for(lambda: len(sent(client, "ada")) == 2)
            found = client.get(f"{TASKS}/{task['id']}").json()
            assert found["due_at"] == task["due_at"]
        count = len(rewritten)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            time.sleep(1.5)
            assert sorted(sent(client, "ada")) == [(task["id"], "due"), (task["id"], "reminder")]
            assert client.get(f"{TASKS}/{task['id']}").json()["version"] == found["version"]
        assert len(rewritten) == count


def are_reminders_done(settings: Settings) -> bool:
    return _read(settings, reminders._is_done)


def is_done(settings: Settings) -> bool:
    return _read(settings, zone_changes._is_done)


def _read(settings: Settings, question: Callable[[ReadTransaction], Awaitable[bool]]) -> bool:
    async def work() -> bool:
        async with beside(settings) as database:
            return await database.read(question)

    return asyncio.run(work())
