"""`python -m fuzz.parser`: byte streams for the server's parser, and the same for h11.

Whatever the server runs, h11 has to see: the same requests, in the same order. What h11 sees and the server
refuses stands in `fuzz/differences.py`, with a reason. Ends with 1 if there is any other difference.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from random import SystemRandom

from fuzz.connections import Errors, Record, Server, Subject
from fuzz.differences import LISTED, differences
from fuzz.oracle import see
from fuzz.streams import SMUGGLED, Stream, single_bytes, stream

STREAMS = 100_000
OVER_SOCKETS = 0.01  # of the streams, once more
PROTOCOL = "taskwell.http.connection:Connection"
_MOST_TO_SHORTEN = 5_000


@dataclass(slots=True)
class Report:
    """`listed`: by reason. `unlisted`: by kind; there must be none. `examples`: short ones of those."""

    counts: Counter[str] = field(default_factory=Counter)
    listed: Counter[str] = field(default_factory=Counter)
    unlisted: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Stream] = field(default_factory=dict)

    def add(self, stream: Stream, record: Record) -> None:
        seen = see(stream.data, record.closing)
        found = differences(stream, seen, record)
        beyond = record.requests[len(seen.requests) :]
        self.counts["streams"] += 1
        self.counts["requests that both see"] += min(len(seen.requests), len(record.requests))
        self.counts["streams that end with what both refuse"] += bool(seen.error) and not found
        self.counts["streams with a request run that h11 does not see"] += any(one.ran for one in found)
        self.counts["streams with a smuggled request"] += any(one.path == SMUGGLED for one in beyond)
        for one in found:
            if one.kind in LISTED and not one.ran:
                self.listed[LISTED[one.kind]] += 1
            else:
                self.unlisted[one.kind] += 1
                known = self.examples.get(one.kind)
                if known is None or len(stream.data) < len(known.data):
                    self.examples[one.kind] = stream

    def __str__(self) -> str:
        parts = {"": self.counts, "refused, and seen by h11: ": self.listed, "UNLISTED: ": self.unlisted}
        lines = [
            f"{count:>9,}  {part}{what}" for part, counts in parts.items() for what, count in counts.items()
        ]
        return "\n".join(lines)


async def fuzz(numbers: Iterable[int], seed: int, protocol: str = PROTOCOL) -> Report:
    return await fuzz_with((stream(seed, number) for number in numbers), protocol)


async def fuzz_with(streams: Iterable[Stream], protocol: str) -> Report:
    report, subject = Report(), Subject(_class(protocol))
    with _errors_to(subject.errors):
        for made in streams:
            report.add(made, await subject.take(made))
    return report


def fuzz_over_sockets(numbers: Iterable[int], seed: int, protocol: str = PROTOCOL) -> Report:
    report = Report()
    with Server(_class(protocol)) as server, _errors_to(server.errors):
        for number in numbers:
            made = stream(seed, number)
            report.add(made, server.take(made))
    return report


def _class(path: str) -> type[asyncio.Protocol]:
    module, _, name = path.partition(":")
    found: type[asyncio.Protocol] = getattr(import_module(module), name)
    return found


@contextmanager
def _errors_to(errors: Errors) -> Iterator[None]:
    logger = logging.getLogger("uvicorn.error")
    before = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(errors)
    try:
        yield
    finally:
        logger.removeHandler(errors)
        logger.level, logger.propagate = before


async def shortest(example: Stream, kind: str, protocol: str = PROTOCOL) -> Stream:
    """A short stream with the same difference: in one piece or byte by byte, and without what can go."""
    subject = Subject(_class(protocol))

    async def shows(stream: Stream) -> bool:
        record = await subject.take(stream)
        found = differences(stream, see(stream.data, record.closing), record)
        return any(one.kind == kind for one in found)

    with _errors_to(subject.errors):
        for form in _forms(example):
            if len(example.data) <= _MOST_TO_SHORTEN and await shows(form(example.data)):
                return await _shorter(example.data, form, shows)
    return example


def _forms(example: Stream) -> Iterator[Callable[[bytes], Stream]]:
    for answers in ((), example.answers):
        for ends in (False, True):
            yield partial(_form, ends, answers, whole=True)
            yield partial(_form, ends, answers, whole=False)


def _form(ends: bool, answers: tuple[str, ...], data: bytes, *, whole: bool) -> Stream:
    return Stream((data,) if whole else single_bytes(data), ends, answers)


async def _shorter(
    data: bytes, form: Callable[[bytes], Stream], shows: Callable[[Stream], Awaitable[bool]]
) -> Stream:
    size = len(data) // 2
    while size:
        for place in range(len(data) - size, -1, -1):
            less = data[:place] + data[place + size :]
            if await shows(form(less)):
                data = less
        size //= 2
    return form(data)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.parser", description=__doc__)
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    parser.add_argument("--protocol", default=PROTOCOL, help="the connection class, as module:name")
    given = parser.parse_args()
    start = time.monotonic()
    report = asyncio.run(fuzz(range(given.streams), given.seed, given.protocol))
    print(f"seed {given.seed}, {time.monotonic() - start:.0f} s\n{report}\n\nOver sockets:", flush=True)
    over_sockets = fuzz_over_sockets(range(round(given.streams * OVER_SOCKETS)), given.seed, given.protocol)
    print(over_sockets)
    for kind, example in (report.examples | over_sockets.examples).items():
        short = asyncio.run(shortest(example, kind, given.protocol))
        print(f"\n{kind}:\n    {short}")
    return 1 if report.unlisted or over_sockets.unlisted else 0


if __name__ == "__main__":
    sys.exit(main())
