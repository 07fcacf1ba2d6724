"""Twenty subscriptions on three servers, two of which are killed and one suspended while they deliver.

Before, how soon a single event comes while nothing else happens. Then a tenth of the events are answered 503
first; most of their repetitions are asked for at once, since each would wait for five seconds. In the end
each subscription has every event, in order; an event comes twice at most once for each request that was under
way when a server was killed or suspended; every signature is right. The order is that in which events come
for the first time.
"""

import os
import queue
import signal
import threading
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import httpx2
from standardwebhooks import Webhook, WebhookVerificationError

from harness.figures import Figures, Form
from harness.receiver import Received, Reply, running_receiver
from harness.servers import ServerProcess

_SUBSCRIPTIONS = 20
_USERS = 10
_EVENTS = 1_000  # of each subscription
_EVENTS_IN_SHORT = 12
_AT_ONCE = 10  # tasks of a batch
_FAILING = 0.1
_REQUESTS = 20  # that a server has under way at most
_PATIENCE_SECONDS = 1_800.0
_SUSPENDED_SECONDS = 35.0  # longer than a lease
_SUSPENDED_IN_SHORT = 3.0
_PAUSE_SECONDS = 0.2  # from one look at what is left to the next
_PAUSE_SECONDS_IN_SHORT = 1.0  # most of a short run is waiting for the leases of those that were killed
_PATIENT = 0.1  # of the failures: the server repeats them when it would
_LONE = 50  # events, one after the other
_LONE_IN_SHORT = 5
_LONE_HOOK = "/hook/lone"


def measure(server: ServerProcess, form: Form) -> Figures:
    events = form.count(_EVENTS, least=_EVENTS_IN_SHORT)
    return _Trial(server, form, events).run()


