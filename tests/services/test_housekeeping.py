"""Housekeeping: at the first use after it is due, once among several, and not while nobody is there."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from harness.responses import create
from harness.servers import local_server, server_process, wait_for
from harness.side_effects import execute, instant, rows
from taskwell.core.clock import utc_now
from taskwell.core.settings import Settings
from taskwell.database.database import Database
from taskwell.services import housekeeping

TASKS = "/api/ada/tasks"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def count(settings: Settings, table: str) -> int:
    """How many rows there are, asked beside the server."""
    ((number,),) = rows(settings, f"SELECT count(*) FROM {table}")
    return int(number)


def fill(settings: Settings, tasks: int = 3) -> None:
    """A live task, some that have been in the trash for long, and keys as old; it was never tidied."""
    with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
        create(client, TASKS)
        for number in range(tasks):
            made = client.post(TASKS, json={"title": "Old"}, headers={"Idempotency-Key": f"k{number}"})
            client.delete(f"{TASKS}/{made.json()['id']}")
    then = instant(settings, LONG_AGO)
    execute(
        settings,
        f"UPDATE tasks SET deleted_at = {then} WHERE deleted_at IS NOT NULL",
        f"UPDATE idempotency_keys SET created_at = {then}",
        "DELETE FROM housekeeping",
    )


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url)


def claims(settings: Settings, *times: datetime) -> list[bool]:
    """Who is to do it, of some who ask at once."""

    async def work() -> list[bool]:
        databases = [Database(settings) for _ in times]
        for database in databases:
            database.ready = True
        try:
            asked = zip(databases, times, strict=True)
            return list(
                await asyncio.gather(*(database.write(housekeeping.claim, now) for database, now in asked))
            )
        finally:
            for database in databases:
                await database.close()

    return asyncio.run(work())


class TestReservedUsers:
    def test_are_named_in_the_log(self, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            create(client, TASKS)
        now = instant(settings, LONG_AGO)
        execute(settings, f"INSERT INTO users (id, created_at, last_seq) VALUES ('v1', {now}, 1)")
        caplog.clear()
        with local_server(settings) as server:
            httpx2.get(f"{server.url}{TASKS}")
            wait_for(lambda: "these users keep ids that are reserved now: v1" in caplog.text)


class TestAtTheFirstUse:
    def test_what_is_due_is_done(self, settings: Settings) -> None:
        """A server that has just been started, as on machines that scale to zero."""
        fill(settings)
        with local_server(settings) as server:
            assert httpx2.get(f"{server.url}{TASKS}").status_code == 200
            wait_for(lambda: count(settings, "tasks") == 1)
            wait_for(lambda: count(settings, "idempotency_keys") == 0)

    def test_nothing_is_done_before_it(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(housekeeping, "_POLL_SECONDS", 0.01)
        fill(settings)
        with local_server(settings) as server:
            for _ in range(30):
                assert httpx2.get(f"{server.url}/health/live").status_code == 200
            assert count(settings, "tasks") == 4

    def test_what_is_not_due_is_left(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(housekeeping, "_POLL_SECONDS", 0.01)
        fill(settings)
        now = instant(settings, utc_now())
        execute(settings, f"INSERT INTO housekeeping (chore, done_at) VALUES ('sweep', {now})")
        with local_server(settings) as server:
            for _ in range(30):
                assert httpx2.get(f"{server.url}{TASKS}").status_code == 200
            assert count(settings, "tasks") == 4

    def test_more_than_fits_in_one_transaction(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("taskwell.services.trash._PURGED_AT_ONCE", 2)
        monkeypatch.setattr("taskwell.services.idempotency._PURGED_AT_ONCE", 2)
        fill(settings, tasks=5)
        with local_server(settings) as server:
            assert httpx2.get(f"{server.url}{TASKS}").status_code == 200
            wait_for(lambda: count(settings, "tasks") == 1)
            wait_for(lambda: count(settings, "idempotency_keys") == 0)

    @pytest.mark.slow
    def test_of_real_servers_that_live_for_a_few_requests(self, settings: Settings, tmp_path: Path) -> None:
        fill(settings)
        url = settings.database_url.get_secret_value()
        with server_process(tmp_path, DATABASE_URL=url) as server:
            assert httpx2.get(f"{server.url}{TASKS}").status_code == 200
            wait_for(lambda: count(settings, "tasks") == 1)
        assert "housekeeping failed" not in server.log()


class TestOnceAmongSeveral:
    def test_one_does_it(self, settings: Settings) -> None:
        fill(settings, tasks=0)
        now = utc_now()
        assert sum(claims(settings, *[now] * 4)) == 1
        assert sum(claims(settings, *[now + timedelta(minutes=59)] * 4)) == 0
        assert sum(claims(settings, *[now + timedelta(minutes=61)] * 4)) == 1

    def test_a_clock_that_was_ahead_keeps_nobody_from_it(self, settings: Settings) -> None:
        fill(settings, tasks=0)
        now = utc_now()
        assert claims(settings, now + timedelta(days=400)) == [True]
        assert claims(settings, now) == [True]
        assert claims(settings, now) == [False]
