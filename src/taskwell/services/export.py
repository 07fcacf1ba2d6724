"""Exports all stored data of a user as lines of JSON (NDJSON), read in chunks."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from taskwell.core import strict_json
from taskwell.database.database import Database
from taskwell.schemas.change import KINDS, Kind, LabelRow, LabelRowDeleted, label_row_json
from taskwell.schemas.claim import claim_json
from taskwell.schemas.history import entry_json
from taskwell.schemas.task import TaskDeleted, TaskRead, task_to_json
from taskwell.schemas.task_list import ListDeleted, ListRead, list_json
from taskwell.schemas.token import token_json
from taskwell.schemas.user import UserRead, user_json
from taskwell.schemas.webhook import webhook_json
from taskwell.services.changes import changed_since
from taskwell.services.claims import list_claims
from taskwell.services.history_query import read_history
from taskwell.services.tokens import list_tokens
from taskwell.services.webhooks import list_webhooks

_CHUNK_ROWS = 1_000


async def export_lines(database: Database, user: UserRead) -> AsyncGenerator[bytes]:
    """Yield the user, their tokens and webhooks without secrets, all that is theirs, and its history."""
    tokens = await database.read(list_tokens, user.id)
    webhooks = await database.read(list_webhooks, user.id)
    yield b"".join(
        [
            _line(b"user", user_json(user)),
            *(_line(b"token", token_json(one)) for one in tokens),
            *(_line(b"webhook", webhook_json(one)) for one in webhooks),
        ]
    )
    after = 0
    while found := await database.read(changed_since, user.id, after, limit=_CHUNK_ROWS, kinds=KINDS):
        # In the order of versions: what changes meanwhile is repeated, nothing is missed.
        yield b"".join(_line(one.kind.encode(), _JSON[one.kind](one.values)) for one in found)
        after = found[-1].values[-2]
    for one in await database.read(list_claims, user.id):
        yield _line(b"claim", claim_json(one))
    position = 0
    while page := await database.read(read_history, user.id, position, limit=_CHUNK_ROWS):
        yield b"".join(_line(b"history", entry_json(one)) for one in page)
        position = page[-1].version


def _task(values: Sequence[Any]) -> bytes:
    return task_to_json(TaskRead.of(values[:-1]) if values[-1] is None else TaskDeleted.of(values))


def _list(values: Sequence[Any]) -> bytes:
    return list_json(ListRead.of(values[:-1]) if values[-1] is None else ListDeleted.of(values))


def _label(values: Sequence[Any]) -> bytes:
    return label_row_json(LabelRow(*values[:-1]) if values[-1] is None else LabelRowDeleted(*values))


_JSON: Mapping[Kind, Callable[[Sequence[Any]], bytes]] = {"task": _task, "list": _list, "label": _label}


def _line(kind: bytes, record: bytes) -> bytes:
    return b'{"%s":%s}\n' % (kind, strict_json.in_one_line(record))
