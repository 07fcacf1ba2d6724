"""The tables that are printed."""

from collections.abc import Iterator

from bench.peers.results import Results, Row, Spread
from bench.peers.workloads import WORKLOADS

_TITLE, _CELL, _WIDE = 30, 10, 22  # widths
_DATABASES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
_HEAD = (
    f"{'':<{_TITLE}}{'requests/s':>{_CELL}}{'least to most':>{_WIDE}}{'p50 ms':>{_CELL}}{'p99 ms':>{_CELL}}"
    f"{'peak MiB':>{_CELL}}{'taskwell is':>{_WIDE}}"
)


def tables(results: Results) -> Iterator[str]:
    for workload in WORKLOADS:
        asked = {place.concurrency for place in results.runs if place.workload == workload.name}
        if asked:
            yield f"\n{workload.name}  {workload.title}\n{_HEAD}"
        for concurrency in sorted(asked):
            for database in results.titles:
                rows = results.rows(workload.name, concurrency, database)
                yield f"{_DATABASES[database]}, {concurrency} at once"
                yield from map(_line, rows)
    yield from (f"\n{note}" for note in results.notes)


def _line(row: Row) -> str:
    ratio = "" if row.peer == "taskwell" else _times(row.ratio)
    errors = f"  {row.errors:,} errors" if row.errors else ""
    return (
        f"  {row.title:<{_TITLE - 2}}{pace(row):>{_CELL}}{_between(row.rate):>{_WIDE}}"
        f"{_median(row.p50_ms):>{_CELL}}{_median(row.p99_ms):>{_CELL}}{_median(row.peak_mib):>{_CELL}}"
        f"{ratio:>{_WIDE}}{errors}"
    )


def _median(spread: Spread | None) -> str:
    return number(spread.median) if spread else "-"


def _between(spread: Spread) -> str:
    return "" if spread.least == spread.most else f"{number(spread.least)} to {number(spread.most)}"


def _times(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    alone = spread.least == spread.most
    return f"{spread.median:.2f}x" + ("" if alone else f" ({spread.least:.2f} to {spread.most:.2f})")


def pace(row: Row) -> str:
    """Its rate. One that has answered nobody in time may be slow, but not infinitely so."""
    return number(row.rate.median) if row.rate.median else "none"


def number(value: float) -> str:
    """Three digits, or all there are before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
