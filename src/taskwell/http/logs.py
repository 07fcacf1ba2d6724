"""Logs. Of a request never its body, query, headers or token, since these are private."""

import asyncio
import atexit
import json
import logging
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import TextIO

from taskwell.core.settings import Settings

access = logging.getLogger("taskwell.access")
request_id: ContextVar[str] = ContextVar("taskwell_request_id", default="-")

_FORMAT = "%(asctime)s %(levelname)s %(request_id)s %(name)s: %(message)s"
_WRITTEN_EVERY_SECONDS = 0.1

# Arguments: the second as text, its milliseconds; then the request's id, method, path, status, milliseconds.
Line = Callable[[str, int, str, str, str, int, float], str]


def _as_text(second: str, part: int, request: str, method: str, path: str, status: int, took: float) -> str:
    return f"{second},{part:03} INFO {request} {access.name}: {method} {path} {status} {took:.1f} ms\n"


def _as_json(second: str, part: int, request: str, method: str, path: str, status: int, took: float) -> str:
    return (
        f'{{"time":"{second}.{part:03}Z","level":"info","logger":"{access.name}","request_id":"{request}",'
        f'"message":"answered","method":{quoted(method)},"path":{quoted(path)},"status":{status},'
        f'"milliseconds":{took:.1f}}}\n'
    )


class _Buffer:
    """Buffers the access log: a write for each line would cost more than most requests.

    A killed process loses the lines that are still in the buffer.
    """

    def __init__(self, stream: TextIO, *, json: bool) -> None:
        self._stream = stream
        self._line: Line = _as_json if json else _as_text
        self._format, self._clock = (
            ("%Y-%m-%dT%H:%M:%S", time.gmtime) if json else ("%Y-%m-%d %H:%M:%S", time.localtime)
        )
        self._lines: list[str] = []
        self._second, self._time = 0, ""
        atexit.register(self.write)

    def add(self, request: str, method: str, path: str, status: int, milliseconds: float) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_later(_WRITTEN_EVERY_SECONDS, self.write)
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._time = time.strftime(self._format, self._clock(now))
        part = int(now % 1 * 1_000)
        self._lines.append(self._line(self._time, part, request, method, path, status, milliseconds))

    def write(self) -> None:
        lines, self._lines = self._lines, []
        self._stream.write("".join(lines))
        self._stream.flush()


_buffers: list[_Buffer] = []  # one, once the logs of this process are installed


def note_request(request: str, method: str, path: str, status: int, seconds: float) -> None:
    """Write a line to the access log. `request`: its id."""
    if not access.isEnabledFor(logging.INFO):
        return
    for buffer in _buffers:
        buffer.add(request, method, path, status, seconds * 1_000)
    if not _buffers:
        access.info("%s %s %s %.1f ms", method, path, status, seconds * 1_000)


class JsonLines(logging.Formatter):
    """Formats each record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "request_id": request_id.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in line.items() if value != "-"})


def is_json(settings: Settings, stream: TextIO) -> bool:
    """Whether to log JSON: `auto` means text on a terminal and JSON elsewhere."""
    return settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())


def install(settings: Settings) -> None:
    """Set up the logs of this process. Every line has the id of its request."""
    as_json = is_json(settings, sys.stderr)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else logging.Formatter(_FORMAT))
    handler.addFilter(_with_request_id)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    _buffers[:] = [_Buffer(sys.stderr, json=as_json)]
    # At debug level these log every statement with its values, and every URL.
    for name in ("sqlalchemy", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It logs its own parts at each start.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    # It logs a greeting even when only the revision of the schema is read.
    logging.getLogger("alembic.runtime.migration").addFilter(_is_a_step)


def _is_a_step(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or record.msg.startswith("Running")


def _with_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
