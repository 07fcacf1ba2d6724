"""A closed loop of clients, each on a connection that it keeps.

Made of asyncio and httptools alone: a comfortable client library takes longer for a request than the server
does, and the two share the machine.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from httptools import HttpResponseParser


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: Any = None
    headers: tuple[str, ...] = ()

    def encode(self) -> bytes:
        content = b"" if self.body is None else json.dumps(self.body).encode()
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: taskwell", *self.headers]
        if content:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._parser: Any = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._content = bytearray()
        self._answer: asyncio.Future[Answer] | None = None

    async def send(self, request: Request) -> Answer:
        assert self._transport is not None
        self._content.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request.encode())
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._content += data

    def on_message_complete(self) -> None:
        assert self._answer is not None
        self._answer.set_result(Answer(self._parser.get_status_code(), bytes(self._content)))

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def connections(url: str, count: int) -> AsyncGenerator[list[Connection]]:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(Connection, address.hostname, address.port) for _ in range(count)]
    try:
        yield [connection for _, connection in opened]
    finally:
        for _, connection in opened:
            connection.close()


@dataclass
class Figures:
    """How long each request or round of them took, and all of them together, in seconds."""

    times: list[float] = field(default_factory=list)
    seconds: float = 0.0
    operations: int = 1  # in a round

    @property
    def per_second(self) -> float:
        return self.operations * len(self.times) / self.seconds

    def milliseconds(self, share: float) -> float:
        """The time in which such a share of the requests was answered."""
        times = sorted(self.times)
        return times[min(int(len(times) * share), len(times) - 1)] * 1_000


async def measure(
    url: str, concurrency: int, seconds: float, request: Callable[[], Request], status: int
) -> Figures:
    """Ask from so many connections for so long, once at least. Every answer has to have the status."""
    figures = Figures()
    async with connections(url, concurrency) as opened:
        start = time.perf_counter()
        end = start + seconds
        await asyncio.gather(*(_client(connection, end, request, status, figures) for connection in opened))
        figures.seconds = time.perf_counter() - start
    return figures


async def _client(
    connection: Connection, end: float, request: Callable[[], Request], status: int, figures: Figures
) -> None:
    finish = time.perf_counter()
    while True:
        start = finish
        answer = await connection.send(request())
        finish = time.perf_counter()
        if answer.status != status:
            raise RuntimeError(f"the server answered {answer.status}: {answer.content[:500]!r}")
        figures.times.append(finish - start)
        if finish > end:
            return
