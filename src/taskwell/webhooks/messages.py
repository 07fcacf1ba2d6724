"""The messages of events."""

from datetime import datetime
from uuid import UUID

from taskwell.schemas.webhook import (
    GapData,
    GapEvent,
    ListEvent,
    ListEventData,
    PingData,
    PingEvent,
    TaskEvent,
    TaskEventData,
    ThinListEventData,
    ThinTaskEventData,
)
from taskwell.services.deliveries import Event, Subscription


def of_event(subscription: Subscription, event: Event) -> TaskEvent | ListEvent:
    """The message on what happened to a task or a list."""
    return (_list_event if event.entry.kind == "list" else _task_event)(subscription, event)


def _task_event(subscription: Subscription, event: Event) -> TaskEvent:
    entry, user_id = event.entry, subscription.user_id
    task_id = UUID(entry.id)
    data: TaskEventData | ThinTaskEventData = ThinTaskEventData(entry.version, user_id, task_id)
    if subscription.payload == "full":
        data = TaskEventData(
            entry.version, user_id, task_id, event.task, entry.changes, entry.by, entry.occurrence
        )
    return TaskEvent(f"task.{entry.op}", entry.at, data)


def _list_event(subscription: Subscription, event: Event) -> ListEvent:
    entry, user_id = event.entry, subscription.user_id
    list_id = UUID(entry.id)
    data: ListEventData | ThinListEventData = ThinListEventData(entry.version, user_id, list_id)
    if subscription.payload == "full":
        data = ListEventData(entry.version, user_id, list_id, event.list, entry.changes, entry.by)
    return ListEvent(f"list.{entry.op}", entry.at, data)


def ping(subscription: Subscription, now: datetime) -> PingEvent:
    return PingEvent("webhook.ping", now, PingData(subscription.id, subscription.user_id))


def gap(subscription: Subscription, until: int, now: datetime) -> GapEvent:
    data = GapData(subscription.id, subscription.user_id, subscription.cursor, until)
    return GapEvent("webhook.gap", now, data)
