"""PostgreSQL killed, restarted and rid of its sessions, again and again, while eight writers go on.

Its files are synced as in production. The writers take 503 for an answer, and repeat what they were told was
not done; what had no key and was cut is in doubt, as in `ledger.py`.
"""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from random import Random

import asyncpg

from harness.figures import Figures, Form
from harness.postgres import PostgresServer, postgres_server
from harness.servers import ServerProcess, server_process
from stress.ledger import Comparison, Ledger, compare, note, writing

_OUTAGES = 200
_WRITERS = 8
_WRITES = 100  # at most, until the next outage
_GOAL_SECONDS = 2.0
_PATIENCE_SECONDS = 30.0
_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'taskwell'"

Times = dict[str, list[float]]


def measure(server: ServerProcess, form: Form) -> Figures:
    """On a PostgreSQL of its own, since it is stopped."""
    with postgres_server(fsync="on", synchronous_commit="on", full_page_writes="on") as postgres:
        settings = {**server.environment, "DATABASE_URL": postgres.url, "TASKWELL_LOG_LEVEL": "error"}
        with server_process(server.folder, **settings) as subject:
            return asyncio.run(_measure(subject.port, postgres, form))


async def _measure(port: int, postgres: PostgresServer, form: Form) -> Figures:
    random = Random(form.seed)
    times: Times = {name: [] for name in _OUTAGES_BY_NAME}
    names = list(_OUTAGES_BY_NAME)
    async with writing(port, _WRITERS, form.seed) as ledger:
        for n in range(form.count(_OUTAGES, least=len(names))):
            await ledger.more(random.randint(1, _WRITES))
            name = names[n % len(names)]
            await _OUTAGES_BY_NAME[name](postgres)
            await _answers(postgres)
            times[name].append(await _written_again(ledger))
    return _figures(times, ledger, await compare(port, ledger))


async def _written_again(ledger: Ledger) -> float:
    """How long it takes from now on."""
    back = time.monotonic()
    await ledger.until(lambda: ledger.last > back)
    return ledger.last - back


async def _answers(postgres: PostgresServer) -> None:
    """Until it takes sessions again."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            await (await asyncpg.connect(postgres.url)).close()
        except (OSError, asyncpg.PostgresError):
            assert time.monotonic() < deadline, "PostgreSQL does not come back"
            await asyncio.sleep(0.01)
        else:
            return


async def _stop_fast(postgres: PostgresServer) -> None:
    await asyncio.to_thread(postgres.stop)
    await asyncio.to_thread(postgres.start)


async def _stop_at_once(postgres: PostgresServer) -> None:
    await asyncio.to_thread(postgres.stop, signal.SIGQUIT)
    await asyncio.to_thread(postgres.start)


async def _kill_a_session(postgres: PostgresServer) -> None:
    """PostgreSQL ends all others too, since the killed one may have left their memory damaged."""
    connection = await asyncpg.connect(postgres.url)
    sessions = await connection.fetch(_SESSIONS)
    await connection.close()
    if sessions:
        os.kill(sessions[0]["pid"], signal.SIGKILL)
        await asyncio.sleep(0.05)


async def _end_sessions(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url)
    await connection.fetch(f"SELECT pg_terminate_backend(pid) FROM ({_SESSIONS}) AS s")
    await connection.close()


_OUTAGES_BY_NAME: dict[str, Callable[[PostgresServer], Awaitable[None]]] = {
    "sessions ended": _end_sessions,
    "a session killed": _kill_a_session,
    "stopped fast": _stop_fast,
    "stopped at once": _stop_at_once,
}


def _figures(times: Times, ledger: Ledger, found: Comparison) -> Figures:
    figures = Figures()
    figures.note("outages", sum(map(len, times.values())))
    note(figures, ledger, found)
    for name, seconds in times.items():
        figures.note(f"{name}: s to a write, median", statistics.median(seconds))
    longest = max(max(seconds) for seconds in times.values())
    figures.promise(
        f"s to a write, at most (goal: {_GOAL_SECONDS:.0f})", longest, kept=longest <= _GOAL_SECONDS
    )
    return figures
