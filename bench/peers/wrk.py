"""wrk as the load: it takes so little of the machine that the servers have the rest."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.peers.data import EACH, LISTED, OTHERS, OWN, PLANNERS_FIRST
from bench.peers.workloads import Run, Workload

HOW_TO_INSTALL = (
    "wrk is not to be found; on Debian and Ubuntu: apt-get install wrk, on macOS: brew install wrk"
)

_SCRIPT = Path(__file__).with_name("load.lua")
_PATIENCE_SECONDS = 300  # for one answer


def is_there() -> bool:
    return shutil.which("wrk") is not None


def load(
    url: str, workload: Workload, told: str, headers: Mapping[str, str], *, concurrency: int, seconds: int
) -> Run:
    done = subprocess.run(
        [
            "wrk", "--threads=1", f"--connections={concurrency}", f"--duration={seconds}s",
            f"--timeout={_PATIENCE_SECONDS}s", f"--script={_SCRIPT}",
            *(f"--header={name}: {value}" for name, value in headers.items()), url, "--",
            workload.name, told, str(OWN), str(OTHERS), str(EACH), str(PLANNERS_FIRST), str(LISTED),
        ],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    return _run(workload, json.loads(done.stdout.splitlines()[-1]))


def _run(workload: Workload, told: dict[str, Any]) -> Run:
    requests, errors = told["requests"], told["errors"]
    if not requests:
        return Run(0, told["microseconds"] / 1e6, errors=errors)
    # wrk counts what is not 2xx or 3xx as errors, and reads no answer; but one of another length is another.
    if not workload.least <= told["bytes"] / requests <= workload.most and not errors:
        errors = requests
    return Run(requests, told["microseconds"] / 1e6, told["p50"] / 1e3, told["p99"] / 1e3, errors=errors)
