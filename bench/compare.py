"""`make bench`: taskwell beside its peers and beside what they all stand on, in one run, round by round."""

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import sqlite_version
from typing import Protocol

from bench import chart
from bench.peers import pgbench, wrk
from bench.peers.asgi.postgres import SCHEMA
from bench.peers.checks import RACES, Wrong, check
from bench.peers.data import WRITER, Schema, count_of, run_on_postgres, seed
from bench.peers.install import ROOM, NotToBeHad, install, versions
from bench.peers.results import Place, Results
from bench.peers.servers import KINDS, Kind, Server
from bench.peers.tables import tables
from bench.peers.workloads import WORKLOADS, Run, Workload
from harness.postgres import binaries, postgres_server
from taskwell import __version__

_CONCURRENCIES = (1, 32, 100)
_PEERS = [*dict.fromkeys(kind.peer for kind in KINDS), "pgbench"]
# They run in this very environment.
_OWN = {"hello", *(peer for peer in _PEERS if peer.startswith("taskwell"))}
_USUAL = [peer for peer in _PEERS if not peer.startswith("taskwell-")]
_DATABASES = ("postgresql", "sqlite")
_BESIDES = 1.5  # seconds that a measure takes more
_RESULTS = Path(__file__).parent / "results"


class Subject(Protocol):
    """A server, or pgbench."""

    @property
    def title(self) -> str: ...
    @property
    def peer(self) -> str: ...
    @property
    def database(self) -> str: ...
    def takes(self, workload: Workload) -> bool: ...
    def measure(self, workload: Workload, concurrency: int, seconds: int) -> Run: ...


@dataclass(frozen=True, slots=True)
class Options:
    rounds: int
    seconds: int
    workloads: Sequence[Workload]
    concurrencies: Sequence[int]
    peers: Sequence[str]
    databases: Sequence[str]
    output: Path


def main() -> int:
    options = _options()
    if sys.platform != "linux":
        sys.exit("this needs Linux, which tells how much memory a process has had")
    if not wrk.is_there():
        sys.exit(wrk.HOW_TO_INSTALL)
    # Whoever ends the measuring ends the servers too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))
    notes: list[str] = []
    try:
        with _subjects(options, notes) as subjects:
            about = _about(subjects, options)
            results = Results(about, _titles(subjects), notes, _measure(subjects, options))
            notes += _lost(subjects)
    except (Wrong, NotToBeHad) as error:
        sys.exit(f"taskwell: {error}")
    results.write(options.output)
    options.output.with_suffix(".svg").write_text(chart.svg(results))
    print(*tables(results), sep="\n")
    _progress("")
    print(f"\n{options.output} and its chart, .svg", file=sys.stderr)
    return 1 if _has_faults(results) else 0


def _has_faults(results: Results) -> bool:
    """Whether taskwell itself has erred, or lost anything."""
    erred = any(run.errors for place, run in results.runs.items() if place.peer == "taskwell")
    return erred or any(note.startswith("taskwell ") for note in results.notes)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often all is measured (5)")
    parser.add_argument("--seconds", type=int, default=8, help="how long each measure lasts (8)")
    parser.add_argument("--quick", action="store_true", help="one round of a second each, which is not kept")
    parser.add_argument("--only", type=_some([workload.name for workload in WORKLOADS]), help="such as W1,W5")
    parser.add_argument("--concurrency", type=_numbers, default=_CONCURRENCIES, help="such as 1,32")
    parser.add_argument("--peers", type=_some(_PEERS), default=_USUAL, help=f"some of {', '.join(_PEERS)}")
    parser.add_argument("--database", type=_some(_DATABASES), default=_DATABASES, help="one, instead of both")
    parser.add_argument("--output", type=Path, help="bench/results/<date>.json, unless it is a quick one")
    given = parser.parse_args()
    kept = ROOM / "quick.json" if given.quick else _RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"
    return Options(
        rounds=1 if given.quick else given.rounds,
        seconds=1 if given.quick else given.seconds,
        workloads=[workload for workload in WORKLOADS if not given.only or workload.name in given.only],
        concurrencies=given.concurrency,
        peers=["taskwell", *given.peers],
        databases=given.database,
        output=given.output or kept,
    )


