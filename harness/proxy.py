"""A TCP proxy that delays and cuts connections."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen to a connection: cut after so many bytes in a direction; None: never."""

    request_bytes: int | None = None
    response_bytes: int | None = None
    delay_seconds: float = 0.0


class Proxy:
    """Between clients and a server on loopback; each connection gets a plan of its own."""

    def __init__(self, port: int, plan: Callable[[], Plan]) -> None:
        self.port = 0
        self.cuts = 0
        self._target = port
        self._plan = plan
        self._server: asyncio.Server | None = None
        self._served: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1_024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._served:
            task.cancel()
        if self._served:
            await asyncio.wait(self._served)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function, since the library logs an error when a coroutine of its own is cancelled.
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        # Not in the task, which may be cancelled before it begins.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plan = self._plan()
        await asyncio.sleep(plan.delay_seconds)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ways = {
            asyncio.ensure_future(_carry(reader, server_writer, plan.request_bytes)),
            asyncio.ensure_future(_carry(server_reader, writer, plan.response_bytes)),
        }
        try:
            ended, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            self.cuts += any(way.result() for way in ended)
        finally:
            server_writer.transport.abort()
            for way in ways:
                way.cancel()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> bool:
    """Until one end is closed, or the limit is reached: whether it was."""
    left = limit
    try:
        while data := await reader.read(65_536):
            part = data[:left]
            writer.write(part)
            await writer.drain()
            if left is not None:
                left -= len(part)
                if not left:
                    return True
    except ConnectionError:
        pass
    return False
