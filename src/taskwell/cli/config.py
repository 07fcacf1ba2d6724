"""`taskwell config`."""

import json
import re

import typer
from pydantic import SecretStr

from taskwell.cli.backup import AsJson
from taskwell.cli.settings import load_settings
from taskwell.core.settings import Settings, origins, variable


def config(as_json: AsJson = False) -> None:
    """Show every setting as the server reads it, and its source. Secrets are hidden."""
    settings = load_settings()
    by_name = origins()
    shown = {variable(name): _shown(settings, name) for name in Settings.model_fields}
    source = {variable(name): by_name[name] for name in Settings.model_fields}
    if as_json:
        members = {name: {"value": shown[name], "from": source[name]} for name in shown}
        typer.echo(json.dumps(members))
        return
    width = max(map(len, shown))
    for name, value in shown.items():
        typer.echo(f"{name:<{width}}  {source[name]:<11}  {value}")


def _shown(settings: Settings, name: str) -> str:
    """The value as an operator would write it."""
    value = getattr(settings, name)
    if value is None:
        return ""
    if name in {"database_url", "migration_database_url"}:
        return str(settings.database if name == "database_url" else settings.migration_database)
    if isinstance(value, SecretStr):
        return "***" if value != Settings.model_fields[name].default else value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return re.sub(r"//[^/@]*@", "//***@", text)
