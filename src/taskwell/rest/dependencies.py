"""The dependencies of routes, as `Annotated` aliases."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskwell.auth.authorization import Caller
from taskwell.core.errors import Invalid, Violation
from taskwell.core.settings import Settings
from taskwell.database.database import Database
from taskwell.http.app_state import app_state
from taskwell.http.idempotency import KEY_SCHEMA, IdempotentWrites, parse_key
from taskwell.http.request_state import caller_of
from taskwell.rest.routing import parse_preferences
from taskwell.schemas.dates import TimeZoneName
from taskwell.schemas.query import DRY_RUN, Flag
from taskwell.schemas.task_list import ListId
from taskwell.schemas.types import KnownUserId, TaskId, is_reserved, why_reserved
from taskwell.services.operations import Operations
from taskwell.services.users import find_user
from taskwell.services.zones import ZoneOfRequest

MAX_LIMIT = 1_000


async def database_of_request(request: Request) -> Database:
    return app_state(request.scope).database


async def settings_of_request(request: Request) -> Settings:
    return app_state(request.scope).settings


async def operations_of_request(request: Request) -> Operations:
    return app_state(request.scope).operations


async def caller_of_request(request: Request) -> Caller:
    return caller_of(request.scope)


async def owner_of_request(request: Request, caller: Annotated[Caller, Depends(caller_of_request)]) -> str:
    """The owner of the tasks: the user in the path at the second mount, else the caller."""
    user_id: str = request.path_params.get("user_id", caller.user_id)
    return user_id


async def refuse_reserved(database: Database, parameter: str, user_id: str) -> None:
    """Refuse a reserved id, unless a user had it before it was reserved.

    Raises:
        Invalid: the id is reserved, and no user has it.
    """
    if is_reserved(user_id) and await database.read(find_user, user_id) is None:
        raise Invalid(Violation("path", parameter, "reserved", why_reserved(user_id)))


async def path_user(
    user_id: Annotated[KnownUserId, Path(description="The owner of the tasks.")],
    database: Annotated[Database, Depends(database_of_request)],
) -> None:
    """Checks the path's user and shows it in the OpenAPI document of the second mount."""
    await refuse_reserved(database, "user_id", user_id)


async def preferences(
    prefer: Annotated[
        list[str] | None,
        WithJsonSchema({"type": "string", "examples": ["handling=strict"]}),  # repeated lines are one list
        Header(
            description="`handling=strict`: refuse unknown members and parameters instead of ignoring them. "
            "`return=representation`: return the deleted task. `count=exact`: count the tasks of a list."
        ),
    ] = None,
) -> dict[str, str]:
    return parse_preferences(prefer or ())


def refusing_dry_run(why: str) -> Callable[[Flag], Awaitable[None]]:
    """The dependency of an operation that cannot be a dry run. It raises Invalid."""

    async def refuse(
        dry_run: Annotated[
            Flag,
            WithJsonSchema({"type": "boolean", "const": False}),
            Query(description=f"Not `true`: {why}."),
        ] = None,
    ) -> None:
        if dry_run:
            raise Invalid(Violation("query", DRY_RUN, "not_allowed", f"is not allowed here: {why}"))

    return refuse


refuse_dry_run = refusing_dry_run("the response would contain a token that does not exist")


async def writes_of_request(
    request: Request,
    operations: Annotated[Operations, Depends(operations_of_request)],
    owner: Annotated[str, Depends(owner_of_request)],
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Up to 255 printable ASCII characters, new for each request. A repeat within 24 "
            "hours gets the first response, with `Idempotent-Replayed: true`.",
            examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
            json_schema_extra=KEY_SCHEMA,
        ),
    ] = None,
    dry_run: Annotated[
        Flag,
        Query(
            description="Write nothing, and answer as if it were written, with `Dry-Run: true`. Not together "
            "with an `Idempotency-Key`."
        ),
    ] = None,
) -> IdempotentWrites:
    """Raises Invalid: the key is malformed, or the request has one and is a dry run."""
    key = None if idempotency_key is None else parse_key(request.headers.getlist("idempotency-key"))
    if dry_run and key is not None:
        detail = "contradicts dry_run, whose response is not stored: leave one of them out"
        raise Invalid(Violation("header", "Idempotency-Key", "contradiction", detail))
    return IdempotentWrites(request, operations, owner, key, dry_run=bool(dry_run))


def _limit(value: object) -> int:
    text = str(value)
    if not (text.isascii() and text.isdecimal()) or not text.strip("0"):
        raise PydanticCustomError("invalid_limit", "must be a whole number from 1")
    return min(int(text.lstrip("0")[:5]), MAX_LIMIT)


async def zone_of_request(
    settings: Annotated[Settings, Depends(settings_of_request)],
    tz: Annotated[
        TimeZoneName | None,
        Query(
            description="The time zone of this request, instead of the user's: where instants lie, and what "
            "today is.",
            examples=["Europe/Berlin"],
        ),
    ] = None,
) -> ZoneOfRequest:
    return ZoneOfRequest(tz, settings.time_zone)


def some_of(names: Sequence[str], code: str) -> tuple[AfterValidator, WithJsonSchema]:
    """The check and the schema of a parameter that has some of the names, comma-separated."""

    def check(value: str) -> str:
        if not set(value.split(",")) <= set(names):
            raise PydanticCustomError(code, f"must be some of {', '.join(names)}, comma-separated")
        return value

    one = "|".join(names)
    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^({one})(,({one}))*$"})


DatabaseDep = Annotated[Database, Depends(database_of_request)]
SettingsDep = Annotated[Settings, Depends(settings_of_request)]
OperationsDep = Annotated[Operations, Depends(operations_of_request)]
WritesDep = Annotated[IdempotentWrites, Depends(writes_of_request)]
CallerDep = Annotated[Caller, Depends(caller_of_request)]
Owner = Annotated[str, Depends(owner_of_request)]
ZoneDep = Annotated[ZoneOfRequest, Depends(zone_of_request)]
Preferences = Annotated[dict[str, str], Depends(preferences)]
PathTaskId = Annotated[TaskId, Path(description="The task's id.")]
PathListId = Annotated[ListId, Path(description="The list's id.")]
Limit = Annotated[
    int | None,
    BeforeValidator(_limit),
    WithJsonSchema({"type": "integer", "minimum": 1}),
    Query(
        description="The maximum number of tasks on a page, which has a `Link` to the next one; values above "
        f"{MAX_LIMIT:,} mean {MAX_LIMIT:,}. Without it the response is the whole list.",
        examples=[50],
    ),
]
Cursor = Annotated[
    str | None, Query(description="The position of the page, from the `Link` of the previous page; opaque.")
]
