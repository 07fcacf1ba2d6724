"""Figures in the prose are those of the modules that decide them."""

import ast
import re

import pytest

from tests.docs import DOCS, ROOT


def values(module: str) -> set[float]:
    """What the constants of a module are, whatever their names."""
    tree = ast.parse((ROOT / "src" / "taskwell" / module).read_text())
    assigned = (node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign))
    found = (node.value for node in assigned if isinstance(node, ast.Constant))
    return {float(value) for value in found if isinstance(value, int | float)}


@pytest.mark.parametrize(
    ("page", "figure", "module"),
    [
        ("threat-model.md", r"(\d+) slots", "http/admission.py"),
        ("threat-model.md", r"a queue of ([\d.]+) s", "http/admission.py"),
        ("glossary.md", r"(\d+) slots", "http/admission.py"),
        ("operations.md", r"serves (\d+) fast-path requests", "http/admission.py"),
        ("operations.md", r"answer in ([\d.]+) s", "http/admission.py"),
        ("operations.md", r"A client has (\d+) s to send", "http/connection.py"),
        ("decisions/0010-admission-control.md", r"there are (\d+) slots", "http/admission.py"),
        (
            "decisions/0010-admission-control.md",
            r"In a turn of the event loop (\d+) slots",
            "http/admission.py",
        ),
        (
            "decisions/0010-admission-control.md",
            r"before (\d+)\nrequests are in it",
            "database/coalescing.py",
        ),
        ("decisions/0010-admission-control.md", r"or (\d+) turns are over", "database/coalescing.py"),
        ("live-updates.md", r"at most ([\d,]+) streams", "services/live_changes.py"),
        ("live-updates.md", r"silent for (\d+) s", "services/live_changes.py"),
        ("rate-limits.md", r"at most ([\d,]+) event streams", "services/live_changes.py"),
    ],
)
def test_a_figure_is_that_of_the_module(page: str, figure: str, module: str) -> None:
    (found,) = re.findall(figure, (DOCS / page).read_text())
    assert float(found.replace(",", "")) in values(module)
