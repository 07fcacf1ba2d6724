"""Moves of tasks among their siblings, as prepared statements for many tasks and many users at once.

The rule is that of `services.moves`. A move into another list or below another task, one that the rule
refuses, and one that spreads the siblings, is `NotCoalesced`: its own transaction decides.

PostgreSQL reads the places first and writes all moves in one statement, which numbers a user's moves only if
the user's last number is still the one that was read: then nothing has changed in between.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple
from uuid import UUID

from taskwell.core.clock import utc_now
from taskwell.core.errors import Held, NotCoalesced
from taskwell.database.coalescing import coalesced
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.database.prepared import PreparedStatement, Rows
from taskwell.services.history import changes_json
from taskwell.services.moves import key_at
from taskwell.services.task_statements import (
    ALIVE,
    FOUND,
    ONE_TASK,
    POSTGRES_JSON,
    POSTGRES_WHO,
    RECORD,
    SQLITE_JSON,
    SQLITE_WHO,
    TaskJson,
    TaskKey,
    locked_sql,
    numbered_sql,
    numbers_by_user,
    prepared,
    sqlite_values,
)
from taskwell.services.tasks import TaskNotFound

# The ends of an order, as the id and the key of a sibling beyond all others.
_TOP = (str(UUID(int=0)), "")
_END = (str(UUID(int=2**128 - 1)), "~")


def _end(after: bool) -> tuple[str, str]:
    """What is beside a task that goes after nothing, or before nothing."""
    return _TOP if after else _END


class MoveKey(NamedTuple):
    """A move directly after or before a sibling. `other` None: after nothing is the top, before the end.

    `id`, `other`: in canonical form.
    """

    user_id: str
    id: str
    other: str | None
    after: bool

    @property
    def beside(self) -> str:
        """The id of the sibling, or of the end of the order."""
        return self.other or _end(self.after)[0]


@coalesced("move_tasks")
async def move_tasks(
    transaction: Transaction, keys: Sequence[MoveKey]
) -> Sequence[TaskJson | TaskNotFound | Held | NotCoalesced]:
    """Move each task, in the order of the keys."""
    if not transaction.writes_in_ctes:
        return [await _move_task(transaction, key) for key in keys]
    orders: dict[tuple[str, ...], _Order] = {}
    found = await _places(transaction, keys)
    for place in found.values():
        orders.setdefault(place.siblings, _Order()).learn(place)
    again = NotCoalesced if transaction.waits else Held
    outcomes: list[TaskJson | TaskNotFound | Held | NotCoalesced] = []
    moves: list[_Move] = []
    for key in keys:
        there = found.get(key)
        outcome = TaskNotFound() if there is None else orders[there.siblings].move(there, again)
        if isinstance(outcome, _Move):
            moves.append(outcome)
            outcome = again()  # unless it is written
        outcomes.append(outcome)
    written = await _write(transaction, moves) if moves else {}
    return [written.get(key) or outcome for key, outcome in zip(keys, outcomes, strict=True)]


class _Place(NamedTuple):
    """Where a task is, and where it is to go.

    `position`: of the task. `other`: the key of the sibling beside which it is to be; None: that is none.
    `near`: the next two siblings behind that one, in the direction of the move, with their keys.
    """

    key: MoveKey
    last_seq: int
    siblings: tuple[str, ...]
    position: str
    other: str | None
    near: Sequence[tuple[str, str]]


class _Move(NamedTuple):
    """The parameters of a move's write."""

    key: MoveKey
    last_seq: int
    position: str
    changes: str


async def _places(transaction: ReadTransaction, keys: Sequence[MoveKey]) -> dict[MoveKey, _Place]:
    owners = _owners(keys)
    rows = await transaction.fetch_prepared(
        _find_statement(several="user_ids" in owners),
        **owners,
        ids=[key.id for key in keys],
        others=[key.beside for key in keys],
        afters=[str(key.after) for key in keys],
    )
    by_ordinal: dict[int, list[Sequence[str]]] = {}
    for row in rows:
        by_ordinal.setdefault(int(row[0]), []).append(row[1:])
    return {keys[ordinal - 1]: _place(keys[ordinal - 1], of_one) for ordinal, of_one in by_ordinal.items()}


def _owners(keys: Sequence[MoveKey]) -> dict[str, str | list[str]]:
    """The parameter for the users of some moves. With row-level security it is one."""
    users = [key.user_id for key in keys]
    return {"user_ids": users} if len(set(users)) > 1 else {"user_id": users[0]}


def _place(key: MoveKey, rows: Rows) -> _Place:
    last_seq, list_id, parent_id, position, other, *_ = rows[0]
    if key.other is None:
        _, other = _end(key.after)
    near = [(row[5], row[6]) for row in rows if row[5] is not None]
    near.sort(key=lambda one: one[::-1], reverse=not key.after)
    return _Place(key, last_seq, (key.user_id, list_id or "", parent_id or ""), position, other, near)


