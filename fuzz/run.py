"""Schemathesis as a program of its own, beside a server that it knows nothing of but the address."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jwt

from fuzz.expectations import ENDLESS, SIGNED_IN
from harness.figures import Figures
from harness.servers import server_process
from harness.subjects import subject

ROOT = Path(__file__).parents[1]
EXAMPLES = 500
SHORT = 4

_SECRET = "fuzz" * 16
_USER = "alice"
_SERVER = {"TASKWELL_LOG_LEVEL": "warning", "TASKWELL_RATE_LIMIT": "none"}
_STRICT_SERVER = _SERVER | {
    "TASKWELL_AUTH": "jwt",
    "TASKWELL_JWT_SECRET": _SECRET,
    "TASKWELL_JWT_ISSUER": "fuzz",
    "TASKWELL_JWT_AUDIENCE": "taskwell",
}
# Anybody, as any user; and one user whom the server knows, without whose token nothing is answered.
RUNS = {"anybody": _SERVER, "signed in": _STRICT_SERVER}


def measure(name: str, database: str, examples: int, seed: int) -> Figures:
    print(f"{name}, {database} ...", file=sys.stderr, flush=True)
    with subject(database) as (url, folder):
        return fuzz(name, url, folder, examples, seed)


def fuzz(
    name: str, database_url: str, folder: Path, examples: int, seed: int, *, without: str = ENDLESS
) -> Figures:
    """On a database that is empty. `without`: a pattern of the paths that are left out."""
    with server_process(folder, DATABASE_URL=database_url, **RUNS[name]) as server:
        arguments = [
            "--max-examples", str(examples), "--seed", str(seed), "--exclude-path-regex", without,
        ]  # fmt: skip
        report = _schemathesis(server.url, folder, arguments, signed_in=name != "anybody")
    return _figures(report, (folder / "schemathesis.txt").read_text())


def _schemathesis(url: str, folder: Path, arguments: list[str], *, signed_in: bool) -> dict[str, Any]:
    """Its report; what it prints is kept beside it."""
    report = folder / "report.json"
    environment = {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "fuzz.expectations"}
    if signed_in:
        environment[SIGNED_IN] = _USER
        # What is refused is the other run's: here the user's id is always the same, and so always right.
        arguments = [*arguments, "--mode", "positive", "--header", f"Authorization: Bearer {_token()}"]
    with (folder / "schemathesis.txt").open("w") as printed:
        subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--checks", "all",
                "--phases", "examples,coverage,fuzzing,stateful",
                "--continue-on-failure", "--generation-database", "none", "--suppress-health-check", "all",
                "--report-json-path", str(report), "--no-color", *arguments,
            ],
            env=os.environ | environment,
            cwd=folder,
            stdout=printed,
            stderr=subprocess.STDOUT,
            check=False,
        )  # fmt: skip
    if not report.exists():
        raise RuntimeError((folder / "schemathesis.txt").read_text())
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def _token() -> str:
    claims = {"sub": _USER, "iss": "fuzz", "aud": "taskwell", "iat": 1_700_000_000, "exp": 4_000_000_000}
    return jwt.encode(claims, _SECRET, algorithm="HS256")


def _figures(report: dict[str, Any], printed: str) -> Figures:
    figures = Figures()
    operations, cases = report["operations"], report["test_cases"]
    figures.note("operations", operations["selected"])
    figures.note("requests with an answer that was checked", cases["generated"])
    figures.note("answers by a rule beyond the schema", report["filtered"])
    failures = len(report["failures"]) + len(report["errors"]) + operations["errored"]
    figures.promise("failures", failures, kept=not failures and report["exit_code"] == 0)
    if figures.broken:
        figures.broken.append(printed.partition("= WARNINGS =")[0])
    figures.note("seconds", report["running_time"])
    return figures
