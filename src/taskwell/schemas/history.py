"""The history: what changed, who did it, and requests to undo it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from taskwell.core.principal import CLIENT_PATTERN, is_client_name
from taskwell.models.base import SEQUENCE_END
from taskwell.schemas.actor import ActorRead
from taskwell.schemas.base import INT64, Input, Instant
from taskwell.schemas.change import Kind
from taskwell.schemas.task import TaskDeleted, TaskRead
from taskwell.schemas.task_list import ListDeleted, ListRead
from taskwell.schemas.types import EXAMPLE_ID

Op = Literal[
    "created", "updated", "completed", "reopened", "deleted", "restored", "claimed", "released", "reminder",
    "due", "undone", "skipped",
]  # fmt: skip
OPS: tuple[Op, ...] = get_args(Op)
# Records of what the server sent. They change no task.
REMINDERS: frozenset[Op] = frozenset({"reminder", "due"})
VIAS = ("api", "mcp", "caldav", "cli", "import", "server")
MAX_UNDONE = 1_000  # objects of one request

Version = Annotated[int, Field(examples=[41], json_schema_extra=INT64)]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """What one write did to one task, list or label."""

    version: Annotated[
        int, Field(description="The sequence number of the write.", examples=[41], json_schema_extra=INT64)
    ]
    kind: Annotated[Kind, Field(examples=["task"])]
    id: Annotated[
        str,
        Field(
            description="Of the task or the list; of a label its name, case-folded.", examples=[EXAMPLE_ID]
        ),
    ]
    op: Annotated[str, Field(examples=["updated"], json_schema_extra={"enum": list(OPS)})]
    at: Instant
    by: ActorRead
    changes: Annotated[
        dict[str, Any],
        Field(
            description="By the name of each field that changed, its old and its new value. `deleted` is "
            "whether it is in the trash.",
            examples=[{"title": ["Buy milk", "Buy bread"]}],
        ),
    ]
    occurrence: Annotated[
        str | None, Field(description="Of a recurring task, the date that was completed or skipped.")
    ]
    completed_at: Annotated[
        Instant | None, Field(description="When it was completed; null if `occurrence` is, or was skipped.")
    ]
    undoes: Annotated[list[int] | None, Field(description="The versions that this one undoes.")]


@dataclass(frozen=True, slots=True)
class CompletionRead:
    """An occurrence of a recurring task that was completed or skipped."""

    version: Annotated[
        int,
        Field(description="The sequence number of the write.", examples=[41], json_schema_extra=INT64),
    ]
    occurrence: Annotated[
        str, Field(description="The `due` that the task had, or else its `start`.", examples=["2026-11-20"])
    ]
    completed_at: Annotated[Instant | None, Field(description="Null if it was skipped.")]
    skipped: Annotated[bool, Field(examples=[False])]
    by: ActorRead


Number = Annotated[StrictInt, Field(ge=0, lt=SEQUENCE_END, json_schema_extra=INT64)]


def _token(value: object) -> UUID | str:
    if value == "me":
        return "me"
    try:
        return UUID(str(value))
    except ValueError:
        raise PydanticCustomError("invalid_token", "must be the id of a token, or me") from None


def _client(value: str) -> str:
    if not is_client_name(value):
        raise PydanticCustomError("invalid_client", "must be 1 to 100 printable ASCII characters")
    return value


_ID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# `me` is the token of the request. As `Any`, since a union would tell the errors of each of its types.
TokenOrMe = Annotated[
    Any, BeforeValidator(_token), WithJsonSchema({"type": "string", "pattern": f"^(me|{_ID})$"})
]
ClientName = Annotated[
    StrictStr,
    AfterValidator(_client),
    WithJsonSchema({"type": "string", "pattern": f"^{CLIENT_PATTERN}$"}),
]


class UndoRequest(Input):
    """What to undo: single versions, or all that a token or a program wrote after a version."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"versions": [18, 19]}]})

    versions: Annotated[
        list[Number] | None,
        Field(min_length=1, max_length=MAX_UNDONE, description="The versions of what to undo."),
    ] = None
    token: Annotated[
        TokenOrMe | None,
        Field(description="What this token wrote; `me` is the token of the request."),
    ] = None
    client: Annotated[
        ClientName | None, Field(description="What this program wrote.", examples=["claude-code"])
    ] = None
    since: Annotated[Number | None, Field(description="Only versions after this one.")] = None
    until: Annotated[Number | None, Field(description="Only versions up to this one.")] = None

    @model_validator(mode="after")
    def check_form(self) -> Self:
        window = (self.token, self.client, self.since, self.until)
        if self.versions is not None:
            if any(value is not None for value in window):
                raise PydanticCustomError("invalid_undo", "must have either versions, or a token or client")
        elif self.since is None or (self.token is None and self.client is None):
            raise PydanticCustomError(
                "invalid_undo", "must have versions, or since together with a token or client"
            )
        return self


Reason = Literal["changed_since", "purged", "expired", "unknown", "no_place", "unsupported", "not_yours"]


@dataclass(frozen=True, slots=True)
class Undone:
    """An object that was changed back. `version`: its new one; `undoes`: the versions that were undone."""

    version: Version
    undoes: Annotated[list[int], Field(examples=[[18, 19]])]
    task: TaskDeleted | TaskRead | None = None
    list: ListDeleted | ListRead | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """A version, or some of its fields, that stays as it is."""

    version: Annotated[int, Field(examples=[18], json_schema_extra=INT64)]
    kind: Kind | None
    id: Annotated[str | None, Field(examples=[EXAMPLE_ID])]
    fields: Annotated[list[str], Field(description="Those that stay.", examples=[["title"]])]
    reason: Annotated[
        Reason,
        Field(
            examples=["changed_since"],
            description="`changed_since`: by the write that `by` names. `purged`, `expired`: it, or its "
            "history, is gone. `unknown`: there is no such version. `no_place`: its list or its parent "
            "is gone. `unsupported`: the color or the place of a label, or a reminder. `not_yours`: this "
            "token may undo only what it wrote itself.",
        ),
    ]
    by: Annotated[ActorRead | None, Field(description="Who changed it since.")] = None


@dataclass(frozen=True, slots=True)
class UndoResult:
    undone: Sequence[Undone]
    left: Sequence[Left]


_COMPLETIONS: TypeAdapter[Any] = TypeAdapter(list[CompletionRead])
_ENTRY: TypeAdapter[Any] = TypeAdapter(HistoryEntry)
_ENTRIES: TypeAdapter[Any] = TypeAdapter(list[HistoryEntry])
_RESULT: TypeAdapter[Any] = TypeAdapter(UndoResult)


def entry_json(entry: HistoryEntry) -> bytes:
    return _ENTRY.dump_json(entry)


def entries_json(entries: Sequence[HistoryEntry]) -> bytes:
    return _ENTRIES.dump_json(entries)


def completions_json(completions: Sequence[CompletionRead]) -> bytes:
    return _COMPLETIONS.dump_json(completions)


def undo_json(result: UndoResult) -> bytes:
    return _RESULT.dump_json(result)
