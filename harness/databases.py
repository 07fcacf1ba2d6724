"""Fresh PostgreSQL databases, and SQL beside the server."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import make_url


def execute(url: str, statement: str) -> list[Any]:
    """Run one statement on a PostgreSQL, as an administrator would."""

    async def work() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    return asyncio.run(work())


def admin_url() -> str:
    return os.environ["TEST_DATABASE_URL"]


@contextmanager
def new_postgres_database() -> Iterator[str]:
    """The URL of an empty database on the tests' server."""
    name = f"taskwell_{uuid4().hex}"
    execute(admin_url(), f'CREATE DATABASE "{name}"')
    try:
        yield make_url(admin_url()).set(database=name).render_as_string(hide_password=False)
    finally:
        execute(admin_url(), f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def new_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of either kind; SQLite's file is in the folder."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/test.db"
    else:
        with new_postgres_database() as url:
            yield url
