"""openapi.json passes the strictest rules of Redocly's linter, by redocly.yaml."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.node import install, program

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent


def lint(document: Path) -> dict[str, Any]:
    install(FOLDER)
    done = subprocess.run(
        [
            program("node"), FOLDER / "node_modules" / "@redocly" / "cli" / "bin" / "cli.js",
            "lint", document, "--config", ROOT / "redocly.yaml", "--format", "json",
        ],
        env=os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.plan("A10")
def test_the_document_has_neither_errors_nor_warnings() -> None:
    report = lint(ROOT / "openapi.json")
    assert report["problems"] == []
    assert report["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


def test_the_linter_finds_what_is_wrong(tmp_path: Path) -> None:
    document = json.loads((ROOT / "openapi.json").read_text())
    del document["paths"]["/api/tasks"]["get"]["operationId"]
    document["components"]["schemas"]["TaskRead"]["properties"]["version"]["examples"] = ["seventeen"]
    worse = tmp_path / "openapi.json"
    worse.write_text(json.dumps(document))
    found = {problem["ruleId"] for problem in lint(worse)["problems"]}
    assert found == {"operation-operationId", "no-invalid-schema-examples"}
