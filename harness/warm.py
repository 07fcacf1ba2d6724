"""`taskwell` by a process that has imported everything beforehand and forks, so that it starts at once.

What it forks has arguments, environment, folder, files and cores of its own, as a program has. What the
loader or Python itself reads as a program starts, it cannot be given: `can_start` says so. Only on Linux.
The worker processes of a server that was forked are forked from it, and otherwise as they are when spawned.
"""

import ctypes
import gc
import json
import os
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from multiprocessing import util
from multiprocessing.spawn import spawn_main
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

from taskwell.app import create_app
from taskwell.core.settings import Settings

_NEEDED = (
    "asyncpg",
    "alembic.command",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "taskwell.admin.backup",
    "taskwell.admin.copy",
    "taskwell.admin.doctor",
    "taskwell.admin.epochs",
    "taskwell.admin.transfer",
    "taskwell.cli",
    "taskwell.cli.listening",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
_READ_AT_THE_START = ("LD_", "OTEL_", "PYTHON")
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_ROOT = Path(__file__).parents[1]
_MESSAGE_BYTES = 1 << 17
_WORKER = "--multiprocessing-fork"  # the argument of a process that multiprocessing spawns
_spawn = util.spawnv_passfds


def can_start(environment: Mapping[str, str]) -> bool:
    """Whether a program with this environment would be what it is when it is started anew."""
    here = {name: value for name, value in os.environ.items() if name.startswith(_READ_AT_THE_START)}
    there = {name: value for name, value in environment.items() if name.startswith(_READ_AT_THE_START)}
    measured = "COVERAGE_PROCESS_CONFIG" in environment  # coverage begins as Python starts
    return sys.platform == "linux" and here == there and not measured


class WarmProcess:
    """One that was forked; as a subprocess.Popen."""

    def __init__(self, parent: "WarmPython", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._parent = parent
        self._ended = os.pidfd_open(pid)

    def poll(self) -> int | None:
        return self._code_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutExpired after so many seconds."""
        code = self._code_within(None if timeout is None else timeout * 1_000)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("taskwell", timeout)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _code_within(self, milliseconds: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._ended, select.POLLIN)
            if poll.poll(milliseconds):
                self.returncode = self._parent.reap(self.pid)
                os.close(self._ended)
        return self.returncode


class WarmPython:
    """The process that forks. Those it has forked end with it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._lock = Lock()

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        files: Sequence[int],
        module: str = "taskwell",
    ) -> WarmProcess:
        """`files`: standard output and error; there is no input."""
        order = {
            "module": module,
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "cores": list(os.sched_getaffinity(0)),
        }
        return WarmProcess(self, self._ask(order, files))

    def reap(self, pid: int) -> int:
        """The exit code of a process that has ended."""
        return self._ask({"reap": pid}, ())

    def _ask(self, order: dict[str, Any], files: Sequence[int]) -> int:
        with self._lock:
            socket.send_fds(self._line, [json.dumps(order).encode()], list(files))
            answer = self._line.recv(_MESSAGE_BYTES)
        assert answer, "the process that forks has ended"
        return int(answer)


@contextmanager
def warm_python(source: Path | None = None) -> Iterator[WarmPython]:
    """`source`: a folder with a package in the place of the installed one."""
    path = [] if source is None else [str(source)]
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here:
        with there:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.warm", str(there.fileno())],
                cwd="/",  # where no `.env` is
                env={name: os.environ[name] for name in os.environ if not name.startswith("TASKWELL_")}
                | {"PYTHONPATH": os.pathsep.join(filter(None, [*path, *sys.path, str(_ROOT)]))},
                stdin=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
            )
        with process:
            try:
                assert here.recv(_MESSAGE_BYTES) == b"ready"
                yield WarmPython(here)
            finally:
                here.close()


