"""The programs by name, each run on a server of its own."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stress import backups, events, feed, guards, hostile, keys, model, moves, polling
from stress.figures import Figures, Form
from tests.postgres import postgres_server
from tests.servers import ServerProcess, server_process


@dataclass(frozen=True, slots=True)
class Program:
    measure: Callable[[ServerProcess, Form], Figures]
    workers: int = 1


PROGRAMS = {
    "guards": Program(guards.measure),
    "keys": Program(keys.measure),
    "feed": Program(feed.measure, workers=2),
    "model": Program(model.measure),
    "events": Program(events.measure),
    "polling": Program(polling.measure),
    "backups": Program(backups.measure),
    "hostile": Program(hostile.measure),
    "move": Program(moves.measure),
}


def run(name: str, database_url: str, folder: Path, form: Form) -> Figures:
    """Run a program on a database that is empty."""
    program = PROGRAMS[name]
    settings = {
        "DATABASE_URL": database_url,
        "TASKWELL_WORKERS": str(program.workers),
        "TASKWELL_LOG_LEVEL": "warning",
    }
    with server_process(folder, **settings) as server:
        return program.measure(server, form)


@contextmanager
def subject(database: str) -> Iterator[tuple[str, Path]]:
    """The URL of an empty database, and a folder for its server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskwell-stress-")))
        if database == "sqlite":
            yield f"sqlite:///{folder}/stress.db", folder
        else:
            yield stack.enter_context(postgres_server()).url, folder
