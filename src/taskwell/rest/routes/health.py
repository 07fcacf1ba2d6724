"""Health checks for orchestrators and load balancers."""

from typing import Any

from fastapi import APIRouter, Request

from taskwell.auth.authorization import public
from taskwell.core.errors import Overloaded
from taskwell.http.app_state import app_state
from taskwell.http.problems import problems
from taskwell.rest.dependencies import DatabaseDep
from taskwell.rest.routing import TaskwellRoute

router = APIRouter(route_class=TaskwellRoute, tags=["operations"])


@router.get("/live", name="is_live", summary="Is the process alive?", responses=problems(database=False))
@public
async def is_live() -> dict[str, str]:
    """Does not check the database: a process whose database is unreachable is alive."""
    return {"status": "ok"}


@router.get("", name="is_healthy", include_in_schema=False)  # the default path of some load balancers
@router.get("/ready", name="is_ready", summary="Can the server handle requests?", responses=problems())
@public
async def is_ready(request: Request, database: DatabaseDep) -> dict[str, Any]:
    """Whether the database is usable, and the numbers of its connections.

    A server that is shutting down is not ready, but still serves requests.
    """
    if app_state(request.scope).admission.ending:
        raise Overloaded("The server is shutting down.")
    await database.check()
    backend = database.backend
    return {"status": "ok", "database": backend.dialect, "pool": backend.pool_numbers()}
