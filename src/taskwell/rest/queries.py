"""The query of a list, read strictly: what is not understood is refused, never guessed."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskwell.core.errors import Invalid, Violation
from taskwell.schemas.base import Moment
from taskwell.schemas.query import DESCENDING, NEWEST_FIRST, SORT_NAMES, TaskFilter, TaskQuery, parse_sort
from taskwell.schemas.types import check_search

_STATUSES = {"all": None, "pending": False, "completed": True}
_STATUS_WORDS = {name: name for name in _STATUSES} | {
    "active": "pending", "incomplete": "pending", "open": "pending", "todo": "pending",
    "complete": "completed", "done": "completed",
}  # fmt: skip
# As FastAPI itself reads a `bool`, and Python and others write one.
_FLAGS = {
    "true": True, "1": True, "yes": True, "on": True, "t": True, "y": True,
    "false": False, "0": False, "no": False, "off": False, "f": False, "n": False,
}  # fmt: skip


def _flag(value: object) -> bool:
    flag = _FLAGS.get(str(value).lower())
    if flag is None:
        raise PydanticCustomError("invalid_flag", "must be true or false")
    return flag


def _check_sort(value: str) -> str:
    try:
        parse_sort(value)
    except ValueError:
        detail = f"must be some of {', '.join(SORT_NAMES)}, each once, with - for descending"
        raise PydanticCustomError("invalid_sort", detail) from None
    return value


def _status(value: object) -> str:
    status = _STATUS_WORDS.get(str(value).lower())
    if status is None:
        raise PydanticCustomError("invalid_status", "must be all, pending or completed")
    return status


def _order(value: object) -> bool:
    descending = DESCENDING.get(str(value).lower())
    if descending is None:
        raise PydanticCustomError("invalid_order", "must be asc or desc; the keys to sort by are in sort")
    return descending


_SORT_KEY = f"-?({'|'.join(SORT_NAMES)})"
_SORT = f"^{_SORT_KEY}(,{_SORT_KEY})*$"
_FLAG = WithJsonSchema({"type": "boolean"})

Flag = Annotated[bool | None, BeforeValidator(_flag), _FLAG]


async def filter_of_request(
    completed: Annotated[Flag, Query(description="Only tasks that are completed, or that are not.")] = None,
    status: Annotated[
        str | None,
        BeforeValidator(_status),
        WithJsonSchema({"type": "string", "enum": list(_STATUSES)}),
        Query(description="The same in words."),
    ] = None,
    q: Annotated[
        str | None,
        AfterValidator(check_search),
        WithJsonSchema({"type": "string", "maxLength": 200}),
        Query(description="Only tasks with this text in the title or the description, whatever its case."),
    ] = None,
    created_after: Annotated[Moment | None, Query(description="Created later than this.")] = None,
    created_before: Annotated[Moment | None, Query(description="Created earlier than this.")] = None,
    updated_after: Annotated[Moment | None, Query(description="Changed later than this.")] = None,
    updated_before: Annotated[Moment | None, Query(description="Changed earlier than this.")] = None,
) -> TaskFilter:
    """Raises Invalid: `status` and `completed` contradict each other."""
    wanted = _STATUSES[status or "all"]
    if completed is not None and wanted is not None and completed != wanted:
        raise Invalid(Violation("query", "status", "contradiction", "contradicts completed"))
    return TaskFilter(
        completed=wanted if completed is None else completed,
        q=q or None,
        created_after=created_after,
        created_before=created_before,
        updated_after=updated_after,
        updated_before=updated_before,
    )


async def query_of_request(
    task_filter: Annotated[TaskFilter, Depends(filter_of_request)],
    deleted: Annotated[Flag, Query(description="The tasks in the trash instead.")] = None,
    sort: Annotated[
        str | None,
        AfterValidator(_check_sort),
        WithJsonSchema({"type": "string", "pattern": _SORT, "examples": ["completed,-updated_at"]}),
        Query(
            description=f"By which of {', '.join(SORT_NAMES)}, comma-separated, each with - for descending. "
            "Ties: the newest first."
        ),
    ] = None,
    order: Annotated[bool | None, BeforeValidator(_order), Query(include_in_schema=False)] = None,
) -> TaskQuery:
    """Raises Invalid: `order` and `sort` contradict each other."""
    try:
        keys = (
            NEWEST_FIRST
            if sort is None and order is None
            else parse_sort(sort or "created_at", descending=order)
        )
    except ValueError:
        raise Invalid(Violation("query", "order", "contradiction", "contradicts sort")) from None
    return TaskQuery(replace(task_filter, deleted=bool(deleted)), keys)


FilterDep = Annotated[TaskFilter, Depends(filter_of_request)]
QueryDep = Annotated[TaskQuery, Depends(query_of_request)]