class _Shared:
    """The process of whoever asked to share one, started when it is first needed."""

    def __init__(self) -> None:
        self.wanted = False
        self._stack = ExitStack()
        self._python: WarmPython | None = None

    def python(self) -> WarmPython:
        if self._python is None:
            self._python = self._stack.enter_context(warm_python())
        return self._python

    def end(self) -> None:
        self.wanted, self._python = False, None
        self._stack.close()


_shared = _Shared()


@contextmanager
def shared() -> Iterator[None]:
    """Within it, `start` and `run` fork, instead of starting a Python that imports everything."""
    if _shared.wanted:
        yield
        return
    _shared.wanted = True
    try:
        yield
    finally:
        _shared.end()


def start(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    files: tuple[int, int],
    *,
    under: Sequence[str] = (),
    cold: bool = False,
    module: str = "taskwell",
) -> WarmProcess | subprocess.Popen[bytes]:
    """Start `taskwell`, or what another `module` is. `files`: standard output and error.

    `under`: a command that runs it. `cold`: as an operator would, whether or not a process is shared.
    """
    if _shared.wanted and not (under or cold) and can_start(environment):
        return _shared.python().start(arguments, folder, environment, files, module)
    output, errors = files
    return subprocess.Popen(
        [*under, sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
    )


def run(
    *arguments: str, environment: Mapping[str, str], cold: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run `taskwell` to its end. `cold`: as for `start`."""
    with TemporaryFile() as output, TemporaryFile() as errors:
        files = output.fileno(), errors.fileno()
        process = start(arguments, Path.cwd(), environment, files, cold=cold)
        try:
            code = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        texts = [os.pread(file, os.fstat(file).st_size, 0).decode() for file in files]
    return subprocess.CompletedProcess(list(arguments), code, *texts)


def main(number: int) -> None:
    for name in _NEEDED:
        import_module(name)
    create_app(Settings(database_url="sqlite:///none.db"))
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=number) as line:
        line.send(b"ready")
        while True:
            message, files, _, _ = socket.recv_fds(line, _MESSAGE_BYTES, 2)
            if not message:
                return
            order = json.loads(message)
            if "reap" in order:
                _, status = os.waitpid(order["reap"], 0)
                answer = os.waitstatus_to_exitcode(status)
            else:
                answer = os.fork()
                if not answer:
                    break
            for file in files:
                os.close(file)
            line.send(b"%d" % answer)
    _become(order, files)


def _become(order: Mapping[str, Any], files: Sequence[int]) -> None:
    """Run `python -m` in what has been forked."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    for number, opened in enumerate(files, start=1):
        os.dup2(opened, number)
        os.close(opened)
    os.sched_setaffinity(0, order["cores"])
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    sys.path[:2] = [order["folder"]]  # instead of this one's folder and its PYTHONPATH
    sys.argv[1:] = order["arguments"]
    util.spawnv_passfds = _spawn_worker
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def _spawn_worker(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
    """In the place of multiprocessing's own, which would start a Python that imports everything."""
    if _WORKER not in args:
        return _spawn(path, args, passfds)
    if pid := os.fork():
        return pid
    code: object = 1
    try:
        _forget_parent(passfds)
        sys.argv[:] = ["-c", _WORKER]
        given = dict(re.findall(r"(\w+)=(\d+)", args[-2]))
        spawn_main(**{name: int(number) for name, number in given.items()})
    except SystemExit as end:
        code = end.code
    finally:  # what of the parent's is on the stack must not be cleaned up
        os._exit(code if isinstance(code, int) else 0)


def _forget_parent(files: Sequence[int]) -> None:
    """Its handlers of signals, and the files that a new program would not inherit."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            standard = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, standard)
    kept = {0, 1, 2, *files}
    for file in [int(link.name) for link in Path("/proc/self/fd").iterdir()]:
        if file not in kept:
            with suppress(OSError):  # the one by which the folder was read
                os.close(file)


if __name__ == "__main__":
    main(int(sys.argv[1]))
