"""What is asked for, and what an answer must look like at the least."""

from dataclasses import dataclass

from bench.peers.data import DUE_NOW, LISTER, PLANNER, WRITER

_TASK = 190  # bytes of the shortest task


@dataclass(frozen=True, slots=True)
class Workload:
    """`least` and `most`: how many bytes an answer has, headers included. `whole`: it is the whole list.

    `user`: who asks, but for the mix.
    """

    name: str
    title: str
    least: int = _TASK
    most: int = 2_000
    whole: bool = False
    user: str = LISTER


WORKLOADS = (
    Workload("W1", "read one task"),
    Workload("W2", "create a task", user=WRITER),
    Workload("W3", "first page of 50", least=50 * _TASK, most=40_000),
    Workload("W4", "all 10,000 tasks", least=10_000 * _TASK, most=8_000_000, whole=True),
    Workload("W5", "toggle a task"),
    Workload("W6", "unchanged list (304)", least=50, most=1_000),
    Workload("W7", "90 % reads, 100 users", most=40_000),
    Workload("W8", "overdue and today", least=DUE_NOW * _TASK, most=80_000, user=PLANNER),
    Workload("W9", "pages by due date", least=50 * _TASK, most=50_000, user=PLANNER),
    Workload("W10", "move a task in a list", user=PLANNER),
)


@dataclass(frozen=True, slots=True)
class Run:
    """What one server did of one workload in a few seconds."""

    requests: int
    seconds: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    errors: int = 0
    peak_mib: float | None = None

    @property
    def rate(self) -> float:
        return self.requests / self.seconds
