"""Bodies without end: a gigabyte that is claimed, one in chunks, and one in pieces of a byte."""

import asyncio
import contextlib
from collections import Counter

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Connection, Request
from stress.process import resident_kib

_GIGABYTE = 1_000_000_000
_SENDERS = 20  # of each kind at once
_SENDERS_IN_SHORT = 5  # of bytes, of which the server is long in reading as many as it takes
_ROUNDS = 5
_PIECES = 20_000
_GOAL_MIB = 64
_CUT = 0  # in the place of a status
_HEAD = b"POST /api/large/tasks HTTP/1.1\r\nHost: taskwell\r\nContent-Type: application/json\r\n"
_CLAIMED = _HEAD + b"Content-Length: %d\r\n\r\n" % _GIGABYTE
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server, form))


async def _measure(server: ServerProcess, form: Form) -> Figures:
    figures = Figures()
    await _ask(server.port)
    before = highest = resident_kib(server.pid)
    statuses: Counter[int] = Counter()
    of_bytes = _SENDERS_IN_SHORT if form.is_short else _SENDERS
    for _ in range(form.count(_ROUNDS, least=1)):
        sendings = [
            asyncio.ensure_future(send(server.port))
            for send, count in ((_claim, _SENDERS), (_send_chunks, _SENDERS), (_send_bytes, of_bytes))
            for _ in range(count)
        ]
        while not all(sending.done() for sending in sendings):
            highest = max(highest, resident_kib(server.pid))
            await asyncio.sleep(0.01)
        statuses.update(sending.result() for sending in sendings)
    await _ask(server.port)
    growth = (highest - before) / 1_024
    figures.note("bodies refused with 413", statuses[413])
    figures.note("cut, so that 413 could not be read", statuses[_CUT])
    others = statuses.total() - statuses[413] - statuses[_CUT]
    figures.promise("answered otherwise", others, kept=others == 0)
    figures.promise(f"MiB that memory grew by (goal < {_GOAL_MIB})", growth, kept=growth < _GOAL_MIB)
    return figures


async def _ask(port: int) -> None:
    connection = Connection(port)
    answer = await connection.send(Request("POST", "/api/large/tasks", {"title": "Buy milk"}))
    assert answer.status == 201, answer.content
    await connection.close()


async def _claim(port: int) -> int:
    return await _send(port, _CLAIMED, [b" " * 65_536] * 32)


async def _send_chunks(port: int) -> int:
    return await _send(port, _CHUNKED, [_CHUNK] * (_GIGABYTE // 65_536))


async def _send_bytes(port: int) -> int:
    """Chunks of a byte, many in a packet or it would take for ever, up to a body that is too large."""
    return await _send(port, _CHUNKED, [b"1\r\n \r\n" * (1_100_000 // 100)] * 100)


async def _send(port: int, head: bytes, pieces: list[bytes]) -> int:
    """The status of the answer. The server closes the connection in the midst of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    answer = asyncio.ensure_future(reader.readline())
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            if answer.done():
                break
            writer.write(piece)
            await writer.drain()
    try:
        line = await answer
    except ConnectionError:
        line = b""
    writer.transport.abort()
    return int(line.split()[1]) if line else _CUT
