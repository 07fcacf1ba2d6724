"""Two workers and a clock that is set: whatever they do, one task has one holder, and who is late loses."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from taskwell.core.errors import Claimed, ClaimLost, PreconditionFailed, TaskwellError
from taskwell.schemas.query import TaskQuery
from taskwell.schemas.task import TaskCreate, TaskUpdate
from taskwell.services import claims
from taskwell.services.claim_operations import ClaimNext, ClaimTask, ListClaims, ReleaseClaim, RenewClaim
from taskwell.services.claims import NewClaim, TaskCompleted
from taskwell.services.operations import CreateTask, GetLastNumber, Operation, Operations, UpdateTask
from tests.services.test_operations import opened

RUNS, STEPS, TASKS = 10, 40, 3


class Clock:
    """One that is set by a test. It does not go by itself."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Held:
    """What is known of a task. `claim`: the number of its latest one. `worker`: who took it."""

    id: UUID
    version: int
    claim: int | None = None
    until: datetime | None = None
    worker: int | None = None
    completed: bool = False

    def is_held(self, now: datetime) -> bool:
        return self.until is not None and self.until > now and not self.completed


@dataclass
class Known:
    """What a worker believes to hold: the task, its claim, and the version to guard its writes with."""

    task: Held
    claim: int
    version: int


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(claims, "utc_now", clock)
    return clock


class Run:
    def __init__(self, operations: Operations, clock: Clock, seed: int) -> None:
        self.operations = operations
        self.clock = clock
        self.random = Random(seed)
        self.user = f"run-{seed}"
        self.tasks: list[Held] = []
        self.known: list[list[Known]] = [[], []]
        self.superseded = 0

    async def outcome(self, operation: Operation[Any]) -> Any:
        try:
            return await self.operations.execute(operation)
        except TaskwellError as error:
            return error

    async def go(self) -> None:
        for n in range(TASKS):
            new = CreateTask(self.user, TaskCreate(title=f"{n}"), create_user=True)
            task = await self.operations.execute(new)
            self.tasks.append(Held(UUID(str(task.id)), task.version))
        steps = (
            self.claim,
            self.claim_next,
            self.renew,
            self.release,
            self.finish,
            self.edit,
            self.interfere,
        )
        for _ in range(STEPS):
            self.clock.now += timedelta(seconds=self.random.choice((0, 0, 1, 14, 15, 16, 40)))
            await self.random.choice(steps)(self.random.randrange(2))
            await self.check()

    async def check(self) -> None:
        """The list of claims is what is known, so that no task is held by two."""
        told = await self.operations.execute(ListClaims(self.user))
        held = [task for task in self.tasks if task.is_held(self.clock.now)]
        expected = sorted((task.claim, task.id, task.until) for task in held if task.claim is not None)
        assert [(one.claim, one.task_id, one.until) for one in told] == expected

    def took(self, worker: int, taken: Any) -> None:
        (task,) = (task for task in self.tasks if task.id == UUID(str(taken.task.id)))
        assert not task.is_held(self.clock.now)
        assert taken.claim > task.version  # it only grows
        assert taken.until == self.clock.now + timedelta(seconds=15)
        task.version, task.claim, task.until, task.worker = taken.claim, taken.claim, taken.until, worker
        self.known[worker].append(Known(task, taken.claim, taken.claim))

    async def claim(self, worker: int) -> None:
        task = self.random.choice(self.tasks)
        found = await self.outcome(ClaimTask(self.user, task.id, NewClaim(15)))
        if task.completed:
            assert isinstance(found, TaskCompleted)
        elif task.is_held(self.clock.now):
            assert isinstance(found, Claimed)
        else:
            self.took(worker, found)

    async def claim_next(self, worker: int) -> None:
        count = self.random.randint(1, 2)
        query = TaskQuery()
        found = await self.outcome(ClaimNext(self.user, count, NewClaim(15), query))
        free = [task for task in self.tasks if not task.completed and not task.is_held(self.clock.now)]
        assert len(found.claims) == min(count, len(free))
        for taken in found.claims:
            self.took(worker, taken)

    def one_known(self, worker: int) -> Known | None:
        """Any that a worker ever took, also if it has lapsed or another has it."""
        return self.random.choice(self.known[worker]) if self.known[worker] else None

    async def renew(self, worker: int) -> None:
        if (one := self.one_known(worker)) is None:
            return
        found = await self.outcome(RenewClaim(self.user, one.task.id, one.claim, 15))
        if one.task.completed or one.task.claim != one.claim:
            assert isinstance(found, ClaimLost)
        else:
            one.task.until = self.clock.now + timedelta(seconds=15)
            assert found.until == one.task.until

    async def release(self, worker: int) -> None:
        if (one := self.one_known(worker)) is None:
            return
        found = await self.outcome(ReleaseClaim(self.user, one.task.id, one.claim))
        if one.task.claim != one.claim:
            assert isinstance(found, ClaimLost)
        else:
            assert found is None or not isinstance(found, Exception)
            one.task.claim = one.task.until = one.task.worker = None
            one.task.version = await self.version()

    async def finish(self, worker: int) -> None:
        """Under its claim; whoever is superseded must not."""
        await self.write(worker, TaskUpdate(completed=True))

    async def edit(self, worker: int) -> None:
        await self.write(worker, TaskUpdate(description="Begun"))

    async def write(self, worker: int, change: TaskUpdate) -> None:
        if (one := self.one_known(worker)) is None:
            return
        expected = frozenset({one.version})
        found = await self.outcome(UpdateTask(self.user, one.task.id, change, expected))
        if one.version != one.task.version:
            assert isinstance(found, PreconditionFailed)
            self.superseded += one.task.worker not in (worker, None)
            return
        assert not isinstance(found, Exception), found
        assert one.task.worker == worker
        one.version = one.task.version = await self.version()
        one.task.completed = one.task.completed or "completed" in change.model_fields_set

    async def interfere(self, _worker: int) -> None:
        """A person who knows of no claims is not kept out, and makes the holder read again."""
        task = self.random.choice(self.tasks)
        reopens = TaskUpdate(completed=False) if self.random.random() < 0.3 else TaskUpdate(title="Mine")
        found = await self.outcome(UpdateTask(self.user, task.id, reopens))
        assert not isinstance(found, Exception), found
        task.version = await self.version()
        task.completed = task.completed and "completed" not in reopens.model_fields_set

    async def version(self) -> int:
        """The number of what was written last."""
        number: int = await self.operations.execute(GetLastNumber(self.user))
        return number


def test_one_task_has_one_holder_whatever_two_workers_do(database_url: str, clock: Clock) -> None:
    superseded = 0

    async def work(operations: Operations) -> None:
        nonlocal superseded
        for seed in range(RUNS):
            run = Run(operations, clock, seed)
            await run.go()
            superseded += run.superseded

    opened(database_url, work)
    assert superseded > 0
