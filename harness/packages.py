"""What is installed or made once for each content of its inputs, by programs of other languages."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock


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