def _some(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return names

    return parse


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


@contextmanager
def _subjects(options: Options, notes: list[str]) -> Iterator[list[Subject]]:
    """All that is measured, seeded, checked and up. A peer that cannot be had is left out with a word."""
    subjects: list[Subject] = []
    with ExitStack() as stack:
        postgres = None
        if "postgresql" in options.databases:
            _progress("starting PostgreSQL")
            durable = postgres_server(fsync="on", synchronous_commit="on", full_page_writes="on")
            postgres = stack.enter_context(durable).url
        for kind in KINDS:
            if kind.peer not in options.peers or kind.database not in options.databases:
                continue
            try:
                subjects.append(stack.enter_context(_server(kind, postgres, notes)))
            except (Wrong, NotToBeHad) as error:
                if kind.peer == "taskwell":
                    raise
                notes.append(f"Left out: {kind.title} on {kind.database}: {error}")
        if postgres is not None and "pgbench" in options.peers:
            subjects += _pgbench(postgres, notes)
        yield sorted(subjects, key=lambda subject: _DATABASES.index(subject.database))


@contextmanager
def _server(kind: Kind, postgres: str | None, notes: list[str]) -> Iterator[Server]:
    if kind.peer not in _OWN:
        _progress(f"installing {kind.title}")
        install(kind.peer)
    with tempfile.TemporaryDirectory(prefix="taskwell-peer-") as folder:
        url = (
            _database(postgres, kind.peer)
            if kind.database == "postgresql"
            else f"sqlite:///{folder}/tasks.db"
        )
        server = Server(kind, url, Path(folder))
        try:
            _progress(f"starting {kind.title} on {kind.database}")
            server.make_tables()
            if kind.schema is not None:
                seed(url, kind.schema)
            server.start()
            _progress(f"checking {kind.title} on {kind.database}")
            if kind.schema is not None and (lost := check(server)):
                notes.append(f"{kind.title} on {kind.database} loses {lost} of {RACES} toggles at once.")
            yield server
        finally:
            server.stop()


def _database(postgres: str | None, peer: str) -> str:
    assert postgres is not None
    name = peer.replace("-", "_")
    run_on_postgres(postgres, [f"CREATE DATABASE {name}"])
    return postgres.removesuffix("/postgres") + f"/{name}"


def _pgbench(postgres: str, notes: list[str]) -> list[Subject]:
    program = pgbench.program()
    if program is None:
        notes.append("Left out: pgbench, which is not to be found; Debian's postgresql has it.")
        return []
    url = _database(postgres, "pgbench")
    run_on_postgres(url, [SCHEMA, "SELECT 1"])
    seed(url, Schema())
    return [pgbench.Pgbench(program, url)]


def _measure(subjects: Sequence[Subject], options: Options) -> dict[Place, Run]:
    """In each round each does each for a few seconds, so that what else the machine does meets all alike."""
    cases = [(workload, clients) for workload in options.workloads for clients in options.concurrencies]
    total = options.rounds * len(cases) * len(subjects)
    _progress(f"{total} measures, in about {total * (options.seconds + _BESIDES) // 60 + 1:.0f} minutes")
    runs: dict[Place, Run] = {}
    for turn in range(options.rounds):
        for workload, clients in cases:
            # Nobody is always the one who comes after the same other.
            first = turn % len(subjects)
            for subject in (*subjects[first:], *subjects[:first]):
                if not subject.takes(workload):
                    continue
                what = f"{workload.name} x {clients}, {subject.title} on {subject.database}"
                _progress(f"round {turn + 1}, {len(runs) + 1} of {total}: {what}")
                place = Place(turn + 1, workload.name, clients, subject.database, subject.peer)
                runs[place] = subject.measure(workload, clients, options.seconds)
    return runs


def _lost(subjects: Sequence[Subject]) -> Iterator[str]:
    """Of the tasks that the writer was told to have, those that are not in the database."""
    for subject in subjects:
        if isinstance(subject, Server) and subject.written:
            kept = count_of(subject.database_url, WRITER)
            if kept < subject.written:
                lost = subject.written - kept
                yield f"{subject.title} on {subject.database} lost {lost:,} of {subject.written:,} tasks."


def _titles(subjects: Sequence[Subject]) -> dict[str, dict[str, str]]:
    return {
        database: {subject.peer: subject.title for subject in subjects if subject.database == database}
        for database in dict.fromkeys(subject.database for subject in subjects)
    }


def _about(subjects: Sequence[Subject], options: Options) -> dict[str, object]:
    """What the figures depend on."""
    servers = [subject for subject in subjects if isinstance(subject, Server)]
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}",
        "rounds": options.rounds,
        "seconds": options.seconds,
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite_version,
        "node": _first_line("node", "--version"),
        "postgres": _first_line(str(binaries() / "postgres"), "--version"),
        "taskwell": __version__,
        "peers": {server.peer: versions(server.peer) for server in servers if server.peer not in _OWN},
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def _first_line(*command: str) -> str | None:
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return told.stdout.partition("\n")[0].strip()


def _progress(text: str) -> None:
    """One line, written over; a line each where that cannot be."""
    if sys.stderr.isatty():
        print(f"\r{text:<90}" if text else f"\r{'':<90}\r", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
