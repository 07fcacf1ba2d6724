"""The change feed: changes by request or as a stream of events. Mounted twice, as tasks are."""

from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from taskwell.auth.authorization import TASKS_READ, requires
from taskwell.core.errors import Gone
from taskwell.http.app_state import app_state
from taskwell.http.problems import problems
from taskwell.http.sse import EventStream
from taskwell.rest.dependencies import MAX_LIMIT, CallerDep, DatabaseDep, Limit, Owner, preferences, some_of
from taskwell.rest.responses import changes_response
from taskwell.rest.routing import TaskwellRoute
from taskwell.schemas.change import KINDS, ChangePage
from taskwell.services import changes

router = APIRouter(route_class=TaskwellRoute, tags=["changes"], dependencies=[Depends(preferences)])

# For the OpenAPI document.
_CURSOR: dict[str, Any] = {"pattern": "^([0-9]{1,16}(-[0-9]{1,16})?)?$"}

Since = Annotated[
    str | None,
    Query(
        description="The `next` of the previous response. Without it, all changes from the beginning.",
        json_schema_extra=_CURSOR,
    ),
]


Types = Annotated[
    str | None,
    *some_of(KINDS, "invalid_types"),
    Query(
        description=f"Changes of which of {', '.join(KINDS)}, comma-separated; each record then has its "
        "`type`. Without it, changes of tasks. Keep it the same as long as the cursor is followed."
    ),
]


@router.get(
    "/changes",
    name="list_changes",
    response_model=ChangePage,
    summary="List changes",
    responses={200: {"description": "Changes in their order."}, **problems("gone")},
)
@requires(TASKS_READ)
async def list_changes(
    database: DatabaseDep, owner: Owner, since: Since = None, limit: Limit = None, types: Types = None
) -> Response:
    """Each task that has changed since a cursor, once, in its latest state; of a deleted task, a tombstone.

    With `types`, lists and labels too, all in one order. To follow the changes: store `next`, and send it as
    `since` next time. On 410, discard the copy and start without a cursor.
    """
    cursor = changes.parse_cursor(since) if since else None
    kinds = [kind for kind in KINDS if kind in (types or "task").split(",")]
    found = await database.read(
        changes.list_changes,
        owner,
        cursor,
        limit=limit or MAX_LIMIT,
        kinds=kinds,
        typed=types is not None,
    )
    return changes_response(found)


class Position(NamedTuple):
    """The cursor from which a stream continues, and the parameter that has it."""

    source: str
    name: str
    text: str


def _spelling(name: str) -> Any:
    """Another name of `lastEventId` that some clients use."""
    return Query(alias=name, include_in_schema=False)


async def position_of_request(
    since: Annotated[
        str | None,
        Query(
            description="The sequence number after which the stream starts; 0 is the beginning.",
            json_schema_extra=_CURSOR,
        ),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(
            description="The same, as a browser sends it when it reconnects. It overrides the query.",
            json_schema_extra=_CURSOR,
        ),
    ] = None,
    in_query: Annotated[
        str | None,
        Query(
            alias="lastEventId",
            description="The same, as polyfills of `EventSource` send it. It overrides `since`.",
            json_schema_extra=_CURSOR,
        ),
    ] = None,
    in_capitals: Annotated[str | None, _spelling("lastEventID")] = None,
    in_snake_case: Annotated[str | None, _spelling("last_event_id")] = None,
    as_header: Annotated[str | None, _spelling("Last-Event-ID")] = None,
) -> Position | None:
    """The position of a reconnecting client goes before that of its URL, which is older. Empty is absent."""
    given = (
        ("header", "Last-Event-ID", last_event_id),
        ("query", "lastEventId", in_query),
        ("query", "lastEventID", in_capitals),
        ("query", "last_event_id", in_snake_case),
        ("query", "Last-Event-ID", as_header),
        ("query", "since", since),
    )
    return next((Position(source, name, text) for source, name, text in given if text), None)


@router.get(
    "/events",
    name="follow_changes",
    response_class=Response,
    summary="Follow changes live",
    responses={
        200: {
            "description": "Server-sent events: first `event: ready`, whose `id` is the number after which "
            "the stream starts; then `event: task`, whose `id` is its number and whose `data` is as in "
            "`changes`; `event: list` and `event: label` with their records, which have a `type`; and "
            "`event: reminder`, which `changes` do not have, with the members `task_id`, `kind` (`reminder` "
            "or `due`) and `at`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems("gone"),
    },
)
@requires(TASKS_READ)
async def follow_changes(
    request: Request,
    database: DatabaseDep,
    caller: CallerDep,
    owner: Owner,
    position: Annotated[Position | None, Depends(position_of_request)],
) -> Response:
    """Without a number, the stream starts with the next change. A comment is sent every 15 s without changes.

    With authentication a stream ends when the credentials expire, and after ten minutes at the latest; a
    client that reconnects misses no change.
    """
    feed = app_state(request.scope).feed
    feed.refuse_too_many()
    since = changes.parse_cursor(position.text, position.source, position.name) if position else None
    try:
        start = await database.read(changes.start_of, owner, since)
    except Gone:
        raise Gone(position.name if position else "since") from None
    return EventStream(feed.stream(owner, start, seconds=caller.stream_seconds()))
