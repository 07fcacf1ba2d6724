"""Logs tell who asked for what and how it went, and nothing of what is private."""

import io
import json
import logging
import re
from pathlib import Path

import httpx2
import pytest

from harness.issuer import AUDIENCE, Issuer, SigningKey, bearer
from harness.servers import server_process
from taskwell.core.settings import Settings
from taskwell.http import logs

PRIVATE = ("canary-title", "canary-search", "canary-cookie", "canary-key", "canary-body", "canary-email")


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lines_bear_the_requests_id_and_nothing_private(
    log_format: str, tmp_path: Path, issuer: Issuer
) -> None:
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/test.db",
        "TASKWELL_AUTH": "jwt",
        "TASKWELL_JWT_ISSUER": issuer.url,
        "TASKWELL_JWT_JWKS_URL": issuer.jwks_url,
        "TASKWELL_JWT_AUDIENCE": AUDIENCE,
        "TASKWELL_LOG_LEVEL": "debug",
        "TASKWELL_LOG_FORMAT": log_format,
    }
    token = issuer.token("alice", email="canary-email@example.com")
    stranger = issuer.token("alice", key=SigningKey.new("key-EdDSA", "EdDSA"))
    with server_process(tmp_path, **settings) as server, httpx2.Client(base_url=server.url) as client:
        headers = {
            "Authorization": f"Bearer {token}",
            "X-Request-Id": "id-of-the-test",
            "Cookie": "session=canary-cookie",
            "Idempotency-Key": "canary-key",
        }
        created = client.post("/api/tasks", json={"title": "canary-title"}, headers=headers)
        assert created.status_code == 201
        client.get("/api/tasks?q=canary-search", headers=headers)
        client.post("/api/tasks", json={"title": "\0", "description": "canary-body"}, headers=headers)
        client.get("/api/tasks", headers=bearer(stranger))
        made = client.post(
            "/api/users/me/tokens",
            json={"name": "canary-title", "scopes": ["tasks:read"]},
            headers=bearer(token),
        ).json()["token"]
        client.get("/api/tasks", headers=bearer(made))
        client.get("/api/tasks%0aforged", headers=headers)
        server.stop()
        log = server.log()
    if log_format == "text":
        assert re.search(r" id-of-the-test taskwell\.access: POST /api/tasks 201 \d+\.\d ms\n", log)
        assert " id-of-the-test taskwell.access: GET /api/tasks 200 " in log
    else:
        answered = [line for line in map(json.loads, log.splitlines()) if line["logger"] == "taskwell.access"]
        assert {"method": "POST", "path": "/api/tasks", "status": 201} in [
            {name: line[name] for name in ("method", "path", "status")}
            for line in answered
            if line["request_id"] == "id-of-the-test"
        ]
    assert "alembic.runtime.plugins" not in log
    assert "\nforged" not in log
    for secret in (*PRIVATE, token, stranger, made, token.split(".")[2], made[3:20]):
        assert secret not in log


class TestJsonLines:
    def test_each_is_an_object_whatever_it_is_about(self) -> None:
        line = logs._as_json("2026-11-21T10:00:00", 7, "id", "GET", '/a"b\\c\u2028', 404, 1.25)
        assert json.loads(line) == {
            "time": "2026-11-21T10:00:00.007Z",
            "level": "info",
            "logger": "taskwell.access",
            "request_id": "id",
            "message": "answered",
            "method": "GET",
            "path": '/a"b\\c\u2028',
            "status": 404,
            "milliseconds": 1.2,
        }

    def test_a_traceback_is_in_its_record(self) -> None:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logs.JsonLines())
        logger = logging.getLogger("tests.json")
        logger.addHandler(handler)
        logger.propagate = False
        token = logs.request_id.set("of-the-request")
        try:
            int("two\nlines")
        except ValueError:
            logger.exception("it %s", "failed")
        finally:
            logs.request_id.reset(token)
            logger.removeHandler(handler)
        (text,) = stream.getvalue().splitlines()
        line = json.loads(text)
        assert (line["level"], line["message"]) == ("error", "it failed")
        assert line["request_id"] == "of-the-request"
        assert line["traceback"].endswith(repr("two\nlines"))

    @pytest.mark.parametrize(
        ("log_format", "terminal", "expected"),
        [("auto", True, False), ("auto", False, True), ("text", False, False), ("json", True, True)],
    )
    def test_are_for_what_is_no_terminal(self, log_format: str, terminal: bool, expected: bool) -> None:
        class Stream(io.StringIO):
            def isatty(self) -> bool:
                return terminal

        settings = Settings(log_format=log_format)  # type: ignore[arg-type]
        assert logs.is_json(settings, Stream()) is expected
