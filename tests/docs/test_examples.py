"""The programs of the pages, run as they stand there against a server."""

import json
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from clients import make
from harness.issuer import AUDIENCE, running_issuer
from harness.node import install, program
from harness.servers import ServerProcess, server_process
from taskwell.services.webhooks import new_secret
from taskwell.webhooks.signing import signed
from tests.clients import run

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server_process(tmp_path_factory.mktemp("examples")) as server:
        yield server


@pytest.fixture
def live(server: ServerProcess) -> ServerProcess:
    """Without the tasks of the programs before: what one prints depends on what is there."""
    httpx2.delete(f"{server.url}/api/users/default")
    return server


def blocks(page: str, language: str, server: ServerProcess) -> list[str]:
    """The programs of a page, for that server."""
    text = (DOCS / page).read_text().replace("http://127.0.0.1:8000", server.url)
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [program for name, program in found if name == language]


@pytest.mark.plan("A11")
class TestQuickstart:
    def test_in_javascript(self, live: ServerProcess, tmp_path: Path) -> None:
        (example,) = blocks("quickstart.md", "js", live)
        (tmp_path / "example.mjs").write_text(example)
        assert run(program("node"), "example.mjs", cwd=tmp_path) == "[ 'Buy milk' ]\n"

    def test_in_python(self, live: ServerProcess, tmp_path: Path) -> None:
        (example,) = blocks("quickstart.md", "python", live)
        assert run(sys.executable, "-c", example, cwd=tmp_path) == "['Buy milk']\n"


class TestTutorial:
    def test_in_python(self, live: ServerProcess, tmp_path: Path) -> None:
        layer, use = blocks("tutorial.md", "python", live)
        interpreter = make.python()
        (tmp_path / "todos.py").write_text(f"{layer}\n\n{use}")
        shown, _ = blocks("tutorial.md", "", live)
        assert run(interpreter, "-W", "error", "todos.py", cwd=tmp_path) == shown
        typed = run(interpreter, "-m", "mypy", "--strict", "todos.py", cwd=tmp_path)
        assert "no issues" in typed

    def test_in_typescript(self, live: ServerProcess, tmp_path: Path) -> None:
        """As in a project that has installed the client."""
        node = program("node")
        client = make.typescript()
        layer, use = blocks("tutorial.md", "ts", live)
        (tmp_path / "todos.ts").write_text(f"{layer}\n{use}")
        (tmp_path / "package.json").write_text('{"type": "module"}')
        (tmp_path / "node_modules").mkdir()
        (tmp_path / "node_modules" / "taskwell-client").symlink_to(client, target_is_directory=True)
        options = (
            "--strict",
            "--skipLibCheck",
            "--target",
            "es2022",
            "--module",
            "nodenext",
            "--lib",
            "es2022,dom",
        )
        run(node, client / "node_modules" / "typescript" / "bin" / "tsc", *options, "todos.ts", cwd=tmp_path)
        _, shown = blocks("tutorial.md", "", live)
        assert run(node, "todos.js", cwd=tmp_path) == shown

    def test_it_is_as_short_as_it_says(self, live: ServerProcess) -> None:
        for language in ("python", "ts"):
            layer, _ = blocks("tutorial.md", language, live)
            assert len([line for line in layer.splitlines() if line.strip()]) < 60


class TestDates:
    def test_a_device_shows_the_day_and_the_time_that_are_meant(
        self, live: ServerProcess, tmp_path: Path
    ) -> None:
        """In a zone where the midnight of UTC is on the day before."""
        (example,) = blocks("dates.md", "js", live)
        (shown,) = blocks("dates.md", "", live)
        (tmp_path / "example.mjs").write_text(f"process.env.TZ = 'America/New_York'\n{example}")
        assert run(program("node"), "example.mjs", cwd=tmp_path) == shown


class TestAgents:
    def test_a_run_and_its_undoing(self, tmp_path: Path) -> None:
        with running_issuer("RS256") as issuer:
            trusted = {
                "TASKWELL_AUTH": "jwt",
                "TASKWELL_JWT_ISSUER": issuer.url,
                "TASKWELL_JWT_JWKS_URL": issuer.jwks_url,
                "TASKWELL_JWT_AUDIENCE": AUDIENCE,
            }
            with server_process(tmp_path, **trusted) as guarded:
                (example,) = blocks("agents.md", "python", guarded)
                (shown,) = blocks("agents.md", "", guarded)
                (tmp_path / "example.py").write_text(
                    f"import os\nos.environ['OWNER'] = {issuer.token('ann')!r}\n{example}"
                )
                assert run(sys.executable, "example.py", cwd=tmp_path) == shown


