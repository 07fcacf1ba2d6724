"""Everything to the other kind of database, and from there to one of the first kind: all three are equal.

Then the same move again, killed at random moments: its target is whole or empty each time.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sqlalchemy import make_url

from harness import warm
from harness.databases import execute
from harness.figures import Figures, Form
from harness.postgres import postgres_server
from harness.seed import seed
from harness.servers import ServerProcess
from taskwell.admin import copy
from taskwell.admin.copy import Progress, Summaries
from taskwell.core.settings import Settings
from taskwell.database import migrate

_TASKS = 100_000
_KILLS = 20
_MIB = 1_024  # of the KiB that the system counts in


@dataclass(frozen=True, slots=True)
class _Moved:
    seconds: float
    mebibytes: float
    tasks: int


def measure(server: ServerProcess, form: Form) -> Figures:
    """The server has made the schema; a move wants the database for itself."""
    server.stop()
    source = server.environment["DATABASE_URL"]
    count = form.count(_TASKS)
    seed(source, {"ann": count * 3 // 5, "bob": count - count * 3 // 5})
    figures = Figures()
    with _other(source, server.folder) as other:
        back = sibling(source, "back")
        there = _move(source, other)
        again = _move(other, back)
        held = [_contents(url) for url in (source, other, back)]
        unlike = sum(held[0] != found for found in held[1:])
        figures.note("tasks moved there and back", there.tasks)
        figures.promise("databases unlike the first", unlike, kept=unlike == 0)
        figures.note("seconds there", there.seconds)
        figures.note("seconds back", again.seconds)
        figures.note("memory at most, MiB", max(there.mebibytes, again.mebibytes))
        _kill(source, sibling(other, "killed"), form, there.seconds, figures)
    return figures


@contextmanager
def _other(url: str, folder: Path) -> Iterator[str]:
    """An empty database of the other kind."""
    if url.startswith("sqlite"):
        with postgres_server() as server:
            yield server.url
    else:
        yield f"sqlite:///{folder}/other.db"


def sibling(url: str, name: str) -> str:
    """An empty database beside another one."""
    if url.startswith("sqlite"):
        return f"{url.removesuffix('.db')}-{name}.db"
    execute(url, f"CREATE DATABASE {name}")
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _start(source: str, target: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "taskwell", "move", source, target, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _move(source: str, target: str) -> _Moved:
    with _start(source, target) as process:
        assert process.stdout is not None
        told = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    found = json.loads(told)
    return _Moved(found["seconds"], usage.ru_maxrss / _MIB, found["rows"]["tasks"])


def _begin(source: str, target: str, *, cold: bool) -> warm.WarmProcess | subprocess.Popen[bytes]:
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        files = nothing.fileno(), nothing.fileno()
        return warm.start(["move", source, target, "--json"], Path.cwd(), os.environ, files, cold=cold)


def _kill(source: str, target: str, form: Form, seconds: float, figures: Figures) -> None:
    random = Random(form.seed)
    expected = _contents(source)["tasks"]
    asyncio.run(migrate.upgrade(Settings(database_url=target)))
    half = whole = 0
    kills = form.count(_KILLS, least=3)
    cold = not form.is_short
    # In the short form by a process that has imported everything beforehand, and is at work at once.
    first, last = (0.5, 1 + 0.8 * seconds) if cold else (0.05, 0.5 * seconds)
    for _ in range(kills):
        process = _begin(source, target, cold=cold)
        try:
            process.wait(random.uniform(first, last))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        found = _contents(target)["tasks"]
        whole += found == expected
        half += found.rows != 0 and found != expected
    assert _begin(source, target, cold=cold).wait() == 0
    unlike = _contents(target) != _contents(source)
    figures.note("moves killed", kills)
    figures.note("of which had ended all but the words", whole)
    figures.promise("targets half full", half, kept=half == 0)
    figures.promise("unlike after the last try", int(unlike), kept=not unlike)


def _contents(url: str) -> Summaries:
    async def work() -> Summaries:
        async with copy.reading(Settings(database_url=url)) as transaction:
            return await copy.summarize(transaction, Progress())

    return asyncio.run(work())
