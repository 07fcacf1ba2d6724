"""The OpenAPI document, as generators like it."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from taskwell.schemas.problem import Problem

_DESCRIPTION = """\
Every operation on tasks exists twice: at `/api/tasks` for the caller, and at `/api/{user_id}/tasks` for the
user in the path. Every error is a problem (RFC 9457).
"""
_TAGS = [
    {"name": "tasks", "description": "What is to be done."},
    {"name": "users", "description": "Whose tasks they are."},
    {"name": "operations", "description": "For whoever runs the server."},
]


def install(app: FastAPI) -> None:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title="taskwell",
        version=app.version,
        description=_DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        routes=app.routes,
        tags=_TAGS,
        # Relative to where the document was found: right behind every proxy.
        servers=[{"url": "/"}],
    )
    for path in document["paths"].values():
        for operation in path.values():
            # FastAPI adds its own validation error; here it is a 400.
            operation["responses"].pop("422", None)
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document
