"""`taskwell serve` by a process that has imported everything beforehand, so that it serves at once.

`python -m stress.warm` reads orders, a line each; it forks for each of them and says the process's id.
"""

import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

_NEEDED = (
    "asyncpg",
    "alembic.command",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "taskwell.http.logs",
    "taskwell.cli",
    "taskwell.database.startup",
    "taskwell.app",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class WarmServers:
    """Where they come from."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, folder: Path, environment: Mapping[str, str], port: int) -> int:
        """Returns the id of the process."""
        order = {"folder": str(folder), "environment": dict(environment), "port": port}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def warm_servers() -> Iterator[WarmServers]:
    """Whoever is left of them ends with it."""
    command = [sys.executable, "-m", "stress.warm"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield WarmServers(process)


def end(pid: int) -> None:
    """Kill the process, and return when it is gone."""
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.001)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who end
    for name in _NEEDED:
        import_module(name)
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _serve(json.loads(line))
        print(pid, flush=True)


def _serve(order: dict[str, Any]) -> None:
    from taskwell.cli import app  # noqa: PLC0415 (it is here already)

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    folder = Path(order["folder"])
    os.chdir(folder)
    os.environ.update(order["environment"])
    log = os.open(folder / "server.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, opened in ((0, nothing), (1, log), (2, log)):
        os.dup2(opened, number)
    app(["serve", "--port", str(order["port"])])


if __name__ == "__main__":
    main()
