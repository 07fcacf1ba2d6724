"""The Python client."""

import tomllib
from pathlib import Path

import pytest

from clients import make
from harness.servers import server_process
from taskwell import __version__
from tests.clients import example, run, strict_server


@pytest.fixture(scope="module")
def interpreter() -> Path:
    return make.python()


def test_it_does_what_it_is_for(interpreter: Path, tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        told = run(interpreter, "-W", "error", "tests/smoke.py", server.url, cwd=make.PYTHON)
        assert told.splitlines()[-1] == "serves_many_users"
        run(interpreter, "-c", example(make.PYTHON / "README.md", "python", server.url), cwd=tmp_path)


def test_it_shows_its_token(interpreter: Path, tmp_path: Path) -> None:
    with strict_server(tmp_path) as (url, token):
        told = run(interpreter, "-W", "error", "tests/smoke.py", url, token, cwd=make.PYTHON)
    assert told.splitlines()[-1] == "serves_many_users: forbidden"


def test_it_is_typed(interpreter: Path) -> None:
    files = ("src/taskwell_client", "tests/smoke.py")  # the generated rooms too
    assert "no issues" in run(interpreter, "-m", "mypy", *files, cwd=make.PYTHON)


def test_its_version_is_the_servers() -> None:
    project = tomllib.loads((make.PYTHON / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__


def test_its_wheel_is_whole(interpreter: Path, tmp_path: Path) -> None:
    """It is installed, and the generated rooms came with it, though git does not know them."""
    (wheel,) = (make.PYTHON / "dist").glob("*.whl")
    assert wheel.name == f"taskwell_client-{__version__}-py3-none-any.whl"
    program = "import taskwell_client.api.tasks.create_task as m; print(m.__file__)"
    assert "site-packages" in run(interpreter, "-I", "-c", program, cwd=tmp_path)
