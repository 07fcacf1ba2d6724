"""What a program found out, and how much it is to try."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_NAME, _FIGURE = 42, 14  # widths


SHORT = 0.01


@dataclass(frozen=True, slots=True)
class Form:
    """`share`: how much of the full form, from 0 to 1."""

    share: float
    seed: int

    @property
    def is_short(self) -> bool:
        return self.share <= SHORT

    def count(self, full: int, *, least: int = 1) -> int:
        return max(least, round(full * self.share))


@dataclass
class Figures:
    values: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def note(self, name: str, value: float) -> None:
        self.values[name] = value

    def promise(self, name: str, value: float, *, kept: bool) -> None:
        self.note(name, value)
        if not kept:
            self.broken.append(f"{name}: {shown(value)}")


def table(title: str, columns: Mapping[str, Figures]) -> str:
    names = dict.fromkeys(name for figures in columns.values() for name in figures.values)
    lines = [_line(title, list(columns))]
    for name in names:
        cells = [figures.values.get(name) for figures in columns.values()]
        lines.append(_line(name, ["" if cell is None else shown(cell) for cell in cells]))
    return "\n".join(lines)


def _line(name: str, cells: list[str]) -> str:
    return f"{name:<{_NAME}}" + "".join(f"{cell:>{_FIGURE}}" for cell in cells)


def shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
