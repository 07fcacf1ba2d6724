"""`taskwell db`: the schema of the database."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from taskwell.cli.running import run
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


@app.command()
def new_epoch() -> None:
    """Begin a new time line, where acknowledged writes were lost (a failover to a replica that was behind).

    Clients begin their copies anew, and no ETag of before is taken for one of now.
    """
    from taskwell.services import copying, epochs

    begun: list[int] = []

    async def work(settings: Settings) -> None:
        async with copying.loading(settings) as transaction:
            begun.append(await epochs.begin_epoch(transaction))

    settings = _run(work)
    typer.echo(f"{settings.migration_database} goes on in epoch {begun[0]}.")


def _run(work: Callable[[Settings], Coroutine[Any, Any, None]]) -> Settings:
    settings = load_settings()
    run(work(settings), settings.migration_database)
    return settings
