"""Streams for a server's connection class in this process, and what its application is asked."""

import asyncio
import json
import logging
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, Self

import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from fuzz.oracle import Request
from fuzz.streams import Stream
from taskwell.app import PREFIXES
from taskwell.http.admission import Admission
from taskwell.http.connection import ServedApp
from taskwell.http.middleware import Origins, ValidateRequest
from taskwell.http.prefixes import Prefixes
from taskwell.http.request_state import request_state

_QUIET_TURNS = 5  # of the event loop: what was begun has asked the application by then
_MOST_TURNS = 2_000
_PAUSE, _SECONDS = 0.02, 5.0
_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n")


@dataclass(slots=True)
class Record:
    """What a connection brought, and which requests the application answered with `Connection: close`.

    `busy`: how many calls of the application wait for nothing. `cut`: some of the output was lost on its way.
    """

    answers: tuple[str, ...]
    requests: list[Request] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    closing: set[int] = field(default_factory=set)
    busy: int = 0
    output: bytearray = field(default_factory=bytearray)
    faults: list[str] = field(default_factory=list)
    cut: bool = False


class Recorder:
    """An application that notes each request and answers it with its number.

    It reads all of it or nothing, answers at once or turns later in two parts, and may end the connection.
    Before it is the layer of taskwell that refuses what two readers could take differently.
    """

    def __init__(self) -> None:
        self.of: dict[tuple[str, int], Record] = {}
        self._edge = ValidateRequest(self._run)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        if request_state(scope).malformed:
            return await self._edge(scope, receive, send)
        record = self.of[scope["client"]]
        number = len(record.requests)
        request = Request(
            scope["method"].encode(), scope["raw_path"], scope["query_string"], list(scope["headers"])
        )
        record.requests.append(request)
        scope["fuzz.number"] = number
        record.busy += 1
        try:
            await self._edge(scope, receive, partial(self._note, scope, send))
        finally:
            record.busy -= 1

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"].update(state())
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _note(self, scope: Scope, send: Send, message: Message) -> None:
        record, number = self.of[scope["client"]], scope["fuzz.number"]
        if message["type"] == "http.response.start":
            about = [(b"x-number", b"%d" % number), (b"x-version", scope["http_version"].encode())]
            message["headers"] = [*message["headers"], *about]
            if (b"connection", b"close") in message["headers"]:
                record.closing.add(number)
        elif not message.get("more_body", False):
            record.answered.append(number)
            if not record.requests[number].ran:
                problem = json.loads(message["body"])
                errors = problem.get("errors") or [problem]
                record.requests[number].refusal = errors[0]["detail"]
        await send(message)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        record, number = self.of[scope["client"]], scope["fuzz.number"]
        how = record.answers[number] if number < len(record.answers) else "whole"
        record.requests[number].ran = True
        if how in {"early", "leave"} or await self._read(record, record.requests[number], receive):
            await self._answer(scope["method"], how, send)

    async def _read(self, record: Record, request: Request, receive: Receive) -> bool:
        while not request.whole:
            record.busy -= 1
            try:
                message = await receive()
            finally:
                record.busy += 1
            if message["type"] == "http.disconnect":
                return False
            request.body += message["body"]
            request.whole = not message["more_body"]
        return True

    async def _answer(self, method: str, how: str, send: Send) -> None:
        headers = [] if how == "slow" else [(b"content-length", b"2")]
        if how == "slow":
            for _ in range(_QUIET_TURNS + 3):
                await asyncio.sleep(0)
        if how in {"close", "leave"}:
            headers.append((b"connection", b"close"))
        status = 405 if method == "CONNECT" else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if how == "slow":
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b"}"})
        else:
            await send({"type": "http.response.body", "body": b"{}"})


def state() -> dict[str, Any]:
    """What taskwell hands to each connection."""
    served = ServedApp(
        admission=Admission(),
        fast_path=None,
        origins=Origins((), loopback=False),
        root_path="",
        prefixes=Prefixes(PREFIXES),
    )
    return {ServedApp.KEY: served}


