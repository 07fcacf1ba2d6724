"""Tasks in PostgreSQL, through asyncpg. pgbench runs the same statements."""

from collections.abc import Sequence
from typing import Any

import asyncpg

Row = Sequence[Any]

_COLUMNS = "id, user_id, title, description, completed, completed_at, created_at, updated_at, version"
SCHEMA = """
    CREATE TABLE IF NOT EXISTS tasks (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id text NOT NULL,
        title text NOT NULL,
        description text,
        completed boolean NOT NULL DEFAULT false,
        completed_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        version integer NOT NULL DEFAULT 1
    );
    CREATE INDEX IF NOT EXISTS ix_tasks_list ON tasks (user_id, created_at DESC, id DESC)
    """
READ = f"SELECT {_COLUMNS} FROM tasks WHERE id = $2 AND user_id = $1"
LIST = f"SELECT {_COLUMNS} FROM tasks WHERE user_id = $1 ORDER BY created_at DESC, id DESC"
STATE = "SELECT count(*), sum(version), max(updated_at) FROM tasks WHERE user_id = $1"
CREATE = f"INSERT INTO tasks (user_id, title, description) VALUES ($1, $2, $3) RETURNING {_COLUMNS}"
TOGGLE = f"""
    UPDATE tasks SET completed = NOT completed, completed_at = CASE WHEN completed THEN NULL ELSE now() END,
        updated_at = now(), version = version + 1
    WHERE id = $2 AND user_id = $1 RETURNING {_COLUMNS}
    """


class Store:
    def __init__(self, url: str) -> None:
        self.url = url
        self.pool: Any = None

    async def open(self) -> None:
        # A statement leaves nothing behind in its session, so there is nothing to reset.
        self.pool = await asyncpg.create_pool(self.url, min_size=10, max_size=10, reset=_nothing)
        await self.pool.execute(SCHEMA)

    async def close(self) -> None:
        await self.pool.close()

    async def read(self, user_id: str, task_id: str) -> Row | None:
        row: Row | None = await self.pool.fetchrow(READ, user_id, task_id)
        return row

    async def list(self, user_id: str, limit: int | None) -> Sequence[Row]:
        if limit is None:
            rows: Sequence[Row] = await self.pool.fetch(LIST, user_id)
        else:
            rows = await self.pool.fetch(f"{LIST} LIMIT $2", user_id, limit)
        return rows

    async def state(self, user_id: str) -> Row:
        row: Row = await self.pool.fetchrow(STATE, user_id)
        return row

    async def create(self, user_id: str, title: str, description: str | None) -> Row:
        row: Row = await self.pool.fetchrow(CREATE, user_id, title, description)
        return row

    async def toggle(self, user_id: str, task_id: str) -> Row | None:
        row: Row | None = await self.pool.fetchrow(TOGGLE, user_id, task_id)
        return row


async def _nothing(_connection: Any) -> None:
    pass
