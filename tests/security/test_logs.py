"""Logs tell who asked for what and how it went, and nothing of what is private."""

import re
from pathlib import Path

import httpx2

from security.issuer import AUDIENCE, Issuer, SigningKey, bearer
from tests.servers import server_process

PRIVATE = ("canary-title", "canary-search", "canary-cookie", "canary-key", "canary-body", "canary-email")


def test_lines_bear_the_requests_id_and_nothing_private(tmp_path: Path, issuer: Issuer) -> None:
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/test.db",
        "TASKWELL_AUTH": "jwt",
        "TASKWELL_JWT_ISSUER": issuer.url,
        "TASKWELL_JWT_JWKS_URL": issuer.jwks_url,
        "TASKWELL_JWT_AUDIENCE": AUDIENCE,
        "TASKWELL_LOG_LEVEL": "debug",
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
    assert re.search(r" id-of-the-test taskwell\.access: POST /api/tasks 201 \d+\.\d ms\n", log)
    assert " id-of-the-test taskwell.access: GET /api/tasks 200 " in log
    assert "\nforged" not in log
    for secret in (*PRIVATE, token, stranger, made, token.split(".")[2], made[3:20]):
        assert secret not in log