class _Trial:
    def __init__(self, server: ServerProcess, form: Form, events: int) -> None:
        self.random = Random(f"{form.seed}")
        self.short = form.share < 1
        self.events = events
        self.environment = {**server.environment, "TASKWELL_WEBHOOK_ALLOW": "127.0.0.1"}
        self.folder = server.folder
        self.secrets: dict[str, str] = {}
        self.figures = Figures()
        self.lock = threading.Lock()
        self.delivered: dict[str, list[int]] = {}
        self.failed: set[str] = set()
        self.wrong = 0
        self.is_over = threading.Event()
        self.lone: queue.Queue[float] = queue.Queue()
        self.times: list[float] = []  # of what came for the first time

    def run(self) -> Figures:
        with running_receiver() as receiver, self._servers() as servers:
            receiver.answering = self._answer
            self._send_lone(servers[0], receiver.url)
            self._subscribe(servers[0], receiver.url)
            writer = threading.Thread(target=self._write, args=[servers], daemon=True)
            writer.start()
            hurrier = threading.Thread(target=self._hurry, args=[servers], daemon=True)
            hurrier.start()
            self._disturb(servers)
            writer.join()
            seconds = self._wait(servers)
            self.is_over.set()
            hurrier.join()
        self._judge(seconds)
        return self.figures

    @contextmanager
    def _servers(self) -> Iterator[list[ServerProcess]]:
        servers = []
        for number in range(3):
            folder = Path(self.folder) / f"server-{number}"
            folder.mkdir()
            servers.append(ServerProcess(folder, {**self.environment, "TASKWELL_WORKERS": "1"}))
        try:
            for one in servers:
                one.start()
                one.wait_until_up()
            yield servers
        finally:
            for one in servers:
                one.stop()

    def _subscribe(self, server: ServerProcess, url: str) -> None:
        with httpx2.Client(base_url=server.url, timeout=30) as client:
            for number in range(_SUBSCRIPTIONS):
                body = {"url": f"{url}/{number}", "events": ["task.created"]}
                made = client.post(f"/api/{self._user(number)}/webhooks", json=body).raise_for_status()
                self.secrets[f"/hook/{number}"] = made.json()["secret"]

    def _send_lone(self, server: ServerProcess, url: str) -> None:
        delays = []
        with httpx2.Client(base_url=server.url, timeout=30) as client:
            body = {"url": f"{url}/lone", "events": ["task.created"]}
            made = client.post("/api/lone/webhooks", json=body).raise_for_status().json()
            self.secrets[_LONE_HOOK] = made["secret"]
            for _ in range(_LONE_IN_SHORT if self.short else _LONE):
                time.sleep(self.random.uniform(0.05, 0.2))
                client.post("/api/lone/tasks", json={"title": "x"}).raise_for_status()
                answered = time.perf_counter()
                delays.append(max(0.0, self.lone.get(timeout=60) - answered))
        delays.sort()
        self.figures.note("ms from an answer to its lone event, p50", 1_000 * delays[len(delays) // 2])
        self.figures.note("the same, the longest", 1_000 * delays[-1])

    def _user(self, number: int) -> str:
        return f"user-{number % _USERS}"

    def _write(self, servers: list[ServerProcess]) -> None:
        """Every user's tasks, at whichever server answers. The key of a batch lets none be made twice."""
        left = {self._user(number): self.events for number in range(_USERS)}
        tries = 0
        with httpx2.Client(timeout=30) as client:
            while left:
                user = self.random.choice(list(left))
                count = min(_AT_ONCE, left[user])
                body = {"operations": [{"op": "create", "task": {"title": "x"}}] * count}
                key = {"Idempotency-Key": f"{user}-{left[user]}"}
                server = servers[tries % 3]
                tries += 1
                try:
                    answer = client.post(
                        f"{server.url}/api/{user}/tasks/batch", json=body, headers=key, timeout=5
                    )
                except httpx2.TransportError:
                    continue
                if answer.status_code == 200:
                    left[user] -= count
                    if not left[user]:
                        del left[user]

    def _hurry(self, servers: list[ServerProcess]) -> None:
        """Have what has failed repeated at once, as a client may ask for."""
        random = Random(f"{len(self.secrets)}")
        waiting: set[tuple[str, str]] = set()
        pause = (_PAUSE_SECONDS_IN_SHORT if self.short else _PAUSE_SECONDS) / 2
        with httpx2.Client(timeout=5) as client:
            while not self.is_over.wait(pause):
                home = f"{random.choice(servers).url}/api/{self._user(random.randrange(_USERS))}/webhooks"
                try:
                    for hook in client.get(home).raise_for_status().json():
                        at = hook["next_attempt_at"]
                        if at is None or (hook["id"], at) in waiting or not _is_far(at):
                            continue
                        if random.random() < _PATIENT:
                            waiting.add((hook["id"], at))
                        else:
                            client.patch(f"{home}/{hook['id']}", json={"active": True})
                except httpx2.HTTPError:
                    continue

    def _disturb(self, servers: list[ServerProcess]) -> None:
        """Kill two servers while they deliver, and start them again; suspend one for longer than a lease."""
        for victim in (servers[0], servers[1]):
            before = self._count()
            self._until(lambda before=before: self._count() >= before + 5)  # type: ignore[misc]
            victim.stop(signal.SIGKILL)
            victim.start()
            victim.wait_until_up()
        os.kill(servers[2].pid, signal.SIGSTOP)
        time.sleep(_SUSPENDED_IN_SHORT if self.short else _SUSPENDED_SECONDS)
        os.kill(servers[2].pid, signal.SIGCONT)

    def _wait(self, servers: list[ServerProcess]) -> float:
        started = time.monotonic()
        with httpx2.Client(timeout=30) as client:

            def is_done() -> bool:
                for one in servers:  # each uses its database, so that each looks for what others left
                    client.get(f"{one.url}/api/user-0/tasks?limit=1")
                time.sleep(_PAUSE_SECONDS_IN_SHORT if self.short else _PAUSE_SECONDS)
                return self._count() >= _SUBSCRIPTIONS * self.events

            self._until(is_done)
        return time.monotonic() - started

    def _until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while not condition() and time.monotonic() < end:
            time.sleep(0.01)

    def _count(self) -> int:
        with self.lock:
            return sum(len(set(versions)) for versions in self.delivered.values())

    def _answer(self, got: Received) -> Reply:
        try:
            Webhook(self.secrets[got.path]).verify(got.body, got.headers)
        except WebhookVerificationError:
            self.wrong += 1
        if got.path == _LONE_HOOK:
            self.lone.put(time.perf_counter())
            return Reply(200)
        with self.lock:
            if got.id not in self.failed and self.random.random() < _FAILING:
                self.failed.add(got.id)  # a second failure would mean a pause of a minute
                return Reply(503)
            self.delivered.setdefault(got.path, []).append(got.version)
            self.times.append(time.monotonic())
        return Reply(200)

    def _judge(self, seconds: float) -> None:
        figures = self.figures
        expected = _SUBSCRIPTIONS * self.events
        figures.note("subscriptions", _SUBSCRIPTIONS)
        figures.note("events expected", expected)
        figures.note("deliveries a second, in all", len(self.times) / (self.times[-1] - self.times[0]))
        figures.note("deliveries a second, in the best 5 s", _best(self.times, 5.0))
        figures.note("seconds until all had come, after the last write", round(seconds))
        missing = expected - self._count()
        repeated = sum(len(versions) - len(set(versions)) for versions in self.delivered.values())
        disorder = sum(_is_late(versions) for versions in self.delivered.values())
        figures.promise("events missing", missing, kept=missing == 0)
        figures.promise("events out of order", disorder, kept=disorder == 0)
        figures.promise("signatures that are wrong", self.wrong, kept=self.wrong == 0)
        # Two kills and a suspension, each with as many requests as a server has.
        figures.promise("events that came twice", repeated, kept=repeated <= 3 * _REQUESTS)
        often = sum(count > 4 for versions in self.delivered.values() for count in Counter(versions).values())
        figures.promise("events that came more often", often, kept=often == 0)


def _is_far(instant: str) -> bool:
    """So far that nothing is under way before it is asked for."""
    return datetime.fromisoformat(instant) > datetime.now(UTC) + timedelta(seconds=1.5)


def _best(times: list[float], seconds: float) -> float:
    """The most of them within so many seconds, by the second."""
    return max(bisect(times, start + seconds) - place for place, start in enumerate(times)) / seconds


def _is_late(versions: list[int]) -> int:
    """How many events came for the first time after a later one."""
    first = list(dict.fromkeys(versions))
    return sum(later < earlier for earlier, later in pairwise(first))
