"""All tables: Alembic reads their metadata from here."""

from taskwell.models.base import metadata
from taskwell.models.history import HistoryRecord
from taskwell.models.housekeeping import Housekeeping
from taskwell.models.idempotency import IdempotencyKey
from taskwell.models.label import Label
from taskwell.models.reminder import Reminder
from taskwell.models.task import Task
from taskwell.models.task_list import TaskList
from taskwell.models.token import ApiToken
from taskwell.models.user import ErasedUser, User
from taskwell.models.webhook import Webhook, WebhookDelivery

__all__ = [
    "ApiToken", "ErasedUser", "HistoryRecord", "Housekeeping", "IdempotencyKey", "Label", "Reminder", "Task",
    "TaskList", "User", "Webhook", "WebhookDelivery", "metadata",
]  # fmt: skip
