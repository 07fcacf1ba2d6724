"""Eight writers change the tasks, lists and labels of two users in every way, by two servers that are killed.

In the end each number has its record and each record its write; the old value of a field is the new value of
the record before, and the tasks, lists and labels are what their records say.
"""

import asyncio
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import quote

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from harness.warm import shared
from stress.client import Answer, Connection, Request, connections

_CHANGES = 100_000
_CHANGES_IN_SHORT = 600
_KILLS = 100
_KILLS_IN_SHORT = 2
_WRITERS = 8
_USERS = ("ann", "bob")
_KNOWN = 40  # tasks and lists of a user that all its writers change, the latest ones
_LABELS = 300
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.02
# The fields that a record says itself, or that never change.
_OWN = {"id", "user_id", "created_at", "updated_at", "version", "deleted_at", "open", "total"}
_DEFAULTS: Mapping[str, Any] = {
    "completed": False, "status": "open", "labels": [], "extra": {}, "deleted": False,
    "recurrence_mode": "next", "recurrence_exclude": [], "reminders": [],
}  # fmt: skip

Json = dict[str, Any]
Key = tuple[str, str]  # kind and id


@dataclass(frozen=True, slots=True)
class _Write:
    """`name`: who wrote it, in the history; None: it goes the short way, where every request is alike.

    `dry`: it writes nothing. `least`: how many records it has if it succeeds.
    """

    request: Request
    name: str | None = None
    dry: bool = False
    least: int = 1


@dataclass
class _Book:
    """What the writers of a user know of each other, and what they were told.

    `shown`: by the version, the task or list that was answered. `least`, `exact`: how many records the write
    of a name has.
    """

    tasks: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    shown: dict[int, str] = field(default_factory=dict)
    least: dict[str, int] = field(default_factory=dict)
    exact: dict[str, int] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    short: int = 0
    short_in_doubt: int = 0

    def learn(self, kind: str, found: Json) -> None:
        self.shown[found["version"]] = found["id"]
        known = self.tasks if kind == "task" else self.lists
        if found["id"] not in known:
            known.append(found["id"])
            del known[:-_KNOWN]


@dataclass
class _Deeds:
    books: dict[str, _Book] = field(default_factory=lambda: {user: _Book() for user in _USERS})
    statuses: Counter[int] = field(default_factory=Counter)
    changes: int = 0
    cuts: int = 0
    kills: int = 0
    _acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, changes: int) -> None:
        self.changes += changes
        self._acknowledged.set()

    async def reach(self, changes: int) -> None:
        """Until so many changes are acknowledged, of which one has to come in a minute."""
        while self.changes < changes:
            self._acknowledged.clear()
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._acknowledged.wait()


def measure(server: ServerProcess, form: Form) -> Figures:
    with shared():
        return asyncio.run(_measure(server, form))


async def _measure(server: ServerProcess, form: Form) -> Figures:
    deeds = _Deeds()
    async with _beside(server) as other:
        servers = (server, other)
        await _write_all(servers, deeds, form)
        async with connections(server.port, 1) as (connection,):
            found = [await _read(connection, user, deeds.books[user]) for user in _USERS]
        await asyncio.to_thread(server.stop)
    return _figures(deeds, found)


@asynccontextmanager
async def _beside(server: ServerProcess) -> AsyncGenerator[ServerProcess]:
    """Another server on the same database."""
    other = ServerProcess(server.folder, server.environment)
    other.start()
    try:
        await asyncio.to_thread(other.wait_until_up)
        yield other
    finally:
        await asyncio.to_thread(other.stop)


