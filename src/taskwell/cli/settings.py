"""The settings, or a clear word on what is wrong with them."""

from typing import NoReturn

import typer
from pydantic import ValidationError

from taskwell.core.config import Settings


def load_settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            name = str(item["loc"][0])
            variable = name if name.isupper() else f"TASKWELL_{name.upper()}"
            typer.echo(f"{variable}: {item['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None


def fail(message: object) -> NoReturn:
    """Say why on standard error and end with 1."""
    typer.echo(f"taskwell: {message}", err=True)
    raise typer.Exit(1)
