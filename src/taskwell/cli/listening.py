"""The listening sockets: bound before the database is created, and listened on once it is."""

import errno
import logging
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import typer
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from taskwell.cli.settings import fail
from taskwell.core.settings import Settings

logger = logging.getLogger("uvicorn.error")

# A host name may have an address of a family that this machine lacks.
_FAMILY_MISSING = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_BACKLOG = 2_048


class Listener(NamedTuple):
    """`place`: its address, as logs and errors show it."""

    place: str
    socket: socket.socket

    def listen(self) -> None:
        try:
            self.socket.listen(_BACKLOG)
        except OSError as error:  # another server has listened there since the socket was bound
            _refuse(self.place, error)


@contextmanager
def bound(hosts: Sequence[str], port: int, uds: Path | None) -> Iterator[list[Listener]]:
    """Bind the sockets; at exit close them, and remove the file of a Unix socket."""
    listeners = _on_addresses(hosts, port) if uds is None else [_on_file(uds)]
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.socket.close()
        if uds is not None:
            _remove(uds)


def run(settings: Settings, listeners: Sequence[Listener], workers: int, uds: Path | None) -> None:
    """Serve like `uvicorn.run`, which accepts no sockets."""
    config = uvicorn.Config(
        "taskwell.app:create_logging_app",
        factory=True,
        http="taskwell.http.connection:Connection",
        ws="none",
        lifespan="on",  # or uvicorn would ignore a failure of it
        workers=workers,
        log_level=settings.log_level,
        log_config=None,
        access_log=False,  # it would show queries, and so the text that users search for
        server_header=False,
        proxy_headers=False,  # taskwell's middleware reads them
        timeout_graceful_shutdown=10,
        timeout_worker_healthcheck=30,  # also the limit of a process's start
    )
    for listener in listeners:
        listener.listen()
    sockets = [listener.socket for listener in listeners]
    if workers > 1:
        _log_addresses(listeners)
        Multiprocess(config, sockets).run()
        return
    server = _Server(config, listeners, uds)
    with suppress(KeyboardInterrupt):
        server.run(sockets)
    if not server.started:
        raise typer.Exit(STARTUP_FAILURE)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, listeners: Sequence[Listener], uds: Path | None) -> None:
        super().__init__(config)
        self._listeners = listeners
        self._uds = uds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _log_addresses(self._listeners)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self._uds is not None:
            _remove(self._uds)  # the signal that ended the server ends the process right after this


def _log_addresses(listeners: Sequence[Listener]) -> None:
    for place in dict.fromkeys(listener.place for listener in listeners):
        logger.info("Uvicorn running on %s (Press CTRL+C to quit)", place)


def _remove(uds: Path) -> None:
    with suppress(OSError):
        uds.unlink()


def _on_addresses(hosts: Sequence[str], port: int) -> list[Listener]:
    found = {host: _addresses(host, port) for host in hosts}
    # A socket for both families would conflict with one for IPv4.
    both = not any(family == socket.AF_INET for addresses in found.values() for family, _ in addresses)
    listeners: dict[object, Listener] = {}
    for host, addresses in found.items():
        failures = []
        for family, address in addresses:
            if address in listeners:
                continue
            try:
                one = _bound(family, (address[0], port, *address[2:]), both_families=both)
            except OSError as error:
                failures.append(error)
                continue
            port = one.getsockname()[1]  # with port 0 all listen on the port that the first one got
            listeners[address] = Listener(_url(host, port), one)
        serious = [error for error in failures if error.errno not in _FAMILY_MISSING]
        if serious or len(failures) == len(addresses):
            _refuse_address(host, port, (serious or failures)[0])
    return list(listeners.values())


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        _refuse_address(host, port, error)
    return [(family, address) for family, _, _, _, address in found]


def _bound(family: int, address: tuple[Any, ...], *, both_families: bool) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # or connections of a server that has just ended would block the address
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not both_families))
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _on_file(path: Path) -> Listener:
    """Bind a Unix socket for the server's user and group only: the proxy's user must be in the group.

    It listens at once, or another server that starts would take the file for a stale one.
    """
    if not hasattr(socket, "AF_UNIX"):
        fail("this system has no Unix sockets: use --host and --port")
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        _remove_stale(path)
        one.bind(str(path))
        one.listen(_BACKLOG)
    except OSError as error:
        one.close()
        _refuse(f"unix socket {path}", error)
    finally:
        os.umask(before)
    return Listener(f"unix socket {path}", one)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a killed server. Raises OSError: it is in use, or is another kind of file."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _refuse(place: str, error: OSError) -> NoReturn:
    reason = error.strerror or str(error)
    fail(f"cannot listen on {place}: {reason.lower()}.")


def _refuse_address(host: str, port: int, error: OSError | UnicodeError) -> NoReturn:
    reason = getattr(error, "strerror", None) or "access refused"
    fail(
        f"cannot listen on {host}, port {port}: {reason.lower()}. "
        "Choose another with --port or TASKWELL_PORT (--host or TASKWELL_HOST for the address)."
    )
