"""`taskwell move` as an operator runs it."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import httpx2
import pytest
from sqlalchemy import Table, make_url

from harness import side_effects, warm
from harness.databases import execute, new_postgres_database
from harness.responses import create, problem
from harness.seed import seed
from harness.servers import local_server
from taskwell.admin import copy
from taskwell.core.errors import StorageFull
from taskwell.core.settings import Settings
from taskwell.database.database import Transaction
from tests.cli.commands import done, refused
from tests.cli.contents import contents, empty
from tests.database.test_row_security import by, role

pytestmark = pytest.mark.slow

NOWHERE = "sqlite:///nowhere.db"  # the settings' own database has no part in a move


def fails_at(name: str, insert_rows: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The same, for all tables but one."""

    async def work(self: Transaction, table: Table, rows: Any) -> None:
        if table.name == name:
            raise StorageFull
        await insert_rows(self, table, rows)

    return work


@contextmanager
def serving(url: str) -> Iterator[httpx2.Client]:
    settings = Settings(database_url=url)
    with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
        yield client


class TestMove:
    def test_makes_the_two_equal(self, filled: str, any_other: str) -> None:
        before = contents(filled)
        told = done(NOWHERE, "move", filled, any_other)
        assert contents(filled) == contents(any_other) == before
        assert told.startswith(make_url(any_other).render_as_string(hide_password=True))
        assert "Set DATABASE_URL to it." in told

    def test_there_and_back_is_where_one_was(self, filled: str, other: str, tmp_path: Path) -> None:
        done(NOWHERE, "move", filled, other)
        back = f"sqlite:///{tmp_path}/back.db"
        done(NOWHERE, "move", other, back)
        assert contents(back) == contents(filled)

    def test_takes_claims_along(self, filled: str, other: str) -> None:
        with serving(filled) as client:
            path = f"/api/eve/tasks/{create(client, '/api/eve/tasks')['id']}/claim"
            number = client.post(path, json={"note": "w3"}).raise_for_status().json()["claim"]
            claims = client.get("/api/eve/claims").json()
        done(NOWHERE, "move", filled, other)
        with serving(other) as client:
            assert client.get("/api/eve/claims").json() == claims
            assert client.patch(f"{path}/{number}", json={}).status_code == 200

    def test_says_what_it_did_as_json(self, filled: str, other: str) -> None:
        told = json.loads(done(NOWHERE, "move", filled, other, "--json"))
        held = contents(filled)
        assert told["rows"] == {name: table.rows for name, table in held.items()}
        assert told["digests"] == {name: table.digest for name, table in held.items()}
        assert (told["equal"], told["before"]) == (True, False)
        assert "S3cr3t" not in json.dumps(told)

    def test_of_what_was_moved_before_compares(self, filled: str, other: str) -> None:
        for before in (False, True):
            assert json.loads(done(NOWHERE, "move", filled, other, "--json"))["before"] is before

    def test_goes_on_with_the_same_numbers(self, filled: str, other: str, tmp_path: Path) -> None:
        source = f"sqlite:///{tmp_path}/source.db"
        done(NOWHERE, "move", filled, source)
        with (
            local_server(Settings(database_url=source)) as server,
            httpx2.Client(base_url=server.url) as client,
        ):
            since = client.get("/api/ada/changes").json()["next"]
            tag = client.get("/api/ada/tasks").headers["etag"]
            (task, *_) = client.get("/api/ada/tasks").json()
            once = {"Idempotency-Key": "a key"}
            replay = client.post("/api/ada/tasks", json={"title": "Once"}, headers=once)
        done(NOWHERE, "move", source, other)
        with (
            local_server(Settings(database_url=other)) as server,
            httpx2.Client(base_url=server.url) as client,
        ):
            assert client.get("/api/ada/tasks", headers={"If-None-Match": tag}).status_code == 304
            assert client.get("/api/ada/changes", params={"since": since}).json()["changes"] == []
            again = client.post("/api/ada/tasks", json={"title": "Once"}, headers=once)
            assert (again.status_code, again.content) == (replay.status_code, replay.content)
            guard = {"If-Match": f'"{task["version"]}"'}
            path = f"/api/ada/tasks/{task['id']}"
            changed = client.patch(path, json={"title": "x"}, headers=guard).json()
            assert client.get("/api/ada/changes", params={"since": since}).json()["changes"] == [changed]
            problem(client.get("/api/gone/changes", params={"since": "1"}), 410, "gone")

    def test_takes_a_password_that_no_other_user_can_see(self, filled: str) -> None:
        with new_postgres_database() as url:
            bare = url.replace(f":{make_url(url).password}@", "@")
            done(NOWHERE, "move", filled, bare, PGPASSWORD=str(make_url(url).password))
            assert contents(url) == contents(filled)

    def test_takes_a_source_that_was_made_read_only(self, tmp_path: Path) -> None:
        with new_postgres_database() as url:
            empty(url)
            seed(url, {"ada": 3})
            execute(url, f'ALTER DATABASE "{make_url(url).database}" SET default_transaction_read_only = on')
            target = f"sqlite:///{tmp_path}/target.db"
            done(NOWHERE, "move", url, target)
            assert contents(target) == contents(url)

    def test_obeys_row_level_security(self, filled: str) -> None:
        """Nobody may see all rows but who acts for everybody."""
        with role() as owner, new_postgres_database() as url:
            execute(url, f'ALTER DATABASE "{make_url(url).database}" OWNER TO {owner}')
            on = {"TASKWELL_ROW_LEVEL_SECURITY": "on"}
            done(NOWHERE, "move", filled, by(url, owner), **on)
            secured = execute(url, "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'tasks'")
            assert secured[0][0] is True
            assert contents(by(url, owner)) == contents(filled)
            done(NOWHERE, "move", filled, by(url, owner), **on)

    def test_takes_the_direct_address_that_the_settings_know(self, filled: str) -> None:
        with new_postgres_database() as url:
            pooled = "postgresql://user:S3cr3t@pooler.invalid/app?pgbouncer=true"
            done(pooled, "move", filled, pooled, MIGRATION_DATABASE_URL=url)
            assert contents(url) == contents(filled)