class Transport(asyncio.Transport):
    """A client's end in memory, which takes everything at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, record: Record, client: tuple[str, int]) -> None:
        super().__init__({"peername": client, "sockname": ("127.0.0.1", 80)})
        self.loop, self.record = loop, record
        self.protocol: Any = None
        self.paused = self.closing = self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closing or self.ended:
            self.record.faults.append("wrote to a closed connection")
        else:
            self.record.output += data

    def write_eof(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.loop.call_soon(self._lose)

    abort = close

    def _lose(self) -> None:
        self.protocol.connection_lost(None)


class Subject:
    """A connection class, as uvicorn makes one for each connection."""

    def __init__(self, protocol: type[asyncio.Protocol]) -> None:
        self.recorder = Recorder()
        self.config = _config(self.recorder, protocol, lifespan="off")
        self.config.load()
        self.server_state, self.app_state = ServerState(), state()
        self.errors = Errors()
        self._count = 0

    async def take(self, stream: Stream) -> Record:
        loop = asyncio.get_running_loop()
        self._count += 1
        client = ("127.0.0.1", self._count)
        record = self.recorder.of[client] = Record(stream.answers)
        transport = Transport(loop, record, client)
        make: Any = self.config.http_protocol_class
        transport.protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.app_state, _loop=loop
        )
        transport.protocol.connection_made(transport)
        try:
            await _send(stream, transport, record)
        except Exception as error:  # noqa: BLE001
            record.faults.append(f"raised {type(error).__name__}")
        transport.close()
        await _quiet(record)
        del self.recorder.of[client]
        record.faults += self.errors.take()
        return record


async def _send(stream: Stream, transport: Transport, record: Record) -> None:
    for number, piece in enumerate(stream.pieces):
        if not await _reads(transport, record):
            return
        transport.protocol.data_received(piece)
        for _ in range(number % 3):
            await asyncio.sleep(0)
    if not stream.ends_at_once:
        await _quiet(record)
    if not await _reads(transport, record):
        return
    if not transport.protocol.eof_received():
        transport.close()
    await _quiet(record)
    if not transport.closing:
        record.faults.append("stays open after the client's end")


async def _reads(transport: Transport, record: Record) -> bool:
    """Wait until the server reads. Whether it does."""
    if transport.paused:
        await _quiet(record)
    if transport.paused and not transport.closing:
        record.faults.append("does not read on")
    return not transport.closing and not transport.paused


async def _quiet(record: Record) -> None:
    """Wait until the application has nothing to do."""
    quiet, before = 0, (0, 0)
    for _ in range(_MOST_TURNS):
        now = len(record.requests), len(record.output)
        quiet = 0 if record.busy or now != before else quiet + 1
        before = now
        if quiet > _QUIET_TURNS:
            return
        await asyncio.sleep(0)
    record.faults.append("does not come to an end")


class Server:
    """The same over sockets, from a server in a thread: slower, and what an operator runs."""

    def __init__(self, protocol: type[asyncio.Protocol]) -> None:
        self.recorder = Recorder()
        self.errors = Errors()
        self._server = uvicorn.Server(_config(self.recorder, protocol, lifespan="on"))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def take(self, stream: Stream) -> Record:
        with socket.create_connection(self._socket.getsockname()) as connection:
            connection.settimeout(_SECONDS)
            record = Record(stream.answers)
            self.recorder.of[connection.getsockname()] = record
            try:
                _talk(connection, stream, record)
            except TimeoutError:
                record.faults.append("stays open after the client's end")
            except OSError:
                record.cut = True
        while record.busy:
            time.sleep(0.001)
        record.faults += self.errors.take()
        return record


def _talk(connection: socket.socket, stream: Stream, record: Record) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in stream.pieces:
        connection.sendall(piece)
    if not stream.ends_at_once:
        time.sleep(_PAUSE)
    connection.shutdown(socket.SHUT_WR)
    while output := connection.recv(65_536):
        record.output += output


def _config(app: Any, protocol: type[asyncio.Protocol], lifespan: Literal["on", "off"]) -> uvicorn.Config:
    return uvicorn.Config(
        app, http=protocol, ws="none", proxy_headers=False, log_config=None, lifespan=lifespan
    )


class Errors(logging.Handler):
    """What the server logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        detail = record.exc_info[1] if record.exc_info else None
        self._messages.append(f"logged: {record.getMessage().strip()}: {detail!r}")

    def take(self) -> list[str]:
        messages, self._messages = self._messages, []
        return messages


class Answer(NamedTuple):
    """`number`: of the request. The parser's own refusal has none."""

    status: int
    number: int | None
    version: str
    chunked: bool


def answers_in(output: bytes | bytearray) -> list[Answer]:
    """The answers, without those of the kind "100 Continue"."""
    found = ((int(answer[1]), answer[2].lower()) for answer in _ANSWER.finditer(output))
    return [_answer(status, fields) for status, fields in found if status >= 200]


def _answer(status: int, fields: bytes) -> Answer:
    about = re.search(rb"x-number: (\d+)\r\nx-version: (.*)\r\n", fields)
    number, version = (int(about[1]), about[2].decode()) if about else (None, "")
    return Answer(status, number, version, b"transfer-encoding" in fields)
