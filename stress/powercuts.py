"""Power cuts, at every system call by which a server writes to its SQLite file.

A server is recorded while eight writers go on; now it is killed, now it is stopped, and started again. From
the recording a disk is put together as it may be found after a cut (`disk.py`), and opened as taskwell does.
Then two servers that taskwell is not are tried, to see that this would find them out: one that syncs nothing,
and one that acknowledges before it syncs.
"""

import asyncio
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from uuid import UUID

from harness.figures import Figures, Form
from harness.servers import ServerProcess, wait_for
from stress.disk import CHOICES, Choice, Disk, Files, Synced
from stress.ledger import writing
from stress.recording import Event, Told, events, tracer_of, under_strace

_STATES = 20_000
_WRITES = 1_500  # which makes fewer system calls than that: each is the last one once or more
_WRITERS = 8
_MEMORY = Path("/dev/shm")  # a disk that is made twenty thousand times need not be one
_CONTROL = 20  # one in so many for each server that is to be found out, but as many as are needed for it
_CONTROL_LEAST = 200
_LIVES = 12  # servers, one after the other


@dataclass
class Found:
    states: int = 0
    corrupt: int = 0
    losing: int = 0
    lost: int = 0  # acknowledged changes, in the worst of the states


def measure(server: ServerProcess, form: Form) -> Figures:
    with TemporaryDirectory(dir=server.folder) as folder:
        recorded = asyncio.run(_record(Path(folder), form))
    states = form.count(_STATES)
    control = max(states // _CONTROL, _CONTROL_LEAST)
    found = _try(recorded, states, form.seed)
    unsynced = _try([event for event in recorded if not isinstance(event, Synced)], control, form.seed)
    hasty = _try(list(_told_before_the_sync(recorded)), control, form.seed)
    return _figures(recorded, found, unsynced, hasty)


async def _record(folder: Path, form: Form) -> list[Event]:
    log, database = folder / "calls", folder / "tasks.db"
    settings = {"DATABASE_URL": f"sqlite:///{database}", "TASKWELL_LOG_LEVEL": "warning"}
    server = ServerProcess(folder, settings, under=under_strace(log))
    writes, lives = form.count(_WRITES, least=40), form.count(_LIVES, least=4)
    async with writing(server.port, _WRITERS, form.seed) as ledger:
        for life in range(1, lives + 1):
            server.start()
            await ledger.more(writes // lives)
            if life < lives:
                await _stop(server, signal.SIGKILL if life % 3 else signal.SIGTERM)
    await _stop(server, signal.SIGTERM)
    return await asyncio.to_thread(events, log, database)


async def _stop(server: ServerProcess, how: signal.Signals) -> None:
    """The tracer writes on for a moment."""
    tracer = tracer_of(server.pid)
    await asyncio.to_thread(server.stop, how)
    await asyncio.to_thread(wait_for, lambda: not Path(f"/proc/{tracer}").exists())


def _told_before_the_sync(recorded: Sequence[Event]) -> Iterator[Event]:
    """As if each acknowledgement had been sent as the commit was written, and not yet synced."""
    waiting: list[Event] = []
    for event in recorded:
        if isinstance(event, Synced):
            yield from waiting
            waiting = [event]
        elif isinstance(event, Told):
            yield event
        else:
            waiting.append(event)
    yield from waiting


def _try(recorded: Sequence[Event], states: int, seed: int) -> Found:
    """So many cuts, spread evenly over what was recorded."""
    random, found = Random(seed), Found()
    disk, told = Disk(), dict[str, int]()
    memory = _MEMORY if _MEMORY.is_dir() else None
    with TemporaryDirectory(dir=memory) as folder:
        for n, event in enumerate(recorded, start=1):
            if isinstance(event, Told):
                told.update(event.tasks)
            else:
                disk.do(event)
            while found.states * len(recorded) < n * states:
                choice: Choice = random.choice(CHOICES)
                _examine(Path(folder), disk.after_a_cut(choice, random), told, found)
    return found


def _examine(folder: Path, files: Files, told: dict[str, int], found: Found) -> None:
    found.states += 1
    for file in folder.iterdir():
        file.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        held = _held(folder / "tasks.db")
    except (sqlite3.DatabaseError, ValueError):  # a text or an id may be no such thing any more
        found.corrupt += 1
        return
    lost = sum(held.get(task, 0) < version for task, version in told.items())
    found.losing += lost > 0
    found.lost = max(found.lost, lost)


def _held(database: Path) -> dict[str, int]:
    """The versions of all tasks, by their ids. Raises DatabaseError if the file is damaged."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "journal_mode = WAL"):
            connection.execute(f"PRAGMA {pragma}")
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            raise sqlite3.DatabaseError("its pages do not fit together")
        if connection.execute("PRAGMA foreign_key_check").fetchall():
            raise sqlite3.DatabaseError("its rows do not fit together")
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tasks'").fetchall():
            return {}  # before the first commit
        return {
            str(UUID(key)): version for key, version in connection.execute("SELECT id, version FROM tasks")
        }


def _figures(recorded: Sequence[Event], found: Found, unsynced: Found, hasty: Found) -> Figures:
    figures = Figures()
    told = [event for event in recorded if isinstance(event, Told) and event.tasks]
    figures.note("system calls recorded", len(recorded) - len(told))
    figures.note("of which syncs", sum(isinstance(event, Synced) for event in recorded))
    figures.note("writes acknowledged", len(told))
    figures.note("states after a cut", found.states)
    figures.promise("corrupt", found.corrupt, kept=found.corrupt == 0)
    figures.promise("with acknowledged changes lost", found.losing, kept=found.losing == 0)
    seen = unsynced.losing + unsynced.corrupt
    figures.note("states, had nothing been synced", unsynced.states)
    figures.promise("corrupt or with changes lost", seen, kept=seen > 0)
    figures.note("states, had it told before the sync", hasty.states)
    figures.promise("with changes lost", hasty.losing, kept=hasty.losing > 0)
    return figures
