"""Metrics for Prometheus.

Requests are counted in plain numbers, and the text is made when Prometheus asks for it: a request costs a
look-up and two additions. Several processes behind one port exchange their numbers by files in a folder, once
a second, so each of them answers for all. Counts of a process remain after it has ended.
"""

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from taskwell import __version__
from taskwell.core.histogram import SECONDS, Histogram
from taskwell.database.database import Database
from taskwell.http.prefixes import REST_METHODS
from taskwell.http.request_state import request_state
from taskwell.schemas.webhook import OUTCOMES
from taskwell.services.live_changes import Feed

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_ROUTE = "none"
# Exported as 0 from the start, so that an alert sees the first increase.
_REASONS = ("away", "busy", "preparing", "read_only", "damaged", "outcome_unknown", "keys", "full")
_TOLD_EVERY_SECONDS = 1.0
_SILENT_SECONDS = 15.0  # a process whose file is older has ended

# How the numbers of several processes are merged, if not by addition.
_MERGED = {"taskwell_info": max, "process_start_time_seconds": min, "taskwell_webhooks_failing": max}


class Metrics:
    """The counts of one process.

    `folder`: where several processes exchange theirs. `methods`: those with a label of their own, beside
    OPTIONS.
    """

    def __init__(self, folder: Path | None = None, methods: Iterable[str] = REST_METHODS) -> None:
        self.under_way = 0
        self._methods = frozenset({*methods, "OPTIONS"})
        self.unavailable = Counter(dict.fromkeys(_REASONS, 0))
        self.deliveries: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self.webhooks_failing = 0  # of all users, as the database was last read
        self._requests: dict[tuple[str, str, int], Histogram] = {}
        self._started = time.time()
        self._file = folder / f"{os.getpid()}-{time.time_ns()}.json" if folder else None

    def note_request(self, method: str, route: str, status: int, seconds: float) -> None:
        durations = self._requests.get((method, route, status))
        if durations is None:  # an unknown method can be any word, and labels must be few
            known = (method if method in self._methods else "other", route, status)
            durations = self._requests.setdefault(known, Histogram(SECONDS))
        durations.add(seconds)

    def page(self, database: Database, feed: Feed) -> bytes:
        """The metrics of all processes, in the text format of Prometheus."""
        own = [*self._counters(database), *self._gauges(database, feed)]
        return generate_latest(_Page(_merged([own, *self._read_other_processes()])))

    async def publish_forever(self, database: Database, feed: Feed) -> None:
        """Write the file for the other processes until cancelled; at the end without gauges."""
        if self._file is None:
            return
        try:
            while True:
                self._write_file([*self._counters(database), *self._gauges(database, feed)])
                await asyncio.sleep(_TOLD_EVERY_SECONDS)
        finally:
            self._write_file(self._counters(database))

    def _write_file(self, families: Iterable[Metric]) -> None:
        assert self._file is not None
        new = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):  # the next attempt may succeed
            new.write_text(json.dumps([_Family.of(family) for family in families]))
            new.replace(self._file)

    def _read_other_processes(self) -> Iterator[list[Metric]]:
        files = self._file.parent.glob("*.json") if self._file else ()
        for file in files:
            if file == self._file:
                continue
            with contextlib.suppress(OSError):
                silent = time.time() - file.stat().st_mtime > _SILENT_SECONDS
                told = [_Family(*members).metric() for members in json.loads(file.read_text())]
                yield [family for family in told if not (silent and family.type == "gauge")]

    def _counters(self, database: Database) -> Iterator[Metric]:
        requests = HistogramMetricFamily(
            "taskwell_http_request_duration_seconds",
            "Requests, and how long each took until its answer was sent",
            labels=("method", "route", "status"),
        )
        for (method, route, status), durations in self._requests.items():
            _add(requests, (method, route, str(status)), durations)
        groups = HistogramMetricFamily(
            "taskwell_group_size", "Size of the groups of coalesced reads and writes", labels=("of",)
        )
        for name, sizes in database.group_sizes().items():
            _add(groups, (name,), sizes)
        yield requests
        yield groups
        yield _counter(
            "taskwell_unavailable", "Answers 503 and 507, by their reason", "reason", self.unavailable
        )
        yield _counter(
            "taskwell_database_retries", "Transactions that were retried", "fault", database.retries
        )
        yield _counter(
            "taskwell_webhook_deliveries",
            "Attempts to send an event to a webhook",
            "outcome",
            self.deliveries,
        )
        timeouts = database.backend.pool_numbers().get("timeouts", 0)
        timed_out = "Requests that got no connection in time"
        yield CounterMetricFamily("taskwell_database_pool_timeouts", timed_out, value=timeouts)
        cpu = "Total user and system CPU time spent in seconds"
        yield CounterMetricFamily("process_cpu_seconds", cpu, value=time.process_time())

    def _gauges(self, database: Database, feed: Feed) -> Iterator[Metric]:
        info = GaugeMetricFamily("taskwell_info", "What runs", labels=("version", "database"))
        info.add_metric((__version__, database.backend.dialect), 1)
        yield info
        yield GaugeMetricFamily("taskwell_processes", "Processes that serve", value=1)
        yield GaugeMetricFamily(
            "taskwell_http_requests_in_progress", "Requests in progress", value=self.under_way
        )
        yield from _of_the_database(database)
        yield GaugeMetricFamily("taskwell_event_streams", "Open streams of live changes", value=feed.streams)
        yield GaugeMetricFamily(
            "taskwell_event_users", "Users with an open stream of live changes", value=feed.users
        )
        yield GaugeMetricFamily(
            "taskwell_webhooks_failing",
            "Webhooks whose latest attempt failed, or that were switched off for it",
            value=self.webhooks_failing,
        )
        start = "Start time of the process since the Unix epoch in seconds"
        yield GaugeMetricFamily("process_start_time_seconds", start, value=self._started)
        yield from _of_the_system()


