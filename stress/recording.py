"""What a server does to its SQLite file, and what it tells its clients: in one order, from its system calls.

A write is taken from where it begins, since a part of it may be on the disk before it ends; a sync from where
it ends; an acknowledgement from the first byte of the answer.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from httptools import HttpResponseParser

from stress.disk import Call, Opened, Removed, Synced, Truncated, Wrote

_TRACED = (
    "write", "writev", "sendto", "sendmsg", "pwrite64", "pwritev", "pwritev2", "ftruncate", "fsync",
    "fdatasync", "sync_file_range", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat",
    "open", "openat", "fallocate",
)  # fmt: skip
_COMPANIONS = (b"", b"-wal", b"-journal")
_SYNCS = {"fsync", "fdatasync"}
_SENDS = {"write", "writev", "sendto", "sendmsg"}
_LINE = re.compile(rb"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_TEXT = re.compile(rb'"((?:\\x..)*)"(\.\.\.)?')
_PLACE = re.compile(rb"\d+<((?:\\x..)+)>(\(deleted\))?")
_UNFINISHED = b" <unfinished ...>"


@dataclass(frozen=True, slots=True)
class Told:
    """An acknowledgement: the tasks in it."""

    tasks: tuple[tuple[str, int], ...]  # ids and versions


Event = Call | Told


def under_strace(log: Path) -> tuple[str, ...]:
    """The tracer is the server's child, so that signals and the end are the server's own."""
    return (
        "strace", "-D", "-f", "-y", "-xx", "-s", "10000000", "--seccomp-bpf", "-A", "-o", str(log),
        "-e", f"trace={','.join(_TRACED)}",
    )  # fmt: skip


def tracer_of(pid: int) -> int:
    """The process that writes down what a process does."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("TracerPid:")[2].split()[0])


def events(log: Path, database: Path) -> list[Event]:
    """What concerns the database and its companions, but for the index in memory, which does not outlive."""
    found: list[Event] = []
    reader = _Reader(database, found)
    with log.open("rb") as lines:
        for line in lines:
            if (call := _LINE.match(line)) is not None:
                reader.read(call)
    return found


class _Reader:
    def __init__(self, database: Path, found: list[Event]) -> None:
        self._folder = str(database.parent).encode()
        self._files = {str(database).encode() + end: database.name + end.decode() for end in _COMPANIONS}
        self._found = found
        self._begun: dict[bytes, bytes] = {}  # the arguments of calls that had not ended, by thread
        self._connections: dict[bytes, _Answers] = {}

    def read(self, line: re.Match[bytes]) -> None:
        thread, resumed, name, rest = line.groups()
        if resumed is not None:
            arguments = self._begun.pop(thread, None)
            if arguments is not None:
                self._end(resumed.decode(), arguments, rest)
            return
        arguments, unfinished, _ = rest.partition(_UNFINISHED)
        self._begin(name.decode(), arguments)
        if unfinished:
            self._begun[thread] = arguments
        else:
            self._end(name.decode(), arguments, rest)

    def _begin(self, name: str, arguments: bytes) -> None:
        """What has its effect while it runs."""
        place = _place(arguments)
        if name in _SENDS and place.startswith(b"socket:"):
            self._connections.setdefault(place, _Answers(self._found)).send(_data(arguments))
            return
        file = self._files.get(place)
        if name in {"unlink", "unlinkat"}:
            file = self._files.get(_data(arguments))
            if file is not None:
                self._found.append(Removed(file))
        elif file is None or name in _SYNCS or name == "openat":
            return
        elif name == "pwrite64":
            offset = int(arguments.partition(b")")[0].rpartition(b", ")[2])
            self._found.append(Wrote(file, offset, _data(arguments)))
        elif name == "ftruncate":
            self._found.append(Truncated(file, int(arguments.partition(b")")[0].rpartition(b", ")[2])))
        else:
            raise AssertionError(f"{name} of {file} is not understood")

    def _end(self, name: str, arguments: bytes, rest: bytes) -> None:
        """What has had its effect when it ends."""
        result = re.match(rb"\d+", rest.rpartition(b" = ")[2])
        if result is None:
            return  # it failed, or was killed
        place = _place(arguments)
        if name in _SYNCS:
            if place == self._folder:
                self._found.append(Synced(None))
            elif (file := self._files.get(place)) is not None:
                self._found.append(Synced(file))
        elif name == "openat" and b"O_CREAT" in arguments:
            if (file := self._files.get(_data(arguments))) is not None:
                self._found.append(Opened(file))
        elif name == "pwrite64" and place in self._files:
            assert int(result[0]) == len(_data(arguments)), "a write was cut short"


class _Answers:
    """What is sent on one connection."""

    def __init__(self, found: list[Event]) -> None:
        self._found = found
        self._parser: Any = None
        self._begun = 0
        self._body = b""

    def send(self, data: bytes) -> None:
        if self._parser is None and data.startswith(b"HTTP/"):
            self._parser = HttpResponseParser(self)
        if self._parser is not None:
            self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._begun, self._body = len(self._found), b""
        self._found.append(Told(()))

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() not in {200, 201}:
            return
        answer = json.loads(self._body)
        tasks = [result["task"] for result in answer["results"]] if "results" in answer else [answer]
        told = tuple((task["id"], task["version"]) for task in tasks if "version" in task)
        self._found[self._begun] = Told(told)


def _place(arguments: bytes) -> bytes:
    """Of the file or the socket that a call is about; nowhere if the file has no name any more."""
    found = _PLACE.match(arguments)
    return b"" if found is None or found[2] else _decoded(found[1])


def _data(arguments: bytes) -> bytes:
    return b"".join(_decoded(found[1]) for found in _TEXT.finditer(arguments))


def _decoded(text: bytes) -> bytes:
    return bytes.fromhex(text.replace(b"\\x", b"").decode())
