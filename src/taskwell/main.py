"""The application."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from taskwell import __version__
from taskwell.api import openapi, problems
from taskwell.api.middleware import Alike, BodyLimit, CatchAll, Cors, RequestId, WellFormed
from taskwell.api.routes import router
from taskwell.core import preparation
from taskwell.core.config import Settings
from taskwell.core.database import Database

_STATIC = Path(__file__).parent / "api" / "static"
_LOOPBACK_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
_REQUEST_HEADERS = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID",
    "Prefer", "X-Request-Id",
)  # fmt: skip
_RESPONSE_HEADERS = (
    "ETag", "Idempotent-Replayed", "Link", "Location", "Preference-Applied", "Retry-After",
    "X-Request-Id", "X-Total-Count",
)  # fmt: skip


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application on a database; the environment's settings unless others are given."""
    settings = settings or Settings()
    app = FastAPI(
        title="taskwell",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings = settings
    app.include_router(router)
    app.mount("/assets", StaticFiles(directory=_STATIC))
    problems.install(app)
    openapi.install(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(Alike)
    app.add_middleware(WellFormed)
    app.add_middleware(CatchAll)
    app.add_middleware(
        Cors,
        allow_origins=settings.cors_origins,
        # Without credentials a page of this very machine can do no more than its user.
        allow_origin_regex=_LOOPBACK_ORIGIN if settings.auth == "stub" else None,
        allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=_REQUEST_HEADERS,
        expose_headers=_RESPONSE_HEADERS,
    )
    app.add_middleware(RequestId)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    settings: Settings = app.state.settings
    database = Database(settings)
    app.state.database = database
    preparing = await preparation.start(settings, database)
    try:
        yield
    finally:
        preparing.cancel()
        await asyncio.wait([preparing])
        await database.close()


def create_logging_app() -> FastAPI:
    """What `taskwell serve` runs in each process."""
    settings = Settings()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    return create_app(settings)
