"""Parses the query of a list strictly: an invalid value is an error, never ignored or guessed."""

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskwell.core.clock import utc_now
from taskwell.core.errors import Invalid, Violation
from taskwell.rest.dependencies import OperationsDep, Owner, ZoneDep
from taskwell.schemas.query import (
    DESCENDING,
    NEWEST_FIRST,
    SORT_NAMES,
    FilterParameters,
    Flag,
    Sort,
    TaskFilter,
    TaskQuery,
    parse_sort,
)
from taskwell.schemas.task import FIELD_NAMES
from taskwell.services.operations import zone_of


def _order(value: object) -> bool:
    descending = DESCENDING.get(str(value).lower())
    if descending is None:
        raise PydanticCustomError("invalid_order", "must be asc or desc; the keys to sort by are in sort")
    return descending


async def filter_of_request(
    sent: Annotated[FilterParameters, Query()], operations: OperationsDep, owner: Owner, zone: ZoneDep
) -> TaskFilter:
    """Raises Invalid: `status` and `completed` contradict each other."""
    try:
        task_filter = TaskFilter.of(sent)
    except ValueError:
        raise Invalid(Violation("query", "status", "contradiction", "contradicts completed")) from None
    name = await zone_of(operations, owner, zone) if task_filter.needs_zone() else None
    return task_filter.at(name, utc_now())


def _fields(value: object) -> tuple[str, ...]:
    sent = {name.strip() for name in str(value).split(",")}
    if not sent <= {*FIELD_NAMES}:
        detail = f"must be some of {', '.join(FIELD_NAMES)}, with commas"
        raise PydanticCustomError("unknown_field", detail)
    return tuple(name for name in FIELD_NAMES if name in sent)


_FIELD = f"({'|'.join(FIELD_NAMES)})"
Fields = Annotated[
    Any,
    BeforeValidator(_fields),
    WithJsonSchema({"type": "string", "pattern": f"^{_FIELD}(,{_FIELD})*$", "examples": ["id,title,due"]}),
    Query(description="Only these members of each task, with commas, in the order of a task."),
]


async def query_of_request(
    task_filter: Annotated[TaskFilter, Depends(filter_of_request)],
    deleted: Annotated[Flag, Query(description="The tasks in the trash instead.")] = None,
    sort: Annotated[
        Sort | None,
        Query(
            description=f"By which of {', '.join(SORT_NAMES)}, comma-separated, each with - for descending. "
            "Ties: the newest first."
        ),
    ] = None,
    order: Annotated[bool | None, BeforeValidator(_order), Query(include_in_schema=False)] = None,
    fields: Fields = None,
) -> TaskQuery:
    """Raises Invalid: `order` and `sort` contradict each other."""
    try:
        terms = (
            NEWEST_FIRST
            if sort is None and order is None
            else parse_sort(sort or "created_at", descending=order)
        )
    except ValueError:
        raise Invalid(Violation("query", "order", "contradiction", "contradicts sort")) from None
    return TaskQuery(task_filter.model_copy(update={"deleted": bool(deleted)}), terms, fields)


FilterDep = Annotated[TaskFilter, Depends(filter_of_request)]
QueryDep = Annotated[TaskQuery, Depends(query_of_request)]
