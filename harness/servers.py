"""taskwell servers for tests: one inside the process, and real ones that can be killed."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from harness import warm
from harness.postgres import free_port
from taskwell.app import create_app
from taskwell.core.settings import Settings
from taskwell.database.database import Database
from taskwell.http.connection import Connection


@dataclass
class LocalServer:
    """A server in a thread of this process, on a real port."""

    url: str
    app: FastAPI

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def settings(self) -> Settings:
        settings: Settings = self.app.state.settings
        return settings

    @property
    def database(self) -> Database:
        database: Database = self.app.state.database
        return database


SLOW_PATH = "TEST_SLOW_PATH" in os.environ


@contextmanager
def local_server(settings: Settings, *, fast_path: bool | None = None) -> Iterator[LocalServer]:
    """`fast_path`: as TEST_SLOW_PATH says, so that all tests can be run both ways."""
    if fast_path is None:
        fast_path = not SLOW_PATH
    app = create_app(settings, fast_path=fast_path)
    with serving(app, http=Connection, ws="none", proxy_headers=False) as url:
        yield LocalServer(url, app)


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[str]:
    """An application under uvicorn, in a thread of this process; under uvicorn's own protocol by default."""
    config = uvicorn.Config(app, host="127.0.0.1", port=free_port(), log_config=None, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive())
        assert server.started, "the server did not start"
        yield f"http://127.0.0.1:{config.port}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)


@dataclass
class ServerProcess:
    """`taskwell serve` as an operator runs it, in a folder of its own. `under`: a command that runs it.

    Where a process is shared for it (`harness.warm`), that one forks the server, unless it starts `cold`.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    under: tuple[str, ...] = ()
    _process: warm.WarmProcess | subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *arguments: str, cold: bool = False) -> None:
        command = ["serve", *self._place(arguments), *arguments]
        environment = os.environ | dict(self.environment)
        with (self.folder / "server.log").open("ab") as log:
            files = log.fileno(), log.fileno()
            self._process = warm.start(command, self.folder, environment, files, under=self.under, cold=cold)

    def _place(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        elsewhere = "--uds" in arguments or "TASKWELL_UDS" in self.environment
        return () if elsewhere else ("--port", str(self.port))

    def wait_until_up(self) -> None:
        def is_up() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:
                raise AssertionError(self.log())
            try:
                return httpx2.get(f"{self.url}/health/live").status_code == 200
            except httpx2.TransportError:
                return False

        wait_for(is_up, seconds=60)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    def wait(self) -> int:
        """Until it ends by itself: its exit code."""
        assert self._process is not None
        code = self._process.wait(timeout=30)
        self._process = None
        return code

    def log(self) -> str:
        return (self.folder / "server.log").read_text()


@contextmanager
def server_process(folder: Path, **environment: str) -> Iterator[ServerProcess]:
    server = ServerProcess(folder, environment)
    server.start()
    try:
        server.wait_until_up()
        yield server
    finally:
        server.stop()


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)
