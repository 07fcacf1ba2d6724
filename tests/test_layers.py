"""What the folders beside the package may import, so that each can be read and run without the others."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = ("bench", "field", "fuzz", "security", "stress")


def imported_folders(folder: str) -> Iterator[tuple[str, str]]:
    """Each module of a folder with the first name of what it imports."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        if ".peers" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [node.module]
            yield from ((str(path.relative_to(ROOT)), name.partition(".")[0]) for name in names)


@pytest.mark.parametrize("folder", ["harness", *PROGRAMS])
def test_the_harness_and_its_users_import_no_tests_and_no_other_user(folder: str) -> None:
    imports = list(imported_folders(folder))
    assert imports
    forbidden = {"tests", "clients", *PROGRAMS} - {folder}
    assert [(path, name) for path, name in imports if name in forbidden] == []


def test_the_package_imports_none_of_them() -> None:
    forbidden = {"tests", "harness", "clients", *PROGRAMS}
    assert [(path, name) for path, name in imported_folders("src") if name in forbidden] == []
