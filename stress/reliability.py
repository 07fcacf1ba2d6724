"""`python -m stress.reliability`: every program, and what it found as a page, docs/reliability.md.

A program that is added to `PROGRAMS` has its section there; its goal is a line of `GOALS`. What was found is
kept beside the page, so that one program can be run again without the others.
"""

import argparse
import json
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness.figures import SHORT, Figures, Form, shown
from harness.subjects import DATABASES
from stress.__main__ import timed
from stress.programs import PROGRAMS, missing

_PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
_REASON = 100  # characters of it

GOALS = {
    "guards": "64 writers, 10,000 guarded edits: none lost, none doubled, every loser is answered 412",
    "keys": "10,000 keyed creates, each sent 2 to 10 times over connections that are cut: 10,000 tasks",
    "feed": "100,000 changes by 32 writers: none missed, none out of order, none repeated",
    "model": "2,000 runs against a dict, 20,000 requests to both databases: no difference",
    "events": "1,000 streams: no event missed, 99 of 100 within a second, at most 64 KiB for a stream",
    "polling": "a poll of an unchanged list costs less than two health checks",
    "backups": "100 backups beside writers: each has what was acknowledged before it",
    "trees": "10,000 moves, reparentings and deletions of 24 tasks by 8 writers: no ring, no orphan",
    "claims": "2,000 tasks, 8 workers, some killed, some late: each done once, none held by two at once",
    "history": "100,000 changes of all kinds by 8 writers, 2 servers, 100 kills: each is in the history once",
    "recurrence": "1,000 occurrences, each completed by two at once, with repeats: each is completed once",
    "undo": "2,000 runs of two programs, one undone: all it alone touched is back, nothing of the other's",
    "webhooks": "20 subscriptions, 20,000 events, three servers, two killed, one suspended, a tenth of 503",
    "reminders": "told within 1 s; 10,000 at once, a tenth void, 6 servers killed: the others are sent once",
    "move": "100,000 tasks there and back: the same; a move that is killed leaves nothing half",
    "kills": "1,000 kills of the server, 100,000 acknowledged writes: none lost, none doubled",
    "powercuts": "20,000 states of a disk after a power cut: none corrupt, no acknowledged write lost",
    "outages": "200 outages of PostgreSQL: no write lost or doubled, the next one within 2 s of its return",
    "overload": "four times as many requests as can be answered: 90 % of the peak goes on, p99 within 1 s",
    "slow": "2,000 slow clients: cut within 15 s, and the others' p99 at most doubles",
    "restarts": "50 rolling restarts under load: no request fails",
    "bodies": "bodies of a gigabyte, claimed, in chunks, byte by byte: memory grows by 64 MiB at most",
    "cut": "10,000 requests whose clients go away: no connection and no lock is left, the next write at once",
    "hostile": "10,000 hostile values in every slot: no 5xx, no echo, at most 4 KiB",
    "migrations": "100 times 8 servers that start at once on an empty or old database: one schema",
}
COMMANDS = {
    "security": "hostile tokens, every operation as a stranger, storms of unknown keys: nothing to be had",
}


@dataclass
class Row:
    """What a program has found. `run`: when, and how much of it. `reason`: why it was not."""

    run: str = ""
    columns: Mapping[str, Figures] = field(default_factory=dict)
    reason: str | None = None
    broken: bool = False

    @property
    def outcome(self) -> str:
        if self.reason is not None:
            return f"**not measured**: {self.reason}" if self.broken else f"not run: {self.reason}"
        return "**broken**" if self.broken else "kept"


def main() -> int:
    given = _arguments()
    form = Form(SHORT if given.short else given.share, given.seed)
    chosen = given.only or (PROGRAMS if given.short else (*PROGRAMS, *COMMANDS))
    rows = _found(given.page.with_suffix(".json"))
    for name in chosen:
        rows[name] = _program(name, form) if name in PROGRAMS else _command(name)
        _write(given.page, rows)  # each time: whoever stops it has what was found
    broken = [name for name in chosen if rows[name].broken]
    print(*(f"broken: {name}" for name in broken), sep="\n", file=sys.stderr)
    return 1 if broken else 0


