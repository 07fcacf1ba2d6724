"""A server on a later day; `make test-later` runs all tests there."""

import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import httpx2
import jwt
import pytest

from harness.servers import server_process
from tests.later import calendar

SECRET = "a secret of thirty-two characters"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or shutil.which("cc") is None, reason="needs a C compiler on Linux"
    ),
    pytest.mark.skipif("AHEAD_SECONDS" in os.environ, reason="it is a later day already"),
]


def bearer(now: int) -> dict[str, str]:
    token = jwt.encode({"sub": "alice", "iat": now, "exp": now + 600}, SECRET, "HS256")
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("years", [5, 15])  # the last is after 2038
def test_a_server_does_what_it_does_today(years: int, database_url: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": database_url, "TASKWELL_AUTH": "jwt", "TASKWELL_JWT_SECRET": SECRET}
    with calendar(years) as environment, server_process(tmp_path, **settings, **environment) as server:
        later = int(subprocess.check_output(["date", "+%s"], env=dict(environment)))
        assert later > time.time() + (years - 1) * 366 * 86_400
        with httpx2.Client(base_url=server.url, headers=bearer(later)) as client:
            task = client.post("/api/tasks", json={"title": "Buy milk"}).raise_for_status().json()
            assert datetime.fromisoformat(task["created_at"]).timestamp() >= later
            assert client.get("/api/tasks").json() == [task]
            toggled = client.post(f"/api/tasks/{task['id']}/toggle").raise_for_status().json()
            assert toggled["completed_at"] >= task["created_at"]
            assert client.get("/api/changes").json()["changes"] == [toggled]
            of_today = client.get("/api/tasks", headers=bearer(int(time.time())))
            assert of_today.status_code == 401
