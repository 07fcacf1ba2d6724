"""`kill -9` of the server, again and again, while eight writers go on and repeat what was cut.

It is started again at once. Most of these servers come from a process that has imported everything, so that
their time is spent serving; every 50th is started as an operator would. One in ten is killed as it starts.
"""

import asyncio
import signal
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from sqlite3 import connect

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from harness.warm import shared
from stress.ledger import Comparison, Ledger, compare, note, writing
from taskwell.core.settings import Settings

_KILLS = 1_000
_WRITERS = 8
_WRITES = 240  # at most, until a kill
_WRITES_IN_SHORT = 60
_EARLY = 0.1  # of the kills: before anything was served
_EARLY_SECONDS = 0.3
_COLD = 50  # every so many-th start


@dataclass
class _Lives:
    """`warm`, `cold`: seconds from a kill to the first answer to a request that was sent after it."""

    kills: int = 0
    early: int = 0
    damaged: int = 0
    warm: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)


def measure(server: ServerProcess, form: Form) -> Figures:
    with shared():
        return asyncio.run(_measure(server, form))


async def _measure(server: ServerProcess, form: Form) -> Figures:
    async with writing(server.port, _WRITERS, form.seed) as ledger:
        lives = await _kill(server, ledger, form)
    found = await compare(server.port, ledger)
    server.stop()
    lives.damaged += _is_damaged(server)
    return _figures(lives, ledger, found)


async def _kill(server: ServerProcess, ledger: Ledger, form: Form) -> _Lives:
    """In the end there is a server that was started as an operator would, unless the form is short."""
    random, lives = Random(form.seed), _Lives()
    cold = True
    killed = 0.0
    kills = form.count(_KILLS)
    for kill in range(1, kills + 1):
        if kill > 1 and random.random() < _EARLY:
            lives.early += 1
            await asyncio.sleep(random.uniform(0, _EARLY_SECONDS))
        else:
            seconds = await _served(ledger, killed)
            (lives.cold if cold else lives.warm).append(seconds)
            await ledger.more(random.randint(1, _WRITES_IN_SHORT if form.is_short else _WRITES))
            await asyncio.sleep(random.uniform(0, 0.005))
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        lives.kills += 1
        killed = time.monotonic()
        cold = kill % _COLD == 0 or (kill == kills and not form.is_short)
        if kill % _COLD == 0:
            lives.damaged += await asyncio.to_thread(_is_damaged, server)
        server.start(cold=cold)
    (lives.cold if cold else lives.warm).append(await _served(ledger, killed))
    return lives


async def _served(ledger: Ledger, since: float) -> float:
    """Until something is acknowledged that was sent after an instant: how long after it."""
    await ledger.until(lambda: ledger.sent > since)
    return ledger.last - since


def _is_damaged(server: ServerProcess) -> bool:
    """PostgreSQL's own files are none of the server's."""
    url = Settings(database_url=server.environment["DATABASE_URL"]).database
    if not url.is_sqlite:
        return False
    with closing(connect(url.path)) as connection:
        whole = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return not whole or bool(connection.execute("PRAGMA foreign_key_check").fetchall())


def _figures(lives: _Lives, ledger: Ledger, found: Comparison) -> Figures:
    figures = Figures()
    figures.note("kills", lives.kills)
    figures.note("of which as it was starting", lives.early)
    note(figures, ledger, found)
    figures.promise("damaged when looked at", lives.damaged, kept=lives.damaged == 0)
    for name, times in (("imported beforehand", lives.warm), ("nothing imported", lives.cold[1:])):
        if times:
            figures.note(f"ms to serve again, {name}", statistics.median(times) * 1_000)
            figures.note(f"at most, {name}", max(times) * 1_000)
    return figures
