"""Webhooks: subscriptions, the log of their deliveries, and the messages that are sent."""

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    MISSING,
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from taskwell.schemas.actor import ActorRead, ActorToken
from taskwell.schemas.base import INT64, Input, Instant
from taskwell.schemas.change import Kind
from taskwell.schemas.history import OPS, Number, Op
from taskwell.schemas.task import TaskRead
from taskwell.schemas.task_list import EXAMPLE_LIST_ID, ListRead
from taskwell.schemas.types import EXAMPLE_ID, check_line

URL_MAX_LENGTH = 2_048
DESCRIPTION_MAX_LENGTH = 200
MAX_WEBHOOKS = 20  # of a user
DEFAULT_OVERLAP_HOURS, MOST_OVERLAP_HOURS = 24, 168

# What the history has of the kinds that are sent.
_LIST_OPS: tuple[Op, ...] = ("created", "updated", "deleted", "restored", "undone")
_OPS: Mapping[Kind, tuple[Op, ...]] = {"task": OPS, "list": _LIST_OPS}
TASK_TYPES = tuple(f"task.{op}" for op in OPS)
LIST_TYPES = tuple(f"list.{op}" for op in _LIST_OPS)
PING, GAP = "webhook.ping", "webhook.gap"
ALL_EVENTS = "*"
_PATTERNS = (ALL_EVENTS, *(f"{kind}.*" for kind in _OPS), *TASK_TYPES, *LIST_TYPES)

