"""`taskwell restore` as an operator runs it, and what clients of before are told by a server after."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness import side_effects
from harness.databases import execute, new_postgres_database
from harness.responses import create, problem
from harness.servers import local_server
from taskwell.admin import epochs
from taskwell.core.settings import Settings
from taskwell.models.user import EPOCH
from tests.cli.commands import done, refused, taskwell
from tests.cli.contents import contents, empty

pytestmark = pytest.mark.slow


@pytest.fixture
def backup(filled: str, tmp_path: Path) -> Path:
    file = tmp_path / "tasks.bak"
    done(filled, "backup", str(file))
    return file


@contextmanager
def served(url: str) -> Iterator[httpx2.Client]:
    with (
        local_server(Settings(database_url=url)) as server,
        httpx2.Client(base_url=server.url) as client,
    ):
        yield client


def change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


class TestRestore:
    def test_brings_back_everything_whatever_the_database(self, backup: Path, any_other: str) -> None:
        told = json.loads(done(any_other, "restore", str(backup), "--json"))
        expected, found = contents(f"sqlite:///{backup}"), contents(any_other)
        for table in ("tasks", "lists", "labels", "idempotency_keys", "api_tokens"):
            assert found[table] == expected[table]
        assert found["users"].rows == expected["users"].rows
        assert found["erased_users"].rows == expected["erased_users"].rows + 1  # the mark of the unknown
        assert told["rows"] == {name: table.rows for name, table in expected.items()}

    def test_ends_every_claim(self, filled: str, other: str, tmp_path: Path) -> None:
        """Their numbers are of the lost epoch. Else the tasks are as they were."""
        file = tmp_path / "claims.bak"
        expected = contents(filled)["tasks"]
        with served(filled) as client:
            task = create(client, "/api/eve/tasks")
            client.post(f"/api/eve/tasks/{task['id']}/claim").raise_for_status()
        done(filled, "backup", str(file))
        done(other, "restore", str(file))
        with served(other) as client:
            assert client.get("/api/eve/claims").json() == []
            assert client.post(f"/api/eve/tasks/{task['id']}/claim").status_code == 200
        assert contents(other)["tasks"].rows == expected.rows + 1
        with served(filled) as client:  # other tests restore the same tasks, and compare all columns
            client.delete(f"/api/eve/tasks/{task['id']}/claim").raise_for_status()

    def test_leaves_the_backup_as_it_is(self, backup: Path, other: str) -> None:
        before = backup.read_bytes()
        backup.chmod(0o400)
        done(other, "restore", str(backup))
        assert backup.read_bytes() == before
        assert list(backup.parent.iterdir()) == [backup]

    def test_of_an_older_revision_is_migrated(
        self, database_url: str, any_other: str, tmp_path: Path
    ) -> None:
        done(database_url, "db", "upgrade", "0001")
        now = "'2026-11-21 10:00:00'"
        user = f"INSERT INTO users (id, created_at, last_seq) VALUES ('ada', {now}, 7)"
        task = (
            "INSERT INTO tasks (user_id, id, title, completed, created_at, updated_at, version) "
            f"VALUES ('ada', '01a1fe04942475e189a6e90dc13ea379', 'STRASSE', false, {now}, {now}, 7)"
        )
        side_effects.execute(Settings(database_url=database_url), user, task)
        file = tmp_path / "old.bak"
        done(database_url, "backup", str(file))
        done(any_other, "restore", str(file))
        with served(any_other) as client:
            (task,) = client.get("/api/ada/tasks?q=straße").json()
        assert (task["title"], task["version"]) == ("STRASSE", 7)

    def test_asks_before_it_replaces(self, backup: Path, other_filled: str) -> None:
        other = other_filled
        before = contents(other)
        assert before["tasks"] != contents(f"sqlite:///{backup}")["tasks"]
        told = refused(other, "restore", str(backup))
        assert told == "the database is not empty: --replace deletes its contents and restores the backup"
        for answer in ("n\n", ""):
            asked = taskwell(other, "restore", str(backup), "--replace", answer=answer)
            assert asked.exit_code == 1
            assert " with 4 users" in asked.stderr
        assert contents(other) == before
        assert taskwell(other, "restore", str(backup), "--replace", answer="y\n").exit_code == 0
        assert contents(other)["tasks"] == contents(f"sqlite:///{backup}")["tasks"]

    def test_does_not_ask_where_it_is_told_not_to(self, backup: Path, other: str) -> None:
        for _ in range(2):
            done(other, "restore", str(backup), "--replace", "--yes")
        assert contents(other)["tasks"] == contents(f"sqlite:///{backup}")["tasks"]


class TestDamage:
    """A backup that is not as it was written restores nothing."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        url = f"sqlite:///{tmp_path}/target.db"
        empty(url)
        return url

    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE tasks SET title = 'Forged' WHERE id = (SELECT min(id) FROM tasks)",
            "DELETE FROM tasks WHERE id = (SELECT min(id) FROM tasks)",
            "UPDATE users SET last_seq = last_seq + 1",
        ],
    )
    def test_rows_that_are_not_what_was_written(self, backup: Path, url: str, damage: str) -> None:
        change(backup, damage)
        assert "the backup is damaged: these tables differ: " in refused(url, "restore", str(backup))
        assert contents(url)["tasks"].rows == 0

    def test_rows_that_refer_to_nothing(self, backup: Path, url: str) -> None:
        change(backup, "DELETE FROM users WHERE id = 'ada'")
        assert "refer to missing rows" in refused(url, "restore", str(backup))

    def test_a_revision_that_is_not_what_was_written(self, backup: Path, url: str) -> None:
        change(backup, "UPDATE taskwell_version SET version_num = '0005'")
        assert "its revision differs from its description" in refused(url, "restore", str(backup))

    def test_bytes_that_are_lost(self, backup: Path, url: str) -> None:
        data = bytearray(backup.read_bytes())
        data[3 * 4_096 :] = b"\xa5" * len(data[3 * 4_096 :])
        backup.write_bytes(data)
        refused(url, "restore", str(backup))
        assert contents(url)["tasks"].rows == 0

    def test_an_end_that_is_missing(self, backup: Path, url: str) -> None:
        backup.write_bytes(backup.read_bytes()[:-20_000])
        refused(url, "restore", str(backup))
        assert contents(url)["tasks"].rows == 0

    def test_what_is_no_backup(self, url: str, tmp_path: Path) -> None:
        file = tmp_path / "notes.txt"
        assert refused(url, "restore", str(file)) == f"there is no file {file}"
        file.write_text("Buy milk\n" * 1_000)
        assert refused(url, "restore", str(file)) == f"{file} cannot be read as a backup: broken"
        shutil.copy(tmp_path / "target.db", file)
        assert refused(url, "restore", str(file)).startswith(f"{file} is not a backup of taskwell")

    def test_one_of_a_newer_taskwell(self, backup: Path, url: str) -> None:
        change(backup, "UPDATE taskwell_version SET version_num = '9999'")
        told = refused(url, "restore", str(backup))
        assert told == f"{backup} is of a newer taskwell: restore it with that version"


