"""What was measured, as a file; and what it comes to: medians and ratios, and how far they spread."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from bench.peers.workloads import Run


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run belongs."""

    round: int
    workload: str
    concurrency: int
    database: str
    peer: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Of the rounds: the median, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread | None":
        known = [value for value in values if value is not None]
        return cls(median(known), min(known), max(known)) if known else None


@dataclass(frozen=True, slots=True)
class Row:
    """What one server did of one workload at one concurrency, in all rounds."""

    peer: str
    title: str
    rate: Spread
    p50_ms: Spread | None
    p99_ms: Spread | None
    peak_mib: Spread | None
    errors: int
    ratio: Spread | None  # taskwell's rate to this one's


@dataclass(slots=True)
class Results:
    about: dict[str, Any]
    titles: dict[str, dict[str, str]]  # by database and peer
    notes: list[str]
    runs: dict[Place, Run]

    def rows(self, workload: str, concurrency: int, database: str) -> list[Row]:
        """One for each server, as they were listed; none for one that was not measured."""
        rounds = {peer: self._rounds(workload, concurrency, database, peer) for peer in self.titles[database]}
        own = rounds.get("taskwell", {})
        return [self._row(database, peer, runs, own) for peer, runs in rounds.items() if runs]

    def _rounds(self, workload: str, concurrency: int, database: str, peer: str) -> dict[int, Run]:
        wanted = (workload, concurrency, database, peer)
        return {
            place.round: run
            for place, run in self.runs.items()
            if (place.workload, place.concurrency, place.database, place.peer) == wanted
        }

    def _row(self, database: str, peer: str, runs: dict[int, Run], own: dict[int, Run]) -> Row:
        rate = Spread.of(run.rate for run in runs.values())
        assert rate is not None
        return Row(
            peer,
            self.titles[database][peer],
            rate,
            Spread.of(run.p50_ms for run in runs.values()),
            Spread.of(run.p99_ms for run in runs.values()),
            Spread.of(run.peak_mib for run in runs.values()),
            sum(run.errors for run in runs.values()),
            Spread.of(
                own[n].rate / run.rate
                for n, run in runs.items()
                if n in own and own[n].requests and run.requests
            ),
        )

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        head = {"about": self.about, "titles": self.titles, "notes": self.notes}
        text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
        runs = ",\n".join(f"  {json.dumps(_flat(place, run))}" for place, run in self.runs.items())
        path.write_text(f'{text},\n "runs": [\n{runs}\n ]\n}}\n')

    @classmethod
    def read(cls, path: Path) -> "Results":
        told = json.loads(path.read_text())
        places, runs = (_names(kind) for kind in (Place, Run))
        return cls(
            told["about"],
            told["titles"],
            told["notes"],
            {
                Place(**{name: run[name] for name in places}): Run(**{name: run[name] for name in runs})
                for run in told["runs"]
            },
        )


def _flat(place: Place, run: Run) -> dict[str, Any]:
    return asdict(place) | {
        name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(run).items()
    }


def _names(kind: type[Place | Run]) -> Sequence[str]:
    return [field.name for field in fields(kind)]
