"""PostgreSQL itself: the floor's statements, prepared, over as many connections as there are clients."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from bench.peers.asgi.postgres import CREATE, LIST, READ, STATE, TOGGLE
from bench.peers.data import EACH, LISTER, OTHERS, OWN, WRITER, task_id
from bench.peers.workloads import Run, Workload
from harness.postgres import binaries, debian_binaries

_OWN_TASK = f"\\set n random(1, {OWN})\n"
_OTHER_TASK = f"\\set other random(0, {OTHERS - 1})\n\\set n (:other + 1) * 1000000 + random(1, {EACH})\n"
_ID = f"('{task_id(0)[:-12]}' || lpad(to_hex(:n::int), 12, '0'))::uuid"
_OTHER = "('other-' || :other::int)"
_NEW = ("'Buy milk'", "'Two litres of it'")


def _with(statement: str, *values: str) -> str:
    for place, value in enumerate(values, 1):
        statement = statement.replace(f"${place}", value)
    return f"{' '.join(statement.split())};\n"


_OWNER = f"'{LISTER}'"
_SCRIPTS: Mapping[str, Mapping[str, int]] = {
    "W1": {_OWN_TASK + _with(READ, _OWNER, _ID): 1},
    "W2": {_with(CREATE, f"'{WRITER}'", *_NEW): 1},
    "W3": {_with(f"{LIST} LIMIT 50", _OWNER): 1},
    "W4": {_with(LIST, _OWNER): 1},
    "W5": {_OWN_TASK + _with(TOGGLE, _OWNER, _ID): 1},
    "W6": {_with(STATE, _OWNER): 1},
    "W7": {
        _OTHER_TASK + _with(READ, _OTHER, _ID): 60,
        _OTHER_TASK + _with(f"{LIST} LIMIT 50", _OTHER): 30,
        _OTHER_TASK + _with(CREATE, _OTHER, *_NEW): 5,
        _OTHER_TASK + _with(TOGGLE, _OTHER, _ID): 5,
    },
}


def program() -> Path | None:
    """That of the PostgreSQL which is measured, else Debian's."""
    for folder in (binaries(), debian_binaries()):
        if folder is not None and (folder / "pgbench").exists():
            return folder / "pgbench"
    found = shutil.which("pgbench")
    return Path(found) if found else None


@dataclass(frozen=True, slots=True)
class Pgbench:
    program: Path
    url: str
    title: str = "pgbench, no server"
    peer: str = "pgbench"
    database: str = "postgresql"

    def takes(self, workload: Workload) -> bool:
        return workload.name in _SCRIPTS

    def measure(self, workload: Workload, concurrency: int, seconds: int) -> Run:
        with tempfile.TemporaryDirectory(prefix="taskwell-pgbench-") as folder:
            return self._measure(Path(folder), workload, concurrency, seconds)

    def _measure(self, folder: Path, workload: Workload, concurrency: int, seconds: int) -> Run:
        url = make_url(self.url)
        scripts = []
        for place, (text, weight) in enumerate(_SCRIPTS[workload.name].items()):
            (folder / f"{place}.sql").write_text(text)
            scripts.append(f"--file={folder / f'{place}.sql'}@{weight}")
        done = subprocess.run(
            [
                self.program, f"--host={url.host}", f"--port={url.port}", f"--username={url.username}",
                "--no-vacuum", "--protocol=prepared", f"--client={concurrency}",
                f"--jobs={min(concurrency, os.cpu_count() or 1)}", f"--time={seconds}", *scripts,
                "--log", f"--log-prefix={folder / 'log'}", str(url.database),
            ],
            env=os.environ | {"PGPASSWORD": str(url.password)},
            capture_output=True,
            text=True,
            check=True,
        )  # fmt: skip
        # A line for each transaction; the third number is how many microseconds it took.
        lines = [line for log in folder.glob("log.*") for line in log.read_text().splitlines()]
        times = sorted(int(line.split()[2]) for line in lines)
        told = re.search(r"^tps = ([0-9.]+)", done.stdout, flags=re.MULTILINE)
        return _run(times, float(told[1])) if told and times else Run(0, seconds)


def _run(times: list[int], per_second: float) -> Run:
    middle, late = (times[min(int(len(times) * share), len(times) - 1)] / 1e3 for share in (0.5, 0.99))
    return Run(len(times), len(times) / per_second, middle, late)