Payload = Literal["full", "thin"]
Outcome = Literal["delivered", "retry", "skipped", "disabled", "redelivered", "ping"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
DisabledReason = Literal["failing", "gone", "copied"]
Error = Literal["timeout", "refused", "tls", "not_allowed", "dns", "redirect", "broken"]

# RFC 3986: the characters of a URL without a fragment. Parsers disagree about all others.
_URL = re.compile(r"https?://[A-Za-z0-9._~\-\[\]:]+([/?][A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*)?", re.ASCII)

# RFC 1035, 2.3.4, and underscores, which names of containers have.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)
_HOST_MAX_LENGTH = 253
_PORT = re.compile(":[0-9]*$", re.ASCII)
_NUMBER = re.compile("[0-9]+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)


def is_url(text: str) -> bool:
    """Whether a text is an absolute URL of HTTP, without user info and fragment, of a host that can be."""
    if len(text) > URL_MAX_LENGTH or not _URL.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        return parts.port != 0 and _is_host(_PORT.sub("", parts.netloc))
    except ValueError:
        return False


def _is_host(text: str) -> bool:
    """Whether a host can have an address: no resolver and no connection is tried."""
    if text.startswith("["):
        return text.endswith("]") and ipaddress.ip_address(text[1:-1]).version == 6
    name = text.removesuffix(".")
    labels = name.split(".")
    if len(name) > _HOST_MAX_LENGTH or not all(map(_LABEL.fullmatch, labels)):
        return False
    return _is_ipv4(name) if _NUMBER.fullmatch(labels[-1]) else True


def _is_ipv4(name: str) -> bool:
    """In any form that resolvers take, such as 127.1: the guard judges the address."""
    try:
        socket.inet_aton(name)
    except OSError:
        return False
    return True


def _url(value: str) -> str:
    text = value.strip()
    if len(text) > URL_MAX_LENGTH:
        raise PydanticCustomError("too_long", f"must have 1 to {URL_MAX_LENGTH:,} characters")
    if not is_url(text):
        raise PydanticCustomError(
            "invalid_url",
            "must be a URL such as https://hooks.example.com/x: a scheme and a host that can be reached, no "
            "user, no fragment, and ASCII alone",
        )
    return text


def _some_events(value: object) -> object:
    if value == []:
        raise PydanticCustomError(
            "too_short", 'must name a type of event or more, such as ["task.completed"]; ["*"] is all'
        )
    return value


def _event(value: object) -> str:
    if value not in _PATTERNS:
        raise PydanticCustomError("invalid_event", "must be one of " + ", ".join(_PATTERNS))
    return str(value)


def _payload(value: object) -> str:
    if value not in get_args(Payload):
        raise PydanticCustomError("invalid_payload", "must be full or thin")
    return str(value)


def _description(value: str) -> str:
    return check_line(value, DESCRIPTION_MAX_LENGTH)


def _now(value: object) -> str:
    if value != "now":
        raise PydanticCustomError("invalid_cursor", "must be now")
    return "now"


Url = Annotated[
    StrictStr,
    AfterValidator(_url),
    WithJsonSchema(
        {
            "type": "string",
            "format": "uri",
            "maxLength": URL_MAX_LENGTH,
            "examples": ["https://hooks.example.com/x"],
        }
    ),
    Field(
        description="Where events are sent: https, and a public address, unless `TASKWELL_WEBHOOK_ALLOW` "
        "allows others.",
        examples=["https://hooks.example.com/x"],
    ),
]
Event = Annotated[str, BeforeValidator(_event), WithJsonSchema({"type": "string", "enum": list(_PATTERNS)})]
Events = Annotated[
    list[Event],
    BeforeValidator(_some_events),
    Field(
        min_length=1,
        max_length=len(_PATTERNS),
        description="The types of events that are sent; `task.*` and `list.*` are all of tasks and of lists, "
        "`*` all there are, also those to come.",
        examples=[["task.completed", "task.reminder"]],
    ),
]
_PayloadIn = Annotated[
    str,
    BeforeValidator(_payload),
    WithJsonSchema({"type": "string", "enum": list(get_args(Payload)), "examples": ["full"]}),
    Field(description="`thin`: ids alone, without the task and what changed."),
]
_Description = Annotated[
    StrictStr,
    AfterValidator(_description),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": DESCRIPTION_MAX_LENGTH}),
    Field(description="What it is for, on one line.", examples=["n8n"]),
]


class WebhookCreate(Input):
    """A new subscription."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://hooks.example.com/x",
                    "events": ["task.completed", "task.reminder"],
                    "payload": "full",
                    "description": "n8n",
                }
            ]
        }
    )

    url: Url
    events: Events
    payload: _PayloadIn = "full"
    description: _Description | None = None
    active: Annotated[
        StrictBool,
        Field(
            description="False: nothing is sent until it is switched on; what waits meanwhile is kept.",
            examples=[True],
        ),
    ] = True
    since: Annotated[
        Number | None,
        Field(description="Begin after this version; without it, after the user's latest."),
    ] = None


class WebhookUpdate(Input):
    """Changes of a subscription. What is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"events": ["task.*"], "active": True}]})

    url: Url | MISSING = MISSING
    events: Events | MISSING = MISSING
    payload: _PayloadIn | MISSING = MISSING
    description: _Description | MISSING | None = MISSING
    active: Annotated[
        StrictBool | MISSING,
        Field(description="Whether events are sent; what waits meanwhile is kept.", examples=[True]),
    ] = MISSING
    cursor: Annotated[
        Annotated[str, BeforeValidator(_now), WithJsonSchema({"type": "string", "const": "now"})] | MISSING,
        Field(description="`now` skips everything that waits.", examples=["now"]),
    ] = MISSING


class WebhookRotate(Input):
    """How long the old secret goes on signing, beside the new one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_hours": 24}]})

    overlap_hours: Annotated[
        StrictInt,
        Field(ge=0, le=MOST_OVERLAP_HOURS, description="0: the old secret ends at once.", examples=[24]),
    ] = DEFAULT_OVERLAP_HOURS


class WebhookRedeliver(Input):
    """What to send again: one event, out of order, or everything from one on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"since": 41}]})

    version: Annotated[Number | None, Field(description="Send this event once, now.", examples=[41])] = None
    since: Annotated[
        Number | None, Field(description="Send this event and all that follow again.", examples=[41])
    ] = None

    @model_validator(mode="after")
    def check_form(self) -> "WebhookRedeliver":
        if (self.version is None) == (self.since is None):
            raise PydanticCustomError("invalid_redelivery", "must have either version or since")
        return self


