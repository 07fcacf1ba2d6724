"""Loads the settings, or reports what is wrong with them."""

from collections.abc import Iterator
from typing import NoReturn

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from taskwell.core.settings import Settings


def load_settings() -> Settings:
    try:
        return Settings()
    except (ValidationError, SettingsError) as error:
        for complaint in complaints(error):
            typer.echo(complaint, err=True)
        raise typer.Exit(2) from None


def complaints(error: ValidationError | SettingsError) -> Iterator[str]:
    """A sentence for each invalid setting. None repeats the value."""
    if isinstance(error, SettingsError):
        yield str(error)
        return
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        message = item["msg"].removeprefix("Value error, ")
        yield ": ".join((*map(_variable, item["loc"][:1]), message))


def _variable(name: int | str) -> str:
    return str(name) if str(name).isupper() else f"TASKWELL_{str(name).upper()}"


def fail(message: object) -> NoReturn:
    """Print the message on standard error and exit with 1."""
    typer.echo(f"taskwell: {message}", err=True)
    raise typer.Exit(1)
