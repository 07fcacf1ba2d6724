"""Backups beside writers. Each is restored, and has whatever was acknowledged when it was begun.

What a client was told in the old time line is then refused in the new one.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Connection, Request, connections
from taskwell.admin import backup, copy
from taskwell.admin.copy import Progress
from taskwell.core.errors import Gone
from taskwell.core.settings import Settings
from taskwell.database.database import ReadTransaction
from taskwell.models import Task
from taskwell.services.changes import list_changes, parse_cursor

_BACKUPS = 100
_WRITERS = 8
_USERS = ("ann", "bob", "cid", "dot")
_KEPT = 200  # tasks of a writer, so that the database does not grow without end


@dataclass
class Book:
    """What was acknowledged: the latest version of each task, by user."""

    versions: dict[str, dict[str, int]] = field(default_factory=lambda: {user: {} for user in _USERS})
    writes: int = 0
    refused: int = 0

    def page(self) -> dict[str, dict[str, int]]:
        return {user: dict(versions) for user, versions in self.versions.items()}


@dataclass
class Found:
    missing: int = 0
    followed: int = 0  # cursors of the old time line that were not refused


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server, form))


async def _measure(server: ServerProcess, form: Form) -> Figures:
    book, ended = Book(), asyncio.Event()
    settings = Settings(database_url=server.environment["DATABASE_URL"])
    found: list[Found] = []
    async with connections(server.port, _WRITERS) as opened:
        writers = [
            asyncio.ensure_future(_write(connection, Random(f"{form.seed} {n}"), book, ended))
            for n, connection in enumerate(opened)
        ]
        for _ in range(form.count(_BACKUPS)):
            acknowledged = book.page()
            with TemporaryDirectory(dir=server.folder) as folder:
                found.append(await asyncio.to_thread(_try_one, settings, Path(folder), acknowledged))
        ended.set()
        await asyncio.gather(*writers)
    return _figures(book, found)


async def _write(connection: Connection, random: Random, book: Book, ended: asyncio.Event) -> None:
    user = random.choice(_USERS)
    tasks: list[str] = []
    while not ended.is_set():
        answer = await connection.send(_request(random, user, tasks))
        if answer.status == 503:
            book.refused += 1
            continue
        assert answer.status in {200, 201}, answer.content
        task: dict[str, Any] = answer.json()
        if answer.status == 201:
            tasks.append(task["id"])
        book.versions[user][task["id"]] = task["version"]
        book.writes += 1


def _request(random: Random, user: str, tasks: list[str]) -> Request:
    path = f"/api/{user}/tasks"
    if (len(tasks) < _KEPT and random.random() < 0.3) or not tasks:
        return Request("POST", path, {"title": f"Task {random.random()}"})
    return Request("PATCH", f"{path}/{random.choice(tasks)}", {"description": f"As of {random.random()}"})


def _try_one(settings: Settings, folder: Path, acknowledged: dict[str, dict[str, int]]) -> Found:
    file = folder / "tasks.bak"
    asyncio.run(backup.back_up(settings, file, Progress()))
    restored = Settings(database_url=f"sqlite:///{folder}/restored.db")
    asyncio.run(backup.restore(restored, file, Progress(), replace=False))
    return asyncio.run(_compare(restored, acknowledged))


async def _compare(settings: Settings, acknowledged: dict[str, dict[str, int]]) -> Found:
    found = Found()
    async with copy.reading(settings) as transaction:
        for user, versions in acknowledged.items():
            rows = await transaction.all(
                select(col(Task.id), col(Task.version)).where(col(Task.user_id) == user)
            )
            held = {str(row.id): row.version for row in rows}
            found.missing += sum(held.get(task, 0) < version for task, version in versions.items())
            for version in sorted(versions.values())[-10:]:
                found.followed += await _follows(transaction, user, version)
    return found


async def _follows(transaction: ReadTransaction, user: str, version: int) -> bool:
    try:
        await list_changes(transaction, user, parse_cursor(f"{version}-0"), limit=1)
    except Gone:
        return False
    return True


def _figures(book: Book, found: list[Found]) -> Figures:
    figures = Figures()
    missing = sum(one.missing for one in found)
    followed = sum(one.followed for one in found)
    figures.note("backups, each of them restored", len(found))
    figures.note("writes acknowledged meanwhile", book.writes)
    figures.note("answered 503", book.refused)
    figures.promise("acknowledged writes not in a backup", missing, kept=missing == 0)
    figures.promise("old cursors that were not refused", followed, kept=followed == 0)
    return figures
