"""The tests on a later day: `python -m tests.later 5` runs them as in five years.

What follows the years is for pytest.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clients import make
from harness.packages import install_node

ROOT = Path(__file__).parents[1]
_YEAR = 31_556_952
_OUT_OF_REACH = (
    # It installs from a registry, whose certificate is of today.
    "tests/deploy/test_image.py::TestDockerfile::test_its_steps_make_a_server_that_is_healthy",
    # Files keep the times of today, by which a process that wrote one just now has long been silent.
    "tests/http/test_metrics.py::TestSeveralProcesses::test_whichever_is_asked_answers_for_all",
)


@contextmanager
def calendar(years: float) -> Iterator[Mapping[str, str]]:
    """The environment of programs that live so many years later. Timers and timeouts are as ever."""
    compiler = shutil.which("cc")
    assert compiler is not None, "a later day needs a C compiler"
    folder = Path(tempfile.mkdtemp(prefix="taskwell-later-"))
    try:
        folder.chmod(0o755)  # PostgreSQL runs as another user
        library = folder / "later.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-o", library, ROOT / "tests" / "later.c"], check=True
        )
        yield {"LD_PRELOAD": str(library), "AHEAD_SECONDS": str(int(years * _YEAR))}
    finally:
        shutil.rmtree(folder)


def main(years: float, arguments: list[str]) -> int:
    # What is fetched from registries is fetched today.
    make.python()
    make.typescript()
    for folder in (Path("harness", "issuers"), Path("tests", "openapi")):
        install_node(ROOT / folder)
    without = [part for test in _OUT_OF_REACH for part in ("--deselect", test)]
    with calendar(years) as environment:
        command = [sys.executable, "-m", "pytest", *without, *arguments]
        return subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
