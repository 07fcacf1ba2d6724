"""docs/architecture.md shows the packages as they are, in the order in which they import each other."""

import re
import tomllib
from itertools import pairwise

from tests.docs import DOCS, ROOT

PACKAGE = ROOT / "src" / "taskwell"
PICTURE = (DOCS / "architecture-packages.svg").read_text()


def layers() -> list[set[str]]:
    """From the top, as import-linter checks them; without the former address of the application."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    names = [{name.strip().removeprefix("taskwell.") for name in layer.split("|")} for layer in found]
    return [layer - {"main"} for layer in names]


def heights() -> dict[str, int]:
    """How far from the top the picture has each package."""
    boxes = re.findall(r'<text class="name" x="\d+" y="(\d+)">(\w+)</text>', PICTURE)
    return {name: int(y) for y, name in boxes}


def test_the_picture_has_the_layers_in_their_order() -> None:
    shown = heights()
    assert shown.keys() == set().union(*layers())
    for upper, lower in pairwise(layers()):
        assert max(shown[name] for name in upper) < min(shown[name] for name in lower)


def test_the_table_has_every_package() -> None:
    text = (DOCS / "architecture.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)(?:/|\.py)` \|", text, flags=re.MULTILINE))
    assert rows == set().union(*layers())
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"migrations"}
    assert folders <= rows
