"""A disk that has kept what was synced when the power went, and of the rest what chance will have it.

Writes that were not synced may be kept in any selection and cut at any sector. Where a file had grown,
sectors that were not kept may hold anything. The names of files are synced with their folder alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

_SECTOR = 512


@dataclass(frozen=True, slots=True)
class Wrote:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Opened:
    """To be created, if it is not there."""

    name: str


@dataclass(frozen=True, slots=True)
class Removed:
    name: str


@dataclass(frozen=True, slots=True)
class Synced:
    """`name`: of a file; None: the folder."""

    name: str | None


Call = Wrote | Truncated | Opened | Removed | Synced
Files = dict[str, bytearray]


@dataclass(frozen=True, slots=True)
class _Pending:
    """What is not synced. `file` None: it is about the folder."""

    call: Call
    file: int | None
    number: int = 0  # of the file that a name stands for from now on


class Disk:
    def __init__(self) -> None:
        self._names: dict[str, int] = {}  # as the system has them
        self._kept_names: dict[str, int] = {}  # as the disk has them
        self._kept: dict[int, bytearray] = {}
        self._pending: list[_Pending] = []

    def do(self, call: Call) -> None:
        match call:
            case Opened(name):
                if name not in self._names:
                    number = len(self._kept)
                    self._kept[number] = bytearray()
                    self._names[name] = number
                    self._pending.append(_Pending(call, None, number))
            case Removed(name):
                if self._names.pop(name, None) is not None:
                    self._pending.append(_Pending(call, None))
            case Wrote(name) | Truncated(name):
                self._pending.append(_Pending(call, self._names[name]))
            case Synced(name):
                self._sync(None if name is None else self._names[name])

    def _sync(self, file: int | None) -> None:
        for pending in self._pending:
            if pending.file == file:
                _apply(pending, self._kept, self._kept_names)
        self._pending = [pending for pending in self._pending if pending.file != file]

    def after_a_cut(self, choose: "Choice", random: Random) -> Files:
        """What is found when the power is back."""
        names = dict(self._kept_names)
        touched = {pending.file for pending in self._pending}
        files = {
            number: bytearray(content) if number in touched else content
            for number, content in self._kept.items()
        }
        for pending in choose(self._pending, self._sizes(), random):
            _apply(pending, files, names)
        return {name: files[number] for name, number in names.items()}

    def _sizes(self) -> dict[int, int]:
        return {number: len(content) for number, content in self._kept.items()}


Choice = Callable[[Sequence[_Pending], dict[int, int], Random], Sequence[_Pending]]


def _apply(pending: _Pending, files: dict[int, bytearray], names: dict[str, int]) -> None:
    match pending.call:
        case Opened(name):
            names[name] = pending.number
        case Removed(name):
            names.pop(name, None)
        case Truncated(_, size):
            assert pending.file is not None
            content = files[pending.file]
            del content[size:]
            content.extend(bytes(size - len(content)))
        case Wrote(_, offset, data):
            assert pending.file is not None
            content = files[pending.file]
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data


def nothing(_pending: Sequence[_Pending], _sizes: Any, _random: Random) -> Sequence[_Pending]:
    """The worst that a journal is made for."""
    return []


def everything(pending: Sequence[_Pending], _sizes: Any, _random: Random) -> Sequence[_Pending]:
    return pending


def the_first(pending: Sequence[_Pending], sizes: dict[int, int], random: Random) -> Sequence[_Pending]:
    """In their order up to one of them, of which a part is kept."""
    count = random.randint(0, len(pending))
    return [*pending[:count], *torn(pending[count : count + 1], sizes, random)]


def some(pending: Sequence[_Pending], _sizes: Any, random: Random) -> Sequence[_Pending]:
    share = random.random()
    return [one for one in pending if random.random() < share]


def torn(pending: Sequence[_Pending], sizes: dict[int, int], random: Random) -> list[_Pending]:
    """Of each some sectors; where the file had not reached, the others hold anything or nothing."""
    noisy, share = random.random() < 0.5, random.random()
    kept = []
    for one in pending:
        for part in _sectors(one):
            if random.random() < share:
                kept.append(part)
            elif noisy and isinstance(part.call, Wrote) and part.call.offset >= sizes[part.file or 0]:
                data = random.randbytes(len(part.call.data))
                kept.append(_Pending(Wrote(part.call.name, part.call.offset, data), part.file))
    return kept


def _sectors(pending: _Pending) -> list[_Pending]:
    call = pending.call
    if not isinstance(call, Wrote):
        return [pending]
    end = call.offset + len(call.data)
    cuts = [call.offset, *range((call.offset // _SECTOR + 1) * _SECTOR, end, _SECTOR), end]
    return [
        _Pending(Wrote(call.name, a, call.data[a - call.offset : b - call.offset]), pending.file)
        for a, b in pairwise(cuts)
    ]


CHOICES: tuple[Choice, ...] = (nothing, the_first, some, torn, everything)
