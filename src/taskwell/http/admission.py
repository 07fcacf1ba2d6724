"""Who is let in: so many requests at once, a queue behind them, and a word at once to all others.

Counted is what the server owes: from when a request is whole until its answer begins. So neither a slow
client nor an open event stream takes a place. `http/connection.py` keeps the count.
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

_AT_ONCE = 400  # places
SLOW_PATH_COST = 6  # places of one that goes through the layers: it takes several times as long
_IN_QUEUE = 1_000
_IN_QUEUE_AT_LEAST = 100  # after so many answers it is known how fast it moves
_IN_A_TURN = 24  # places: what begins in a turn of the event loop is what all others wait for
_PATIENCE_SECONDS = 0.3
_TOLD_EVERY_SECONDS = 10.0


class Admission:
    """`ending`: the server has been told to end, and says so to whoever asks whether it is ready."""

    def __init__(self) -> None:
        self.ending = False
        self._inside = 0
        # Since when each waits, and what begins with it: it enters, if that is still wanted.
        self._queue: deque[tuple[float, Callable[[], None]]] = deque()
        self._room = _IN_QUEUE
        self._due = False
        self._left, self._since = 0, 0.0
        self._refused, self._told = 0, -math.inf

    def is_full(self, now: float) -> bool:
        """Whether who comes now would wait too long: the first does, or too many are before."""
        queue = self._queue
        if not queue:
            return self._inside >= 2 * _AT_ONCE
        return len(queue) >= self._room or now - queue[0][0] > _PATIENCE_SECONDS

    def lets_in_more(self) -> bool:
        """Whether there is a place for somebody who waits: the next turn of the event loop brings them."""
        return bool(self._queue) and self._inside < _AT_ONCE

    def has_room(self) -> bool:
        """Whether there is a place, and nobody waits for it."""
        return not self._queue and self._inside < _AT_ONCE

    def enter(self, slots: int) -> None:
        self._inside += slots

    def queue(self, now: float, begin: Callable[[], None]) -> None:
        if not self._queue:
            self._left, self._since, self._room = 0, now, _IN_QUEUE
        elif self._left >= _IN_QUEUE_AT_LEAST:  # how fast the queue moves is known anew
            answered = self._left / max(now - self._since, 0.001)
            self._room = min(_IN_QUEUE, max(_IN_QUEUE_AT_LEAST, int(answered * _PATIENCE_SECONDS)))
            self._left, self._since = 0, now
        self._queue.append((now, begin))
        self._let_in_soon()

    def leave(self, slots: int) -> None:
        self._inside -= slots
        self._left += 1
        self._let_in_soon()

    def _let_in_soon(self) -> None:
        """In the next turn of the event loop: those who come meanwhile are refused before, which is quick."""
        if not self._due and self.lets_in_more():
            self._due = True
            asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        self._due = False
        most = min(self._inside + _IN_A_TURN, _AT_ONCE)
        while self._queue and self._inside < most:
            _, begin = self._queue.popleft()
            begin()
        self._let_in_soon()

    def note_refusal(self, now: float) -> None:
        self._refused += 1
        if now - self._told > _TOLD_EVERY_SECONDS:
            logger.warning("overloaded: %d requests refused since this was said last", self._refused)
            self._refused, self._told = 0, now


class RequestPeek:
    """What has to be known of a request to refuse it, which is a twentieth of what it takes to answer it."""

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
        """Whether this is one request, and all of it."""
        self._parser = HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            return False
        finally:
            # The two know each other, and would be left for the collector, which at ten thousand refusals a
            # second would look through all connections again and again.
            self._parser = None
        return self.begun == self.ended == 1

    @property
    def may_be_refused(self) -> bool:
        """Health is always told; and a browser that was refused its preflight would not see why.

        Whether a proxy's prefix is to be believed is the layers' to know.
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
        """As the layers would put it together."""
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
        """As the client knows it."""
        path = self.url.partition(b"?")[0]
        if not self.root_path:
            return path
        scope = {"path": unquote(path.decode("ascii", "replace")), "raw_path": path}
        enter(scope, self.root_path, self.prefixes)
        return path_as_sent(scope).encode()


_SIMPLE = re.compile(rb"[!#-\[\]-~]{0,1024}")  # nothing in it has to be escaped
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
