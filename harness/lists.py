"""Lists as records, for tests beneath HTTP."""

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Dialect

from taskwell.database.database import ReadTransaction
from taskwell.schemas.query import Keyset, TaskQuery
from taskwell.schemas.task import TaskRead
from taskwell.services.task_filters import resolve
from taskwell.services.task_query import ChunkKey, list_chunk, prepared, values_of

_TASKS = TypeAdapter(list[TaskRead])


async def list_tasks(
    transaction: ReadTransaction, user_id: str, query: TaskQuery, *, limit: int, after: Keyset | None = None
) -> list[TaskRead]:
    part = await list_chunk(transaction, ChunkKey(user_id, query, limit, after))
    return _TASKS.validate_json(f"[{part.json}]")


def list_sql(
    dialect: Dialect, user_id: str, query: TaskQuery, *, limit: int, after: Keyset | None = None
) -> tuple[str, tuple[Any, ...]]:
    """The statement of a list, and its values."""
    key = ChunkKey(user_id, query, limit, after)
    filters = resolve(query.filter)
    sql, values = prepared(dialect.name, key, filters).compiled(dialect, values_of(key, filters))
    return sql, tuple(values)
