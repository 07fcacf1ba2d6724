"""The TypeScript client, compiled strictly and run by Node."""

import json
from pathlib import Path

import pytest

from clients import make
from harness.node import program
from harness.packages import once
from harness.servers import server_process
from taskwell import __version__
from tests.clients import example, run, strict_server

TSC = "node_modules/typescript/bin/tsc"


@pytest.fixture(scope="module")
def folder() -> Path:
    """With its tests compiled, too. `slips.ts` compiles only because the types refuse each of its slips."""
    node = program("node")
    folder = make.typescript()
    inputs = [make.DOCUMENT, folder / "src" / "index.ts", *sorted((folder / "tests").glob("*.ts"))]
    once(folder, "dist-tests", inputs, lambda: run(node, TSC, "--project", "tests", cwd=folder))
    return folder


def test_it_does_what_it_is_for(folder: Path, tmp_path: Path) -> None:
    node = program("node")
    with server_process(tmp_path) as server:
        told = run(node, "dist-tests/smoke.js", server.url, cwd=folder)
        assert told.splitlines()[-1] == "servesManyUsers"
        shown = folder / "dist-tests" / "readme.js"
        shown.write_text(example(folder / "README.md", "ts", server.url))
        assert run(node, shown, cwd=folder).splitlines()[0] == "Buy milk"


def test_it_shows_its_token(folder: Path, tmp_path: Path) -> None:
    with strict_server(tmp_path) as (url, token):
        told = run(program("node"), "dist-tests/smoke.js", url, token, cwd=folder)
    assert told.splitlines()[-1] == "servesManyUsers: forbidden"


def test_its_version_is_the_servers() -> None:
    for name in ("package.json", "package-lock.json"):
        assert json.loads((make.TYPESCRIPT / name).read_text())["version"] == __version__


def test_its_package_is_whole(folder: Path) -> None:
    (packed,) = json.loads(run(program("npm"), "pack", "--dry-run", "--json", cwd=folder))
    assert {file["path"] for file in packed["files"]} == {
        "README.md", "package.json", "dist/index.js", "dist/index.d.ts", "dist/schema.js", "dist/schema.d.ts",
    }  # fmt: skip
