import asyncio
import gc

import pytest

from harness.proxy import Plan, Proxy


@pytest.mark.parametrize("turns", range(12))
def test_whenever_a_proxy_ends_none_of_its_connections_stays_open(turns: int) -> None:
    """What is left open, the collector warns of, which is an error here."""
    asyncio.run(_end_after(turns))
    gc.collect()


async def _end_after(turns: int) -> None:
    target = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with Proxy(target.sockets[0].getsockname()[1], lambda: Plan(response_bytes=2)) as proxy:
        writers = [(await asyncio.open_connection("127.0.0.1", proxy.port))[1] for _ in range(8)]
        for writer in writers:
            writer.write(b"taskwell")
        for _ in range(turns):
            await asyncio.sleep(0)
    for writer in writers:
        writer.transport.abort()
    target.close()
    await target.wait_closed()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(100):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
