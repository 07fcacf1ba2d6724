"""The wheel holds everything that a server needs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.mark.plan("A4", "A8", "A13")
def test_an_installed_wheel_migrates_and_shows_its_docs(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
            "--disable-pip-version-check", "--wheel-dir", tmp_path, ROOT,
        ],
        check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("taskwell-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "import taskwell.cli as c; print(c.__file__); c.app(['db', 'upgrade'])"],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    assert (elsewhere / "taskwell.db").exists()
    assert (installed / "taskwell" / "py.typed").exists()
    static = installed / "taskwell" / "rest" / "static" / "swagger-ui"
    assert {path.name for path in static.iterdir()} >= {"swagger-ui-bundle.js", "swagger-ui.css", "LICENSE"}
