"""Spans: what is in them, what is not, and that they arrive."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from harness.issuer import Issuer, bearer, running_issuer
from harness.responses import problem
from harness.servers import ServerProcess, local_server, server_process
from taskwell.core.settings import Settings
from taskwell.http import traces
from tests.security.conftest import settings_for

CANARIES = ("canary-title", "canary-search", "canary-key", "canary-cookie", "canary-description")


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What an application that embeds this one sets up."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer("EdDSA") as issuer:
        yield issuer


def of_requests(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.kind is SpanKind.SERVER]


def test_have_the_routes_template_and_nothing_private(
    exporter: InMemorySpanExporter, issuer: Issuer, database_url: str
) -> None:
    token = issuer.token("alice")
    headers = bearer(token) | {"Cookie": "session=canary-cookie", "Idempotency-Key": "canary-key"}
    with (
        local_server(settings_for(issuer, database_url=database_url)) as server,
        httpx2.Client(base_url=server.url, headers=headers) as client,
    ):
        new = {"title": "canary-title", "description": "canary-description"}
        task = client.post("/api/tasks", json=new).json()["id"]
        found = client.get("/api/tasks?q=canary-search&limit=1")
        assert found.json() == []  # the query was not lost on its way
        assert found.request.url.query
        problem(client.get("/api/tasks?limit=canary-search"), 400, "validation_error")
        problem(client.post("/api/tasks", json={"title": ["canary-title"]}), 400, "validation_error")
        client.post(f"/api/alice/tasks/{task}/toggle")
        problem(client.get("/api/tasks", headers={"Authorization": "Bearer canary-key"}), 401, "unauthorized")
    named = [
        (span.name, (span.attributes or {})["http.response.status_code"]) for span in of_requests(exporter)
    ]
    assert named == [
        ("POST /api/tasks", 201),
        ("GET /api/tasks", 200),
        ("GET /api/tasks", 400),
        ("POST /api/tasks", 400),
        ("POST /api/{user_id}/tasks/{task_id}/toggle", 422),  # the key was another request's
        ("GET", 401),  # refused before a route was looked for
    ]
    told = "".join(span.to_json() for span in exporter.get_finished_spans())
    for private in (*CANARIES, token, "url.query"):
        assert private not in told


def test_go_on_with_the_callers_trace(exporter: InMemorySpanExporter, tmp_path: Path) -> None:
    with local_server(Settings(database_url=f"sqlite:///{tmp_path}/test.db")) as server:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        httpx2.get(f"{server.url}/health/live", headers={"traceparent": parent})
    (span,) = of_requests(exporter)
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """The URL of a server that takes spans, and what it has been sent."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()


@pytest.mark.slow
class TestServe:
    def test_sends_them_at_the_latest_when_it_ends(self, tmp_path: Path) -> None:
        with collector() as (url, received):
            with server_process(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url) as server:
                httpx2.get(f"{server.url}/api/tasks?q=milk")
            (sent,) = [spans for request in received for spans in request.resource_spans]
        named = {item.key: item.value.string_value for item in sent.resource.attributes}
        assert named["service.name"] == "taskwell"
        spans = [span for scope in sent.scope_spans for span in scope.spans]
        assert "GET /api/tasks" in {span.name for span in spans}
        assert "milk" not in str(sent)

    def test_waits_for_no_collector_that_is_away(self, tmp_path: Path) -> None:
        server = ServerProcess(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
        server.start()
        try:
            server.wait_until_up()
            assert httpx2.get(f"{server.url}/api/tasks").json() == []
        finally:
            server.stop()

    def test_says_what_is_missing(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(traces, "find_spec", lambda _: None)
        traces.install(Settings(otlp_endpoint="http://127.0.0.1:4318"))
        assert "pip install 'taskwell[otel]'" in caplog.text
        assert type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"
