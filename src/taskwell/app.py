"""The application: its state, its routes, its middleware and its lifespan."""

import asyncio
import gc
import logging
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from taskwell import __version__
from taskwell.auth.jwt import Verifier
from taskwell.core.bounded_cache import BoundedCache
from taskwell.core.errors import Unavailable
from taskwell.core.principal import ALL_USERS, as_user
from taskwell.core.settings import Settings
from taskwell.core.settings_warnings import remarks
from taskwell.database import startup
from taskwell.database.database import Database
from taskwell.http import logs, problems, traces
from taskwell.http.admission import Admission
from taskwell.http.app_state import AppState
from taskwell.http.authentication import Authentication
from taskwell.http.connection import ServedApp
from taskwell.http.metrics import Metrics
from taskwell.http.middleware import (
    BodyLimit,
    Cors,
    NormalizePath,
    Options,
    Origins,
    RequestId,
    UnhandledErrors,
    ValidateRequest,
)
from taskwell.http.prefixes import Prefix, Prefixes, PrefixMount
from taskwell.http.rate_limit import AuthFailureLimit, RateLimit
from taskwell.http.security import (
    LocalOnly,
    ProxyHeaders,
    SecurityHeaders,
    TrustedHosts,
)
from taskwell.rest import openapi
from taskwell.rest.fast_path.cached_head import FastPath
from taskwell.rest.fast_path.direct_dispatch import DirectDispatch
from taskwell.rest.routes import router
from taskwell.rest.routing import PATH_IDS
from taskwell.rest.state import RestState
from taskwell.services.housekeeping import run_forever
from taskwell.services.live_changes import Feed
from taskwell.services.operations import Operations
from taskwell.services.reminders import Reminders
from taskwell.web import routes as web
from taskwell.webhooks.deliverer import Deliverer

logger = logging.getLogger("taskwell")

_STATIC = Path(__file__).parent / "rest" / "static"

# What the middleware does, by path: one line per protocol package.
PREFIXES = (
    Prefix("/api", authenticated=True, limited=True, cacheable=False),
    Prefix("/health", whole_segment=False, cacheable=False, any_host=True, always_admitted=True),
    Prefix("/metrics", whole_segment=False, any_host=True),
    Prefix("/app", cors=False),
    Prefix("/app-files", cors=False),
    Prefix("/assets"),
    Prefix("/docs"),
    Prefix("/openapi.json"),
    Prefix("/problems"),
)

_NO_LIFESPAN = (
    "The lifespan of this application has not run: the application that mounts it has to run it in its own, "
    "`async with tasks.router.lifespan_context(tasks): yield`."
)
_HOW_TO_MOUNT = """\
The lifespan of taskwell has not run, so it has no database. Starlette and FastAPI do not run the lifespan of
what they mount: run it in that of the application outside.

    tasks = create_app()

    @asynccontextmanager
    async def lifespan(app):
        async with tasks.router.lifespan_context(tasks):
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/tasks", tasks)"""


class NotStarted:
    """Stands in for the database and the feed until the lifespan sets them: every use raises Unavailable."""

    def __init__(self) -> None:
        self._logged = False

    def __getattr__(self, name: str) -> Any:
        if not self._logged:
            self._logged = True
            logger.error(_HOW_TO_MOUNT)
        raise Unavailable(_NO_LIFESPAN, reason="preparing")


@dataclass
class State(AppState):
    """What all protocols need, and one attribute per protocol with state."""

    rest: RestState


class Application(FastAPI):
    """`traced`: whether OpenTelemetry was set up when it was made."""

    state: State  # type: ignore[assignment]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.traced = self._native_telemetry.enabled()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.traced:
            traces.hide_query(scope)
        if self.traced or self.middleware_stack is None:
            await super().__call__(scope, receive, send)
        else:  # as Starlette does; FastAPI would check for traces at each request
            scope["app"] = self
            await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Omit FastAPI's three outermost middlewares: this application has its own for errors and bodies."""
        whole: Any = super().build_middleware_stack()
        return traces.ShownQuery(whole) if self.traced else whole.app.app.app


def create_app(settings: Settings | None = None, *, fast_path: bool = True) -> FastAPI:
    """Create the application, with the settings of the environment unless others are given.

    `fast_path` False: every request goes through FastAPI, and no queries are coalesced. Tests use it to show
    that responses are the same.
    """
    return _application(settings or Settings(), fast_path=fast_path)


def _application(settings: Settings, *, fast_path: bool = True, local: bool = False) -> FastAPI:
    """`local`: refuse requests to an address that other machines can reach."""
    app = Application(
        title="taskwell",
        version=__version__,
        lifespan=_lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"logs": False},  # they would repeat the messages of exceptions
    )
    app.state = _state_of(settings, fast_path=fast_path)
    # Not included: FastAPI would derive every route anew for each application, in a tenth of a second.
    if settings.app:
        app.router.routes.extend(web.router.routes)
    app.router.routes.extend(router.routes)
    app.mount("/assets", StaticFiles(directory=_STATIC))
    for prefix in app.state.prefixes:
        if prefix.app is not None:
            app.router.routes.append(PrefixMount(prefix.path, prefix.app))
    problems.install(app)
    openapi.install(app)
    if fast_path and not app.traced:  # a trace needs the route that FastAPI finds
        app.add_middleware(DirectDispatch, settings=settings, queries=app.state.rest.queries)
    _add_middleware(app, settings, local=local)
    return app


