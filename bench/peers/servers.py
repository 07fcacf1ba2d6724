"""Every server that is measured: how it is started, and on what."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path

import jwt

from bench.peers import processes, wrk
from bench.peers.data import LISTER, PLANNER, Schema
from bench.peers.install import ROOM, NotToBeHad, node, python_of
from bench.peers.workloads import Run, Workload
from harness.postgres import free_port
from harness.servers import wait_for

_PATIENCE_SECONDS = 2  # for what a run leaves behind
_PAGES = 40  # that W9 reads, of 42
_LONGER = 4  # at the most: until each client has had two or three answers

Command = Callable[[Path, str], list[str]]
_PLAIN = Schema()


@dataclass(frozen=True, slots=True)
class Kind:
    """`peer` names its folder; the command gets the room in which it is installed, and a port."""

    peer: str
    database: str
    title: str
    command: Command
    schema: Schema | None = _PLAIN  # None: it has no tasks, and answers every list with a word
    driver: str = ""  # in the URL of its database
    secret: str = ""  # by which its users' tokens are signed; without one nobody is asked for any


def _taskwell(_room: Path, port: str) -> list[str]:
    return [sys.executable, "-m", "taskwell", "serve", "--port", port]


def _slow_path(_room: Path, port: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("slow_path.py")), port]


def _two_processes(_room: Path, port: str) -> list[str]:
    return [*_taskwell(_room, port), "--workers", "2"]


def _hello(_room: Path, port: str) -> list[str]:
    folder = str(Path(__file__).with_name("hello"))
    uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", folder, "app:app", "--port", port]
    return [*uvicorn, "--no-access-log", "--log-level=warning"]


def _uvicorn(app: str) -> Command:
    def command(room: Path, port: str) -> list[str]:
        uvicorn = [str(python_of(room)), "-m", "uvicorn", app, "--port", port]
        return [*uvicorn, "--no-access-log", "--log-level=warning"]

    return command


def _gunicorn(room: Path, port: str) -> list[str]:
    """One process, as all have; ten threads, as there are connections."""
    gunicorn = [str(python_of(room)), "-m", "gunicorn", "config.wsgi", f"--bind=127.0.0.1:{port}"]
    return [*gunicorn, "--workers=1", "--threads=10", "--keep-alive=75", "--timeout=300", "--log-level=error"]


def _node(room: Path, _port: str) -> list[str]:
    return [node(), str(room / "server.mjs")]


_HEX, _RFC_3339 = Schema(dashes=False), Schema(iso=True)
_PLANNED, _PLANNED_RFC_3339 = Schema(planned=True), Schema(iso=True, planned=True)
_OURS = Schema(taskwell=True, planned=True)
_OUR_HEX = replace(_OURS, dashes=False)
_GROWN, _GROWN_HEX = replace(_OURS, more_users=100_000), replace(_OUR_HEX, more_users=10_000)
_SECRET = "a secret of the benchmark, which is none"

KINDS = (
    Kind("taskwell", "postgresql", "taskwell", _taskwell, _OURS),
    Kind("taskwell-jwt", "postgresql", "taskwell, signed in", _taskwell, _OURS, secret=_SECRET),
    Kind("taskwell-2", "postgresql", "taskwell, 2 processes", _two_processes, _OURS),
    Kind("taskwell-grown", "postgresql", "taskwell, 10,000,000 tasks", _taskwell, _GROWN),
    Kind("taskwell-long", "postgresql", "taskwell, slow path", _slow_path, _OURS),
    Kind("sqlmodel", "postgresql", "FastAPI + SQLModel", _uvicorn("main:app"), driver="+asyncpg"),
    Kind("fastify-pg", "postgresql", "Fastify + pg", _node, _PLANNED),
    Kind("drf", "postgresql", "Django REST framework", _gunicorn),
    Kind("asgi", "postgresql", "bare ASGI + asyncpg", _uvicorn("app:app")),
    Kind("hello", "postgresql", "FastAPI, saying hello", _hello, schema=None),
    Kind("taskwell", "sqlite", "taskwell", _taskwell, _OUR_HEX),
    Kind("taskwell-jwt", "sqlite", "taskwell, signed in", _taskwell, _OUR_HEX, secret=_SECRET),
    Kind("taskwell-2", "sqlite", "taskwell, 2 processes", _two_processes, _OUR_HEX),
    Kind("taskwell-grown", "sqlite", "taskwell, 1,000,000 tasks", _taskwell, _GROWN_HEX),
    Kind("taskwell-long", "sqlite", "taskwell, slow path", _slow_path, _OUR_HEX),
    Kind("sqlmodel", "sqlite", "FastAPI + SQLModel", _uvicorn("main:app"), _HEX, driver="+aiosqlite"),
    Kind("fastify-sqlite", "sqlite", "Fastify + better-sqlite3", _node, _PLANNED_RFC_3339),
    Kind("drf", "sqlite", "Django REST framework", _gunicorn, _HEX),
    Kind("asgi", "sqlite", "bare ASGI + sqlite3", _uvicorn("app:app"), _RFC_3339),
)

# What taskwell has beyond the peers' ten connections it is not to use; whoever waits, waits as theirs do.
_ALIKE = {
    "TASKWELL_DB_POOL_SIZE": "10",
    "TASKWELL_DB_MAX_OVERFLOW": "0",
    "TASKWELL_DB_POOL_TIMEOUT_SECONDS": "60",
}


@dataclass
class Server:
    """One of the kinds on a database of its own, as a process that can be ended and begun anew."""

    kind: Kind
    database_url: str
    folder: Path
    port: int = field(default_factory=free_port)
    written: int = 0  # tasks that the writer was told to have
    list_seconds: float = 0.0  # that a whole list takes, when nobody else asks
    _process: subprocess.Popen[bytes] | None = None
    _warm: set[str] = field(default_factory=set)

    @property
    def title(self) -> str:
        return self.kind.title

    @property
    def peer(self) -> str:
        return self.kind.peer

    @property
    def database(self) -> str:
        return self.kind.database

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make_tables(self) -> None:
        """Django does it by a command of its own; the others when they start."""
        room = ROOM / self.peer
        if self.kind.schema is None:
            return
        if (room / "manage.py").exists():
            migrate = [str(python_of(room)), "manage.py", "migrate", "--verbosity=0"]
            subprocess.run(migrate, cwd=room, env=self._environment(), check=True)
        else:
            self.start()
            self.stop()

    def start(self) -> None:
        room = ROOM / self.peer
        self._warm.clear()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.kind.command(room, str(self.port)),
                cwd=room if room.exists() else self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=processes.die_with_parent,  # noqa: PLW1509 (no lock is taken)
            )
        try:
            wait_for(self._is_up, 60)
        except AssertionError:
            raise NotToBeHad(f"{self.title} does not start: {self._log()}") from None

    def stop(self, patience_seconds: float = 5) -> None:
        if self._process is None:
            return
        try:
            if patience_seconds:
                self._process.terminate()
            self._process.wait(timeout=patience_seconds)
        except subprocess.TimeoutExpired:
            processes.kill_family(self._process.pid)
            self._process.wait()
        self._process = None

    def measure(self, workload: Workload, concurrency: int, seconds: int) -> Run:
        """Begins with what is asked compiled, planned and cached; leaves a server at rest."""
        told = self._told(workload)
        if workload.name not in self._warm:
            self._load(workload, told, 1 if workload.whole else concurrency, max(1, seconds // 4))
            self._warm.add(workload.name)
        if workload.whole:
            seconds = min(_LONGER * seconds, max(seconds, round(2.5 * concurrency * self.list_seconds)))
        processes.forget_peak(self._pid)
        run = self._load(workload, told, concurrency, seconds)
        run = replace(run, peak_mib=processes.peak_mib(self._pid))
        # Requests whose client has gone are served all the same, at the cost of who is measured next.
        if self._has_ended() or not processes.rests_within(self._pid, _PATIENCE_SECONDS):
            self.stop(patience_seconds=0)
            self.start()
        return run

    def takes(self, workload: Workload) -> bool:
        """A token is one user's, and the mix is of many. Not all have what the planner asks for."""
        if self.kind.schema is None:
            return workload.name == "W6"
        if workload.user == PLANNER and not self.kind.schema.planned:
            return False
        return not (self.kind.secret and workload.name == "W7")

    def authorization(self, user: str) -> dict[str, str]:
        if not self.kind.secret:
            return {}
        claims = {"sub": user, "exp": time.time() + 86_400}
        return {"Authorization": f"Bearer {jwt.encode(claims, self.kind.secret)}"}

    def _load(self, workload: Workload, told: str, concurrency: int, seconds: int) -> Run:
        headers = self.authorization(workload.user)
        run = wrk.load(self.url, workload, told, headers, concurrency=concurrency, seconds=seconds)
        if workload.name == "W2":
            self.written += run.requests - run.errors
        return run

    def _told(self, workload: Workload) -> str:
        """What the requests need of the server's own answers: an ETag, or the paths of pages."""
        if workload.name == "W6" and self.kind.schema:
            return self._head(f"/api/{LISTER}/tasks", LISTER)["ETag"]
        return " ".join(self.pages_by_due()) if workload.name == "W9" else "none"

    def pages_by_due(self) -> list[str]:
        """The paths of the first pages of the planner's open tasks, each as the one before it tells it."""
        paths = [f"/api/{PLANNER}/tasks?completed=false&due=any&sort=due&limit=50"]
        while len(paths) < _PAGES:
            link = self._head(paths[-1], PLANNER)["Link"]
            paths.append(link.partition(">")[0].removeprefix("<"))
        return paths

    def _head(self, path: str, user: str) -> Message:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers=self.authorization(user))
            return connection.getresponse().headers
        finally:
            connection.close()

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _environment(self) -> Mapping[str, str]:
        url = self.database_url.replace("://", f"{self.kind.driver}://", 1)
        own = {"DATABASE_URL": url, "PORT": str(self.port), "NODE_ENV": "production"}
        if self.kind.secret:
            own |= {"TASKWELL_AUTH": "jwt", "TASKWELL_JWT_SECRET": self.kind.secret}
            own |= {"TASKWELL_RATE_LIMIT": "none"}  # which no load of one user keeps
        return os.environ | _ALIKE | own

    def _has_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def _log(self) -> str:
        return (self.folder / "log").read_text()[-2_000:]

    def _is_up(self) -> bool:
        if self._has_ended():
            raise NotToBeHad(f"{self.title} ended: {self._log()}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/api/nobody/tasks?limit=1", headers=self.authorization("nobody"))
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
