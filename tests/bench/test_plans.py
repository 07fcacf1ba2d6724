"""The programs that write the pages of figures still run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_the_plans_of_every_statement_can_be_had(tmp_path: Path) -> None:
    page = tmp_path / "plans.md"
    command = [sys.executable, "-m", "bench.plans", "--tasks", "10000", "--output", str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    operations = re.findall(
        r"^\| (change, guarded|toggle a task with others|last numbers of 100 users) \|",
        page.read_text(),
        re.MULTILINE,
    )
    assert len(operations) == 3
