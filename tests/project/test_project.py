"""The pages and commands around the code say what there is."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import taskwell
from stress.programs import PROGRAMS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "taskwell"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md")])


def names(page: str, heading: str, column: int) -> list[str]:
    """What stands as code in that column of the table under a heading."""
    text = (ROOT / page).read_text()
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", section, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([\w./]+)`", row.split(" | ")[column])]


class TestPackages:
    def test_the_readme_names_all_of_them(self) -> None:
        there = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
        assert set(names("README.md", "Packages", 0)) == there | {"app.py", "asgi.py", "main.py"}

    def test_the_readme_has_the_order_of_the_import_contract(self) -> None:
        contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
        (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
        depth = {name: index for index, layer in enumerate(layers) for name in layer.split(" | ")}
        depths = [depth.get(f"taskwell.{name}") for name in names("README.md", "Packages", 0)]
        found = [index for index in depths if index is not None]
        assert len(found) >= 9
        assert found == sorted(found)

    def test_the_files_on_the_way_of_a_request_are_there(self) -> None:
        named = names("CONTRIBUTING.md", "Where things are", 1)
        assert len(named) >= 9
        assert [name for name in named if not (SOURCE / name).exists()] == []


class TestVersion:
    def test_is_the_same_everywhere(self) -> None:
        client = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())
        images = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "kustomization.yaml").read_text())["images"]
        versions = {
            client["project"]["version"],
            json.loads((ROOT / "clients" / "typescript" / "package.json").read_text())["version"],
            json.loads((ROOT / "openapi.json").read_text())["info"]["version"],
            *(image["newTag"] for image in images),
        }
        assert versions == {taskwell.__version__}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
class TestPages:
    def test_links_lead_somewhere(self, page: Path) -> None:
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        local = [link for link in links if not link.startswith("http")]
        assert [link for link in local if not (page.parent / link).exists()] == []

    def test_what_they_make_can_be_made(self, page: Path) -> None:
        named = re.findall(r"(?:^ *|`)make ((?:[a-z-]+ ?)+)", page.read_text(), flags=re.MULTILINE)
        targets = {target for targets in named for target in targets.split()}
        assert targets <= set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))


class TestMake:
    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["make", "--no-print-directory", "--assume-old", ".venv/.ready", *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def test_help_lists_every_command_under_a_heading(self) -> None:
        commands = re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, flags=re.MULTILINE)
        first, *groups = self.run("help").split("\n\n")
        listed = re.findall(r"^  make (\S+) ", first + "\n".join(groups), flags=re.MULTILINE)
        assert sorted(listed) == sorted(commands)
        assert len(groups) >= 5
        assert all(re.match(r"[A-Z][a-z ]+\n  make ", group) for group in groups)

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_stress_runs_one_program_by_its_name(self, name: str) -> None:
        assert self.run("--dry-run", "stress", f"NAME={name}").split("-m ")[-1].split() == ["stress", name]

    def test_the_environment_names_no_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NAME", "my-laptop")
        assert self.run("--dry-run", "stress").split("-m ")[-1].split() == ["stress", "all"]

    def test_a_part_of_the_tests_is_run(self) -> None:
        for target in ("test", "test-fast"):
            assert self.run("--dry-run", target, "T=tests/core").rstrip().endswith(" tests/core")
