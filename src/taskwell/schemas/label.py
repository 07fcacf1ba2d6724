"""The input and output types of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import MISSING, ConfigDict, Field, TypeAdapter

from taskwell.schemas.base import INT64, Input
from taskwell.schemas.values import Color, Label, Position


class LabelPut(Input):
    """The color and the place of a label. Absent members stay unchanged; null clears."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"color": "#c62828"}]})

    color: Color | MISSING | None = MISSING
    position: Position | MISSING | None = MISSING


class LabelUpdate(LabelPut):
    """A merge patch (RFC 7396). Another name renames the label in every task."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "house"}]})

    name: Label | MISSING = MISSING


@dataclass(frozen=True, slots=True)
class LabelRead:
    """A label: one with a color or a place, or the name that a task has."""

    name: Annotated[str, Field(examples=["home"])]
    color: Annotated[str | None, Field(examples=["#c62828"])]
    position: Annotated[str | None, Field(description="Its place, compared by bytes.", examples=["a0"])]
    version: Annotated[
        int | None,
        Field(
            description="The sequence number of the latest change of color, place or name; null for a label "
            "that has none of its own.",
            examples=[17],
            json_schema_extra=INT64,
        ),
    ]


@dataclass(frozen=True, slots=True)
class LabelCounted(LabelRead):
    """A label with the number of its open tasks, and of all."""

    open: Annotated[int, Field(examples=[3])]
    total: Annotated[int, Field(examples=[7])]


_LABELS: TypeAdapter[Any] = TypeAdapter(list[LabelCounted | LabelRead])
_LABEL: TypeAdapter[Any] = TypeAdapter(LabelCounted | LabelRead)


def label_json(label: LabelRead) -> bytes:
    return _LABEL.dump_json(label)


def labels_json(labels: Sequence[LabelRead]) -> bytes:
    return _LABELS.dump_json(labels)
