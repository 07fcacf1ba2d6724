"""Node's programs and packages, for the tests that need them."""

import os
import shutil
from pathlib import Path

import pytest

from harness.packages import install_node


def install(folder: Path) -> None:
    """Once for each content of the lock file, whichever worker comes first."""
    program("npm")
    install_node(folder)


def program(name: str) -> str:
    """Where Node's program is; a machine without Node goes without the tests that need it, CI does not."""
    path = shutil.which(name)
    if path is None and "CI" not in os.environ:
        pytest.skip(f"no {name}: these tests need Node.js 20 or later")
    assert path is not None, f"CI needs {name}"
    return path
