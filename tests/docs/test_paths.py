"""Every file, folder, class and function of the repository that a page names is in the tree."""

import re
from pathlib import Path

import pytest

from tests.docs import PAGES, ROOT, name, prose

# Pages name a module from the root, or from the package.
FOLDERS = (ROOT, ROOT / "src" / "taskwell")
_SPAN = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"([\w.-]+(?:/[\w.-]+)*/?)((?:::\w+)*)")
_SUFFIXES = (".py", ".md", ".toml", ".yaml", ".json", ".mjs", ".svg", ".txt", ".service")
# Files that a reader writes, or that a command makes.
_THEIRS = {"todos.py", "fly.toml", "render.yaml", "kustomization.yaml"}


def is_of_the_tree(path: str) -> bool:
    """Whether it can only be meant as one: by its first part, or by its suffix."""
    first, slash, _ = path.partition("/")
    if not slash:
        return path.endswith(".py")
    return path.endswith(_SUFFIXES) or any((folder / first).is_dir() for folder in FOLDERS)


def named(text: str) -> list[tuple[str, list[str]]]:
    """The paths in a page, each with the names behind its `::`."""
    found = (_PATH.fullmatch(span) for span in _SPAN.findall(prose(text)))
    return [
        (match[1], match[2].split("::")[1:])
        for match in found
        if match and match[1] not in _THEIRS and is_of_the_tree(match[1])
    ]


def places(path: str) -> list[Path]:
    if "/" in path:
        return [folder / path for folder in FOLDERS if (folder / path).exists()]
    return [*(ROOT / "src").rglob(path), *(ROOT / "tests").rglob(path)]


def lacks(path: str, names: list[str]) -> bool:
    found = places(path)
    texts = [place.read_text() for place in found if place.is_file()] if names else []
    return not found or any(
        not any(re.search(rf"^\s*(?:async def|def|class) {one}\b", text, re.MULTILINE) for text in texts)
        for one in names
    )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_names_is_in_the_tree(page: Path) -> None:
    missing = [path for path, names in named(page.read_text()) if lacks(path, names)]
    assert missing == []


@pytest.mark.parametrize(
    "slip",
    ["services/none.py", "rest/none/", "none.py", "tests/docs/test_paths.py::TestNone", "none/tasks.py"],
)
def test_a_slip_is_noticed(slip: str) -> None:
    assert [path for path, names in named(f"In `{slip}`.") if lacks(path, names)] == [
        slip.split("::", maxsplit=1)[0]
    ]


@pytest.mark.parametrize(
    "other", ["application/json", "/api/tasks", "mutants/", "postgresql://db/app", "GET"]
)
def test_other_things_are_not_taken_for_paths(other: str) -> None:
    assert named(f"`{other}`") == []
