"""A process and its children: when they rest, and how much memory they take (proc(5): Linux alone tells)."""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS = 0.2
_REST = 0.1  # of a core: a server that rests looks around now and then


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)


def family(pid: int) -> list[int]:
    """The process and all that it has started, directly or not."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with _unless_it_has_gone():
            parents[int(folder.name)] = int(_stat(int(folder.name))[1])
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found


def kill_family(pid: int) -> None:
    for member in family(pid):
        with _unless_it_has_gone():
            os.kill(member, signal.SIGKILL)


def rests_within(pid: int, seconds: float) -> bool:
    """Whether the processes come to rest: what a client has left is often finished all the same."""
    deadline = time.monotonic() + seconds
    while True:
        before = _cpu_seconds(pid)
        time.sleep(_LOOK_SECONDS)
        if _cpu_seconds(pid) - before < _REST * _LOOK_SECONDS:
            return True
        if time.monotonic() > deadline:
            return False


def forget_peak(pid: int) -> None:
    for member in family(pid):
        with _unless_it_has_gone():
            Path(f"/proc/{member}/clear_refs").write_text("5")


def peak_mib(pid: int) -> float:
    kib = 0
    for member in family(pid):
        with _unless_it_has_gone():
            kib += _kib(member, "VmHWM")
    return kib / 1024


def _cpu_seconds(pid: int) -> float:
    ticks = 0
    for member in family(pid):
        with _unless_it_has_gone():
            ticks += sum(map(int, _stat(member)[11:13]))
    return ticks / _TICKS_A_SECOND


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may have spaces and brackets itself: the state is the first."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def _kib(pid: int, what: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == what:
            return int(value.removesuffix("kB"))
    return 0


def _unless_it_has_gone() -> contextlib.AbstractContextManager[None]:
    return contextlib.suppress(FileNotFoundError, ProcessLookupError)
