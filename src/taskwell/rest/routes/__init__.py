"""Mounts the routers. Those of a user's data are mounted twice: for the caller, and for a user by id."""

from fastapi import APIRouter, Depends

from taskwell.rest.dependencies import path_user
from taskwell.rest.routes import (
    changes,
    claims,
    docs,
    health,
    history,
    labels,
    lists,
    metrics,
    problems,
    quick_add,
    tasks,
    tokens,
    users,
    webhooks,
)

router = APIRouter(generate_unique_id_function=lambda route: route.name)
router.include_router(health.router, prefix="/health")
router.include_router(metrics.router, prefix="/metrics")
router.include_router(docs.router)
router.include_router(problems.router, prefix="/problems")
router.include_router(tokens.router, prefix="/api/users/me/tokens")
router.include_router(users.router, prefix="/api/users")
_TWICE = (
    (tasks.router, "/tasks"),
    (lists.router, "/lists"),
    (labels.router, "/labels"),
    (claims.router, ""),
    (quick_add.router, ""),
    (history.task_router, "/tasks"),
    (history.list_router, "/lists"),
    (history.router, ""),
    (changes.router, ""),
    (webhooks.router, "/webhooks"),
)
for user_router, prefix in _TWICE:
    router.include_router(user_router, prefix=f"/api{prefix}")
    router.include_router(
        user_router,
        prefix=f"/api/{{user_id}}{prefix}",
        dependencies=[Depends(path_user)],
        generate_unique_id_function=lambda route: f"user_{route.name}",
    )
