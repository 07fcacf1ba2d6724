"""Admission control: a number of slots, a queue for them, and an immediate 503 beyond that.

A request occupies slots from when it is whole until its response starts. So neither a slow client nor an open
event stream occupies one. `http/connection.py` does the counting.
"""

import asyncio
import json
import logging
import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from random import getrandbits
from typing import Any
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from taskwell.core.errors import Overloaded
from taskwell.http.headers import Header
from taskwell.http.middleware import VARY, Origins
from taskwell.http.prefixes import Prefixes
from taskwell.http.problems import MEDIA_TYPE, instance_of, path_as_sent, problem_members
from taskwell.http.root_path import enter

logger = logging.getLogger("taskwell")

_SLOTS = 400
SLOW_PATH_COST = 6  # slots of a slow-path request, which takes several times as long
_MAX_QUEUE = 1_000
_MIN_QUEUE = 100  # the throughput is measured over so many responses
_SLOTS_PER_TURN = 24  # all that start in a turn of the event loop delay each other
_MAX_WAIT_SECONDS = 0.3
_WARN_EVERY_SECONDS = 10.0


class Admission:
    """The slots and the queue. `ending`: the server is shutting down, and reports that it is not ready."""

    def __init__(self) -> None:
        self.ending = False
        self._used = 0
        # The time of arrival, and a callback that occupies the slots, if the client is still there.
        self._queue: deque[tuple[float, Callable[[], None]]] = deque()
        self._max_queue = _MAX_QUEUE
        self._scheduled = False
        self._left, self._since = 0, 0.0
        self._refused, self._warned_at = 0, -math.inf

    def is_full(self, now: float) -> bool:
        """Whether a new request would wait too long: the oldest does already, or the queue is full."""
        queue = self._queue
        if not queue:
            return self._used >= 2 * _SLOTS
        return len(queue) >= self._max_queue or now - queue[0][0] > _MAX_WAIT_SECONDS

    def lets_in_more(self) -> bool:
        """Whether queued requests start in the next turn of the event loop."""
        return bool(self._queue) and self._used < _SLOTS

    def has_room(self) -> bool:
        """Whether a slot is free and the queue is empty."""
        return not self._queue and self._used < _SLOTS

    def enter(self, slots: int) -> None:
        self._used += slots

    def queue(self, now: float, begin: Callable[[], None]) -> None:
        if not self._queue:
            self._left, self._since, self._max_queue = 0, now, _MAX_QUEUE
        elif self._left >= _MIN_QUEUE:  # the throughput has been measured again
            answered = self._left / max(now - self._since, 0.001)
            self._max_queue = min(_MAX_QUEUE, max(_MIN_QUEUE, int(answered * _MAX_WAIT_SECONDS)))
            self._left, self._since = 0, now
        self._queue.append((now, begin))
        self._let_in_soon()

    def leave(self, slots: int) -> None:
        self._used -= slots
        self._left += 1
        self._let_in_soon()

    def _let_in_soon(self) -> None:
        """Start queued requests in the next turn of the event loop, after the quick refusals of this one."""
        if not self._scheduled and self.lets_in_more():
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        self._scheduled = False
        most = min(self._used + _SLOTS_PER_TURN, _SLOTS)
        while self._queue and self._used < most:
            _, begin = self._queue.popleft()
            begin()
        self._let_in_soon()

    def note_refusal(self, now: float) -> None:
        self._refused += 1
        if now - self._warned_at > _WARN_EVERY_SECONDS:
            logger.warning("overloaded: %d requests refused since the last warning", self._refused)
            self._refused, self._warned_at = 0, now


class RequestPeek:
    """Parses as much of a request as a refusal needs: a twentieth of the cost of handling it."""

    def __init__(self, root_path: str, prefixes: Prefixes) -> None:
        self.root_path = root_path
        self.prefixes = prefixes
        self.url = self.method = b""
        self.begun = self.ended = 0
        self.keeps_alive = True
        self.origin: bytes | None = None
        self._forwarded = False
        self._parser: Any = None

    def is_whole(self, data: bytes) -> bool:
        """Whether the data is exactly one whole request."""
        self._parser = HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            return False
        finally:
            # The two refer to each other. The garbage collector would have to find them, and at ten thousand
            # refusals a second it would scan all connections again and again.
            self._parser = None
        return self.begun == self.ended == 1

    @property
    def may_be_refused(self) -> bool:
        """Not health checks, nor preflights, since a browser would not show why they failed.

        Nor requests with a proxy's prefix: only the middleware knows whether to trust it.
        """
        path = self.url.partition(b"?")[0].decode("ascii", "replace")
        inner = path.removeprefix(self.root_path)
        always = self.prefixes.is_always_admitted(path) or self.prefixes.is_always_admitted(inner)
        return not always and self.method != b"OPTIONS" and not self._forwarded

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"origin" and self.origin is None:
            self.origin = value
        elif name == b"x-forwarded-prefix":
            self._forwarded = True

    def on_message_complete(self) -> None:
        self.ended += 1
        self.method, self.keeps_alive = self._parser.get_method(), self._parser.should_keep_alive()

    def refusal(self, headers: Sequence[Header], origins: Origins) -> bytes:
        """The response, with the same bytes as that of the middleware."""
        request_id = b"%032x" % getrandbits(128)
        path = self._path()
        instance = path if _SIMPLE.fullmatch(path) else json.dumps(instance_of(path))[1:-1].encode()
        body = _BODY % (instance, request_id)
        link = f"{self.root_path}/problems/overloaded".encode()
        to_page = [VARY] if self.origin is None else origins.headers_for(self.origin)
        default = b"".join([b"%b: %b\r\n" % header for header in (*headers, *to_page)])
        end = b"" if self.keeps_alive else b"connection: close\r\n"
        shown = b"" if self.method == b"HEAD" else body
        return _ANSWER % (link, default, request_id, len(body), end, shown)

    def _path(self) -> bytes:
        """The path that the client sent to the proxy."""
        path = self.url.partition(b"?")[0]
        if not self.root_path:
            return path
        scope = {"path": unquote(path.decode("ascii", "replace")), "raw_path": path}
        enter(scope, self.root_path, self.prefixes)
        return path_as_sent(scope).encode()


_SIMPLE = re.compile(rb"[!#-\[\]-~]{0,1024}")  # needs no escapes in JSON
_BODY = json.dumps(problem_members("overloaded", Overloaded.detail, "%b", "%b")).encode()
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"content-type: " + MEDIA_TYPE.encode() + b"\r\n"
    b"retry-after: 1\r\n"
    b'link: <%b>; rel="describedby"\r\n'
    b"cache-control: no-store\r\n"
    b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
    b"cross-origin-resource-policy: same-origin\r\n"
    b"referrer-policy: no-referrer\r\n"
    b"x-content-type-options: nosniff\r\n"
    b"%bx-request-id: %b\r\n"
    b"content-length: %d\r\n"
    b"%b\r\n"
    b"%b"
)
