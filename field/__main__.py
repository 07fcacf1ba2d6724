"""`python -m field`: every situation through every proxy, on both databases. Ends with 1 if one fails.

`as it comes` is the plainest configuration with the proxy's own compression; the others are those that
docs/deployment/proxies.md prints.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import field.situations  # noqa: F401 (they add themselves)
from field.matrix import SERVERS, SITUATIONS, Outcome, Site, Situation, attempt
from field.proxies import PROXIES, Proxy, running
from harness.servers import server_process
from harness.subjects import DATABASES, subject

_NAME, _CELL = 72, 6  # widths
DIRECT = "no proxy"


def main() -> int:
    given = _arguments()
    results: dict[str, dict[str, dict[str, Outcome]]] = {}
    for database in DATABASES if given.database == "both" else (given.database,):
        with servers(database) as ports:
            results[database] = {
                name: column(name, ports, given.situation, short=given.short)
                for name in given.proxy or (DIRECT, *PROXIES)
            }
        print(table(database, results[database]), end="\n\n", flush=True)
    if given.json:
        _write(given.json, results)
    return 1 if _failures(results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m field", description=__doc__)
    parser.add_argument(
        "--proxy", action="append", choices=(DIRECT, *PROXIES), help="only this one; may be repeated"
    )
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--situation", default="", help="only those with this in their name")
    parser.add_argument("--short", action="store_true", help="without what takes long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes to it too")
    return parser.parse_args()


@contextmanager
def servers(database: str) -> Iterator[dict[str, int]]:
    """The port of each of SERVERS."""
    with ExitStack() as stack:
        ports = {}
        for name, settings in SERVERS.items():
            url, folder = stack.enter_context(subject(database if name != "away" else "sqlite"))
            environment = {"DATABASE_URL": url, "TASKWELL_LOG_LEVEL": "warning", **settings}
            ports[name] = stack.enter_context(server_process(folder, **environment)).port
        yield ports


def column(name: str, ports: dict[str, int], part: str = "", *, short: bool) -> dict[str, Outcome]:
    """The outcomes of all situations through one proxy."""
    proxy = PROXIES.get(name)
    rows = [row for row in SITUATIONS.values() if part in row.name]
    if proxy is not None and (reason := proxy.missing()) is not None:
        return {row.name: Outcome("-", reason) for row in rows}
    outcomes: dict[str, Outcome] = {}
    for server, port in ports.items():
        asked = [row for row in rows if row.server == server]
        if asked:
            _try_all(asked, name, proxy, port, outcomes, short=short)
    return outcomes


def _try_all(
    rows: list[Situation],
    name: str,
    proxy: Proxy | None,
    port: int,
    outcomes: dict[str, Outcome],
    *,
    short: bool,
) -> None:
    try:
        with site(proxy, port) as place:
            for row in rows:
                if short and not row.is_short(place):
                    continue
                begun = time.monotonic()
                outcomes[row.name] = outcome = attempt(row, place)
                seconds = time.monotonic() - begun
                told = f"{name}: {row.name}: {outcome.mark} ({seconds:.1f} s) {outcome.reason}"
                print(told, file=sys.stderr, flush=True)
    except RuntimeError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        for row in rows:
            outcomes.setdefault(row.name, Outcome("FAIL", str(error)))


@contextmanager
def site(proxy: Proxy | None, port: int) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="taskwell-field-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if proxy is None:
            yield Site(port, folder)
            return
        with running(proxy, folder, port) as ports:
            yield Site(port, folder, proxy, ports)


def table(database: str, columns: dict[str, dict[str, Outcome]]) -> str:
    """A row for each situation, a column for each proxy, and what failed beneath."""
    names = list(dict.fromkeys(row for column in columns.values() for row in column))
    letters = {name: chr(ord("A") + number) for number, name in enumerate(columns)}
    lines = [f"{letter} = {name}" for name, letter in letters.items()]
    lines.append(f"{database:<{_NAME}}" + "".join(f"{letter:>{_CELL}}" for letter in letters.values()))
    for row in names:
        cells = [column[row].mark if row in column else "" for column in columns.values()]
        lines.append(f"{row:<{_NAME}}" + "".join(f"{cell:>{_CELL}}" for cell in cells))
    failures = _failures({database: columns})
    return "\n".join([*lines, "", *failures, f"{len(failures)} failures"])


def _failures(results: dict[str, dict[str, dict[str, Outcome]]]) -> list[str]:
    return [
        f"{database}, {proxy}: {row}: {outcome.reason}"
        for database, columns in results.items()
        for proxy, column in columns.items()
        for row, outcome in column.items()
        if outcome.mark == "FAIL"
    ]


def _write(path: Path, results: dict[str, dict[str, dict[str, Outcome]]]) -> None:
    plain = {
        database: {
            proxy: {
                row: {"outcome": outcome.mark, "reason": outcome.reason} for row, outcome in column.items()
            }
            for proxy, column in columns.items()
        }
        for database, columns in results.items()
    }
    path.write_text(json.dumps(plain, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
