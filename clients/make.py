"""Generate the clients from openapi.json, and build them as they would be published."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock

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


def install_node(folder: Path) -> None:
    """Install what its package-lock.json says."""
    lock = folder / "package-lock.json"
    once(folder, "node_modules", [lock], lambda: run("npm", "ci", "--loglevel=error", cwd=folder))


def once(folder: Path, made: str, inputs: Iterable[Path], work: Callable[[], object]) -> None:
    """Make `folder / made` once for each content of the inputs, whichever process comes first."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    stamp = folder / f".made-{made.strip('.')}"
    with FileLock(folder / ".install.lock"):
        if not ((folder / made).exists() and stamp.exists() and stamp.read_text() == digest):
            work()
            stamp.write_text(digest)


def run(*command: str | Path, cwd: Path) -> None:
    program, *arguments = command
    done = subprocess.run(
        [shutil.which(program) or program, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


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
