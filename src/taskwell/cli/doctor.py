"""`taskwell doctor`."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from taskwell.cli.backup import AsJson
from taskwell.cli.settings import complaints
from taskwell.core.settings import Settings

if TYPE_CHECKING:
    from taskwell.admin.doctor import Finding


def doctor(as_json: AsJson = False) -> None:
    """Check the settings, the database and what they refer to. Exits with 1 if something is wrong."""
    found = _examined()
    healthy = all(finding.level != "wrong" for finding in found)
    if as_json:
        typer.echo(json.dumps({"healthy": healthy, "findings": [asdict(finding) for finding in found]}))
    else:
        for finding in found:
            typer.echo(f"{finding.level:<6} {finding.check}: {finding.says}")
    raise typer.Exit(0 if healthy else 1)


def _examined() -> "list[Finding]":
    from taskwell.admin.doctor import Finding, examine

    try:
        settings = Settings()
    except (ValidationError, SettingsError) as error:
        return [Finding("settings", "wrong", complaint) for complaint in complaints(error)]
    return asyncio.run(examine(settings))
