"""An HTTP/1.1 connection: uvicorn's protocol with deadlines, admission control and responses in one write.

A client has 10 s to send a request or to read a response, and a second more for each 8 KiB of it. After that
the connection is closed.
"""

import asyncio
import contextvars
import logging
import math
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from taskwell.http.admission import SLOW_PATH_COST, Admission, RequestPeek
from taskwell.http.exchange import ExchangeHandler
from taskwell.http.headers import Header
from taskwell.http.middleware import Origins
from taskwell.http.prefixes import Prefixes
from taskwell.http.request_state import detach_state, known_state, request_state
from taskwell.http.root_path import enter

TIMEOUT_SECONDS = 10.0
QUEUE_SECONDS = 1.0
CHECK_SECONDS = 1.0
# A connection that is idle at shutdown stays open so long: a request may be on its way.
GRACE_SECONDS = 1.0
_BYTES_PER_SECOND = 8_192
_VERSIONS = frozenset({"1.0", "1.1"})
_BODY_HEADERS = frozenset({b"content-length", b"expect", b"transfer-encoding"})
_MAX_DIGITS = 20  # of Content-Length
# Of an unfinished head, or of trailers. Up to 256 KiB that are read together with it may count too.
_MAX_UNFINISHED_BYTES = 524_288
# llhttp parses RTSP and ICE as well. These are their methods.
_NON_HTTP_METHODS = frozenset(
    b"ANNOUNCE DESCRIBE FLUSH GET_PARAMETER PAUSE PLAY RECORD REDIRECT SETUP SET_PARAMETER SOURCE "
    b"TEARDOWN".split()
)
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class ServedApp:
    """What the application gives to the connections, in the state of its lifespan under `KEY`.

    `fast_path`: tries to answer complete requests without the middleware.
    """

    KEY: ClassVar[str] = "taskwell"

    admission: Admission
    fast_path: ExchangeHandler | None
    origins: Origins
    root_path: str
    prefixes: Prefixes


class Flow(FlowControl):
    """Pauses reading while several requests wait: endless pipelining would fill the memory."""

    def __init__(self, transport: asyncio.Transport, unanswered: deque["Cycle"]) -> None:
        super().__init__(transport)
        self.unanswered = unanswered

    def resume_reading(self) -> None:
        if self.read_paused and len(self.unanswered) < 2:
            super().resume_reading()


