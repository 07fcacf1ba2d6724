"""What is logged of requests: never a body, a query, a header or a token, since they hold what is private."""

import asyncio
import atexit
import logging
import sys
import time
from contextvars import ContextVar
from typing import TextIO

from taskwell.core.config import Settings

access = logging.getLogger("taskwell.access")
request_id: ContextVar[str] = ContextVar("taskwell_request_id", default="-")

_FORMAT = "%(asctime)s %(levelname)s %(request_id)s %(name)s: %(message)s"
_WRITTEN_EVERY_SECONDS = 0.1


class _Buffer:
    """Lines about requests, written many at a time: a write for each would cost more than most requests do.

    What a killed process had not written yet is lost.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._second, self._time = 0, ""
        atexit.register(self.write)

    def add(self, message: str) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_later(_WRITTEN_EVERY_SECONDS, self.write)
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._time = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        milliseconds = int(now % 1 * 1_000)
        self._lines.append(
            f"{self._time},{milliseconds:03} INFO {request_id.get()} {access.name}: {message}\n"
        )

    def write(self) -> None:
        lines, self._lines = self._lines, []
        self._stream.write("".join(lines))
        self._stream.flush()


_buffers: list[_Buffer] = []  # one, once the logs of this process are installed


def note_request(method: str, path: str, status: int, seconds: float) -> None:
    if not access.isEnabledFor(logging.INFO):
        return
    message = f"{method} {path} {status} {seconds * 1_000:.1f} ms"
    for buffer in _buffers:
        buffer.add(message)
    if not _buffers:
        access.info("%s", message)


def install(settings: Settings) -> None:
    """Have every line of this process bear the id of the request that it belongs to."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(_with_request_id)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    _buffers[:] = [_Buffer(sys.stderr)]
    # At the level of debug these tell of every statement with its values, and of every URL.
    for name in ("sqlalchemy", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It greets whoever only asks where the schema stands.
    logging.getLogger("alembic.runtime.migration").addFilter(_is_a_step)


def _is_a_step(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or record.msg.startswith("Running")


def _with_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
