"""`taskwell db`: the schema of the database."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from taskwell.cli.settings import fail, load_settings
from taskwell.core.config import Settings

app = typer.Typer(help="The schema of the database.", no_args_is_help=True)


@app.command()
def upgrade(revision: Annotated[str, typer.Argument(help="Where to.")] = "head") -> None:
    """Apply the migrations. Safe to run at any time, also from several places at once."""
    from taskwell.core import preparation

    settings = _run(lambda settings: preparation.upgrade(settings, revision))
    typer.echo(f"{settings.migration_database} is at {revision}.")


@app.command(context_settings={"ignore_unknown_options": True})  # -1 is no option
def downgrade(revision: Annotated[str, typer.Argument(help="Where to: 0001, -1 or base.")]) -> None:
    """Take migrations back. What only the newer schema holds is lost."""
    from taskwell.core import migrate

    settings = _run(lambda settings: migrate.downgrade(settings, revision))
    typer.echo(f"{settings.migration_database} is at {revision}.")


@app.command()
def check() -> None:
    """Compare the database with the models. Ends with 1 if they differ."""
    from taskwell.core import migrate

    found: list[str | None] = []

    async def work(settings: Settings) -> None:
        found.append(await migrate.check(settings))

    settings = _run(work)
    if found[0] is not None:
        fail(found[0])
    typer.echo(f"{settings.migration_database} is as the models say.")


@app.command()
def revision(message: Annotated[str, typer.Argument(help="What it does, in a few words.")]) -> None:
    """Write the next migration from what the models have and the database has not (for developers)."""
    from taskwell.core import migrate

    _run(lambda settings: migrate.revision(settings, message))


def _run(work: Callable[[Settings], Coroutine[Any, Any, None]]) -> Settings:
    """Run it, or say in one sentence why not."""
    from alembic.util import CommandError

    from taskwell.core.database_url import BadDatabaseUrl
    from taskwell.core.errors import TaskwellError
    from taskwell.core.faults import error_of, fault_of, lasting_reason
    from taskwell.core.preparation import CannotStart

    settings = load_settings()
    try:
        asyncio.run(work(settings))
    except (CommandError, BadDatabaseUrl, CannotStart, TaskwellError) as error:
        fail(error)
    except Exception as error:
        url = settings.migration_database
        if (reason := lasting_reason(url, error)) is not None:
            fail(reason)
        if (fault := fault_of(error)) is None:
            raise
        fail(f"{url}: {error_of(fault)}")
    return settings
