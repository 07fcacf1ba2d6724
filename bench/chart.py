"""A result as a picture: `python -m bench.chart bench/results/<date>.json` writes the .svg beside it.

Each workload has its own scale: its longest bar is the fastest server's. What a colour says is also written.
"""

import argparse
from collections.abc import Iterator
from html import escape
from pathlib import Path

from bench.peers.results import Results, Row
from bench.peers.tables import pace
from bench.peers.workloads import WORKLOADS, Workload

_DATABASES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
_COLUMN, _MARGIN, _NAME, _FIGURE = 460, 24, 170, 60  # widths
_BAR, _GAP, _TITLE, _HEAD, _FOOT = 17, 14, 22, 96, 34  # heights
_INK, _QUIET, _OWN, _OTHER = "#1f2328", "#57606a", "#0b5cad", "#b6c2cf"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.chart", description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--output", type=Path, help="the result's name with .svg, unless given")
    given = parser.parse_args()
    output = given.output or given.result.with_suffix(".svg")
    output.write_text(svg(Results.read(given.result), given.concurrency))


def svg(results: Results, concurrency: int = 32) -> str:
    """A column for each database, a group of bars for each workload. pgbench is no server, and not in it."""
    asked = {place.concurrency for place in results.runs}
    if concurrency not in asked:
        concurrency = max(asked)
    names = {place.workload for place in results.runs}
    workloads = [workload for workload in WORKLOADS if workload.name in names]
    columns = [
        [_servers(results, workload, concurrency, database) for workload in workloads]
        for database in results.titles
    ]
    height = _HEAD + _FOOT + max(sum(_height(rows) for rows in column) for column in columns)
    width = 2 * _MARGIN + len(columns) * _COLUMN
    lines = [*_frame(results, concurrency, width, height)]
    for place, (database, column) in enumerate(zip(results.titles, columns, strict=True)):
        left = _MARGIN + place * _COLUMN
        lines.append(_text(left, _HEAD - 12, _DATABASES[database], size=15, bold=True))
        lines += _column(left, workloads, column)
    return "\n".join([*lines, "</svg>", ""])


def _servers(results: Results, workload: Workload, concurrency: int, database: str) -> list[Row]:
    rows = results.rows(workload.name, concurrency, database)
    return [row for row in rows if row.peer != "pgbench"]


def _height(rows: list[Row]) -> int:
    return _TITLE + len(rows) * _BAR + _GAP


def _frame(results: Results, concurrency: int, width: int, height: int) -> Iterator[str]:
    about = results.about
    title = f"Requests per second, {concurrency} at once"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title summary" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="12">'
    )
    yield f'<title id="title">{title}</title>'
    yield f'<desc id="summary">{escape(_summary(results, concurrency))}</desc>'
    yield f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    yield _text(_MARGIN, 30, title, size=18, bold=True)
    yield _text(_MARGIN, 48, "Longer is better. Each workload has its own scale.", ink=_QUIET)
    rounds = f"median of {about['rounds']} rounds" if about["rounds"] > 1 else "one round"
    told = f"{about['at'][:10]}, {rounds} of {about['seconds']} s, load and servers on {about['cores']} cores"
    yield _text(_MARGIN, height - 14, told, ink=_QUIET)


def _summary(results: Results, concurrency: int) -> str:
    """All figures in words, for who cannot see the bars."""
    sentences = []
    for workload in WORKLOADS:
        for database in results.titles:
            rows = _servers(results, workload, concurrency, database)
            figures = ", ".join(f"{row.title} {pace(row)}" for row in rows)
            if figures:
                sentences.append(f"{workload.title} on {_DATABASES[database]}: {figures}.")
    return " ".join(sentences)


def _column(left: int, workloads: list[Workload], groups: list[list[Row]]) -> Iterator[str]:
    top = _HEAD
    for workload, rows in zip(workloads, groups, strict=True):
        yield _text(left, top + 14, workload.title, bold=True)
        longest = max((row.rate.median for row in rows), default=0) or 1
        for place, row in enumerate(rows):
            yield from _bar(left, top + _TITLE + place * _BAR, row, longest)
        top += _height(rows)


def _bar(left: int, top: int, row: Row, longest: float) -> Iterator[str]:
    own = row.peer == "taskwell"
    length = max(1.0, row.rate.median / longest * (_COLUMN - _NAME - _FIGURE - _MARGIN))
    base = top + 12
    yield _text(left + _NAME - 8, base, row.title, anchor="end", bold=own)
    yield (
        f'<rect x="{left + _NAME}" y="{top + 2}" width="{length:.1f}" height="{_BAR - 4}" '
        f'fill="{_OWN if own else _OTHER}"/>'
    )
    yield _text(left + _NAME + length + 6, base, pace(row), bold=own)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    bold: bool = False,
    ink: str = _INK,
    anchor: str = "start",
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}"{weight} fill="{ink}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


if __name__ == "__main__":
    main()
