"""The input and output types of claims."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    MISSING,
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

from taskwell.models.base import SEQUENCE_END
from taskwell.schemas.actor import ActorRead
from taskwell.schemas.base import INT64, Input, Instant
from taskwell.schemas.query import FilterParameters, Sort
from taskwell.schemas.task import TaskRead
from taskwell.schemas.types import EXAMPLE_ID, check_line

LEAST_SECONDS, DEFAULT_SECONDS, MOST_SECONDS = 15, 900, 2_678_400
MAX_CLAIMS = 100  # of a request
NOTE_MAX_LENGTH = 200

_NUMBER = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


def is_claim_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and int(text) < SEQUENCE_END


def _number(value: object) -> int:
    text = str(value)
    if not is_claim_number(text):
        raise PydanticCustomError("invalid_id", "must be the number of a claim")
    return int(text)


def _note(value: str) -> str:
    return check_line(value, NOTE_MAX_LENGTH)


def _refuse_the_unknown(model: type[FilterParameters | Input], value: Any) -> None:
    """Unlike elsewhere: without a member that is misspelt, other tasks would be claimed."""
    if isinstance(value, Mapping) and value.keys() - model.model_fields:
        known = ", ".join(model.model_fields)
        raise PydanticCustomError("unknown_member", f"has a member other than {known}")


ClaimNumber = Annotated[
    int,
    BeforeValidator(_number),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": SEQUENCE_END - 1, **INT64}),
]
Seconds = Annotated[
    StrictInt,
    Field(
        ge=LEAST_SECONDS,
        le=MOST_SECONDS,
        description=f"How long the claim lasts; {DEFAULT_SECONDS} if left out.",
        examples=[600],
    ),
]
Note = Annotated[
    StrictStr,
    AfterValidator(_note),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": NOTE_MAX_LENGTH}),
    Field(description="What others may want to know, on one line.", examples=["worktree 3"]),
]


class ClaimCreate(Input):
    """How to claim a task."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 900, "note": "worktree 3"}]})

    seconds: Seconds | MISSING = MISSING
    note: Note | None = None


class ClaimRenew(Input):
    """How long the claim is to last from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 900}]})

    seconds: Seconds | MISSING = MISSING


class ClaimFilter(FilterParameters):
    """The filters of a list of tasks. Null is no filter, and an unknown member is refused."""

    @model_validator(mode="before")
    @classmethod
    def without_nulls(cls, value: Any) -> Any:
        _refuse_the_unknown(cls, value)
        if not isinstance(value, Mapping):
            return value
        return {name: one for name, one in value.items() if one is not None}


class ClaimNext(ClaimCreate):
    """Which tasks to claim. An unknown member is refused: without it, other tasks would be claimed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"count": 1, "seconds": 900, "filter": {"label": ["home"]}}]}
    )

    count: Annotated[
        StrictInt | MISSING,
        Field(ge=1, le=MAX_CLAIMS, description="How many tasks, at most; 1 if left out.", examples=[2]),
    ] = MISSING
    filter: ClaimFilter | None = None
    sort: Annotated[
        Sort | None,
        Field(description="The order in which tasks are taken, as in a list; without it, the oldest first."),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def refuse_every_unknown(cls, value: Any) -> Any:
        _refuse_the_unknown(cls, value)
        return value


_Number = Annotated[
    int,
    Field(
        description="The number of the claim: the version that the task got by it.",
        examples=[41],
        json_schema_extra=INT64,
    ),
]
_Until = Annotated[Instant, Field(description="When the claim ends, unless it is renewed.")]
_Since = Annotated[Instant, Field(description="When the task was claimed.")]
_NoteRead = Annotated[str | None, Field(examples=["worktree 3"])]


@dataclass(frozen=True, slots=True)
class Claimant:
    """What is stored with a claim."""

    by: ActorRead
    since: Instant
    note: str | None


@dataclass(frozen=True, slots=True)
class ClaimHeld:
    """The claim that holds a task, in a problem."""

    by: ActorRead
    since: _Since
    until: _Until
    note: _NoteRead
    yours: Annotated[bool, Field(description="Whether it was claimed with the same token.", examples=[True])]


@dataclass(frozen=True, slots=True)
class ClaimRead:
    """A claim that holds a task."""

    task_id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]
    claim: _Number
    by: ActorRead
    since: _Since
    until: _Until
    note: _NoteRead


@dataclass(frozen=True, slots=True)
class ClaimRenewed:
    """A claim that lasts longer."""

    claim: _Number
    until: _Until


@dataclass(frozen=True, slots=True)
class ClaimTaken(ClaimRenewed):
    """A claim, with its task."""

    task: TaskRead


@dataclass(frozen=True, slots=True)
class ClaimsTaken:
    """The claims of some tasks, in the order in which they were taken."""

    claims: list[ClaimTaken]


_CLAIMANT: TypeAdapter[Claimant] = TypeAdapter(Claimant)
_HELD: TypeAdapter[ClaimHeld] = TypeAdapter(ClaimHeld)
_ANY: TypeAdapter[Any] = TypeAdapter(ClaimsTaken | ClaimTaken | ClaimRenewed | ClaimRead | list[ClaimRead])


def claimant_to_json(claimant: Claimant) -> str:
    return _CLAIMANT.dump_json(claimant).decode()


def claimant_of(text: str) -> Claimant:
    return _CLAIMANT.validate_json(text)


def held_members(held: ClaimHeld) -> dict[str, object]:
    members: dict[str, object] = _HELD.dump_python(held, mode="json")
    return members


def claim_json(claim: ClaimsTaken | ClaimTaken | ClaimRenewed | ClaimRead | list[ClaimRead]) -> bytes:
    return _ANY.dump_json(claim)
