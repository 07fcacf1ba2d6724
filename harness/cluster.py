"""Several server processes on one PostgreSQL behind a proxy, in the place of the one that tests share.

With TEST_PROCESSES=4 every test that asks the shared server over HTTP asks these; `make scaling` does so.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from fastapi import FastAPI

from harness.postgres import free_port
from harness.servers import LocalServer, ServerProcess, wait_for
from taskwell.core.settings import Settings

PROCESSES = int(os.environ.get("TEST_PROCESSES", "0"))
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
NO_PROXY = "needs haproxy (Debian: apt-get install haproxy)"
_CONFIGURATION = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 60s
frontend clients
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    balance roundrobin
    option redispatch 1
    option httpchk GET /health/ready
    http-response set-header X-Served-By %s
    {servers}
"""


def makes_sense_behind_a_proxy(item: pytest.Item) -> bool:
    """What asks the shared server; a server of a test's own is the same as ever.

    `direct` are those that would meet the proxy's own opinion of HTTP, or one of several memories.
    """
    fixtures = getattr(item, "fixturenames", ())
    return "server" in fixtures and "taken" not in fixtures and item.get_closest_marker("direct") is None


@dataclass
class Cluster:
    """`url`: the proxy's."""

    url: str
    servers: list[ServerProcess]


@contextmanager
def cluster(folder: Path, database_url: str, processes: int) -> Iterator[Cluster]:
    """The proxy gives each request to the next server."""
    assert HAPROXY is not None, NO_PROXY
    with ExitStack() as stack:
        servers = []
        for number in range(processes):
            home = folder / f"server-{number}"
            home.mkdir()
            servers.append(ServerProcess(home, {"DATABASE_URL": database_url}))
            stack.callback(servers[-1].stop)
            servers[-1].start()
        for server in servers:
            server.wait_until_up()
        yield Cluster(stack.enter_context(_proxy(folder, servers)), servers)


@contextmanager
def _proxy(folder: Path, servers: list[ServerProcess]) -> Iterator[str]:
    port = free_port()
    lines = [f"server s{n} 127.0.0.1:{server.port} check inter 500ms" for n, server in enumerate(servers)]
    configuration = folder / "haproxy.cfg"
    configuration.write_text(_CONFIGURATION.format(port=port, servers="\n    ".join(lines)))
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([str(HAPROXY), "-db", "-f", configuration], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        assert process.poll() is None, (folder / "haproxy.log").read_text()
        try:
            return httpx2.get(f"{url}/health/ready").status_code == 200
        except httpx2.TransportError:
            return False

    try:
        wait_for(is_up)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


class _Elsewhere:
    """An application that is in other processes. Who needs it here cannot be tested so."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def state(self) -> "_Elsewhere":
        return self

    def __getattr__(self, name: str) -> Any:
        pytest.skip(f"needs the server in this process: {name}")


@contextmanager
def several_servers(folder: Path, database_url: str) -> Iterator[LocalServer]:
    with cluster(folder, database_url, PROCESSES) as found:
        settings = Settings(database_url=database_url)
        yield LocalServer(found.url, cast("FastAPI", _Elsewhere(settings)))
