"""Generate the clients from openapi.json, and build them as they would be published."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from harness.packages import install_node, once, run

CLIENTS = Path(__file__).parent
DOCUMENT = CLIENTS.parent / "openapi.json"
PYTHON = CLIENTS / "python"
TYPESCRIPT = CLIENTS / "typescript"
# What the generator makes; the rest of the package is written by hand.
GENERATED = ("api", "models", "client.py", "errors.py", "types.py")


def python() -> Path:
    """The wheel, installed in the environment that is returned: a Python that can import it."""
    interpreter = PYTHON / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    lock = PYTHON / "requirements.txt"
    once(PYTHON, ".venv", [lock], lambda: _environment(interpreter, lock))
    by_hand = ("generator.json", "pyproject.toml", "README.md", "src/taskwell_client/__init__.py")
    inputs = [DOCUMENT, lock, *(PYTHON / name for name in by_hand)]
    once(PYTHON, "dist", inputs, lambda: _wheel(interpreter))
    return interpreter


def typescript() -> Path:
    """The package's folder, with what it needs and `dist`."""
    install_node(TYPESCRIPT)
    by_hand = ("package.json", "tsconfig.json", "src/index.ts")
    inputs = [DOCUMENT, *(TYPESCRIPT / name for name in by_hand)]
    once(TYPESCRIPT, "dist", inputs, _dist)
    return TYPESCRIPT


def _environment(interpreter: Path, lock: Path) -> None:
    shutil.rmtree(PYTHON / "dist", ignore_errors=True)  # what it had installed is gone
    uv = (sys.executable, "-m", "uv", "--quiet")
    run(*uv, "venv", "--clear", "--python", sys.executable, ".venv", cwd=PYTHON)
    install = ("install", "--python", interpreter, "--require-hashes", "--no-deps", "-r", lock)
    run(*uv, "pip", *install, cwd=PYTHON)
    run(*uv, "pip", "check", "--python", interpreter, cwd=PYTHON)


def _wheel(interpreter: Path) -> None:
    package, dist = PYTHON / "src" / "taskwell_client", PYTHON / "dist"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        run(
            interpreter, "-m", "openapi_python_client", "generate", "--path", DOCUMENT, "--meta", "none",
            "--config", PYTHON / "generator.json", "--output-path", made, "--fail-on-warning", cwd=PYTHON,
        )  # fmt: skip
        for name in GENERATED:
            shutil.rmtree(package / name, ignore_errors=True)
            shutil.move(made / name, package / name)
    shutil.rmtree(dist, ignore_errors=True)
    run(interpreter, "-m", "hatchling", "build", "--target", "wheel", cwd=PYTHON)
    (wheel,) = dist.glob("*.whl")
    install = ("install", "--python", interpreter, "--no-deps", "--reinstall", wheel)
    run(sys.executable, "-m", "uv", "--quiet", "pip", *install, cwd=PYTHON)


def _dist() -> None:
    shutil.rmtree(TYPESCRIPT / "dist", ignore_errors=True)
    run("npm", "run", "--silent", "build", cwd=TYPESCRIPT)
