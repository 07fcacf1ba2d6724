"""Deliveries: which subscriptions are due, what is to be sent to them, and what came of it.

The process whose UPDATE takes the lease of a subscription delivers. Each later write of the holder names the
number of the lease, so a process that was suspended can neither move the cursor nor end another's lease.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.orm import Mapped
from sqlmodel import col
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.models import ApiToken, HistoryRecord, Task, TaskList, User, Webhook, WebhookDelivery
from taskwell.models.base import table_of
from taskwell.schemas.history import HistoryEntry
from taskwell.schemas.task import TASK_COLUMNS, TaskRead
from taskwell.schemas.task_list import LIST_COLUMNS, ListRead
from taskwell.schemas.webhook import ALL_EVENTS, DeliveryRead, Outcome, ops_of
from taskwell.services.history_query import entry_of
from taskwell.services.webhooks import COLUMNS, own

LEASE = timedelta(seconds=30)
LOG_LIFE = timedelta(days=7)
LOG_ROWS = 200  # of a subscription
_DUE_ROWS = 1_000  # of one look
_PURGED_ROWS = 1_000
_HISTORY = table_of(HistoryRecord).c
_LOG = table_of(WebhookDelivery).c
_LOG_NAMES = (
    "id", "version", "type", "attempt", "at", "ms", "status", "error", "answer", "outcome", "next_attempt_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Due:
    """A subscription for which there is news. `at`: when it may be delivered; None: now."""

    user_id: str
    id: UUID
    url: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as its deliverer needs it. `lease`: the number under which it is held."""

    user_id: str
    id: UUID
    url: str
    events: str
    payload: str
    secret: str
    old_secret: str | None
    cursor: int
    attempt: int
    failing_since: datetime | None
    gap: bool
    lease: int

    @classmethod
    def of(cls, row: Row[Any]) -> "Subscription":
        rotated = row.old_secret_until is None or row.old_secret_until <= utc_now()
        old = None if rotated else row.old_secret
        return cls(
            row.user_id, row.id, row.url, row.events, row.payload, row.secret, old, row.cursor, row.attempt,
            row.failing_since, row.gap, row.lease,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """A record of the history, and its task or list as it is now, unless that is deleted."""

    entry: HistoryEntry
    task: TaskRead | None = None
    list: ListRead | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What follows a cursor. `last`: nothing else up to this version matches, if this is the whole of it.

    `start`: the history is whole after this version.
    """

    events: Sequence[Event]
    last: int
    start: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an attempt, for the log. `version`: of a ping None."""

    version: int | None
    type: str
    attempt: int
    at: datetime
    ms: int
    status: int | None
    error: str | None
    answer: str | None
    outcome: Outcome
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which entries of the log. `before`: older than this one."""

    outcome: str | None = None
    before: UUID | None = None


async def list_subscribers(transaction: ReadTransaction) -> set[str]:
    """The users with active subscriptions."""
    active = select(col(Webhook.user_id)).where(col(Webhook.active)).distinct()
    return {row[0] for row in await transaction.all(active)}


async def list_due(
    transaction: ReadTransaction, now: datetime, users: Sequence[str] | None = None
) -> list[Due]:
    """The subscriptions for which there is news, of these users or of all, the longest waiting first."""
    ready = _later(col(Webhook.next_at), col(Webhook.leased_until))
    news = (
        select(col(Webhook.user_id), col(Webhook.id), col(Webhook.url), ready.label("ready"))
        .select_from(Webhook)
        .join(User, col(User.id) == col(Webhook.user_id))
        .where(_may_deliver(now), col(User.last_seq) > col(Webhook.cursor))
        .order_by(ready)
        .limit(_DUE_ROWS)
    )
    if users is not None:
        news = news.where(col(Webhook.user_id).in_(users))
    return [
        Due(row.user_id, row.id, row.url, row.ready if row.ready > now else None)
        for row in await transaction.all(news)
    ]


def _later(first: Any, second: Any) -> ColumnElement[datetime]:
    return case((second > first, second), else_=first)


def _may_deliver(now: datetime) -> ColumnElement[bool]:
    """Not while it is switched off, or once its token has expired."""
    expired = (
        select(col(ApiToken.id))
        .where(
            col(ApiToken.user_id) == col(Webhook.user_id),
            col(ApiToken.id) == col(Webhook.token_id),
            col(ApiToken.expires_at) <= now,
        )
        .exists()
    )
    return and_(col(Webhook.active), or_(col(Webhook.token_id).is_(None), ~expired))


async def take_lease(transaction: Transaction, user_id: str, webhook_id: UUID) -> Subscription | None:
    """Take the lease of a subscription. None: another has it, or there is nothing to do yet."""
    now = utc_now()
    leased = col(Webhook.leased_until)
    free = or_(leased.is_(None), leased <= now)
    statement = (
        update(Webhook)
        .where(own(user_id, None, webhook_id), _may_deliver(now), col(Webhook.next_at) <= now, free)
        .values(leased_until=now + LEASE, lease=col(Webhook.lease) + 1)
        .returning(*COLUMNS)
    )
    row = await transaction.first(statement)
    return None if row is None else Subscription.of(row)


async def find_subscription(
    transaction: ReadTransaction, user_id: str, maker: UUID | None, webhook_id: UUID
) -> Subscription | None:
    """A subscription without its lease, for what is sent out of order."""
    row = await transaction.first(select(*COLUMNS).where(own(user_id, maker, webhook_id)))
    return None if row is None else Subscription.of(row)


async def read_news(transaction: ReadTransaction, subscription: Subscription, limit: int) -> News:
    """The next events of a subscription.

    The user's last number is read before the events, so that what is committed meanwhile is found the next
    time, and the start of the history after them, so that a purge meanwhile is noticed.
    """
    user_id = subscription.user_id
    last = await _number(transaction, user_id, col(User.last_seq))
    following = (
        _HISTORY.user_id == user_id, _HISTORY.version > subscription.cursor, _matches(subscription.events)
    )  # fmt: skip
    found = select(*_HISTORY).where(*following).order_by(_HISTORY.version).limit(limit)
    entries = [entry_of(row) for row in await transaction.all(found)]
    start = await _number(transaction, user_id, col(User.history_seq))
    left = [entry for entry in entries if entry.version > start]
    return News(await _as_now(transaction, user_id, left), last, start, len(entries) < limit)


def _matches(events: str) -> ColumnElement[bool]:
    return or_(*(and_(_HISTORY.kind == kind, _HISTORY.op.in_(ops)) for kind, ops in ops_of(events).items()))


async def _number(transaction: ReadTransaction, user_id: str, number: Mapped[int]) -> int:
    row = await transaction.first(select(number).where(col(User.id) == user_id))
    return row[0] if row else 0


async def find_event(transaction: ReadTransaction, user_id: str, version: int) -> Event | None:
    """An event of any type, whatever the subscription asks for."""
    found = select(*_HISTORY).where(
        _HISTORY.user_id == user_id, _HISTORY.version == version, _matches(ALL_EVENTS)
    )
    row = await transaction.first(found)
    return None if row is None else (await _as_now(transaction, user_id, [entry_of(row)]))[0]


async def _as_now(transaction: ReadTransaction, user_id: str, entries: Sequence[HistoryEntry]) -> list[Event]:
    """The events with their tasks and lists as they are now."""

    async def alive(kind: str, model: type[Task | TaskList], columns: Sequence[Any]) -> Sequence[Row[Any]]:
        ids = {UUID(entry.id) for entry in entries if entry.kind == kind}
        statement = select(*columns).where(
            col(model.user_id) == user_id, col(model.id).in_(ids), col(model.deleted_at).is_(None)
        )
        return await transaction.all(statement) if ids else []

    tasks = {f"{task.id}": task for task in map(TaskRead.of, await alive("task", Task, TASK_COLUMNS))}
    lists = {f"{one.id}": one for one in map(ListRead.of, await alive("list", TaskList, LIST_COLUMNS))}
    return [
        Event(entry, list=lists.get(entry.id))
        if entry.kind == "list"
        else Event(entry, task=tasks.get(entry.id))
        for entry in entries
    ]


async def note_delivered(
    transaction: Transaction,
    subscription: Subscription,
    cursor: int,
    attempt: Attempt | None,
    *,
    keeps: bool,
    gap: bool = False,
) -> bool:
    """Move the cursor, and renew the lease or end it. False: another has the lease, and nothing is written.

    `attempt`: None if there was nothing to send. `gap`: whether events were lost before.
    """
    values: dict[str, Any] = {"cursor": cursor, "leased_until": utc_now() + LEASE if keeps else None}
    if attempt is not None:
        values["attempt"] = 0
        if attempt.outcome == "delivered":
            values["failing_since"] = None
    if gap:
        values["gap"] = True
    return await _write(transaction, subscription, values, attempt)


async def note_failed(
    transaction: Transaction, subscription: Subscription, attempt: Attempt, *, gap: bool = False
) -> bool:
    """Note a failure, and end the lease. False: another has the lease, and nothing is written.

    The outcome of the attempt decides: whether it is repeated (`next_attempt_at`), or all is switched off.
    """
    failing = col(Webhook.failing_since)
    values: dict[str, Any] = {
        "attempt": subscription.attempt + 1,
        "failing_since": func.coalesce(failing, attempt.at),
        "leased_until": None,
        "next_at": attempt.next_attempt_at or attempt.at,
    }
    if attempt.outcome == "disabled":
        values |= {"active": False, "disabled_reason": "gone" if attempt.status == 410 else "failing"}
    if gap:
        values["gap"] = True
    return await _write(transaction, subscription, values, attempt)


async def end_lease(transaction: Transaction, subscription: Subscription) -> None:
    """Give the lease back, so that no other process waits for its end."""
    await _write(transaction, subscription, {"leased_until": None}, None)


async def _write(
    transaction: Transaction, subscription: Subscription, values: dict[str, Any], attempt: Attempt | None
) -> bool:
    mine = and_(own(subscription.user_id, None, subscription.id), col(Webhook.lease) == subscription.lease)
    if await transaction.first(update(Webhook).where(mine).values(values).returning(col(Webhook.id))) is None:
        return False
    if attempt is not None:
        await add_to_log(transaction, subscription.user_id, subscription.id, attempt)
    return True


async def add_to_log(
    transaction: Transaction, user_id: str, webhook_id: UUID, attempt: Attempt
) -> DeliveryRead | None:
    """Log an attempt. None: the subscription is gone."""
    there = select(col(Webhook.id)).where(own(user_id, None, webhook_id))
    # Locked, since one that is deleted meanwhile can have no log.
    if await transaction.first(there.with_for_update(read=True, key_share=True)) is None:
        return None
    values: dict[str, Any] = {name: getattr(attempt, name) for name in _LOG_NAMES if name != "id"}
    new = uuid7()
    row = {"user_id": user_id, "webhook_id": webhook_id, "id": new, **values}
    await transaction.execute(insert(WebhookDelivery).values(row))
    return DeliveryRead(id=new, **values)


async def trim_log(transaction: Transaction, user_id: str, webhook_id: UUID) -> None:
    """Leave the newest entries of a subscription's log."""
    its = and_(_LOG.user_id == user_id, _LOG.webhook_id == webhook_id)
    oldest = select(_LOG.id).where(its).order_by(_LOG.id.desc()).offset(LOG_ROWS).limit(1)
    row = await transaction.first(oldest)
    if row is not None:
        await transaction.execute(delete(WebhookDelivery).where(its, _LOG.id <= row[0]))


async def purge_log(transaction: Transaction, before: datetime) -> bool:
    """Remove some entries that are older than an instant. Returns whether there may be more."""
    some = select(_LOG.user_id, _LOG.id).where(_LOG.at < before).limit(_PURGED_ROWS)
    rows = await transaction.all(some)
    for user_id in {row.user_id for row in rows}:
        ids = [row.id for row in rows if row.user_id == user_id]
        await transaction.execute(delete(WebhookDelivery).where(_LOG.user_id == user_id, _LOG.id.in_(ids)))
    return len(rows) == _PURGED_ROWS


async def list_log(
    transaction: ReadTransaction, user_id: str, webhook_id: UUID, found: LogFilter, *, limit: int
) -> list[DeliveryRead]:
    """The log of a subscription, newest first."""
    conditions = [_LOG.user_id == user_id, _LOG.webhook_id == webhook_id]
    if found.outcome is not None:
        conditions.append(_LOG.outcome == found.outcome)
    if found.before is not None:
        conditions.append(_LOG.id < found.before)
    columns = [_LOG[name] for name in _LOG_NAMES]
    rows = await transaction.all(select(*columns).where(*conditions).order_by(_LOG.id.desc()).limit(limit))
    return [DeliveryRead(**row._asdict()) for row in rows]


async def count_refusals(
    transaction: ReadTransaction, subscription: Subscription, version: int, statuses: Sequence[int]
) -> tuple[int, datetime | None]:
    """How often an event was refused, and since when. `statuses`: those that are no refusals."""
    refused = and_(
        _LOG.user_id == subscription.user_id,
        _LOG.webhook_id == subscription.id,
        _LOG.version == version,
        _LOG.outcome == "retry",
        _LOG.status.between(400, 499),
        _LOG.status.not_in(statuses),
    )
    return await _count(transaction, refused)


async def count_failures(transaction: ReadTransaction, subscription: Subscription, since: datetime) -> int:
    """How many attempts have failed since an instant."""
    failed = and_(
        _LOG.user_id == subscription.user_id,
        _LOG.webhook_id == subscription.id,
        _LOG.outcome.in_(("retry", "skipped")),
        _LOG.at >= since,
    )
    return (await _count(transaction, failed))[0]


async def _count(transaction: ReadTransaction, condition: ColumnElement[bool]) -> tuple[int, datetime | None]:
    counted: Any = select(func.count(), func.min(_LOG.at)).where(condition)
    row: Any = await transaction.first(counted)
    return row[0], row[1]
