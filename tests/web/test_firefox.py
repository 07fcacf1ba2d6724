"""A visit in Firefox, by WebDriver BiDi: Playwright drives no Firefox but its own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.node import install, program
from tests.web.conftest import Visitor

HERE = Path(__file__).parent


@pytest.mark.timeout(300)
def test_a_visit(visit_each: Visitor) -> None:
    firefox = shutil.which("firefox-esr") or shutil.which("firefox")
    if firefox is None and "CI" not in os.environ:
        pytest.skip("no firefox-esr: this test needs it")
    assert firefox is not None, "CI needs firefox-esr"
    install(HERE)
    command = [program("node"), str(HERE / "firefox.mjs"), firefox, visit_each.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert visit_each.titles() == ["Buy oat milk", "Call mum"]
    mum, milk = sorted(visit_each.tasks(), key=lambda task: str(task["title"]), reverse=True)
    assert (mum["labels"], mum["priority"], mum["due"][10:]) == (["phone"], 1, "T18:00:00")
    assert (milk["completed"], milk["due"]) == (False, None)