_Version = Annotated[int, Field(examples=[41], json_schema_extra=INT64)]


@dataclass(frozen=True, slots=True)
class WebhookRead:
    """A subscription, without its secret."""

    id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]
    url: Annotated[str, Field(examples=["https://hooks.example.com/x"])]
    events: Annotated[list[str], Field(examples=[["task.completed", "task.reminder"]])]
    payload: Annotated[str, Field(examples=["full"], json_schema_extra={"enum": list(get_args(Payload))})]
    description: Annotated[str | None, Field(examples=["n8n"])]
    active: Annotated[bool, Field(examples=[True])]
    cursor: Annotated[
        int,
        Field(description="Events up to this version are done with.", examples=[40], json_schema_extra=INT64),
    ]
    created_at: Instant
    failing_since: Annotated[
        Instant | None, Field(description="When the first attempt after the last success failed.")
    ]
    next_attempt_at: Annotated[Instant | None, Field(description="When a failed event is sent again.")]
    disabled_reason: Annotated[
        DisabledReason | None,
        Field(
            description="Why the server has made it inactive. `failing`: nothing was delivered for days. "
            "`gone`: the receiver answered 410. `copied`: the database was restored or moved."
        ),
    ]
    gap: Annotated[
        bool,
        Field(
            description="Whether events were lost, since the history does not go back so far.",
            examples=[False],
        ),
    ]
    token: Annotated[
        ActorToken | None, Field(description="The API token that subscribed; the subscription ends with it.")
    ]


@dataclass(frozen=True, slots=True)
class WebhookCreated(WebhookRead):
    """A subscription with its secret, which is not shown again."""

    secret: Annotated[str, Field(examples=["whsec_…"])]


@dataclass(frozen=True, slots=True)
class DeliveryRead:
    """One attempt to send an event."""

    id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]
    version: Annotated[
        int | None, Field(examples=[41], json_schema_extra=INT64, description="Null: of a ping.")
    ]
    type: Annotated[str, Field(examples=["task.completed"])]
    attempt: Annotated[int, Field(examples=[2])]
    at: Instant
    ms: Annotated[int, Field(description="How long it took, in milliseconds.", examples=[143])]
    status: Annotated[int | None, Field(description="Null: there was no answer.", examples=[503])]
    error: Annotated[Error | None, Field(description="Why there was no answer, or why it was not followed.")]
    answer: Annotated[str | None, Field(description="The first 500 characters of the body.")]
    outcome: Annotated[Outcome, Field(examples=["retry"])]
    next_attempt_at: Instant | None


@dataclass(frozen=True, slots=True)
class Redelivered:
    """`delivery`: the attempt, of a single event. `cursor`: events after it are sent."""

    cursor: _Version
    delivery: DeliveryRead | None


_USER = Annotated[str, Field(description="The owner of the task.", examples=["alice"])]
_LIST_OWNER = Annotated[str, Field(description="The owner of the list.", examples=["alice"])]


@dataclass(frozen=True, slots=True)
class TaskEventData:
    """What a write did to a task, and the task as it is now; null: it is deleted."""

    version: _Version
    user_id: _USER
    task_id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]
    task: TaskRead | None
    changes: Annotated[
        dict[str, Any],
        Field(
            description="By the name of each field that changed, its old and its new value.",
            examples=[{"completed": [False, True]}],
        ),
    ]
    by: ActorRead
    occurrence: Annotated[
        str | None, Field(description="Of a recurring task, the date that was completed or skipped.")
    ]


@dataclass(frozen=True, slots=True)
class ThinTaskEventData:
    """Ids alone: read the task for more."""

    version: _Version
    user_id: _USER
    task_id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]


