"""Exports all stored data of a user as lines of JSON (NDJSON), read in chunks."""

from collections.abc import AsyncGenerator, Sequence

from taskwell.core import strict_json
from taskwell.database.database import Database, ReadTransaction
from taskwell.schemas.task import TaskDeleted, TaskRead, task_to_json
from taskwell.schemas.token import token_json
from taskwell.schemas.user import UserRead, user_json
from taskwell.services.changes import changed_since
from taskwell.services.tokens import list_tokens

_CHUNK_ROWS = 1_000


async def export_lines(database: Database, user: UserRead) -> AsyncGenerator[bytes]:
    """Yield the user, their tokens without the secrets, and all tasks, including the trash."""
    tokens = await database.read(list_tokens, user.id)
    yield b"".join([_line(b"user", user_json(user)), *(_line(b"token", token_json(one)) for one in tokens)])
    after = 0
    while tasks := await database.read(_tasks, user.id, after):
        yield b"".join(_line(b"task", task_to_json(task)) for task in tasks)
        after = tasks[-1].version


async def _tasks(transaction: ReadTransaction, user_id: str, after: int) -> Sequence[TaskRead]:
    """A chunk in the order of versions: a task that changes meanwhile is repeated, none is missed."""
    rows = await changed_since(transaction, user_id, after, limit=_CHUNK_ROWS)
    return [TaskDeleted.of(row) if row.deleted_at else TaskRead.of(row[:-1]) for row in rows]


def _line(kind: bytes, record: bytes) -> bytes:
    return b'{"%s":%s}\n' % (kind, strict_json.in_one_line(record))