class _Family(NamedTuple):
    """A metric that can be serialized."""

    name: str
    documentation: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]

    @classmethod
    def of(cls, metric: Metric) -> "_Family":
        samples = [(sample.name, sample.labels, sample.value) for sample in metric.samples]
        return cls(metric.name, metric.documentation, metric.type, samples)

    def metric(self) -> Metric:
        metric = Metric(self.name, self.documentation, self.type)
        for name, labels, value in self.samples:
            metric.add_sample(name, labels, value)
        return metric


class _Page(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _merged(told: Iterable[list[Metric]]) -> Iterator[Metric]:
    """One family for each name, merged over all processes."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]] = {}
    for family in (family for families_of_one in told for family in families_of_one):
        families.setdefault(family.name, family)
        samples = values.setdefault(family.name, {})
        for sample in family.samples:
            samples.setdefault((sample.name, tuple(sample.labels.items())), []).append(sample.value)
    for name, family in families.items():
        merge: Any = _MERGED.get(name, sum)
        metric = Metric(name, family.documentation, family.type)
        for (sample_name, labels), numbers in values[name].items():
            metric.add_sample(sample_name, dict(labels), merge(numbers))
        yield metric


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram) -> None:
    so_far, buckets = 0, []
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    family.add_metric(labels, buckets, histogram.total)


def _counter(name: str, documentation: str, label: str, counts: Counter[str]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def _of_the_database(database: Database) -> Iterator[Metric]:
    """Gauges that can be added up over processes."""
    backend = database.backend
    pool = backend.pool_numbers()
    connections = GaugeMetricFamily(
        "taskwell_database_connections", "Connections to the database", labels=("state",)
    )
    for state in ("in_use", "idle"):
        connections.add_metric((state,), pool[state])
    yield connections
    for name, documentation, value in (
        ("available", "Processes to which the database is available", int(database.available)),
        ("connections_max", "How many connections there may be", backend.max_connections),
        ("waiting", "Requests that wait for a connection, or for SQLite's writer", backend.waiting),
    ):
        yield GaugeMetricFamily(f"taskwell_database_{name}", documentation, value=value)


def _of_the_system() -> Iterator[Metric]:
    """Gauges of the process; on Linux only."""
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE")
        yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory in bytes", value=resident)
        files = sum(1 for _ in Path("/proc/self/fd").iterdir())
        yield GaugeMetricFamily("process_open_fds", "Open file descriptors", value=files)


def route_of(scope: Scope) -> str:
    """The template of a request's route."""
    state = request_state(scope)
    if state.route is not None:
        return state.route
    if state.prefix is not None and state.prefix.route is not None:
        return state.prefix.route
    context = scope.get("fastapi", {}).get("effective_route_context")
    found = getattr(context, "path_format", None) or getattr(scope.get("route"), "path_format", None)
    return found or NO_ROUTE
