"""Metrics for Prometheus."""

from fastapi import APIRouter, Request, Response

from taskwell.auth.authorization import public
from taskwell.core.errors import Forbidden, NotFound
from taskwell.http.app_state import app_state
from taskwell.http.metrics import MEDIA_TYPE
from taskwell.http.security import comes_from_near
from taskwell.rest.dependencies import DatabaseDep, SettingsDep
from taskwell.rest.routing import TaskwellRoute

router = APIRouter(route_class=TaskwellRoute, include_in_schema=False)


@router.get("", name="show_metrics")
@public
async def show_metrics(request: Request, settings: SettingsDep, database: DatabaseDep) -> Response:
    """Metrics contain no user, but show the load: with authentication, only nearby clients may read them."""
    if settings.metrics == "nobody":
        raise NotFound
    restricted = settings.metrics == "auto" and settings.auth != "stub"
    if restricted and not comes_from_near(request.scope):
        raise Forbidden(
            "Metrics are restricted to nearby addresses; the setting TASKWELL_METRICS can allow others."
        )
    state = app_state(request.scope)
    page = state.metrics.page(database, state.feed)
    return Response(page, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