class _Order:
    """What a group knows of the order of some siblings, and its moves among them."""

    def __init__(self) -> None:
        self._behind: dict[str, str] = {}
        self._before: dict[str, str] = {}
        self._positions: dict[str, str] = {}
        self._moved: set[str] = set()

    def learn(self, place: _Place) -> None:
        """Two siblings and the one beside which the task is to be follow each other directly."""
        if place.other is None:
            return
        chain = [(place.key.beside, place.other), *place.near]
        if len(place.near) < 2:
            chain.append(_end(not place.key.after))
        self._positions |= dict(chain)
        ids = [one for one, _ in chain]
        self._link(ids if place.key.after else ids[::-1])

    def move(self, place: _Place, again: type[Held | NotCoalesced]) -> _Move | Held | NotCoalesced:
        """`again`: what becomes of a move that depends on an earlier one of the group in an unknown way."""
        key, beside = place.key, place.key.beside
        if place.other is None:
            return NotCoalesced()
        next_to = self._behind if key.after else self._before
        further = next_to.get(beside)
        if further == key.id:
            further = next_to.get(key.id)
        if further is None or key.id in self._moved:
            return again()
        lower, upper = (beside, further) if key.after else (further, beside)
        position = key_at(self._key(lower), self._key(upper))
        if position is None:
            return NotCoalesced()
        self._take_out(key.id)
        self._link([lower, key.id, upper])
        self._positions[key.id] = position
        self._moved.add(key.id)
        return _Move(key, place.last_seq, position, _changes(place.position, position))

    def _key(self, one: str) -> str | None:
        return None if one in {_TOP[0], _END[0]} else self._positions[one]

    def _take_out(self, one: str) -> None:
        before, behind = self._before.pop(one, None), self._behind.pop(one, None)
        if before is not None:
            self._behind.pop(before, None)
        if behind is not None:
            self._before.pop(behind, None)
        if before is not None and behind is not None:
            self._link([before, behind])

    def _link(self, ids: Iterable[str]) -> None:
        for one, following in pairwise(ids):
            self._behind[one] = following
            self._before[following] = one


def _changes(old: str, new: str) -> str:
    """What the record of a move has, as JSON."""
    return changes_json({"position": (old, new)} if new != old else {})


async def _write(transaction: Transaction, moves: Sequence[_Move]) -> dict[MoveKey, TaskJson]:
    owners = _owners([move.key for move in moves])
    rows = await transaction.fetch_prepared(
        _move_statement(several="user_ids" in owners, waits=transaction.waits),
        **owners,
        ids=[move.key.id for move in moves],
        positions=[move.position for move in moves],
        changes=[move.changes for move in moves],
        seens=[str(move.last_seq) for move in moves],
        now=utc_now(),
        **transaction.actor._asdict(),
    )
    return {moves[row[0] - 1].key: TaskJson(row[1], row[2]) for row in rows}


async def _move_task(transaction: Transaction, key: MoveKey) -> TaskJson | TaskNotFound | NotCoalesced:
    """On SQLite the writes of the group before this one are visible."""
    values = {**sqlite_values(TaskKey(key.user_id, key.id)), "other": key.beside.replace("-", "")}
    rows = await transaction.fetch_prepared(_FIND_PLACE, **values)
    if not rows:
        return TaskNotFound()
    list_id, parent_id, old, other = rows[0]
    if key.other is not None and other is None:
        return NotCoalesced()
    if key.other is None:
        _, other = _end(key.after)
    kind = "parent" if parent_id else "list" if list_id else "inbox"
    near = {**values, "list_id": list_id, "parent_id": parent_id, "from": other}
    further = await transaction.fetch_prepared(_FIND_NEAR[kind, key.after], **near)
    beside = other if key.other else None
    behind = further[0][0] if further else None
    position = key_at(*((beside, behind) if key.after else (behind, beside)))
    if position is None:
        return NotCoalesced()
    numbers = (await numbers_by_user(transaction, [key.user_id]))[key.user_id]
    written = {**values, "now": utc_now(), "version": next(numbers), "position": position}
    record = {"object_id": key.id, "changes": _changes(old, position), **transaction.actor._asdict()}
    await transaction.write_prepared(_RECORD_MOVE, [written | record])
    ((version, json),) = await transaction.fetch_prepared(_MOVE_TASK, **written)
    return TaskJson(version, json)


# How the siblings of a task are found, by what it is in. Each has an index of its own.
_SIBLINGS = {
    "parent": "{0}.parent_id = {1}parent_id AND {0}.list_id {2} {1}list_id",
    "list": "{0}.list_id = {1}list_id AND {0}.parent_id IS NULL",
    "inbox": "{0}.list_id IS NULL AND {0}.parent_id IS NULL",
}
_IS_IN = {
    "parent": "tasks.parent_id IS NOT NULL",
    "list": "tasks.list_id IS NOT NULL AND tasks.parent_id IS NULL",
    "inbox": "tasks.list_id IS NULL AND tasks.parent_id IS NULL",
}
# By `after`: the comparison with the place, and the order in which the siblings follow it.
_DIRECTIONS = {True: (">", "position, id"), False: ("<", "position DESC, id DESC")}

# SQLite

