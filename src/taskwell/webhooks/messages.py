"""The messages of events."""

from datetime import datetime
from uuid import UUID

from taskwell.schemas.webhook import (
    TASK_PREFIX,
    GapData,
    GapEvent,
    PingData,
    PingEvent,
    TaskEvent,
    TaskEventData,
    ThinTaskEventData,
)
from taskwell.services.deliveries import Event, Subscription


def task_event(subscription: Subscription, event: Event) -> TaskEvent:
    entry, user_id = event.entry, subscription.user_id
    task_id = UUID(entry.id)
    data: TaskEventData | ThinTaskEventData = ThinTaskEventData(entry.version, user_id, task_id)
    if subscription.payload == "full":
        data = TaskEventData(
            entry.version, user_id, task_id, event.task, entry.changes, entry.by, entry.occurrence
        )
    return TaskEvent(TASK_PREFIX + entry.op, entry.at, data)


def ping(subscription: Subscription, now: datetime) -> PingEvent:
    return PingEvent("webhook.ping", now, PingData(subscription.id, subscription.user_id))


def gap(subscription: Subscription, until: int, now: datetime) -> GapEvent:
    data = GapData(subscription.id, subscription.user_id, subscription.cursor, until)
    return GapEvent("webhook.gap", now, data)
