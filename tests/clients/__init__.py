"""The clients, built as they would be published and run against servers as operators run them."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt

from harness.servers import server_process

_SECRET = "known to the server and to its sign-in"


def run(*command: str | Path, cwd: Path) -> str:
    """What it printed; a failure is an error that shows all of it."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def strict_server(folder: Path) -> Iterator[tuple[str, str]]:
    """The URL of a server that asks who is there, and a token for it."""
    with server_process(folder, TASKWELL_AUTH="jwt", TASKWELL_JWT_SECRET=_SECRET) as server:
        claims = {"sub": "alice", "exp": datetime.now(UTC) + timedelta(hours=1)}
        yield server.url, jwt.encode(claims, _SECRET, "HS256")


def example(page: Path, language: str, url: str) -> str:
    """The program that a page shows, for another server."""
    program: str
    (program,) = re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert "http://127.0.0.1:8000" in program
    return program.replace("http://127.0.0.1:8000", url)
