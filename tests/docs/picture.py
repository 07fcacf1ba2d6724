"""taskwell at work, as a moving picture of a terminal: `make picture` writes docs/first-minute.svg anew.

What stands in it are the commands that were run and what they printed.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from html import escape
from pathlib import Path

from harness.servers import local_server
from taskwell.core.settings import Settings

PICTURE = Path(__file__).parents[2] / "docs" / "first-minute.svg"
_SHOWN = "http://127.0.0.1:8000"  # where `make serve` would be
_COLUMNS, _SECONDS = 96, 20
_CHARACTER, _LINE, _MARGIN = 8.4, 20, 18
_READ_SECONDS = 3.4  # for what a command has printed
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")

Entry = tuple[str, str]  # a command, and what it printed


def main() -> None:
    PICTURE.write_text(svg(session()))


def session() -> list[Entry]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        settings = Settings(database_url=f"sqlite:///{folder}/taskwell.db")
        url = stack.enter_context(local_server(settings)).url
        created = _curl(url, f"""{_SHOWN}/api/tasks --json '{{"title": "Buy milk"}}'""")
        found = _ID.search(created[1])
        assert found is not None
        task = f"{_SHOWN}/api/tasks/{found[0]}"
        return [
            ("make serve", f"… running on {_SHOWN}"),
            created,
            _curl(url, f"-X POST {task}/toggle"),
            _curl(url, f"""-X PATCH {task} -H 'If-Match: "1"' --json '{{"title": "Buy tea"}}'"""),
            _curl(url, f"'{_SHOWN}/api/changes?since=1'"),
        ]


def _curl(url: str, arguments: str) -> Entry:
    words = shlex.split(arguments.replace(_SHOWN, url))
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.curl", *words],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"curl {arguments}", done.stdout.replace(url, _SHOWN)


def svg(entries: Sequence[Entry]) -> str:
    lines = list(_lines(entries))
    width = round(_COLUMNS * _CHARACTER) + 2 * _MARGIN
    height = len(lines) * _LINE + 2 * _MARGIN
    moments = sorted({second for second, _, _ in lines})
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    label = 'role="img" aria-label="A task is created, toggled, guarded and followed"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>',
            "<style>",
            "text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre }",
            *(_moment(number, second) for number, second in enumerate(moments)),
            # Who wants nothing to move sees it all.
            "@media (prefers-reduced-motion: reduce) { text { animation: none !important } }",
            "</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
            *(
                _text(row, moments.index(second), colour, text)
                for row, (second, colour, text) in enumerate(lines)
            ),
            "</svg>",
            "",
        ]
    )


def _text(row: int, moment: int, colour: str, text: str) -> str:
    place = f'x="{_MARGIN}" y="{_MARGIN + 14 + row * _LINE}"'
    return f'<text class="m{moment}" {place} fill="{colour}">{escape(text)}</text>'


def _lines(entries: Sequence[Entry]) -> Iterator[tuple[float, str, str]]:
    """When each is to be seen, its colour and its text."""
    for number, (command, output) in enumerate(entries):
        second = 0.4 + number * _READ_SECONDS
        for line in _wrapped(f"$ {command}"):
            yield second, "#7ee787", line
        for line in _wrapped(output):
            yield second + 0.9, "#c9d1d9", line


def _wrapped(text: str) -> list[str]:
    """Broken after commas and spaces."""
    lines = [""]
    for part in re.split("(?<=[, ])", text):
        if len(lines[-1]) + len(part) > _COLUMNS:
            lines.append("  ")
        lines[-1] += part
    return lines


def _moment(number: int, second: float) -> str:
    share = 100 * second / _SECONDS
    hidden, seen = f"0%, {share:.1f}% {{ opacity: 0 }}", f"{share + 0.1:.1f}%, 100% {{ opacity: 1 }}"
    name = f"m{number}"
    return f".{name} {{ animation: {name} {_SECONDS}s infinite }} @keyframes {name} {{ {hidden} {seen} }}"


if __name__ == "__main__":
    main()
