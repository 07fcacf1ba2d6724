"""The dashboard, the alerts and the page name what /metrics shows, and nothing else."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from harness.servers import LocalServer
from tests.deploy import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "taskwell.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
PAGE = ROOT / "docs" / "metrics.md"
# What Prometheus itself adds.
THEIRS = {"up", "instance", "job", "le"}


def expressions() -> Iterator[str]:
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    yield from (rule["expr"] for rule in group["rules"])


def labels_in(expression: str) -> set[str]:
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    return {label.strip() for group in grouped for label in group.split(",")} | set(matched)


@pytest.fixture
def shown(server: LocalServer, client: httpx2.Client) -> dict[str, set[str]]:
    """The names of all samples, with their labels."""
    client.get("/api/tasks/00000000-0000-7000-8000-000000000000")
    server.app.state.metrics.unavailable["busy"] += 1
    server.database.retries["lost"] += 1
    names: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
    return names


def test_what_they_ask_for_is_there(shown: dict[str, set[str]]) -> None:
    for expression in expressions():
        named = set(re.findall(r"\b(?:taskwell|process)_[a-z_]+", expression))
        assert named <= shown.keys(), expression
        labels = set().union(*(shown[name] for name in named)) if named else set()
        assert labels_in(expression) <= labels | THEIRS, expression


def test_the_page_lists_what_is_there(shown: dict[str, set[str]]) -> None:
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE.read_text(), flags=re.MULTILINE)
    listed = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    families: dict[str, set[str]] = {}
    for name, labels in shown.items():
        families.setdefault(re.sub(r"_(bucket|count|sum)$", "", name), set()).update(labels - {"le"})
    assert listed == families