@dataclass(frozen=True, slots=True)
class ListEventData:
    """What a write did to a list, and the list as it is now; null: it is deleted."""

    version: _Version
    user_id: _LIST_OWNER
    list_id: Annotated[UUID, Field(examples=[EXAMPLE_LIST_ID])]
    list: ListRead | None
    changes: Annotated[
        dict[str, Any],
        Field(
            description="By the name of each field that changed, its old and its new value.",
            examples=[{"name": ["Home", "House"]}],
        ),
    ]
    by: ActorRead


@dataclass(frozen=True, slots=True)
class ThinListEventData:
    """Ids alone: read the list for more."""

    version: _Version
    user_id: _LIST_OWNER
    list_id: Annotated[UUID, Field(examples=[EXAMPLE_LIST_ID])]


@dataclass(frozen=True, slots=True)
class PingData:
    webhook_id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]
    user_id: _USER


@dataclass(frozen=True, slots=True)
class GapData:
    """The events after `after` up to `until` cannot be sent any more: read the tasks anew."""

    webhook_id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]
    user_id: _USER
    after: _Version
    until: _Version


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """A message on a task."""

    type: Annotated[str, Field(examples=["task.completed"], json_schema_extra={"enum": list(TASK_TYPES)})]
    timestamp: Annotated[Instant, Field(description="When it happened.")]
    data: TaskEventData | ThinTaskEventData


@dataclass(frozen=True, slots=True)
class ListEvent:
    """A message on a list."""

    type: Annotated[str, Field(examples=["list.created"], json_schema_extra={"enum": list(LIST_TYPES)})]
    timestamp: Annotated[Instant, Field(description="When it happened.")]
    data: ListEventData | ThinListEventData


@dataclass(frozen=True, slots=True)
class PingEvent:
    """The message of a ping, which is sent on request."""

    type: Annotated[Literal["webhook.ping"], Field(examples=["webhook.ping"])]
    timestamp: Instant
    data: PingData


@dataclass(frozen=True, slots=True)
class GapEvent:
    """The message that events were lost, before those that follow."""

    type: Annotated[Literal["webhook.gap"], Field(examples=["webhook.gap"])]
    timestamp: Instant
    data: GapData


Message = TaskEvent | ListEvent | PingEvent | GapEvent

_READ: TypeAdapter[Any] = TypeAdapter(WebhookRead)
_CREATED: TypeAdapter[Any] = TypeAdapter(WebhookCreated)
_LIST: TypeAdapter[Any] = TypeAdapter(list[WebhookRead])
_DELIVERIES: TypeAdapter[Any] = TypeAdapter(list[DeliveryRead])
_DELIVERY: TypeAdapter[Any] = TypeAdapter(DeliveryRead)
_REDELIVERED: TypeAdapter[Any] = TypeAdapter(Redelivered)
# By their types: a union would try one after the other.
_MESSAGES: dict[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (TaskEvent, ListEvent, PingEvent, GapEvent)
}


def webhook_json(webhook: WebhookRead) -> bytes:
    adapter = _CREATED if isinstance(webhook, WebhookCreated) else _READ
    return adapter.dump_json(webhook)


def webhooks_json(webhooks: Sequence[WebhookRead]) -> bytes:
    return _LIST.dump_json(webhooks)


def delivery_json(delivery: DeliveryRead) -> bytes:
    return _DELIVERY.dump_json(delivery)


def deliveries_json(deliveries: Sequence[DeliveryRead]) -> bytes:
    return _DELIVERIES.dump_json(deliveries)


def redelivered_json(redelivered: Redelivered) -> bytes:
    return _REDELIVERED.dump_json(redelivered)


def message_json(message: Message) -> bytes:
    return _MESSAGES[type(message)].dump_json(message)


def ops_of(events: str) -> Mapping[str, tuple[str, ...]]:
    """The operations of the history that match the events of a subscription, by the kinds that have some."""
    patterns = set(events.split())
    found = {
        kind: ops
        if patterns & {ALL_EVENTS, f"{kind}.*"}
        else tuple(op for op in ops if f"{kind}.{op}" in patterns)
        for kind, ops in _OPS.items()
    }
    return {kind: ops for kind, ops in found.items() if ops}