class TestTimeLines:
    """What a client was told after the backup was taken is never taken for something of the new time line."""

    def restored(self, url: str, file: Path) -> int:
        told = json.loads(done(url, "restore", str(file), "--replace", "--yes", "--json"))
        epoch: int = told["epoch"]
        return epoch

    def test_cursors_of_before_are_gone(self, database_url: str, tmp_path: Path) -> None:
        feed, tasks, file = "/api/ada/changes", "/api/ada/tasks", tmp_path / "tasks.bak"
        with served(database_url) as client:
            first = create(client, tasks)
            before = client.get(feed).json()["next"]
            done(database_url, "backup", str(file))
            lost = create(client, tasks, title="Lost")
            after = client.get(feed).json()["next"]
            nobody = create(client, "/api/new/tasks")
        epoch = self.restored(database_url, file)
        with served(database_url) as client:
            for since in (before, after, str(first["version"]), str(lost["version"])):
                problem(client.get(feed, params={"since": since}), 410, "gone")
                problem(client.get("/api/ada/events", params={"since": since}), 410, "gone")
            again = create(client, tasks)
            assert again["version"] == epoch * EPOCH + 1
            for since in (before, after):
                problem(client.get(feed, params={"since": since}), 410, "gone")
            # A user who came after the backup was taken is unknown now, and may come again.
            anew = create(client, "/api/new/tasks")
            assert anew["version"] == epoch * EPOCH + 1
            since = str(nobody["version"])
            problem(client.get("/api/new/changes", params={"since": since}), 410, "gone")

    def test_copies_can_be_begun_anew_and_followed(self, database_url: str, tmp_path: Path) -> None:
        """Page by page too, though what was restored has numbers of the earlier epoch."""
        feed, tasks, file = "/api/ada/changes", "/api/ada/tasks", tmp_path / "tasks.bak"
        with served(database_url) as client:
            made = [create(client, tasks) for _ in range(7)]
            done(database_url, "backup", str(file))
        self.restored(database_url, file)
        with served(database_url) as client:
            found: list[dict[str, Any]] = []
            query: dict[str, str] = {"limit": "3"}
            more = True
            while more:
                page = client.get(feed, params=query).raise_for_status().json()
                found, more = found + page["changes"], page["more"]
                query["since"] = page["next"]
            assert found == made
            assert client.get(feed, params=query).json()["changes"] == []
            with client.stream("GET", "/api/ada/events", params={"since": query["since"]}) as events:
                new = create(client, tasks)
                events_of = (line for line in events.iter_lines() if line.startswith("id:"))
                assert [next(events_of), next(events_of)] == [
                    f"id: {query['since']}",
                    f"id: {new['version']}",
                ]
            assert client.get(feed, params=query).json()["changes"] == [new]
            with client.stream(
                "GET", "/api/ada/events", params={"since": "2" + query["since"][1:]}
            ) as events:
                events_of = (line for line in events.iter_lines() if line.startswith("id:"))
                assert [next(events_of), next(events_of)] == [f"id: 2{query['since'][1:]}", "id: 3"]

    def test_etags_of_what_was_lost_match_nothing(self, database_url: str, tmp_path: Path) -> None:
        tasks, file = "/api/ada/tasks", tmp_path / "tasks.bak"
        with served(database_url) as client:
            kept = create(client, tasks, title="As it was")
            path = f"{tasks}/{kept['id']}"
            list_path = client.post("/api/ada/lists", json={"name": "x"}).headers["location"]
            list_before = client.get(tasks).headers["etag"]
            done(database_url, "backup", str(file))
            lost = client.patch(path, json={"title": "Lost"}).json()
            list_after = client.get(tasks).headers["etag"]
            lost_list = {"If-Match": client.patch(list_path, json={"name": "y"}).headers["etag"]}
        self.restored(database_url, file)
        with served(database_url) as client:
            for etag in (list_before, list_after):
                assert client.get(tasks, headers={"If-None-Match": etag}).status_code == 200
            for _ in range(3):
                client.patch(list_path, json={"name": "z"}).raise_for_status()
                problem(client.delete(list_path, headers=lost_list), 412, "precondition_failed")
            stale, right = f'"{lost["version"]}"', f'"{kept["version"]}"'
            assert client.get(path, headers={"If-None-Match": stale}).json() == kept
            assert client.get(path, headers={"If-None-Match": right}).status_code == 304
            problem(
                client.patch(path, json={"title": "x"}, headers={"If-Match": stale}),
                412,
                "precondition_failed",
            )
            answer = client.patch(path, json={"title": "x"}, headers={"If-Match": right})
            assert answer.status_code == 200
            for _ in range(3):  # the number of the lost time line is not come by again
                client.patch(path, json={"title": "y"})
                problem(
                    client.patch(path, json={"title": "x"}, headers={"If-Match": stale}),
                    412,
                    "precondition_failed",
                )

    def test_one_backup_can_be_restored_twice(
        self, database_url: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Into two empty databases, of which the second knows nothing of the first."""
        file = tmp_path / "tasks.bak"
        with served(database_url) as client:
            create(client, "/api/ada/tasks")
        done(database_url, "backup", str(file))
        first = self.restored(database_url, file)
        with served(database_url) as client:
            create(client, "/api/ada/tasks")
            since = client.get("/api/ada/changes").json()["next"]
        monkeypatch.setattr(epochs, "utc_now", lambda: datetime.now(UTC) + 2 * epochs._LENGTH)
        assert self.restored(other, file) > first
        with served(other) as client:
            problem(client.get("/api/ada/changes", params={"since": since}), 410, "gone")

    def test_each_replacement_begins_a_later_one(self, database_url: str, tmp_path: Path) -> None:
        file = tmp_path / "tasks.bak"
        empty(database_url)
        done(database_url, "backup", str(file))
        begun = [self.restored(database_url, file) for _ in range(3)]
        assert begun == [begun[0], begun[0] + 1, begun[0] + 2]

    @pytest.mark.parametrize("now", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)])
    def test_a_clock_that_is_wrong_hinders_nothing(self, now: datetime) -> None:
        assert epochs._next_epoch(3 * EPOCH + 5, now) == 4


class TestNewEpoch:
    """After a failover that lost writes."""

    def test_makes_cursors_of_before_gone(self, database_url: str) -> None:
        with served(database_url) as client:
            create(client, "/api/ada/tasks")
            since = client.get("/api/ada/changes").json()["next"]
            assert " continues in epoch " in done(database_url, "db", "new-epoch")
            problem(client.get("/api/ada/changes", params={"since": since}), 410, "gone")
            found = client.get("/api/ada/changes").json()
            assert len(found["changes"]) == 1
            assert client.get("/api/ada/changes", params={"since": found["next"]}).json()["changes"] == []


class TestRefusals:
    def test_of_a_newer_schema(self, backup: Path) -> None:
        with new_postgres_database() as url:
            empty(url)
            execute(url, "UPDATE taskwell_version SET version_num = '9999'")
            assert refused(url, "restore", str(backup)).endswith(
                " was migrated by a newer taskwell: use that version"
            )

    def test_of_a_database_that_cannot_be_reached(self, backup: Path) -> None:
        told = refused("postgresql://user:S3cr3t@127.0.0.1:1/app", "restore", str(backup))
        assert told.startswith("postgresql://user:***@127.0.0.1:1/app: ")
