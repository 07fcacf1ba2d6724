"""The rows of the matrix, and how one is tried."""

import json
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from field.proxies import Ports, Proxy, missing_program

GZIP = {"Accept-Encoding": "gzip"}
# Servers that a situation may ask for: how they are set. `away`: its database is not there.
SECRET = "field" * 8
SERVERS = {
    "open": {"TASKWELL_RATE_LIMIT": "none"},
    "signed in": {
        "TASKWELL_AUTH": "jwt",
        "TASKWELL_JWT_SECRET": SECRET,
        "TASKWELL_JWT_ISSUER": "field",
        "TASKWELL_JWT_AUDIENCE": "taskwell",
        "TASKWELL_RATE_LIMIT": "20/minute",
    },
    "away": {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"},
}


class NotHere(Exception):
    """The situation has no meaning with this proxy."""


@dataclass(frozen=True)
class Site:
    """What a situation is given: a server, and the proxy through which it is asked; None: directly.

    `direct`: the server's own port. `folder`: for the files of the situation.
    """

    direct: int
    folder: Path
    proxy: Proxy | None = None
    ports: Ports | None = None

    @property
    def port(self) -> int:
        return self.direct if self.ports is None else self.ports.front

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @property
    def prefix(self) -> str:
        """The path under which the proxy shows the server."""
        return self.proxy.prefix if self.proxy is not None else ""

    @property
    def http2(self) -> str:
        """The address at which the proxy speaks HTTP/2 without TLS."""
        if self.proxy is None or self.proxy.http2 is None:
            raise NotHere("no HTTP/2 without TLS")
        port: int = getattr(self.ports, self.proxy.http2)
        return f"http://127.0.0.1:{port}{self.prefix}"

    def is_of(self, *programs: str) -> bool:
        return self.proxy is not None and self.proxy.program in programs

    @contextmanager
    def client(self, **options: Any) -> Iterator[httpx2.Client]:
        # verify=False: to read the certificates of authorities takes longer than a request.
        with httpx2.Client(base_url=self.url, timeout=30, trust_env=False, verify=False, **options) as client:
            yield client

    def ask(self, request: str | bytes, port: int | None = None) -> "Answer":
        """The first answer to these bytes."""
        content = request.encode() if isinstance(request, str) else request
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=30) as connection:
            connection.sendall(content)
            response = HTTPResponse(connection, method=content.split(b" ", 1)[0].decode())
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())

    def read_all(self, request: str) -> bytes:
        """All that comes until the connection is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request.encode())
            return b"".join(iter(lambda: connection.recv(65_536), b""))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes


def new_tasks() -> str:
    """The path of the tasks of a user nobody has seen."""
    return f"/api/field-{uuid4().hex}/tasks"


@dataclass(frozen=True, slots=True)
class Situation:
    """A row. `server`: which of SERVERS. `needs`: a program, and Debian's package of it.

    `everywhere`: the short form tries it behind every proxy, else only without one; None: not at all.
    """

    name: str
    attempt: Callable[[Site], None]
    server: str
    needs: tuple[str, str] | None
    everywhere: bool | None

    def missing(self) -> str | None:
        return missing_program(*self.needs) if self.needs else None

    def is_short(self, site: Site) -> bool:
        return self.everywhere is True or (self.everywhere is False and site.proxy is None)


SITUATIONS: dict[str, Situation] = {}


def situation(
    name: str,
    *,
    server: str = "open",
    needs: tuple[str, str] | None = None,
    everywhere: bool | None = True,
) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
    """Make a row of a function that raises an error if something is not as it should be."""

    def register(attempt: Callable[[Site], None]) -> Callable[[Site], None]:
        assert name not in SITUATIONS, name
        SITUATIONS[name] = Situation(name, attempt, server, needs, everywhere)
        return attempt

    return register


@dataclass(frozen=True, slots=True)
class Outcome:
    """`mark`: ok, FAIL, or - where it has no meaning or a program is missing. `reason`: of the last two."""

    mark: str
    reason: str = ""


def attempt(row: Situation, site: Site) -> Outcome:
    if (reason := row.missing()) is not None and "CI" not in os.environ:
        return Outcome("-", reason)
    try:
        row.attempt(site)
    except NotHere as error:
        return Outcome("-", str(error))
    except Exception as error:  # noqa: BLE001 (whatever it is, the row has failed and the next is tried)
        return Outcome("FAIL", _told(error))
    return Outcome("ok")


def _told(error: Exception) -> str:
    """Where and what, in one line."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "field" in frame.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].line}" if frames else ""
    text = str(error) or type(error).__name__
    return f"{place} -> {' '.join(text.split())[:400]}"


def check(answer: httpx2.Response | Answer, *statuses: int) -> Any:
    """The answer's JSON, if its status is one of these."""
    status = answer.status if isinstance(answer, Answer) else answer.status_code
    content = answer.content
    assert status in statuses, f"{status} instead of {statuses}: {content[:300]!r}"
    return json.loads(content) if content else None


def check_problem(answer: httpx2.Response | Answer, status: int, token: str) -> dict[str, Any]:
    """The members of an error that is the server's own."""
    members: dict[str, Any] = check(answer, status)
    kind = answer.headers["content-type"]
    assert kind == "application/problem+json", kind
    assert members["type"] == token, members
    assert members["request_id"] == answer.headers["x-request-id"]
    assert f"/problems/{token}>" in answer.headers["link"]
    return members
