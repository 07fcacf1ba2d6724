"""Eight servers that start at once, and so migrate, on a database that is empty or was left by an older one.

They come from a process that has imported everything, so that they really do it at the same time.
"""

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import closing, redirect_stdout
from io import StringIO
from pathlib import Path
from sqlite3 import connect
from typing import Any

import httpx2
from alembic.script import ScriptDirectory

from harness.databases import execute
from harness.figures import Figures, Form
from harness.postgres import free_ports
from harness.servers import ServerProcess, wait_for
from harness.warm import shared
from stress.moves import sibling
from taskwell.core.settings import Settings
from taskwell.database import migrate

_ROUNDS = 100
_SERVERS = 8
_TASKS = 20
_AT = "2026-11-21 10:00:00+00"
_SCRIPTS = Path(migrate.__file__).parents[1] / "migrations"


class _Tally:
    def __init__(self) -> None:
        self.rounds = self.failed = self.unlike = self.lost = 0
        self.seconds = 0.0  # at most, until all of them were ready


def measure(server: ServerProcess, form: Form) -> Figures:
    revisions = [script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions()]
    older: list[str | None] = [None, *reversed(revisions[1:])]  # None: empty
    tally = _Tally()
    with shared():
        for n in range(form.count(_ROUNDS)):
            url = sibling(server.environment["DATABASE_URL"], f"round{n}")
            _try(url, older[n % len(older)], server, tally)
    return _figures(tally, len(older))


def _try(url: str, revision: str | None, server: ServerProcess, tally: _Tally) -> None:
    settings = Settings(database_url=url)
    if revision is not None:
        asyncio.run(migrate.upgrade(settings, revision))
        _fill(url, revision)
    environment = {**server.environment, "DATABASE_URL": url}
    ports = free_ports(_SERVERS)
    start = time.perf_counter()
    processes = [ServerProcess(server.folder, environment, port) for port in ports]
    for process in processes:
        process.start()
    try:
        wait_for(lambda: all(_is_ready(port) for port in ports), seconds=60)
    except AssertionError:
        tally.failed += sum(not _is_ready(port) for port in ports)
    tally.seconds = max(tally.seconds, time.perf_counter() - start)
    for process in processes:
        process.stop(signal.SIGKILL)
    tally.rounds += 1
    versions = _sql(url, f"SELECT version_num FROM {migrate.VERSION_TABLE}")
    with redirect_stdout(StringIO()):  # Alembic says what it found
        tally.unlike += len(versions) != 1 or asyncio.run(migrate.check(settings)) is not None
    if revision is not None:
        (held,) = _sql(url, "SELECT count(*) FROM tasks WHERE title_key = 'task'")[0]
        tally.lost += _TASKS - held


def _is_ready(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health/ready", timeout=30).status_code == 200
    except httpx2.TransportError:
        return False


def _fill(url: str, revision: str) -> None:
    """Tasks as a server of that time left them: later ones filled in the keys, too."""
    _sql(url, f"INSERT INTO users (id, created_at, last_seq) VALUES ('ann', '{_AT}', {_TASKS})")
    keyed = revision > "0001"
    key = ", 'task'" if keyed else ""
    rows = [f"('ann', '{n:032x}', 'Task', false, '{_AT}', '{_AT}', {n}{key})" for n in range(1, _TASKS + 1)]
    columns = (
        f"user_id, id, title, completed, created_at, updated_at, version{', title_key' if keyed else ''}"
    )
    _sql(url, f"INSERT INTO tasks ({columns}) VALUES {', '.join(rows)}")


def _sql(url: str, statement: str) -> Sequence[Any]:
    if not url.startswith("sqlite"):
        return execute(url, statement)
    with closing(connect(Settings(database_url=url).database.path)) as connection, connection:
        return connection.execute(statement).fetchall()


def _figures(tally: _Tally, older: int) -> Figures:
    figures = Figures()
    figures.note("rounds", tally.rounds)
    figures.note("servers in each", _SERVERS)
    figures.note("kinds of databases, the empty one too", older)
    figures.promise("servers that were not ready in a minute", tally.failed, kept=tally.failed == 0)
    figures.promise("schemas unlike the models", tally.unlike, kept=tally.unlike == 0)
    figures.promise("tasks lost or not migrated", tally.lost, kept=tally.lost == 0)
    figures.note("seconds until all were ready, at most", tally.seconds)
    return figures
