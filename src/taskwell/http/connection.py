"""HTTP as uvicorn speaks it, with an end to patience, a bound on what is begun, and answers in one piece.

A client has 10 s to send a request or to take an answer, and a second more for each 8 KiB that it sends or
takes. Who stalls is cut.
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

PATIENCE_SECONDS = 10.0
IN_QUEUE_SECONDS = 1.0
LOOK_SECONDS = 1.0
# For a connection that is idle when the server ends: its client may be asking just now.
LAST_SECONDS = 1.0
_BYTES_PER_SECOND = 8_192
_VERSIONS = frozenset({"1.0", "1.1"})
_ABOUT_BODIES = frozenset({b"content-length", b"expect", b"transfer-encoding"})
_MOST_DIGITS = 20  # of a length
# Of a head that has not ended, or of trailers. What is read with it at once may count too: 256 KiB.
_MOST_UNFINISHED_BYTES = 524_288
# llhttp reads RTSP and ICE as well, and only there are these methods.
_NO_HTTP_METHODS = frozenset(
    b"ANNOUNCE DESCRIBE FLUSH GET_PARAMETER PAUSE PLAY RECORD REDIRECT SETUP SET_PARAMETER SOURCE "
    b"TEARDOWN".split()
)
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class ServedApp:
    """What the application gives to the connections, in the state of its lifespan under `KEY`.

    `fast_path`: answers whole requests without the layers, if it can.
    """

    KEY: ClassVar[str] = "taskwell"

    admission: Admission
    fast_path: ExchangeHandler | None
    origins: Origins
    root_path: str
    prefixes: Prefixes


class Flow(FlowControl):
    """Reads no more while several requests wait: who pipelines without end would fill the memory."""

    def __init__(self, transport: asyncio.Transport, unanswered: deque["Cycle"]) -> None:
        super().__init__(transport)
        self.unanswered = unanswered

    def resume_reading(self) -> None:
        if self.read_paused and len(self.unanswered) < 2:
            super().resume_reading()


class Cycle(RequestResponseCycle):
    """A request and its answer. The head is kept until there is some of the body, and both are one write.

    `begun`: the application has been asked. `slots`: what it takes of the server until its answer begins.
    `truncated`: the client has ended its side before the end of the body. `endless`: the answer is a stream
    of events. `until_close`: the answer ends where the connection does.
    """

    begun = False
    truncated = False
    endless = False
    until_close = False
    slots = 0
    on_head: Callable[[int, Sequence[Header]], None] | None = None
    task: asyncio.Task[None]
    scope: Scope  # type: ignore[assignment]
    _head = b""

    # What is the same at the beginning of each, which uvicorn's would set one by one.
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
        except asyncio.CancelledError:  # the server ends, and has waited long enough: it says so itself
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
        """Tell the application that its client is gone. Nothing more is written for it."""
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
        """All at once, in place of the application. `head`: its lines, without what every answer has."""
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
        self.connection.begin(self)

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
            self._begin_stream()
        headers += self._framing(status, known)
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n"])

    def _begin_stream(self) -> None:
        self.endless = True
        if not self.connection.reading:
            self.disconnect()
            self.transport.close()

    def _framing(self, status: int, headers: Mapping[bytes, bytes]) -> list[Header]:
        """Decide how the end of the body is told. Returns the header that says so, where none does yet."""
        if b"content-length" in headers:
            self.chunked_encoding = False
            self.expected_content_length = int(headers[b"content-length"])
        elif self.scope["method"] == "HEAD" or status in {204, 304}:
            pass
        elif self.scope["http_version"] == "1.0":  # it knows no chunks (RFC 9112, 6.1)
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
    """A connection. It looks once a second whether its client is overdue: a timer for each wait costs more.

    `due`: when patience ends. `between`: nothing of a next request has come. `queued`: it waits for a place.
    `unanswered`: the requests without a whole answer, in their order; the first one is being answered.
    `unfinished`: how many bytes have come of a head or of trailers without their end.
    `reading`: False once nothing more is read: the client has ended its side (`client_ended`), what it sends
    is no HTTP, or its request has been refused.
    `offer`: the head that has just been parsed offers another protocol. `connect_to`: the target of CONNECT.
    """

    cycle: Cycle | None  # type: ignore[assignment]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        served: ServedApp = self.app_state[ServedApp.KEY]
        self.served = served
        self.admission = served.admission
        self.fast_path = served.fast_path
        self.context = contextvars.copy_context()  # a request may be begun while another one is answered
        self.due = self.loop.time() + PATIENCE_SECONDS
        self.between = True
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
        self.loop.call_later(LOOK_SECONDS, self.check_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for cycle in self.unanswered:  # what has not begun never begins
            cycle.disconnect()
        self.unanswered.clear()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer what has come whole before the connection is closed: the client may still read.

        A stream of events ends: this is how a browser leaves one.
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
        """The rest of the body never comes. Who has begun may answer without it; any other is dropped."""
        if cycle.begun:
            cycle.truncated = True
            cycle.message_event.set()
        else:
            self.unanswered.remove(cycle)

    def close_after(self, cycle: Cycle) -> None:
        """Close after an answer. While its request is still arriving only this side is closed.

        To close both would have the kernel reset the connection at the next byte, and a client or proxy that
        is still sending would lose the answer (RFC 9112, 9.6). What comes is thrown away until it closes too,
        or its time is up.
        """
        if not self.client_ended and (cycle.more_body or cycle.is_malformed()):
            self.reading = False
            self.flow.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()

    # Patience

    def check_deadline(self) -> None:
        if self.parser is None:
            return  # the connection is lost
        self.loop.call_later(LOOK_SECONDS, self.check_deadline)
        if self.flow.write_paused:
            unread = self.transport.get_write_buffer_size()
            self.due += max(0, self.unread - unread) / _BYTES_PER_SECOND
            self.unread = unread
        if self.loop.time() >= self.due:
            self.on_deadline()

    def on_deadline(self) -> None:
        """The patience is at its end."""
        if self.queued is not None:
            self.refuse_queued(self.queued)
        elif self.flow.write_paused or self.transport.is_closing():
            self.reset()
        else:
            self.set_deadline(PATIENCE_SECONDS)
            self.transport.close()

    def reset(self) -> None:
        """To close it would wait for the reader to take what is left, here or in the kernel."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def set_deadline(self, seconds: float) -> None:
        self.due = self.loop.time() + seconds

    def pause_writing(self) -> None:
        super().pause_writing()
        self.set_deadline(PATIENCE_SECONDS)
        self.unread = self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.is_idle():
            self.set_deadline(self.timeout_keep_alive)
        elif self.unanswered and not self.unanswered[0].more_body:
            self.set_deadline(math.inf)  # what it asked for is on its way
        else:
            self.set_deadline(PATIENCE_SECONDS)

    def is_idle(self) -> bool:
        ready = self.between or not self.reading
        return ready and (self.cycle is None or self.cycle.response_complete)

    def shutdown(self) -> None:
        self.admission.ending = True
        if self.is_idle():
            self.loop.call_later(LAST_SECONDS, self.close_if_idle)
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def close_if_idle(self) -> None:
        if self.is_idle():
            self.transport.close()

    # A request, as the parser tells of it

    def data_received(self, data: bytes) -> None:
        if not self.reading:
            return
        if self.between and self.admission.is_full(self.loop.time()) and self.refuse(data):
            return
        try:
            self.parse(data)
        except httptools.HttpParserError:
            self.refuse_malformed()
            return
        if not self.between and self.is_endless(data):
            self.refuse_malformed("headers_too_large")
            return
        cycle = self.cycle
        if cycle is not None and cycle.more_body and not cycle.begun and self.unanswered[0] is cycle:
            self.ask_early(cycle)

    def is_endless(self, data: bytes) -> bool:
        """Whether more has come than a head may have. The parser would keep all of it in memory."""
        self.unfinished += len(data)
        return self.unfinished > _MOST_UNFINISHED_BYTES

    def parse(self, data: bytes) -> None:
        """Parse requests. One that offers another protocol is answered as any other (RFC 9110, 7.8).

        llhttp ends at such a head and skips the body, whose bytes would then be run as further requests. So
        the head is parsed once more without the offer, and what follows after it.
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
        """Refuse it after the requests before it, and read no more: where another begins is not known."""
        self.reading = False
        cycle = self.cycle
        if not self.between and cycle is not None and cycle.more_body and cycle.scope is self.scope:
            if cycle.response_started:
                self.transport.close()
                return
            self.unanswered.remove(cycle)
            cycle.disconnect()
        elif self.between:
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
            self.take_turn(self.cycle)

    def refuse(self, data: bytes) -> bool:
        """Refuse what has come, if it is one request and its turn to be answered."""
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
        self.between = False
        self.unfinished = 0
        if self.cycle is not None and self.cycle.response_complete:
            self.set_deadline(PATIENCE_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.rstrip()  # the parser leaves white space behind a value
        if name in _ABOUT_BODIES:
            self.check_body_header(name, value.lower())
        self.headers.append((name, value))

    def check_body_header(self, name: bytes, value: bytes) -> None:
        """Refuse a coding that the application had to decode, and a length that others may read otherwise."""
        if name == b"expect":  # in HTTP/1.0 it is ignored (RFC 9110, 10.1.1)
            speaks_of_it = self.parser.get_http_version() != "1.0"
            self.expect_100_continue = speaks_of_it and value == b"100-continue"
        elif value != b"chunked" if name == b"transfer-encoding" else len(value) > _MOST_DIGITS:
            raise httptools.HttpParserError

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            self.offer = True
            return
        version, method = self.parser.get_http_version(), self.parser.get_method()
        if version not in _VERSIONS or method in _NO_HTTP_METHODS:
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
        self.due += len(body) / _BYTES_PER_SECOND
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
        self.between = True
        cycle = self.cycle
        assert cycle is not None
        if cycle.response_complete:  # it was refused before its body was here
            self.set_deadline(self.timeout_keep_alive)
            return
        cycle.more_body = False
        cycle.message_event.set()
        if self.headers and not self.parser.should_keep_alive():  # trailers, which the parser obeys
            cycle.keep_alive = False
        if self.unanswered[0] is cycle:
            self.ask(cycle)

    # Its turn

    def ask(self, cycle: Cycle) -> None:
        """Ask the application now, or when there is a place: the request is whole."""
        self.due = math.inf
        now = self.loop.time()
        if cycle.begun:
            if not cycle.response_started:
                cycle.enter(SLOW_PATH_COST)
        elif self.served.prefixes.is_always_admitted(cycle.scope["path"]):
            self.begin(cycle)
        elif self.admission.is_full(now):
            self.begin_refusal(cycle)
        elif self.admission.has_room():
            self.answer(cycle)
        else:
            self.queued = cycle
            self.set_deadline(IN_QUEUE_SECONDS)
            self.admission.queue(now, self.leave_queue)

    def ask_early(self, cycle: Cycle) -> None:
        """A short body is waited for; a long one may be refused before it is here."""
        length = next((value for name, value in cycle.scope["headers"] if name == b"content-length"), b"")
        if length.isdigit() and int(length[:20]) <= HIGH_WATER_LIMIT and not cycle.waiting_for_100_continue:
            return
        if self.admission.is_full(self.loop.time()):
            self.begin_refusal(cycle)
        else:
            self.begin(cycle)

    def leave_queue(self) -> None:
        """There is room now. It may not be wanted any more."""
        cycle, self.queued = self.queued, None
        if cycle is not None and not cycle.disconnected:
            self.due = math.inf
            self.answer(cycle)

    def refuse_queued(self, cycle: Cycle) -> None:
        self.queued, self.due = None, math.inf
        self.begin_refusal(cycle)

    def begin_refusal(self, cycle: Cycle) -> None:
        """What cannot be refused at a glance is refused by the layers, with all that they add."""
        self.admission.note_refusal(self.loop.time())
        request_state(cycle.scope).overloaded = True
        self.begin(cycle)

    def answer(self, cycle: Cycle) -> None:
        if self.fast_path is not None and not self.flow.write_paused and self.fast_path.try_handle(cycle):
            cycle.enter(1)
        else:
            cycle.enter(SLOW_PATH_COST)
            self.begin(cycle)

    def begin(self, cycle: Cycle) -> None:
        cycle.begun = True
        cycle.task = self.loop.create_task(cycle.run_asgi(self.app), context=self.context.copy())
        self.tasks.add(cycle.task)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self.unanswered.popleft()
        if self.flow.write_paused or self.transport.is_closing():
            self.set_deadline(PATIENCE_SECONDS)
        else:
            self.set_deadline(self.timeout_keep_alive)
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.unanswered:
            self.take_turn(self.unanswered[0])

    def take_turn(self, cycle: Cycle) -> None:
        if cycle.is_malformed():
            self.due = math.inf
            self.begin(cycle)
        elif cycle.more_body:
            self.ask_early(cycle)
        else:
            self.ask(cycle)
