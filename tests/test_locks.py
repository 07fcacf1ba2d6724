"""The locks fit what the project asks for."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUNTIME: list[str] = PROJECT["dependencies"]
DEVELOPMENT: list[str] = RUNTIME + PROJECT["optional-dependencies"]["dev"]


def locked(name: str) -> dict[str, str]:
    """The version of each package in a lock; each entry has a hash."""
    versions = {}
    for entry in (ROOT / name).read_text().replace("\\\n", " ").splitlines():
        requirement, _, hashes = entry.partition(" --hash=")
        assert hashes.startswith("sha256:"), entry
        package, _, version = requirement.partition(";")[0].strip().partition("==")
        versions[package] = version
    return versions


@pytest.mark.parametrize(
    ("name", "wanted"), [("requirements.txt", RUNTIME), ("requirements-dev.txt", DEVELOPMENT)]
)
def test_every_dependency_is_locked_at_a_version_that_will_do(name: str, wanted: list[str]) -> None:
    versions = locked(name)
    for text in wanted:
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[requirement.name]), f"run `make lock`: {text}"


def test_development_has_what_production_has() -> None:
    assert locked("requirements.txt").items() <= locked("requirements-dev.txt").items()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_names_no_index(name: str) -> None:
    assert "://" not in (ROOT / name).read_text()
