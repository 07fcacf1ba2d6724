"""Peers are installed beside the project, in `bench/.peers`: the folder may be removed at any time."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parent
ROOM = SOURCES.parent / ".peers"


class NotToBeHad(Exception):
    """The message says what is missing."""


def install(peer: str) -> Path:
    """A copy of the peer with all that it needs, made once for each content of its lock."""
    room = ROOM / peer
    shutil.copytree(SOURCES / peer, room, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (ROOM / ".gitignore").write_text("*\n")
    python = (room / "requirements.txt").exists()
    lock = room / ("requirements.txt" if python else "package-lock.json")
    installed = room / ".installed"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        try:
            (_install_python if python else _install_node)(room)
        except subprocess.CalledProcessError as error:
            raise NotToBeHad(f"`{' '.join(map(str, error.cmd))}` failed") from None
        shutil.copyfile(lock, installed)
    return room


def versions(peer: str) -> list[str]:
    """What the peer is made of, as name==version."""
    folder = SOURCES / peer
    if (folder / "package.json").exists():
        wanted = json.loads((folder / "package.json").read_text())["dependencies"]
        return [f"{name}=={version}" for name, version in wanted.items()]
    return (folder / "requirements.in").read_text().split()


def python_of(room: Path) -> Path:
    return room / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def node() -> str:
    return _program("node")


def _install_python(room: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", room / "venv"], check=True)
    pip = [str(python_of(room)), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    lock = str(room / "requirements.txt")
    subprocess.run([*pip, "install", "--require-hashes", "--no-deps", "-r", lock], check=True)
    subprocess.run([*pip, "check"], check=True)


def _install_node(room: Path) -> None:
    npm = _program("npm")
    subprocess.run([npm, "ci"], cwd=room, check=True)
    if not (room / "node_modules" / "better-sqlite3").exists():
        return
    # The only one whose installation is more than unpacking: it has SQLite itself to compile.
    done = subprocess.run(
        [npm, "rebuild", "better-sqlite3", "--ignore-scripts=false"],
        cwd=room,
        env=os.environ | _native_build(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotToBeHad(f"better-sqlite3 cannot be built (it needs make and g++): {done.stderr[-500:]}")


def _native_build() -> dict[str, str]:
    """With Node's headers at hand nothing more has to be fetched; without them a binary has."""
    prefix = Path(node()).resolve().parent.parent
    if not (prefix / "include" / "node" / "node.h").exists():
        return {}
    return {"npm_config_build_from_source": "true", "npm_config_nodedir": str(prefix)}


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise NotToBeHad(f"no {name}: this peer needs Node.js 20 or later")
    return path
