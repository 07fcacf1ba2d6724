"""docs/requirements.md names, for each row of the founding plans, the tests that are marked with it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "requirements.md"
ROWS = [
    *(f"A{number}" for number in range(1, 14)),
    *(f"B{number}" for number in range(1, 5)),
    *(f"R{number}" for number in range(1, 4)),
    *(f"SC-{number:03}" for number in range(1, 11)),
]


def marked() -> dict[str, list[str]]:
    """Row by row the classes and functions of tests that carry its mark."""
    proofs: dict[str, list[str]] = {row: [] for row in ROWS}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, rows in marks(ast.parse(path.read_text())):
            for row in rows:
                proofs[row].append(f"{path.relative_to(ROOT)}::{name}")
    return {row: sorted(named) for row, named in proofs.items()}


def marks(tree: ast.AST, within: str = "") -> Iterator[tuple[str, list[str]]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.plan":
                    yield within + node.name, [ast.literal_eval(argument) for argument in decorator.args]
            yield from marks(node, f"{within}{node.name}::")


def listed() -> dict[str, list[str]]:
    rows = re.findall(r"^\| (\S+) \|[^|]*\| (.*) \|$", PAGE.read_text(), flags=re.MULTILINE)
    return {row: sorted(re.findall(r"`([^`]+)`", proofs)) for row, proofs in rows if row in ROWS}


def test_every_row_is_proved_by_the_tests_that_the_page_names() -> None:
    assert listed() == marked()


def test_no_row_is_without_a_test() -> None:
    assert [row for row, proofs in marked().items() if not proofs] == []
