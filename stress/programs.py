"""The programs by name, each run on a server of its own."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from harness.figures import Figures, Form
from harness.servers import ServerProcess, server_process
from harness.subjects import DATABASES
from stress import (
    aborts,
    backups,
    bodies,
    claims,
    events,
    feed,
    guards,
    history,
    hostile,
    keys,
    kills,
    migrations,
    model,
    moves,
    outages,
    overload,
    polling,
    powercuts,
    recurrence,
    reminders,
    restarts,
    slow,
    trees,
    undo,
    webhooks,
)
from stress.cores import all_but_the_last


@dataclass(frozen=True, slots=True)
class Program:
    """`serves`: whether it is handed a server that is up. `needs`: a command that has to be installed.

    `apart`: it wants a core for itself.
    """

    measure: Callable[[ServerProcess, Form], Figures]
    workers: int = 1
    databases: tuple[str, ...] = DATABASES
    serves: bool = True
    apart: bool = False
    needs: str | None = None


PROGRAMS = {
    "guards": Program(guards.measure),
    "keys": Program(keys.measure),
    "feed": Program(feed.measure, workers=2),
    "model": Program(model.measure),
    "events": Program(events.measure),
    "polling": Program(polling.measure),
    "backups": Program(backups.measure),
    "trees": Program(trees.measure, workers=2),
    "claims": Program(claims.measure, workers=2),
    "history": Program(history.measure),
    "recurrence": Program(recurrence.measure, workers=2),
    "undo": Program(undo.measure, serves=False),
    "webhooks": Program(webhooks.measure, serves=False),
    "reminders": Program(reminders.measure),
    "hostile": Program(hostile.measure),
    "move": Program(moves.measure),
    "overload": Program(overload.measure, apart=True),
    "slow": Program(slow.measure),
    "restarts": Program(restarts.measure, workers=restarts.PROCESSES),
    "bodies": Program(bodies.measure),
    "cut": Program(aborts.measure),
    "kills": Program(kills.measure),
    "powercuts": Program(powercuts.measure, databases=("sqlite",), serves=False, needs="strace"),
    "outages": Program(outages.measure, databases=("postgresql",), serves=False),
    "migrations": Program(migrations.measure, serves=False),
}


def missing(name: str) -> str | None:
    """Why a program cannot be run here."""
    command = PROGRAMS[name].needs
    if command is None or shutil.which(command):
        return None
    return f"needs {command} (Debian: apt-get install {command})"


def cores(name: str) -> AbstractContextManager[None]:
    """Where the database and the server of a program are started."""
    return all_but_the_last() if PROGRAMS[name].apart else nullcontext()


def run(name: str, database_url: str, folder: Path, form: Form) -> Figures:
    """Run a program on a database that is empty."""
    program = PROGRAMS[name]
    settings = {
        "DATABASE_URL": database_url,
        "TASKWELL_WORKERS": str(program.workers),
        "TASKWELL_LOG_LEVEL": "warning",
    }
    if not program.serves:
        return program.measure(ServerProcess(folder, settings), form)
    with server_process(folder, **settings) as server:
        return program.measure(server, form)