_FIND_PLACE = prepared(
    f"""
    SELECT list_id, parent_id, position, (
        SELECT other.position FROM tasks AS other
        WHERE other.user_id = :user_id AND other.id = :other AND other.deleted_at IS NULL AND other.id <> :id
        AND other.list_id IS tasks.list_id AND other.parent_id IS tasks.parent_id
    ) FROM tasks WHERE {ONE_TASK}
    """
)


def _near_on_sqlite(kind: str, *, after: bool) -> PreparedStatement:
    compared, order = _DIRECTIONS[after]
    return prepared(
        f"""
        SELECT position FROM tasks
        WHERE user_id = :user_id AND {_SIBLINGS[kind].format("tasks", ":", "IS")} AND deleted_at IS NULL
        AND id <> :id AND (position, id) {compared} (:from, :other) ORDER BY {order} LIMIT 1
        """
    )


_FIND_NEAR = {
    (kind, after): _near_on_sqlite(kind, after=after) for kind in _SIBLINGS for after in _DIRECTIONS
}
_RECORD_MOVE = prepared(
    f"""
    {RECORD} SELECT :user_id, :version, 'task', :object_id, 'updated', max(:now, updated_at), :changes,
    {SQLITE_WHO} FROM tasks WHERE {ONE_TASK}
    """,
    "now", "version", "token_id",
)  # fmt: skip
_MOVE_TASK = prepared(
    f"""
    UPDATE tasks SET position = :position, updated_at = max(:now, updated_at), version = :version
    WHERE {ONE_TASK} RETURNING version, {SQLITE_JSON}
    """,
    "now", "version",
)  # fmt: skip

# PostgreSQL


def _near_on_postgres(kind: str, *, after: bool) -> str:
    compared, order = _DIRECTIONS[after]
    _, end = _end(after)
    return f"""
        (SELECT near.id, near.position FROM tasks AS near
        WHERE inputs.after = {after} AND {_IS_IN[kind]} AND near.user_id = inputs.user_id
        AND {_SIBLINGS[kind].format("near", "tasks.", "IS NOT DISTINCT FROM")} AND near.deleted_at IS NULL
        AND (near.position, near.id) {compared} (coalesce(other.position, '{end}'), inputs.other)
        ORDER BY {order} LIMIT 2)
        """


def _inputs(several: bool, **types: str) -> str:
    """The inputs of a group, by the names and types of their columns, as `inputs`."""
    arrays = [f"(SELECT CAST(CAST(:{name}s AS text[]) AS {type_}[]))" for name, type_ in types.items()]
    names = ", ".join((*types, "ordinal"))
    if several:
        users = "(SELECT CAST(:user_ids AS text[]))"
        return f"unnest({users}, {', '.join(arrays)}) WITH ORDINALITY AS inputs (user_id, {names})"
    rows = f"unnest({', '.join(arrays)}) WITH ORDINALITY AS moves ({names})"
    return f"(SELECT CAST(:user_id AS text) AS user_id, {names} FROM {rows}) AS inputs"


@cache
def _find_statement(*, several: bool) -> PreparedStatement:
    near = " UNION ALL ".join(_near_on_postgres(kind, after=after) for kind, after in _FIND_NEAR)
    return prepared(
        f"""
        SELECT inputs.ordinal, users.last_seq, CAST(tasks.list_id AS text), CAST(tasks.parent_id AS text),
            tasks.position, other.position, CAST(near.id AS text), near.position
        FROM {_inputs(several, id="uuid", other="uuid", after="boolean")}
        JOIN users ON users.id = inputs.user_id
        JOIN tasks ON {FOUND}
        LEFT JOIN tasks AS other ON other.user_id = inputs.user_id AND other.id = inputs.other
            AND {ALIVE.replace("tasks", "other")} AND other.id <> tasks.id
            AND other.list_id IS NOT DISTINCT FROM tasks.list_id
            AND other.parent_id IS NOT DISTINCT FROM tasks.parent_id
        LEFT JOIN LATERAL ({near}) AS near ON true
        """
    )


@cache
def _move_statement(*, several: bool, waits: bool) -> PreparedStatement:
    unchanged = "last_seq = (SELECT min(seen) FROM inputs WHERE inputs.user_id = users.id)"
    return prepared(
        f"""
        WITH inputs AS (
            SELECT * FROM {_inputs(several, id="uuid", position="text", change="text", seen="bigint")}
        ),
        {locked_sql(waits, f"id IN (SELECT user_id FROM inputs) AND {unchanged}")},
        {numbered_sql("inputs")},
        old AS (
            SELECT numbered.*, greatest(:now, tasks.updated_at) AS at FROM numbered
            JOIN tasks ON {FOUND.replace("inputs", "numbered")} FOR UPDATE OF tasks
        ),
        recorded AS (
            {RECORD} SELECT user_id, version, 'task', CAST(id AS text), 'updated', at, change, {POSTGRES_WHO}
            FROM old
        )
        UPDATE tasks SET position = old.position, updated_at = old.at, version = old.version
        FROM old WHERE tasks.user_id = old.user_id AND tasks.id = old.id
        RETURNING old.ordinal, tasks.version, {POSTGRES_JSON}
        """,
        "now",
    )
