"""OpenTelemetry traces. FastAPI makes the spans; this module exports them and keeps queries out of them."""

import asyncio
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from taskwell import __version__
from taskwell.core.settings import Settings
from taskwell.http.request_state import request_state

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger("taskwell")

_FLUSH_MILLISECONDS = 2_000
_NO_EXTRA = "OTEL_EXPORTER_OTLP_ENDPOINT is set, but no traces are sent: pip install 'taskwell[otel]'"

_providers: list["TracerProvider"] = []  # one, once this process exports traces


def install(settings: Settings) -> None:
    """Set up the export. It must come before the application, which checks for it when it is created."""
    if not settings.otlp_endpoint:
        return
    if not _is_there("opentelemetry.sdk") or not _is_there("opentelemetry.exporter.otlp.proto.http"):
        logger.warning(_NO_EXTRA)
        return
    from opentelemetry import trace  # noqa: PLC0415 (the rest is an extra, and slow to import)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    named = {"service.name": settings.otel_service_name, "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(named))
    endpoint = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    _providers[:] = [provider]


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


async def flush() -> None:
    """Export the remaining spans, with a timeout in case the collector is unreachable."""
    for provider in _providers:
        await asyncio.to_thread(provider.force_flush, _FLUSH_MILLISECONDS)


def hide_query(scope: Scope) -> None:
    """Take the query out of the scope: instrumentation records it, and search terms are private."""
    if scope["type"] == "http":
        request_state(scope).query, scope["query_string"] = scope["query_string"], b""


class ShownQuery:
    """Puts the query back into the scope, within the instrumentation."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = request_state(scope)
        if state.query is not None:
            scope["query_string"], state.query = state.query, None
        await self.app(scope, receive, send)
