"""The workflows of CI: what they run exists, and what they use is pinned."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
_PINNED = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # v(\d+\.\d+\.\d+)")


def jobs(workflow: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(workflow.read_text())["jobs"]
    return found


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(workflow).values():
        yield from job["steps"]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
        ("vendor.github-issue-forms", FORMS),
    ],
)
def test_they_have_the_form_that_the_platform_reads(schema: str, files: list[Path]) -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [program, "--builtin-schema", schema, *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_pinned_by_its_commit() -> None:
    """An action has one digest and one version, wherever it is used; the version is what people read."""
    lines = [line for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    pins = [_PINNED.search(line) for line in lines]
    assert [line for line, pin in zip(lines, pins, strict=True) if pin is None] == []
    found = {pin.groups() for pin in pins if pin is not None}
    assert len(found) == len({name for name, _, _ in found}) >= 2


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_they_may_read_and_nothing_else(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {}
    assert all(job["permissions"] == {"contents": "read"} for job in jobs(workflow).values())
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(jobs(workflow))
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_python_that_is_supported_is_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    (check,) = [job for job in jobs(GITHUB / "workflows" / "ci.yml").values() if "strategy" in job]
    assert check["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"


def test_what_they_make_can_be_made() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    suites = jobs(GITHUB / "workflows" / "nightly.yml")["suite"]["strategy"]["matrix"]["suite"]
    runs = [step["run"] for workflow in WORKFLOWS for step in steps(workflow) if "run" in step]
    made = [match for run in runs for match in re.findall(r"\bmake ([a-z-]+)", run)]
    assert {"check", "commits"} <= set(made)
    assert {*made, *(suite.split()[0] for suite in suites)} <= targets
