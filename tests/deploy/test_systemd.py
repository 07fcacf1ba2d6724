"""The unit: understood by systemd, confined, and in agreement with the server."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import ROOT, known_settings, settings_named_in

UNIT = ROOT / "deploy" / "taskwell.service"


def directives() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), flags=re.MULTILINE))


@pytest.fixture
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze")
    return program


def ours(folder: Path) -> Path:
    """The unit for the Python at hand; its verification wants a program that is there."""
    unit = folder / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/taskwell/bin/taskwell", f"{sys.executable} -m taskwell"))
    return unit


def test_systemd_understands_every_line(analyze: str, tmp_path: Path) -> None:
    done = subprocess.run([analyze, "verify", ours(tmp_path)], capture_output=True, text=True, check=False)
    assert UNIT.name not in done.stderr, done.stderr
    assert done.returncode == 0


def test_it_is_confined(analyze: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=15", ours(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:]


def test_it_runs_the_server_where_its_data_is() -> None:
    found = directives()
    assert found["ExecStart"].endswith("/taskwell serve")
    assert found["WorkingDirectory"] == f"/var/lib/{found['StateDirectory']}"
    assert settings_named_in(UNIT.read_text()) <= known_settings()


def test_its_end_by_a_signal_is_a_success() -> None:
    """test_image.py sees it end so; and it has longer than the server's own 10 s."""
    assert directives()["SuccessExitStatus"] == "143"
    assert int(directives()["TimeoutStopSec"]) > 10
