"""Streams of live changes."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from field.matrix import GZIP, NotHere, Site, check, new_tasks, situation

_SOON_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Record:
    id: str | None
    event: str | None
    data: str | None


def _records(answer: httpx2.Response) -> Iterator[Record]:
    """As a client reads them (HTML standard, 9.2.6), comments left out."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif not line and fields:
            yield Record(fields.get("id"), fields.get("event"), fields.get("data"))
            fields = {}


def _changes(records: Iterator[Record]) -> Iterator[dict[str, Any]]:
    for record in records:
        if record.event == "task":
            yield json.loads(record.data or "")


@contextmanager
def _stream(
    site: Site, path: str, seconds: float = _SOON_SECONDS, last_id: str | None = None
) -> Iterator[httpx2.Response]:
    """Raises ReadTimeout: nothing has come for so long."""
    headers = {**GZIP, "Accept": "text/event-stream"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    timeout = httpx2.Timeout(30, read=seconds + 8)  # the machine may be busy; how long it took is asked below
    with (
        httpx2.Client(base_url=site.url, timeout=timeout, trust_env=False, verify=False) as client,
        client.stream("GET", path, headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.status_code
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.headers
        yield answer


@situation("a stream whose client has gone ends at the server")
def abandoned(site: Site) -> None:
    """The proxy notices with the next change at the latest."""
    tasks = new_tasks()
    events = tasks.replace("/tasks", "/events?since=0")
    with site.client() as client:
        # Those of clients before. Without a change Varnish notices at the third heartbeat, after 45 s.
        _wait_for_streams(site, 0, seconds=70)
        with _stream(site, events) as answer:
            check(client.post(tasks, json={"title": "a"}), 201)
            changes = _changes(_records(answer))
            next(changes)
            _wait_for_streams(site, 1)
        _wait_for_streams(site, 0, lambda: check(client.post(tasks, json={"title": "b"}), 201))


@situation("events come within 2 s, with Accept-Encoding: gzip")
def arrives(site: Site) -> None:
    tasks = new_tasks()
    with site.client() as client, _stream(site, tasks.replace("/tasks", "/events")) as answer:
        changes = _changes(_records(answer))
        for title in ("a", "b", "c"):
            check(client.post(tasks, json={"title": title}), 201)
            sent = time.monotonic()
            assert next(changes)["title"] == title
            assert (took := time.monotonic() - sent) < _SOON_SECONDS, f"it took {took:.1f} s"


@situation("events go on behind Last-Event-ID")
def replayed(site: Site) -> None:
    tasks = new_tasks()
    events = tasks.replace("/tasks", "/events")
    with site.client() as client:
        versions = [check(client.post(tasks, json={"title": f"{n}"}), 201)["version"] for n in range(5)]
        with _stream(site, events, last_id=f"{versions[1]}") as answer:
            changes = _changes(_records(answer))
            assert [next(changes)["version"] for _ in range(3)] == versions[2:]
        with _stream(site, f"{events}?since=0") as answer:
            changes = _changes(_records(answer))
            assert [next(changes)["version"] for _ in range(5)] == versions


@situation("a stream that is cut before its first event loses nothing")
def cut_early(site: Site) -> None:
    tasks = new_tasks()
    events = tasks.replace("/tasks", "/events")
    with site.client() as client:
        check(client.post(tasks, json={"title": "before"}), 201)
        with _stream(site, events) as answer:
            first = next(_records(answer))
        assert first.id, first
        assert first.event != "task", first
        missed = check(client.post(tasks, json={"title": "missed"}), 201)
        with _stream(site, events, last_id=first.id) as answer:
            assert next(_changes(_records(answer)))["version"] == missed["version"]
        with _stream(site, f"{events}?lastEventId={first.id}") as answer:
            assert next(_changes(_records(answer)))["version"] == missed["version"]


@situation("a silent stream lives for 70 s", everywhere=None)
def silent(site: Site) -> None:
    tasks = new_tasks()
    with site.client() as client, _stream(site, tasks.replace("/tasks", "/events"), 20) as answer:
        begun = time.monotonic()
        lines = answer.iter_lines()
        while time.monotonic() < begun + 70:
            next(lines)
        check(client.post(tasks, json={"title": "late"}), 201)
        while "late" not in next(lines):
            pass


def _wait_for_streams(
    site: Site, count: int, meanwhile: Callable[[], object] = lambda: None, *, seconds: float = 40
) -> None:
    deadline = time.monotonic() + seconds
    while (open_ones := _streams(site)) != count:
        assert time.monotonic() < deadline, f"the server still has {open_ones} streams"
        meanwhile()
        time.sleep(0.1)


def _streams(site: Site) -> int:
    answer = httpx2.get(f"http://127.0.0.1:{site.direct}/metrics", trust_env=False, verify=False, timeout=30)
    if answer.status_code != 200:
        raise NotHere("no metrics")
    lines = (line for line in answer.text.splitlines() if line.startswith("taskwell_event_streams "))
    return int(float(next(lines).split()[1]))