class TestBreaks:
    """Nothing is there, or everything; and the same command can be given again."""

    def test_a_move_that_is_killed(self, database_url: str, any_other: str) -> None:
        for url in (database_url, any_other):
            empty(url)
        seed(database_url, {"ada": 3_000})
        for seconds in (0.1, 0.2, 0.4):
            with TemporaryFile() as output:
                files = output.fileno(), output.fileno()
                process = warm.start(["move", database_url, any_other], Path.cwd(), os.environ, files)
                time.sleep(seconds)
                process.kill()
                process.wait()
            assert contents(any_other)["tasks"].rows in {0, 3_000}
        done(NOWHERE, "move", database_url, any_other)
        assert contents(any_other) == contents(database_url)

    def test_a_disk_that_is_full(self, filled: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Transaction, "insert_rows", fails_at("tasks", Transaction.insert_rows))
            assert "storage is full" in refused(NOWHERE, "move", filled, other)
        assert all(table.rows == 0 for table in contents(other).values())
        done(NOWHERE, "move", filled, other)
        assert contents(other) == contents(filled)


class TestOthers:
    """Who writes while everything is moved would be lost."""

    def test_a_server_at_the_source_is_in_the_way(self, database_url: str, other: str) -> None:
        with local_server(Settings(database_url=database_url)) as server:
            httpx2.post(f"{server.url}/api/tasks", json={"title": "Buy milk"}).raise_for_status()
            told = refused(NOWHERE, "move", database_url, other)
            assert told.endswith(("stop the server first", "stop it first"))
            httpx2.post(f"{server.url}/api/tasks", json={"title": "Buy milk"}).raise_for_status()

    def test_writes_at_the_source_wait_until_the_end(self, database_url: str) -> None:
        """A server that nobody saw, since it comes by a pooler or began too late."""
        empty(database_url)

        async def work() -> None:
            async with copy.frozen(Settings(database_url=database_url)):
                await asyncio.to_thread(self.refuse, database_url)

        asyncio.run(work())

    def refuse(self, url: str) -> None:
        with local_server(Settings(database_url=url)) as server, httpx2.Client(base_url=server.url) as client:
            problem(client.post("/api/tasks", json={"title": "x"}, timeout=30), 503, "database_unavailable")


class TestRefusals:
    def test_of_a_target_that_holds_something_else(self, filled: str, other_filled: str) -> None:
        before = contents(other_filled)
        told = refused(NOWHERE, "move", filled, other_filled)
        assert told.endswith(" is not empty: move to an empty database")
        assert contents(other_filled) == before != contents(filled)

    def test_of_a_database_onto_itself(self, filled: str) -> None:
        assert (
            refused(NOWHERE, "move", filled, filled)
            == "FROM_URL and TO_URL are the same database: name another one"
        )

    def test_of_a_source_that_is_behind(self, database_url: str, other: str) -> None:
        done(database_url, "db", "upgrade", "0003")
        told = refused(NOWHERE, "move", database_url, other)
        assert told.endswith(" is behind: run `taskwell db upgrade` on it")

    def test_of_a_source_that_is_missing(self, tmp_path: Path, other: str) -> None:
        missing = tmp_path / "missing.db"
        assert (
            refused(NOWHERE, "move", f"sqlite:///{missing}", other)
            == f"there is no database {missing}: check the URL"
        )
        assert not missing.exists()

    def test_of_urls_that_are_none_repeat_nothing(self) -> None:
        told = refused(NOWHERE, "move", "mysql://user:S3cr3t@db/app", NOWHERE)
        assert told == "FROM_URL: it must begin with sqlite: or postgresql:"

    def test_of_a_server_that_is_away(self, filled: str) -> None:
        told = refused(NOWHERE, "move", filled, "postgresql://user:S3cr3t@127.0.0.1:1/app")
        assert told.startswith("postgresql://user:***@127.0.0.1:1/app: ")

    def test_of_a_character_that_the_other_cannot_hold(self, tmp_path: Path) -> None:
        """Nobody can write one by the API; SQLite itself would keep it."""
        source = f"sqlite:///{tmp_path}/source.db"
        empty(source)
        seed(source, {"ada": 1})
        side_effects.execute(
            Settings(database_url=source), "UPDATE tasks SET description = 'a' || char(0) || 'b'"
        )
        with new_postgres_database() as url:
            told = refused(NOWHERE, "move", source, url)
            assert "invalid byte sequence" in told
            assert contents(url)["tasks"].rows == 0
