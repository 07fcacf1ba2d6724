"""Numbers for Prometheus."""

from fastapi import APIRouter, Request, Response

from taskwell.auth.authorization import public
from taskwell.core.errors import Forbidden, NotFound
from taskwell.http.metrics import MEDIA_TYPE
from taskwell.http.security import comes_from_near
from taskwell.rest.dependencies import DatabaseDep, SettingsDep
from taskwell.rest.routing import TaskwellRoute

router = APIRouter(route_class=TaskwellRoute, include_in_schema=False)


@router.get("", name="show_metrics")
@public
async def show_metrics(request: Request, settings: SettingsDep, database: DatabaseDep) -> Response:
    """It tells how much is going on, though nothing of anybody: not everybody's where people sign in."""
    if settings.metrics == "nobody":
        raise NotFound
    guarded = settings.metrics == "auto" and settings.auth != "stub"
    if guarded and not comes_from_near(request.scope):
        raise Forbidden("Who may read this is the operator's to say: TASKWELL_METRICS.")
    state = request.app.state
    page = state.metrics.page(database, state.feed)
    return Response(page, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
