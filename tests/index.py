"""A package index on disk, on a later day: it has what the locks name, and a newer release of each.

The packages are made of those that are installed here. Most have no content but their metadata: the resolver
reads nothing else.
"""

import base64
import hashlib
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NEWER = "9999"
_TAG = "py3-none-any"


@dataclass(frozen=True)
class Entry:
    """A line of a lock without its hashes."""

    text: str
    requirement: Requirement

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (specifier,) = self.requirement.specifier
        return specifier.version

    @property
    def applies(self) -> bool:
        return self.requirement.marker is None or self.requirement.marker.evaluate()


def entries(lock: Path) -> Iterator[Entry]:
    for line in lock.read_text().replace("\\\n", " ").splitlines():
        text = line.partition(" --hash=")[0].strip()
        yield Entry(text, Requirement(text))


def versions(locks: Iterable[Path]) -> dict[str, str]:
    """What is installed from these locks here, by the name of the package."""
    return {entry.name: entry.version for lock in locks for entry in entries(lock) if entry.applies}


class Index:
    """`whole`: the packages that have to work once they are installed."""

    def __init__(self, folder: Path, pinned: dict[str, str], whole: Iterable[str]) -> None:
        self.environment = {
            "PIP_INDEX_URL": folder.as_uri(),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self._hashes: dict[str, str] = {}
        for name, version in pinned.items():
            installed = distribution(name)
            assert installed.version == version, f"`make setup`: {name} is {installed.version} here"
            project = folder / name
            project.mkdir(parents=True)
            wheels = [
                _wheel(project, installed, version, whole=name in whole),
                _wheel(project, installed, NEWER),
            ]
            (project / "index.html").write_text("".join(f'<a href="{w.name}">{w.name}</a>\n' for w in wheels))
            self._hashes[name] = hashlib.sha256(wheels[0].read_bytes()).hexdigest()

    def lock(self, lock: Path, target: Path) -> None:
        """Write the same lock with the hashes of what is to be had here."""
        lines = (
            f"{entry.text} --hash=sha256:{self._hashes[entry.name] if entry.applies else '0' * 64}\n"
            for entry in entries(lock)
        )
        target.write_text("".join(lines))


def _wheel(folder: Path, installed: Distribution, version: str, *, whole: bool = False) -> Path:
    name = canonicalize_name(installed.name).replace("-", "_")
    info = f"{name}-{version}.dist-info"
    metadata = re.sub(
        r"(?m)^Version: .*$", f"Version: {version}", installed.read_text("METADATA") or "", count=1
    )
    contents = dict(_contents(installed)) if whole else {}
    contents[f"{info}/METADATA"] = metadata.encode()
    contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {_TAG}\n".encode()
    if whole:
        contents[f"{info}/entry_points.txt"] = (installed.read_text("entry_points.txt") or "").encode()
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in contents.items())
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"{name}-{version}-{_TAG}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in contents.items():
            archive.writestr(path, data)
    return wheel


def _contents(installed: Distribution) -> Iterator[tuple[str, bytes]]:
    """The modules and the data of a package: what lies beside them was made when it was installed."""
    for path in installed.files or ():
        if not {"..", "__pycache__"} & set(path.parts) and not path.parts[0].endswith(".dist-info"):
            yield path.as_posix(), path.read_binary()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
