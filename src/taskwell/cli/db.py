"""`taskwell db`: the schema of the database."""

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer

from taskwell.cli.running import need_database, run
from taskwell.cli.settings import fail, load_settings
from taskwell.core.settings import Settings

T = TypeVar("T")

app = typer.Typer(help="The schema of the database.", no_args_is_help=True)


@app.command()
def upgrade(revision: Annotated[str, typer.Argument(help="The revision to reach.")] = "head") -> None:
    """Apply the migrations. Safe at any time, also by several processes at once."""
    from taskwell.database import startup

    with _progress_shown():
        settings, reached = _run(lambda settings: startup.upgrade(settings, revision), creates=True)
    typer.echo(f"{settings.migration_database} is at {reached}.")


@app.command(context_settings={"ignore_unknown_options": True})  # -1 is no option
def downgrade(
    revision: Annotated[str, typer.Argument(help="The revision to reach: 0001, -1 or base.")],
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
) -> None:
    """Undo migrations. Data that only the newer schema stores is lost; at base, all data."""
    from taskwell.database import migrate

    if not yes:
        question = f"Downgrade to {revision}, and lose the data that its schema does not store?"
        typer.confirm(question, abort=True, err=True)
    settings, reached = _run(lambda settings: migrate.downgrade(settings, revision))
    typer.echo(f"{settings.migration_database} is at {reached}.")


@app.command()
def check() -> None:
    """Compare the database with the models. Exits with 1 if they differ."""
    from taskwell.database import migrate

    settings, difference = _run(migrate.check)
    if difference is not None:
        fail(difference)
    typer.echo(f"{settings.migration_database} matches the models.")


@app.command()
def revision(message: Annotated[str, typer.Argument(help="A short description.")]) -> None:
    """Generate the next migration from the difference between models and database (for developers)."""
    from taskwell.database import migrate

    _run(lambda settings: migrate.revision(settings, message), creates=True)


@app.command()
def new_epoch() -> None:
    """Begin a new epoch after acknowledged writes were lost (a failover to a replica that was behind).

    Clients fetch their copies again, and earlier ETags and cursors are no longer valid.
    """
    from taskwell.admin import copy, epochs

    async def work(settings: Settings) -> int:
        async with copy.loading(settings) as transaction:
            return await epochs.begin_epoch(transaction)

    settings, epoch = _run(work)
    typer.echo(f"{settings.migration_database} continues in epoch {epoch}.")


def _run(work: Callable[[Settings], Coroutine[Any, Any, T]], *, creates: bool = False) -> tuple[Settings, T]:
    """`creates`: create the database if there is none."""
    settings = load_settings()
    if not creates:
        need_database(settings.migration_database)
    return settings, run(work(settings), settings.migration_database)


@contextmanager
def _progress_shown() -> Iterator[None]:
    """Show how far a migration of many rows is, as the log of a server does."""
    logger, handler = logging.getLogger("taskwell"), logging.StreamHandler()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