class TestEvents:
    def test_with_sign_in_they_are_read_with_fetch(self, live: ServerProcess, tmp_path: Path) -> None:
        """From the beginning, to the second of two tasks; then it is told that it cannot go on from there."""
        _, changes = blocks("live-updates.md", "js", live)
        use = f"""
            const url = '{live.url}/api/events'
            for await (const task of changes(url, 'token', 0)) {{
              console.log(task.title)
              if (task.title === 'Call mum') break
            }}
            await changes(url, 'token', 99999).next().catch((error) => console.log(error.message))
            process.exit()"""
        (tmp_path / "example.mjs").write_text(changes + use)
        for title in ("Buy milk", "Call mum"):
            httpx2.post(f"{live.url}/api/tasks", json={"title": title}).raise_for_status()
        assert run(program("node"), "example.mjs", cwd=tmp_path) == "Buy milk\nCall mum\ngone\n"


class TestMigrating:
    def test_the_tasks_of_an_old_database_come_along_once(self, live: ServerProcess, tmp_path: Path) -> None:
        rows = [
            (1, "alice", "Buy milk", None, False, "2026-01-02 10:00:00"),
            (2, "bob", "Call mum", "On Sunday", True, "2026-01-01 10:00:00"),
            (3, "alice", "  ", None, False, "2026-01-03 10:00:00"),
            (4, "alice", "Buy bread", "", True, "2026-01-04 10:00:00"),
        ]
        old = tmp_path / "old.db"
        with closing(sqlite3.connect(old)) as database, database:
            database.execute(
                "CREATE TABLE tasks (id INTEGER PRIMARY KEY, user_id TEXT, title TEXT, description TEXT,"
                " completed BOOLEAN, created_at TIMESTAMP)"
            )
            database.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)", rows)
        (example,) = blocks("migrating.md", "python", live)
        (tmp_path / "move.py").write_text(example)
        command = (sys.executable, "move.py", "old.db", live.url)
        refused = "3 title: must have 1 to 200 characters"
        assert run(*command, cwd=tmp_path).splitlines() == ["2 moved", "1 moved", refused, "4 moved"]
        assert run(*command, cwd=tmp_path).splitlines() == ["2 is there", "1 is there", refused, "4 is there"]
        with httpx2.Client(base_url=live.url) as client:
            alice, bob = (client.get(f"/api/{user}/tasks").json() for user in ("alice", "bob"))
        assert [(task["title"], task["description"], task["completed"]) for task in alice + bob] == [
            ("Buy bread", "", True), ("Buy milk", None, False), ("Call mum", "On Sunday", True),
        ]  # fmt: skip


class TestWebhooks:
    """What verifies a message on the page, with a message of ours."""

    MESSAGE = b'{"type":"task.completed","timestamp":"","data":{"task":{"title":"Buy milk"}}}'

    def headers(self, secret: str) -> dict[str, str]:
        return signed([secret], "whk_1_1", int(time.time()), self.MESSAGE)

    def test_in_python(self, live: ServerProcess) -> None:
        (example,) = blocks("webhooks.md", "python", live)
        secret = new_secret()
        use = f"print(receive({secret!r}, {self.headers(secret)!r}, {self.MESSAGE!r}))"
        assert run(sys.executable, "-c", f"{example}\n{use}", cwd=DOCS) == "done: Buy milk\n"

    def test_in_javascript(self, live: ServerProcess, tmp_path: Path) -> None:
        (example,) = blocks("webhooks.md", "js", live)
        folder = DOCS.parent / "tests" / "webhooks" / "node"
        install(folder)
        (tmp_path / "node_modules").symlink_to(folder / "node_modules", target_is_directory=True)
        secret = new_secret()
        given = ", ".join(json.dumps(one) for one in (secret, self.headers(secret), self.MESSAGE.decode()))
        (tmp_path / "example.mjs").write_text(f"{example}\nconsole.log(receive({given}))")
        assert run(program("node"), "example.mjs", cwd=tmp_path) == "done: Buy milk\n"