async def _write_all(servers: tuple[ServerProcess, ServerProcess], deeds: _Deeds, form: Form) -> None:
    goal = _CHANGES_IN_SHORT if form.is_short else form.count(_CHANGES)
    opened = [Connection(servers[n % 2].port) for n in range(_WRITERS)]
    writers = [
        _Writer(connection, Random(f"{form.seed} {n}"), f"w{n}", _USERS[n // 2 % 2], deeds)
        for n, connection in enumerate(opened)
    ]
    tasks = [asyncio.ensure_future(writer.write_until(goal)) for writer in writers]
    killer = asyncio.ensure_future(
        _kill(servers, deeds, goal, form.count(_KILLS, least=_KILLS_IN_SHORT), Random(form.seed))
    )
    try:
        await asyncio.gather(killer, *tasks)
    finally:
        for task in (killer, *tasks):
            task.cancel()
        for connection in opened:
            await connection.close()


async def _kill(
    servers: tuple[ServerProcess, ServerProcess], deeds: _Deeds, goal: int, kills: int, random: Random
) -> None:
    """One of the servers, or both, at so many moments while the changes are made."""
    for kill in range(1, kills + 1):
        await deeds.reach(goal * kill // (kills + 1))
        await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))
        chosen = random.choice((servers[:1], servers[1:], servers))
        for server in chosen:
            await asyncio.to_thread(server.stop, signal.SIGKILL)
        for server in chosen:
            server.start()
            await asyncio.to_thread(server.wait_until_up)
        deeds.kills += len(chosen)


class _Writer:
    def __init__(self, connection: Connection, random: Random, name: str, user: str, deeds: _Deeds) -> None:
        self._connection = connection
        self._random = random
        self._name = name
        self._base = f"/api/{user}"
        self._deeds = deeds
        self._book = deeds.books[user]
        self._count = 0

    async def write_until(self, goal: int) -> None:
        while self._deeds.changes < goal:
            await self._carry_out(self._next())

    async def _carry_out(self, write: _Write) -> None:
        """Until it is answered, or nobody can know. What has a key is repeated."""
        keyed = "Idempotency-Key" in write.request.headers
        while True:
            try:
                answer = await self._connection.send(write.request)
            except ConnectionRefusedError:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            except OSError:
                self._deeds.cuts += 1
                if keyed:
                    continue
                self._doubt(write)
                return
            self._deeds.statuses[answer.status] += 1
            if answer.status < 300:
                self._acknowledge(write, answer)
                return
            if answer.status == 503 and not keyed:
                self._doubt(write)
                return
            if answer.status != 503 and not (answer.status == 409 and b"is still running" in answer.content):
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    def _doubt(self, write: _Write) -> None:
        if write.name is None:
            self._book.short_in_doubt += 1
        elif not write.dry:
            self._book.doubtful.add(write.name)

    def _acknowledge(self, write: _Write, answer: Answer) -> None:
        if write.dry:
            return
        book, found = self._book, answer.json() if answer.content else {}
        count = 1
        if write.name is None:
            book.short += 1
        elif "deleted" in found and isinstance(found["deleted"], int):
            count = book.exact[write.name] = found["deleted"]
        elif "undone" in found:
            count = len(found["undone"])
            book.least[write.name] = count
        elif "claims" in found:
            count = book.exact[write.name] = len(found["claims"])
        else:
            count = write.least
            book.least[write.name] = count
        self._deeds.add(count)
        for kind, one in _shown(found):
            book.learn(kind, one)

    def _next(self) -> _Write:
        random, base, book = self._random, self._base, self._book
        self._count += 1
        new = {"title": f"{self._name} {self._count}"}
        short = _Write(Request("POST", f"{base}/tasks", new))
        if not book.tasks or not book.lists:
            return random.choice((short, self._named("POST", "/lists", {"name": "List"})))
        task, other = (random.choice(book.tasks) for _ in range(2))
        path = f"/tasks/{task}"
        toggle = _Write(Request("POST", f"{base}{path}/toggle"))
        place = {random.choice(("after", "before")): random.choice((other, None))}
        below = {"parent_id": random.choice((other, None))}
        shares = (
            (15, short),
            (15, toggle),
            (8, self._named("POST", "/tasks", new | self._rich())),
            (4, self._named("POST", f"{path}/toggle", {"completed": random.random() < 0.5})),
            (20, self._named("PATCH", path, self._rich())),
            (4, self._named("PATCH", path, {"completed": True, "subtasks": "complete"})),
            (10, self._batch()),
            (6, self._named("DELETE", path)),
            (6, self._named("POST", f"{path}/restore", least=0)),
            (6, self._named("POST", f"{path}/move", place | below)),
            (4, self._named("POST", f"{path}/move", place)),
            (1, self._named("DELETE", f"/tasks?q={self._name}%20{random.randint(1, self._count)}")),
            (3, self._named("POST", f"{path}/claim", {"seconds": 15})),
            (1, self._named("POST", "/tasks/claims", {"count": 2, "seconds": 15})),
            (1, self._named("DELETE", f"{path}/claim", least=0)),
            (3, self._named("POST", "/undo", {"versions": self._versions()})),
            (4, self._of_labels()),
            (6, self._of_lists()),
            (2, replace(self._named("DELETE", f"{path}?dry_run=true"), dry=True)),
        )
        weights, writes = zip(*shares, strict=True)
        write: _Write = random.choices(writes, weights)[0]
        if write.name is not None and not write.dry and random.random() < 0.3:
            key = {"Idempotency-Key": f"{write.name} {random.getrandbits(64):x}"}
            write = replace(write, request=replace(write.request, headers={**write.request.headers, **key}))
        return write

    def _named(self, method: str, path: str, body: Any = None, *, least: int = 1) -> _Write:
        name = f"{self._name} {self._count}"
        return _Write(Request(method, self._base + path, body, {"Taskwell-Agent": name}), name, least=least)

    def _rich(self) -> Json:
        """Some fields."""
        random = self._random
        values = {
            "title": f"{self._name} {self._count} changed",
            "description": random.choice((None, f"{random.random()}", 'ü "\\\n')),
            "due": random.choice((None, "2026-11-20", "2026-11-20T09:00:00", "2026-11-20T09:00:00Z")),
            "priority": random.choice((None, *range(1, 10))),
            "status": random.choice(("open", "in_progress", "completed", "cancelled")),
            "labels": [self._label() for _ in range(random.randint(0, 3))],
            "extra": {"n": random.choice((None, random.random(), {"a": [1]}))},
            "link": random.choice((None, "https://example.com/")),
            "list_id": random.choice((None, *self._book.lists)),
        }
        return {name: values[name] for name in random.sample(sorted(values), random.randint(1, 3))}

    def _label(self) -> str:
        name = f"label {self._random.randrange(_LABELS)}"
        return self._random.choice((name, name.upper()))

    def _batch(self) -> _Write:
        random = self._random
        operations: list[Json] = []
        for _ in range(random.randint(2, 10)):
            task = random.choice(self._book.tasks)
            operations.append(
                random.choice(
                    (
                        {"op": "create", "task": {"title": f"{self._name} {self._count}"}},
                        {"op": "create", "kind": "list", "list": {"name": "List"}},
                        {"op": "toggle", "id": task},
                        {"op": "update", "id": task, "task": self._rich()},
                        {"op": "move", "id": task, "after": None},
                        {"op": "restore", "id": task},
                    )
                )
            )
        if random.random() < 0.1:
            operations.append({"op": "delete", "id": random.choice(self._book.tasks)})
        sure = sum(operation["op"] != "restore" for operation in operations)
        return self._named("POST", "/tasks/batch", {"operations": operations}, least=sure)

    def _versions(self) -> list[int]:
        versions = list(self._book.shown)[-100:]
        return self._random.sample(versions, min(len(versions), self._random.randint(1, 4)))

    def _of_labels(self) -> _Write:
        random, path = self._random, f"/labels/{quote(self._label())}"
        color = {"color": random.choice(("#ff0000", "#00ff00", None))}
        return random.choice(
            (
                self._named("PUT", path, color),
                self._named("PATCH", path, {"name": self._label()}, least=0),
                self._named("PATCH", path, color),
                self._named("DELETE", path),
            )
        )

    def _of_lists(self) -> _Write:
        random = self._random
        path = f"/lists/{random.choice(self._book.lists)}"
        return random.choice(
            (
                self._named("POST", "/lists", {"name": "List"}),
                self._named("PATCH", path, {"name": f"{random.random()}", "color": "#00ff00"}),
                self._named("POST", f"{path}/move", {"after": None}),
                self._named("POST", f"{path}/archive", least=0),
                self._named("POST", f"{path}/unarchive", least=0),
                self._named("DELETE", path),
                self._named("DELETE", f"{path}?tasks=keep"),
                self._named("POST", f"{path}/restore", least=0),
            )
        )


def _shown(found: Json) -> Iterator[tuple[str, Json]]:
    """The tasks and lists of an answer, which bear the number that they were given."""
    if "title" in found or ("name" in found and "id" in found):
        yield ("task" if "title" in found else "list"), found
    for one in (*found.get("results", ()), *found.get("claims", ()), *found.get("undone", ()), found):
        for kind in ("task", "list"):
            if isinstance(one.get(kind), dict) and "version" in one[kind]:
                yield kind, one[kind]


@dataclass
class _Found:
    """What is wrong with a user's history."""

    records: int = 0
    ops: Counter[str] = field(default_factory=Counter)
    gaps: int = 0
    unwritten: int = 0
    unrecorded: int = 0
    apart: int = 0
    broken_links: int = 0
    unlike: int = 0


async def _read(connection: Connection, user: str, book: _Book) -> _Found:
    last = (await connection.send(Request("POST", f"/api/{user}/tasks", {"title": "The last"}))).json()
    book.short += 1
    book.learn("task", last)
    records = [record async for record in _records(connection, user)]
    found = _Found(len(records), Counter(record["op"] for record in records))
    versions = [record["version"] for record in records]
    found.gaps = sum(a != b for a, b in zip(versions, range(1, last["version"] + 1), strict=False))
    found.gaps += abs(last["version"] - len(versions))
    _compare_writes(found, records, book)
    state = _replay(found, records)
    await _compare_state(found, connection, user, state)
    return found


async def _records(connection: Connection, user: str) -> AsyncGenerator[Json]:
    path = f"/api/{user}/history?since=0&limit=1000"
    while path:
        answer = await connection.send(Request("GET", path))
        assert answer.status == 200, answer.content
        for record in answer.json():
            yield record
        path = answer.headers.get("link", "").removeprefix("<").partition(">")[0]


def _compare_writes(found: _Found, records: Iterable[Json], book: _Book) -> None:
    """Each write has its records, in one piece, and no others have any."""
    by_name: dict[str | None, list[Json]] = defaultdict(list)
    ids: dict[int, str] = {}
    for record in records:
        by_name[record["by"]["client"]].append(record)
        ids[record["version"]] = record["id"]
    short = len(by_name.pop(None, ()))
    found.unrecorded += max(0, book.short - short)
    found.unwritten += max(0, short - book.short - book.short_in_doubt)
    known = book.least.keys() | book.exact.keys() | book.doubtful
    found.unwritten += sum(len(some) for name, some in by_name.items() if name not in known)
    found.unrecorded += sum(len(by_name[name]) < least for name, least in book.least.items())
    found.unrecorded += sum(len(by_name[name]) != exact for name, exact in book.exact.items())
    found.unrecorded += sum(ids.get(version) != key for version, key in book.shown.items())
    for some in by_name.values():
        found.apart += bool(some) and some[-1]["version"] - some[0]["version"] != len(some) - 1


def _replay(found: _Found, records: Iterable[Json]) -> dict[Key, Json]:
    """What the records make of each task, list and label."""
    state: dict[Key, Json] = {}
    for record in records:
        key = (record["kind"], record["id"])
        before = state.get(key)
        if record["op"] == "created":
            # A label that has a color or a place again is a new one.
            found.broken_links += before is not None and not (key[0] == "label" and before["deleted"])
            state[key] = dict(_DEFAULTS)
        elif before is None:
            found.broken_links += 1
            continue
        known = state[key]
        for name, (old, new) in record["changes"].items():
            found.broken_links += record["op"] != "created" and known.get(name) != old
            known[name] = new
        known["version"] = record["version"]
    return state


async def _compare_state(found: _Found, connection: Connection, user: str, state: Mapping[Key, Json]) -> None:
    stored: dict[Key, Json] = {}
    for path in ("tasks", "tasks?archived=true", "tasks?deleted=true", "lists", "lists?deleted=true"):
        answer = await connection.send(Request("GET", f"/api/{user}/{path}"))
        assert answer.status == 200, answer.content
        for one in answer.json():
            stored[path[:4], one["id"]] = one
    answer = await connection.send(Request("GET", f"/api/{user}/labels"))
    for label in answer.json():
        if label["version"] is not None:
            stored["label", label["name"].casefold()] = label
    for (kind, key), known in state.items():
        one = stored.pop((kind, key), None)
        if one is None:
            found.unlike += not (kind == "label" and known["deleted"])
            continue
        shown = {name: value for name, value in one.items() if name not in _OWN}
        shown |= {"version": one["version"], "deleted": one.get("deleted_at") is not None}
        found.unlike += any(known.get(name) != value for name, value in shown.items())
    found.unlike += len(stored)


def _figures(deeds: _Deeds, found: list[_Found]) -> Figures:
    figures = Figures()
    figures.note("kills", deeds.kills)
    figures.note("requests answered", deeds.statuses.total())
    done = sum(count for status, count in deeds.statuses.items() if status < 300)
    figures.note("of which done", done)
    figures.note("cut", deeds.cuts)
    others = sum(count for status, count in deeds.statuses.items() if status >= 500 and status != 503)
    figures.promise("answered 5xx but 503", others, kept=others == 0)
    figures.note("records", sum(one.records for one in found))
    ops = sum((one.ops for one in found), Counter[str]())
    for op in sorted(ops):
        figures.note(f"of which {op}", ops[op])
    for name, attribute in (
        ("gaps in the numbers", "gaps"),
        ("writes without their records", "unrecorded"),
        ("records without a write", "unwritten"),
        ("writes recorded in two pieces", "apart"),
        ("old values unlike the record before", "broken_links"),
        ("objects unlike their records", "unlike"),
    ):
        count = sum(getattr(one, attribute) for one in found)
        figures.promise(name, count, kept=count == 0)
    return figures
