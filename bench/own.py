"""`make bench-own`: taskwell alone on both databases, measured in turn and shown side by side."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from bench.load import Figures
from bench.measures import Options, Subject, first_list, memory, mixed, workloads
from harness.postgres import postgres_server
from harness.servers import server_process

T = TypeVar("T")

_NAME, _FIGURE = 34, 12  # widths


def main() -> int:
    options = _options()
    # Whoever ends the measuring ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with _subjects() as subjects:
        faults = _measure(subjects, options)
    return 1 if faults else 0


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench.own", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="how long each measure lasts (5)")
    parser.add_argument("--tasks", type=int, default=10_000, help="how long the list is (10000)")
    parser.add_argument("--quick", action="store_true", help="a second each, and a tenth of the rows")
    given = parser.parse_args()
    if given.quick:
        return Options(seconds=1, tasks=given.tasks // 10, streamed=20_000)
    return Options(given.seconds, given.tasks, streamed=200_000)


@contextmanager
def _subjects() -> Iterator[dict[str, Subject]]:
    with ExitStack() as stack:
        subjects = {}
        for name in ("SQLite", "PostgreSQL"):
            _progress(f"starting on {name}")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskwell-bench-")))
            if name == "SQLite":
                url = f"sqlite:///{folder}/bench.db"
            else:
                # The tests do without; here durability is a part of what is measured.
                postgres = postgres_server(fsync="on", synchronous_commit="on", full_page_writes="on")
                url = stack.enter_context(postgres).url
            server = stack.enter_context(server_process(folder, DATABASE_URL=url))
            subjects[name] = Subject(url, server)
        yield subjects


def _measure(subjects: Mapping[str, Subject], options: Options) -> int:
    """Print the tables; return how many writes were lost or doubled."""

    def of_each(name: str, measure: Callable[[Subject, Options], T]) -> list[T]:
        figures = []
        for database, subject in subjects.items():
            _progress(f"{name}, {database}")
            figures.append(measure(subject, options))
        return figures

    speeds = {"the first request: the whole list": of_each("first list", first_list)}
    for workload in workloads(options):
        speeds[workload.title] = of_each(workload.title, workload)
    mixes = of_each("mixed operations", mixed)
    speeds["100 mixed operations at once"] = [rounds for rounds, _ in mixes]
    growths = of_each("memory", memory)
    _progress("")

    print(f"{_line('', subjects, 3 * _FIGURE)}\n{_line('', ('per second', 'p50 ms', 'p99 ms') * 2)}")
    for title, figures in speeds.items():
        print(_line(title, [cell for figure in figures for cell in _cells(figure)]))
    print(f"\n{_line('', subjects, 3 * _FIGURE)}")
    checks = [f"{ledger.faults} of {ledger.writes:,}" for _, ledger in mixes]
    print(_line("writes lost or doubled in the mix", checks, 3 * _FIGURE))
    print(
        _line(f"MiB more while {options.streamed:,} stream", [f"{mib:.1f}" for mib in growths], 3 * _FIGURE)
    )
    return sum(ledger.faults for _, ledger in mixes)


def _cells(figures: Figures) -> list[str]:
    rate = figures.per_second
    milliseconds = [f"{figures.milliseconds(share):,.1f}" for share in (0.5, 0.99)]
    return [f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}", *milliseconds]


def _line(name: str, cells: Iterable[str], width: int = _FIGURE) -> str:
    return f"{name:<{_NAME}}" + "".join(f"{cell:>{width}}" for cell in cells)


def _progress(text: str) -> None:
    """One line, written over."""
    print(f"\r{text:<60}" if text else f"\r{'':<60}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