class Cycle(RequestResponseCycle):
    """A request and its response. The head is held until the first part of the body: both are one write.

    `started`: a handler runs. `slots`: those of the admission control that it occupies until its response
    starts. `truncated`: the client closed its side before the end of the body. `endless`: the response is an
    event stream. `until_close`: the end of the connection ends the response.
    """

    started = False
    truncated = False
    endless = False
    until_close = False
    slots = 0
    on_head: Callable[[int, Sequence[Header]], None] | None = None
    task: asyncio.Task[None]
    scope: Scope  # type: ignore[assignment]
    _head = b""

    # The initial values. On the class they cost nothing; uvicorn's `__init__` sets each of them.
    logger = logging.getLogger("uvicorn.error")
    access_log = False
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0

    def __init__(self, connection: "Connection", *, keep_alive: bool) -> None:
        self.connection = connection
        self.scope = cast("Scope", connection.scope)
        self.transport = connection.transport
        self.flow = connection.flow
        self.on_response = connection.on_response_complete
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = connection.expect_100_continue
        self.message_event = asyncio.Event()
        self.body = bytearray()

    async def run_asgi(self, app: Any) -> None:
        try:
            if not self.disconnected:
                await super().run_asgi(partial(self._run, app))
        finally:
            self.connection.tasks.discard(self.task)
            self.leave()

    async def _run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:  # shutdown has timed out, which uvicorn logs itself
            self.disconnected = True
            self.transport.abort()

    async def receive(self) -> Any:
        message = await super().receive()
        if self.truncated and not self.response_complete:
            self.disconnect()
            self.transport.close()
            return {"type": "http.disconnect"}
        return message

    def disconnect(self) -> None:
        """Tell the application that its client has disconnected. Nothing more is written."""
        self.disconnected = True
        self.message_event.set()

    async def send(self, message: Message) -> None:  # type: ignore[override]
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            assert not self.response_started
            self.leave()
            self._head = self._head_of(message)
        else:
            assert message["type"] == "http.response.body"
            self._write(message.get("body", b""), more=message.get("more_body", False))

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """Write a whole response in place of the application. `head`: its lines without the default ones."""
        self.leave()
        self.response_started = self.response_complete = True
        if self.disconnected:
            return
        default = [b"%b: %b\r\n" % header for header in self.connection.server_state.default_headers]
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"".join([STATUS_LINE[status], *default, head, end, body]))
        if not self.keep_alive:
            self.connection.close_after(self)
        self.on_response()

    def take_slow_path(self) -> None:
        self.enter(SLOW_PATH_COST - 1)
        self.connection.start(self)

    def is_malformed(self) -> bool:
        state = known_state(self.scope)
        return state is not None and state.malformed is not None

    def enter(self, slots: int) -> None:
        self.slots += slots
        self.connection.admission.enter(slots)

    def leave(self) -> None:
        if self.slots:
            self.connection.admission.leave(self.slots)
            self.slots = 0

    def _head_of(self, message: Message) -> bytes:
        self.response_started = True
        self.waiting_for_100_continue = False
        status = message["status"]
        if self.on_head is not None:
            self.on_head(status, message["headers"])
        headers = [*self.connection.server_state.default_headers, *message.get("headers", ())]
        known = dict(headers)
        if HEADER_RE.search(b"".join(known)) or HEADER_VALUE_RE.search(
            b"".join([value for _, value in headers])
        ):
            raise RuntimeError("An invalid header.")
        if known.get(b"connection", b"").lower() == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        if known.get(b"content-type", b"").startswith(b"text/event-stream"):
            self._start_stream()
        headers += self._framing(status, known)
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n"])

    def _start_stream(self) -> None:
        self.endless = True
        if not self.connection.reading:
            self.disconnect()
            self.transport.close()

    def _framing(self, status: int, headers: Mapping[bytes, bytes]) -> list[Header]:
        """Choose the framing of the body. Returns its header, unless the response has one already."""
        if b"content-length" in headers:
            self.chunked_encoding = False
            self.expected_content_length = int(headers[b"content-length"])
        elif self.scope["method"] == "HEAD" or status in {204, 304}:
            pass
        elif self.scope["http_version"] == "1.0":  # it has no chunks (RFC 9112, 6.1)
            self.until_close = True
        else:
            self.chunked_encoding = True
            return [(b"transfer-encoding", b"chunked")]
        return []

    def _write(self, body: bytes, *, more: bool) -> None:
        assert self.response_started
        assert not self.response_complete
        head, self._head = self._head, b""
        if self.scope["method"] == "HEAD":
            body, self.expected_content_length = b"", 0
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"" if more else b"0\r\n\r\n"
        elif not self.until_close:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (self.expected_content_length and not more):
                raise RuntimeError("The body is not as long as was said.")
        if head or body:
            self.transport.write(head + body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.connection.close_after(self)
            self.on_response()


class Connection(HttpToolsProtocol):
    """A connection. It checks its deadline once a second, which costs less than a timer for each wait.

    `deadline`: on the clock of the event loop. `between_requests`: no byte of a next request has arrived.
    `queued`: the request that waits for a slot.
    `unanswered`: the requests without a whole response, in their order; the first one is being handled.
    `unfinished`: the received bytes of a head or of trailers whose end has not arrived.
    `reading`: False once input is ignored: the client has closed its side (`client_ended`), has sent no
    HTTP, or its request has been refused.
    `offer`: the head that has just been parsed offers another protocol. `connect_to`: the target of CONNECT.
    """

    cycle: Cycle | None  # type: ignore[assignment]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        served: ServedApp = self.app_state[ServedApp.KEY]
        self.served = served
        self.admission = served.admission
        self.fast_path = served.fast_path
        self.context = contextvars.copy_context()  # a request may start while another one is handled
        self.deadline = self.loop.time() + TIMEOUT_SECONDS
        self.between_requests = True
        self.queued: Cycle | None = None
        self.unread = 0
        self.unanswered: deque[Cycle] = deque()
        self.unfinished = 0
        self.reading = True
        self.client_ended = False
        self.offer = False
        self.connect_to: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport, self.unanswered)
        self.loop.call_later(CHECK_SECONDS, self.check_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for cycle in self.unanswered:  # those that have not started never do
            cycle.disconnect()
        self.unanswered.clear()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer the whole requests before the connection is closed: the client may still read.

        An event stream ends: a browser leaves one in this way.
        """
        self.reading, self.client_ended = False, True
        cycle = self.cycle
        if cycle is not None and cycle.more_body and not cycle.response_complete:
            self.truncate(cycle)
        for other in self.unanswered:
            if other.endless:
                other.disconnect()
                return False
        if not self.unanswered:
            return False
        self.unanswered[-1].keep_alive = False
        return True

    def truncate(self, cycle: Cycle) -> None:
        """The rest of the body never arrives: only a handler that runs already may still answer."""
        if cycle.started:
            cycle.truncated = True
            cycle.message_event.set()
        else:
            self.unanswered.remove(cycle)

    def close_after(self, cycle: Cycle) -> None:
        """Close after a response. While its request is still arriving, close only this side.

        If both were closed, the kernel would reset the connection at the next byte, and a client or proxy
        that is still sending would lose the response (RFC 9112, 9.6). Input is discarded until the client
        closes, or until the deadline.
        """
        if not self.client_ended and (cycle.more_body or cycle.is_malformed()):
            self.reading = False
            self.flow.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()

    # Deadlines

    def check_deadline(self) -> None:
        if self.parser is None:
            return  # the connection is lost
        self.loop.call_later(CHECK_SECONDS, self.check_deadline)
        if self.flow.write_paused:
            unread = self.transport.get_write_buffer_size()
            self.deadline += max(0, self.unread - unread) / _BYTES_PER_SECOND
            self.unread = unread
        if self.loop.time() >= self.deadline:
            self.on_deadline()

    def on_deadline(self) -> None:
        """Refuse a queued request, or close the connection."""
        if self.queued is not None:
            self.refuse_queued(self.queued)
        elif self.flow.write_paused or self.transport.is_closing():
            self.reset()
        else:
            self.set_deadline(TIMEOUT_SECONDS)
            self.transport.close()

    def reset(self) -> None:
        """Close at once. A normal close would wait until the client has read the rest."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def set_deadline(self, seconds: float) -> None:
        self.deadline = self.loop.time() + seconds

    def pause_writing(self) -> None:
        super().pause_writing()
        self.set_deadline(TIMEOUT_SECONDS)
        self.unread = self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.is_idle():
            self.set_deadline(self.timeout_keep_alive)
        elif self.unanswered and not self.unanswered[0].more_body:
            self.set_deadline(math.inf)  # its response is on its way
        else:
            self.set_deadline(TIMEOUT_SECONDS)

    def is_idle(self) -> bool:
        ready = self.between_requests or not self.reading
        return ready and (self.cycle is None or self.cycle.response_complete)

    def shutdown(self) -> None:
        self.admission.ending = True
        if self.is_idle():
            self.loop.call_later(GRACE_SECONDS, self.close_if_idle)
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def close_if_idle(self) -> None:
        if self.is_idle():
            self.transport.close()

    # Callbacks of the transport and of the parser

    def data_received(self, data: bytes) -> None:
        if not self.reading:
            return
        if self.between_requests and self.admission.is_full(self.loop.time()) and self.refuse(data):
            return
        try:
            self.parse(data)
        except httptools.HttpParserError:
            self.refuse_malformed()
            return
        if not self.between_requests and self.is_endless(data):
            self.refuse_malformed("headers_too_large")
            return
        cycle = self.cycle
        if cycle is not None and cycle.more_body and not cycle.started and self.unanswered[0] is cycle:
            self.dispatch_early(cycle)

    def is_endless(self, data: bytes) -> bool:
        """Whether a head is larger than allowed: the parser would keep all of it in memory."""
        self.unfinished += len(data)
        return self.unfinished > _MAX_UNFINISHED_BYTES

    def parse(self, data: bytes) -> None:
        """Parse requests. An offer of another protocol is ignored (RFC 9110, 7.8).

        llhttp stops at such a head and skips the body, whose bytes would then run as further requests. So the
        head is parsed again without the offer, and then the rest.
        """
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = memoryview(rest)[upgrade.args[0] :]
                self.parse_head_again()
            else:
                return

    def parse_head_again(self) -> None:
        method, target = self.parser.get_method(), self.url
        if method == b"CONNECT":  # llhttp never reads a body of it, so another method stands in for it
            self.connect_to = target
            method, target = b"POST", target if target.startswith(b"/") else b"/"
        start = b"%b %b HTTP/%b\r\n" % (method, target, self.parser.get_http_version().encode())
        lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.offer = False
        self.parser.feed_data(b"".join([start, *lines, b"\r\n"]))

    def refuse_malformed(self, problem: str = "validation_error") -> None:
        """Refuse it after the requests before it. Stop reading: the start of the next one is unknown."""
        self.reading = False
        cycle = self.cycle
        if not self.between_requests and cycle is not None and cycle.more_body and cycle.scope is self.scope:
            if cycle.response_started:
                self.transport.close()
                return
            self.unanswered.remove(cycle)
            cycle.disconnect()
        elif self.between_requests:
            self.on_message_begin()
        path = self.url.partition(b"?")[0] if self.url.isascii() and self.url.startswith(b"/") else b"/"
        known = {"method": "GET", "path": "/", "raw_path": path, "query_string": b"", **self.scope}
        self.scope = cast("Any", known)
        detach_state(cast("Scope", known))
        request_state(cast("Scope", known)).malformed = problem
        self.cycle = Cycle(self, keep_alive=False)
        self.cycle.more_body = False
        self.unanswered.append(self.cycle)
        if self.unanswered[0] is self.cycle:
            self.dispatch_next(self.cycle)

    def refuse(self, data: bytes) -> bool:
        """Refuse the received data without the middleware, if it is one complete request, and the first."""
        peek = RequestPeek(self.served.root_path, self.served.prefixes)
        if not (self.is_idle() and peek.is_whole(data) and peek.may_be_refused):
            return False
        self.admission.note_refusal(self.loop.time())
        self.transport.write(peek.refusal(self.server_state.default_headers, self.served.origins))
        if peek.keeps_alive:
            self.set_deadline(self.timeout_keep_alive)
        else:
            self.transport.close()
        return True

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.between_requests = False
        self.unfinished = 0
        if self.cycle is not None and self.cycle.response_complete:
            self.set_deadline(TIMEOUT_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.rstrip()  # the parser leaves white space behind a value
        if name in _BODY_HEADERS:
            self.check_body_header(name, value.lower())
        self.headers.append((name, value))

    def check_body_header(self, name: bytes, value: bytes) -> None:
        """Refuse codings that the application would have to decode, and lengths that proxies may misread."""
        if name == b"expect":  # in HTTP/1.0 it is ignored (RFC 9110, 10.1.1)
            understands_it = self.parser.get_http_version() != "1.0"
            self.expect_100_continue = understands_it and value == b"100-continue"
        elif value != b"chunked" if name == b"transfer-encoding" else len(value) > _MAX_DIGITS:
            raise httptools.HttpParserError

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            self.offer = True
            return
        version, method = self.parser.get_http_version(), self.parser.get_method()
        if version not in _VERSIONS or method in _NON_HTTP_METHODS:
            raise httptools.HttpParserError
        self.headers = []  # for trailers, which must not pass for headers (RFC 9110, 6.5.1)
        scope = self.scope
        scope["method"] = method.decode("ascii")
        scope["http_version"] = version
        url = httptools.parse_url(self.url)
        raw_path = url.path or b"/"  # an absolute target may be without one
        path = raw_path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = url.query or b""
        if self.connect_to is not None:
            scope["method"] = "CONNECT"
            scope["raw_path"], self.connect_to = self.connect_to.partition(b"?")[0], None
        if self.served.root_path:
            enter(cast("Scope", scope), self.served.root_path, self.served.prefixes)
        keep_alive = version != "1.0" and self.parser.should_keep_alive() and not self.admission.ending
        self.cycle = Cycle(self, keep_alive=keep_alive)
        if self.unanswered:
            self.flow.pause_reading()
        self.unanswered.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        self.deadline += len(body) / _BYTES_PER_SECOND
        self.unfinished = 0
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self.offer:
            return
        self.between_requests = True
        cycle = self.cycle
        assert cycle is not None
        if cycle.response_complete:  # it was refused before its body had arrived
            self.set_deadline(self.timeout_keep_alive)
            return
        cycle.more_body = False
        cycle.message_event.set()
        if self.headers and not self.parser.should_keep_alive():  # the parser obeys trailers
            cycle.keep_alive = False
        if self.unanswered[0] is cycle:
            self.dispatch(cycle)

    # Dispatch

    def dispatch(self, cycle: Cycle) -> None:
        """Handle a whole request now, queue it until a slot is free, or refuse it."""
        self.deadline = math.inf
        now = self.loop.time()
        if cycle.started:
            if not cycle.response_started:
                cycle.enter(SLOW_PATH_COST)
        elif self.served.prefixes.is_always_admitted(cycle.scope["path"]):
            self.start(cycle)
        elif self.admission.is_full(now):
            self.start_refusal(cycle)
        elif self.admission.has_room():
            self.handle(cycle)
        else:
            self.queued = cycle
            self.set_deadline(QUEUE_SECONDS)
            self.admission.queue(now, self.leave_queue)

    def dispatch_early(self, cycle: Cycle) -> None:
        """Start a request whose body is still arriving, or refuse it. A short body is awaited."""
        length = next((value for name, value in cycle.scope["headers"] if name == b"content-length"), b"")
        if length.isdigit() and int(length[:20]) <= HIGH_WATER_LIMIT and not cycle.waiting_for_100_continue:
            return
        if self.admission.is_full(self.loop.time()):
            self.start_refusal(cycle)
        else:
            self.start(cycle)

    def leave_queue(self) -> None:
        """Handle the queued request, if its client is still connected."""
        cycle, self.queued = self.queued, None
        if cycle is not None and not cycle.disconnected:
            self.deadline = math.inf
            self.handle(cycle)

    def refuse_queued(self, cycle: Cycle) -> None:
        self.queued, self.deadline = None, math.inf
        self.start_refusal(cycle)

    def start_refusal(self, cycle: Cycle) -> None:
        """Refuse through the middleware, which adds its headers."""
        self.admission.note_refusal(self.loop.time())
        request_state(cycle.scope).overloaded = True
        self.start(cycle)

    def handle(self, cycle: Cycle) -> None:
        if self.fast_path is not None and not self.flow.write_paused and self.fast_path.try_handle(cycle):
            cycle.enter(1)
        else:
            cycle.enter(SLOW_PATH_COST)
            self.start(cycle)

    def start(self, cycle: Cycle) -> None:
        cycle.started = True
        cycle.task = self.loop.create_task(cycle.run_asgi(self.app), context=self.context.copy())
        self.tasks.add(cycle.task)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self.unanswered.popleft()
        if self.flow.write_paused or self.transport.is_closing():
            self.set_deadline(TIMEOUT_SECONDS)
        else:
            self.set_deadline(self.timeout_keep_alive)
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.unanswered:
            self.dispatch_next(self.unanswered[0])

    def dispatch_next(self, cycle: Cycle) -> None:
        if cycle.is_malformed():
            self.deadline = math.inf
            self.start(cycle)
        elif cycle.more_body:
            self.dispatch_early(cycle)
        else:
            self.dispatch(cycle)
