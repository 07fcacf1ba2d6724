"""Tasks in SQLite, through the standard library, on the event loop itself: no thread to wait for."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

Row = Sequence[Any]

_COLUMNS = "id, user_id, title, description, completed, completed_at, created_at, updated_at, version"
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS tasks (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        title TEXT NOT NULL,
        description TEXT,
        completed INTEGER NOT NULL DEFAULT 0,
        completed_at TEXT,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        version INTEGER NOT NULL DEFAULT 1
    );
    CREATE INDEX IF NOT EXISTS ix_tasks_list ON tasks (user_id, created_at DESC, id DESC)
    """
_READ = f"SELECT {_COLUMNS} FROM tasks WHERE id = ?2 AND user_id = ?1"
_LIST = f"SELECT {_COLUMNS} FROM tasks WHERE user_id = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2"
_STATE = "SELECT count(*), sum(version), max(updated_at) FROM tasks WHERE user_id = ?1"
_CREATE = f"""
    INSERT INTO tasks (id, user_id, title, description, created_at, updated_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?5) RETURNING {_COLUMNS}
    """
_TOGGLE = f"""
    UPDATE tasks SET completed = NOT completed, completed_at = CASE WHEN completed THEN NULL ELSE ?3 END,
        updated_at = ?3, version = version + 1
    WHERE id = ?2 AND user_id = ?1 RETURNING {_COLUMNS}
    """


class Store:
    def __init__(self, url: str) -> None:
        self.connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")

    async def open(self) -> None:
        self.connection.executescript(_SCHEMA)

    async def close(self) -> None:
        self.connection.close()

    async def read(self, user_id: str, task_id: str) -> Row | None:
        return self._one(_READ, user_id, task_id)

    async def list(self, user_id: str, limit: int | None) -> Sequence[Row]:
        values = (user_id, -1 if limit is None else limit)
        return [_typed(row) for row in self.connection.execute(_LIST, values)]

    async def state(self, user_id: str) -> Row:
        row: Row = self.connection.execute(_STATE, (user_id,)).fetchone()
        return row

    async def create(self, user_id: str, title: str, description: str | None) -> Row:
        row = self._one(_CREATE, str(uuid4()), user_id, title, description, _now())
        assert row is not None
        return row

    async def toggle(self, user_id: str, task_id: str) -> Row | None:
        return self._one(_TOGGLE, user_id, task_id, _now())

    def _one(self, statement: str, *values: Any) -> Row | None:
        # All rows are taken: only then is a statement that writes at its end, and committed.
        rows = self.connection.execute(statement, values).fetchall()
        return _typed(rows[0]) if rows else None


def _typed(row: Row) -> Row:
    return (*row[:4], bool(row[4]), *row[5:])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
