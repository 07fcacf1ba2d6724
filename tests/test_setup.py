"""The commands that set taskwell up, as printed, on a day when newer releases of everything are out."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.deploy import build_image, run_script
from tests.index import Index, versions

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
RUNTIME, DEVELOPMENT, BUILD = "requirements.txt", "requirements-dev.txt", "deploy/requirements-build.txt"
# The pages that say how to install, with where the programs of the environment are.
PAGES = {
    "README.md": ".venv/bin/",
    "docs/quickstart.md": ".venv/bin/",
    "docs/install.md": ".venv/bin/",
    "docs/deployment/systemd.md": "/opt/taskwell/bin/",
    "docs/deployment/windows.md": ".venv\\Scripts\\",
}
INSTALLERS = ("Makefile", "Dockerfile", "README.md", "docs/**/*.md", "clients/*.py", "bench/peers/*.py")


def locked(*locks: str) -> dict[str, str]:
    return versions(ROOT / lock for lock in locks)


def assert_has(environment: Path, *locks: str) -> None:
    """Exactly what these locks name, beside what a new environment of Python has by itself."""
    (packages,) = environment.glob("lib/python3*/site-packages")
    found: dict[str, str] = {
        canonicalize_name(one.name): one.version for one in distributions(path=[str(packages)])
    }
    expected = locked(*locks)
    assert {name: found.get(name) for name in expected} == expected
    assert found.keys() - expected.keys() <= {"pip", "setuptools", "taskwell"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Whole are pip, which replaces itself, and what builds the wheel."""
    whole = {*locked(BUILD), "editables", "pip"}
    return Index(tmp_path_factory.mktemp("index"), locked(RUNTIME, DEVELOPMENT, BUILD), whole)


@pytest.fixture
def clone(index: Index, tmp_path: Path) -> Path:
    """A fresh copy of the repository, whose locks have the hashes of that index."""
    clone = tmp_path / "taskwell"
    shutil.copytree(ROOT / "src", clone / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    (clone / "deploy").mkdir()
    for lock in (RUNTIME, DEVELOPMENT, BUILD):
        index.lock(ROOT / lock, clone / lock)
    return clone


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `python` and `pip` are, as Python brings them: 3.11.7 has pip 23.2.1."""
    python = tmp_path_factory.mktemp("python")
    run_script(f"'{sys.executable}' -m venv .", python, os.environ)
    return python / "bin"


@pytest.fixture
def environment(index: Index, python: Path, tmp_path: Path) -> Mapping[str, str]:
    """As good as empty."""
    return {"PATH": f"{python}:{os.environ['PATH']}", "HOME": str(tmp_path), **index.environment}


@pytest.mark.timeout(300)
class TestWithNewerReleasesOfEverything:
    def test_make_setup_installs_what_is_locked(self, clone: Path, environment: Mapping[str, str]) -> None:
        printed = run_script("make setup", clone, environment).splitlines()
        assert_has(clone / ".venv", DEVELOPMENT)
        assert printed[-1] == "No broken requirements found."
        assert "make: Nothing to be done" in run_script("make setup", clone, environment)

    def test_the_pages_commands_install_what_is_locked(
        self, clone: Path, environment: Mapping[str, str]
    ) -> None:
        pages = {page: installation(page) for page in PAGES}
        commands = pages["README.md"]
        assert all(found == commands for found in pages.values()), pages
        run_script("\n".join(["python3 -m venv .venv", *commands]), clone, environment)
        assert_has(clone / ".venv", RUNTIME, BUILD)

    def test_the_image_has_what_is_locked(self, clone: Path, environment: Mapping[str, str]) -> None:
        image = clone.parent / "image"
        build_image(image, clone, environment)
        assert_has(image / "opt" / "taskwell", RUNTIME)
        assert_has(image / "opt" / "build", BUILD)


def installation(page: str) -> list[str]:
    """The commands of a page that install, as they would be on Linux in a folder `.venv`."""
    lines = (ROOT / page).read_text().splitlines()
    found = (line for line in lines if line.startswith(f"{PAGES[page]}pip "))
    return [line.replace(PAGES[page], ".venv/bin/") for line in found]


def test_whoever_installs_a_lock_leaves_nothing_to_resolve() -> None:
    """A resolver may ask for releases that came after the lock."""
    installs = [
        line
        for pattern in INSTALLERS
        for path in ROOT.glob(pattern)
        for line in path.read_text().splitlines()
        if re.search(r"\binstall\b.*--require-hashes", line)
    ]
    assert len(installs) >= 9
    assert [line for line in installs if "--no-deps" not in line] == []
