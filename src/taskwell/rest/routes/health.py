"""Health checks for orchestrators and load balancers."""

from typing import Any

from fastapi import APIRouter, Request

from taskwell.auth.authorization import public
from taskwell.core.errors import Overloaded
from taskwell.http.problems import problems
from taskwell.rest.dependencies import DatabaseDep
from taskwell.rest.routing import TaskwellRoute

router = APIRouter(route_class=TaskwellRoute, tags=["operations"])


@router.get("/live", name="is_live", summary="Is the process alive?", responses=problems(database=False))
@public
async def is_live() -> dict[str, str]:
    """Touches nothing else: a server whose database is away is alive."""
    return {"status": "ok"}


@router.get("", name="is_healthy", include_in_schema=False)  # the default path of some load balancers
@router.get("/ready", name="is_ready", summary="Can it serve?", responses=problems())
@public
async def is_ready(request: Request, database: DatabaseDep) -> dict[str, Any]:
    """Whether the database could be used when last it was, and how its connections are used.

    A server that has been told to end says no, and still serves what comes.
    """
    if request.app.state.admission.ending:
        raise Overloaded("The server is shutting down.")
    await database.check()
    backend = database.backend
    return {"status": "ok", "database": backend.dialect, "pool": backend.pool_numbers()}