def _found(file: Path) -> dict[str, Row]:
    kept = json.loads(file.read_text()) if file.exists() else {}
    rows = {name: Row(reason="not in this run") for name in (*PROGRAMS, *COMMANDS)}
    for name, row in kept.items():
        columns = {database: Figures(**figures) for database, figures in row.pop("columns").items()}
        rows[name] = Row(**row, columns=columns)
    return rows


def _write(file: Path, rows: Mapping[str, Row]) -> None:
    file.write_text(page(rows))
    found = {name: asdict(row) for name, row in rows.items() if row.run}
    file.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stress.reliability", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="NAME", help="all, if none is named")
    parser.add_argument("--short", action="store_true", help=f"the same as --share {SHORT}, programs alone")
    parser.add_argument("--share", type=float, default=1.0, help="how much of the full form (1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path, default=_PAGE, help="where to write it")
    given = parser.parse_args()
    if unknown := set(given.only) - {*PROGRAMS, *COMMANDS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return given


def _program(name: str, form: Form) -> Row:
    size = "in full" if form.share == 1 else f"{form.share:.0%}"
    row = Row(f"{_today()}, {size}", reason=missing(name))
    if row.reason is None:
        try:
            row.columns = {database: timed(name, database, form) for database in PROGRAMS[name].databases}
        except Exception as error:  # noqa: BLE001 (the other rows are to be filled all the same)
            traceback.print_exc()
            row.reason, row.broken = " ".join(str(error).split())[:_REASON] or type(error).__name__, True
            return row
        row.broken = any(figures.broken for figures in row.columns.values())
    return row


def _command(name: str) -> Row:
    print(f"{name} ...", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", name], stdout=subprocess.DEVNULL, check=False)
    return Row(f"{_today()}, in full", broken=done.returncode != 0)


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _goal(name: str) -> str:
    return GOALS.get(name) or COMMANDS.get(name, "what it promises")


def _command_of(name: str) -> str:
    return f"make {name}" if name in COMMANDS else f"make stress NAME={name}"


def page(rows: Mapping[str, Row]) -> str:
    return "\n".join([*_HEAD, *_summary(rows), *_sections(rows)])


_HEAD = (
    "# Reliability",
    "",
    "Written by `make reliability`; `python -m stress.reliability kills` runs a row alone.",
    "[Promises](promises.md) says what each program does.",
    "",
)


def _summary(rows: Mapping[str, Row]) -> Iterator[str]:
    yield from ("| | goal, in full | | run | command |", "|---|---|---|---|---|")
    for name, row in rows.items():
        place = f"[{name}](#{name})" if row.columns else name
        yield f"| {place} | {_goal(name)} | {row.outcome} | {row.run} | `{_command_of(name)}` |"
    yield ""


def _sections(rows: Mapping[str, Row]) -> Iterator[str]:
    for name, row in rows.items():
        if not row.columns:
            continue
        yield from (f"## {name}", "", f"{_goal(name)}. `{_command_of(name)}`, {row.run}", "")
        yield f"| | {' | '.join(_NAMES[database] for database in row.columns)} |"
        yield "|---" * (len(row.columns) + 1) + "|"
        for figure in dict.fromkeys(name for figures in row.columns.values() for name in figures.values):
            values = (figures.values.get(figure) for figures in row.columns.values())
            yield f"| {figure} | {' | '.join('' if value is None else shown(value) for value in values)} |"
        yield ""
        for database, figures in row.columns.items():
            for promise in figures.broken:
                yield f"Broken on {_NAMES[database]}: {promise}\n"


_NAMES = dict(zip(DATABASES, ("SQLite", "PostgreSQL"), strict=True))

if __name__ == "__main__":
    sys.exit(main())