def _state_of(settings: Settings, *, fast_path: bool) -> State:
    prefixes = Prefixes(PREFIXES)
    stub = settings.auth == "stub"
    missing: Any = NotStarted()
    return State(
        settings=settings,
        database=missing,
        operations=missing,
        feed=missing,
        webhooks=missing,
        admission=Admission(),
        metrics=Metrics(settings.metrics_folder, prefixes.methods),
        # Without credentials a page on this machine can do no more than its user.
        origins=Origins(settings.cors_origins, loopback=stub, methods=prefixes.methods),
        prefixes=prefixes,
        path_ids=PATH_IDS,
        noted_emails=BoundedCache(),
        verifier=Verifier(settings) if settings.auth == "jwt" else None,
        fast_path=fast_path,
        rest=RestState(),
    )


def _add_middleware(app: Application, settings: Settings, *, local: bool) -> None:
    """The last one added is the outermost."""
    prefixes = app.state.prefixes
    stub = settings.auth == "stub"
    app.add_middleware(BodyLimit, prefixes, max_bytes=settings.max_body_bytes)
    app.add_middleware(NormalizePath)
    if not stub:
        storage_url = settings.rate_limit_storage.get_secret_value()
        app.add_middleware(RateLimit, prefixes, rate=settings.rate_limit, storage_url=storage_url)
    app.add_middleware(Authentication, prefixes, verifier=app.state.verifier)
    if not stub and settings.rate_limit != "none":
        app.add_middleware(AuthFailureLimit, prefixes, rate=settings.rate_limit)
    app.add_middleware(Options)
    app.add_middleware(TrustedHosts, prefixes, allowed=settings.allowed_hosts, stub=stub)
    if local:
        app.add_middleware(LocalOnly)
    app.add_middleware(ValidateRequest)
    app.add_middleware(UnhandledErrors)
    app.add_middleware(Cors, prefixes, policy=app.state.origins)
    app.add_middleware(SecurityHeaders, prefixes)
    app.add_middleware(RequestId, metrics=app.state.metrics)
    app.add_middleware(
        ProxyHeaders,
        prefixes,
        proxies=settings.forwarded_allow_ips,
        root_path=settings.served_path,
        origin=settings.public_origin,
    )


@asynccontextmanager
async def _lifespan(app: Application) -> AsyncGenerator[dict[str, Any]]:
    state = app.state
    settings, admission = state.settings, state.admission
    database = Database(settings, coalesce=state.fast_path, more_expected=admission.lets_in_more)
    feed = Feed(database)
    state.database, state.operations, state.feed = database, Operations(database), feed
    state.webhooks = deliverer = Deliverer(settings, database, feed, state.metrics)
    with as_user(ALL_USERS):
        background = {
            await startup.start(settings, database),
            asyncio.create_task(feed.watch()),
            asyncio.create_task(run_forever(database, settings.trash_days, settings.history_days)),
            asyncio.create_task(deliverer.run()),
            asyncio.create_task(Reminders(database).run_forever()),
            asyncio.create_task(state.metrics.publish_forever(database, feed)),
            *_key_fetches(state.verifier),
        }
    try:
        with _graceful_shutdown(admission, settings.drain_seconds, feed.close):
            fast_path = FastPath(app, state.operations, feed) if state.fast_path and not app.traced else None
            served = ServedApp(admission, fast_path, state.origins, settings.served_path, state.prefixes)
            yield {ServedApp.KEY: served}
    finally:
        feed.close()
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        await database.close()
        await traces.flush()


def _key_fetches(verifier: Verifier | None) -> set[asyncio.Task[None]]:
    """Fetch keys before the first request. The server starts even if an issuer is unreachable."""
    key_sets = verifier.key_sets.values() if verifier else ()
    return {asyncio.create_task(keys.refresh()) for keys in key_sets}


@contextmanager
def _graceful_shutdown(admission: Admission, drain_seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """On SIGINT and SIGTERM report that the server is not ready; after the drain time shut down.

    `end` closes open streams first: the server waits for them before it ends the lifespan.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals; an embedding program ends its streams itself
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def pass_on(number: int) -> None:
        end()
        if callable(handler := before[signal.Signals(number)]):
            handler(number, None)

    def handle(number: int, _frame: FrameType | None) -> None:
        seconds = 0.0 if admission.ending else drain_seconds  # a second signal skips the wait
        admission.ending = True
        loop.call_soon_threadsafe(loop.call_later, seconds, pass_on, number)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def create_logging_app() -> FastAPI:
    """Create the application of a process of `taskwell serve`."""
    return _standalone(Settings())


def create_served_app(settings: Settings) -> FastAPI:
    """Create the application for any other server, which may listen where `taskwell serve` would not."""
    app = _standalone(
        settings, local=settings.auth == "stub" and not settings.allow_stub_auth_on_public_address
    )
    for remark in remarks(settings):
        logger.warning("%s", remark)
    return app


def _standalone(settings: Settings, *, local: bool = False) -> FastAPI:
    """Create the application and tune the process for it."""
    logs.install(settings)
    traces.install(settings)
    app = _application(settings, local=local)
    # The garbage collector need not scan permanent objects: each scan would stop the process for a tenth of a
    # second.
    gc.collect()
    gc.freeze()
    # While the event loop is busy, a database thread waits so long to run, several times for a write.
    sys.setswitchinterval(0.000_1)
    return app
