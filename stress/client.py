"""HTTP for a load: asyncio and httptools alone, since a comfortable client takes longer than the server."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from httptools import HttpResponseParser

# The server closes a connection that is idle for 5 s.
_IDLE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        content = b"" if self.body is None else json.dumps(self.body).encode()
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: taskwell"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if content:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass(slots=True)
class Answer:
    """The names of the headers are in lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    def json(self) -> Any:
        return json.loads(self.content)


class Connection:
    """One request at a time. Connects when it has to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = 0.0

    async def send(self, request: Request) -> Answer:
        """Raises OSError: the connection was cut before the whole answer was there."""
        reader, writer = await self._connected()
        try:
            writer.write(request.encode())
            answer = await _read(reader)
        except BaseException:
            self.abort()
            raise
        self._used = time.monotonic()
        if answer.headers.get("connection") == "close":
            await self.close()
        return answer

    async def abandon(self, request: Request, sent: int) -> None:
        """Send so many bytes of the request and go away."""
        _, writer = await self._connected()
        writer.write(request.encode()[:sent])
        await writer.drain()
        await self.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if time.monotonic() - self._used > _IDLE_SECONDS:
            await self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams

    def abort(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def close(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            await writer.wait_closed()


class _Collector:
    """What httptools tells of an answer."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers[name.decode().lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.answer.content += data

    def on_message_complete(self) -> None:
        self.whole = True


async def _read(reader: asyncio.StreamReader) -> Answer:
    collector = _Collector()
    parser: Any = HttpResponseParser(collector)
    while not collector.whole:
        data = await reader.read(65_536)
        if not data:
            raise ConnectionError
        parser.feed_data(data)
    collector.answer.status = parser.get_status_code()
    return collector.answer


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncGenerator[list[Connection]]:
    opened = [Connection(port) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            await connection.close()


class Client:
    """The same for one who waits for each answer."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection = Connection(port)

    def send(self, request: Request) -> Answer:
        return self._loop.run_until_complete(self._connection.send(request))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()
