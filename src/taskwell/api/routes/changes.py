"""What has changed, asked for or live; at both mounts, as tasks are."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from taskwell.api.callers import TASKS_READ, needs
from taskwell.api.dependencies import MAX_LIMIT, CallerDep, DatabaseDep, Limit, Owner, preferences
from taskwell.api.feed import Feed
from taskwell.api.problems import problems
from taskwell.api.responses import changes_response
from taskwell.api.routing import TaskwellRoute
from taskwell.api.stream import EventStream
from taskwell.schemas.change import Changes
from taskwell.services import changes

router = APIRouter(route_class=TaskwellRoute, tags=["changes"], dependencies=[Depends(preferences)])

# For the OpenAPI document.
_CURSOR: dict[str, Any] = {"pattern": "^[0-9]{1,16}(-[0-9]{1,16})?$"}

Since = Annotated[
    str | None,
    Query(
        description="The `next` of the answer before. Without it, from the beginning.",
        json_schema_extra=_CURSOR,
    ),
]


@router.get(
    "/changes",
    response_model=Changes,
    summary="List changes",
    responses={200: {"description": "Changes in their order."}, **problems("gone")},
)
@needs(TASKS_READ)
async def list_changes(
    database: DatabaseDep, owner: Owner, since: Since = None, limit: Limit = None
) -> Response:
    """Each task that has changed since a cursor, once, in its latest state; a deleted one as a mark.

    To follow them for ever: keep `next`, and ask again with it. On 410, forget the copy and begin anew.
    """
    cursor = None if since is None else changes.parse_cursor(since)
    return changes_response(
        await database.read(changes.list_changes, owner, cursor, limit=limit or MAX_LIMIT)
    )


@router.get(
    "/events",
    response_class=Response,
    summary="Follow changes live",
    responses={
        200: {
            "description": "Server-sent events: `event: task`, `id` its number, `data` as in `changes`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems("gone"),
    },
)
@needs(TASKS_READ)
async def follow_changes(
    request: Request,
    database: DatabaseDep,
    caller: CallerDep,
    owner: Owner,
    since: Annotated[
        str | None,
        Query(description="A number to go on from; 0 is the beginning.", json_schema_extra=_CURSOR),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(
            description="The same, as a browser says it when it connects again.", json_schema_extra=_CURSOR
        ),
    ] = None,
) -> Response:
    """Without a number to go on from, the changes from now on. A comment comes after 15 s of silence.

    With credentials a stream ends when they do, and after ten minutes: a client connects again and misses
    nothing.
    """
    feed: Feed = request.app.state.feed
    feed.refuse_too_many()
    text = since if last_event_id is None else last_event_id
    start = await database.read(changes.start_of, owner, text)
    return EventStream(feed.stream(owner, start, seconds=caller.stream_seconds()))
