"""`taskwell db`: the schema of the database."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer

from taskwell.cli.running import need_database, run
from taskwell.cli.settings import fail, load_settings
from taskwell.core.settings import Settings

T = TypeVar("T")

app = typer.Typer(help="The schema of the database.", no_args_is_help=True)


@app.command()
def upgrade(revision: Annotated[str, typer.Argument(help="Where to.")] = "head") -> None:
    """Apply the migrations. Safe to run at any time, also from several places at once."""
    from taskwell.database import startup

    settings, place = _run(lambda settings: startup.upgrade(settings, revision), makes=True)
    typer.echo(f"{settings.migration_database} is at {place}.")


@app.command(context_settings={"ignore_unknown_options": True})  # -1 is no option
def downgrade(
    revision: Annotated[str, typer.Argument(help="Where to: 0001, -1 or base.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take migrations back. What only the newer schema holds is lost; at base, that is everything."""
    from taskwell.database import migrate

    if not yes:
        question = f"What the schema at {revision} does not hold is lost for ever. Go on?"
        typer.confirm(question, abort=True, err=True)
    settings, place = _run(lambda settings: migrate.downgrade(settings, revision))
    typer.echo(f"{settings.migration_database} is at {place}.")


@app.command()
def check() -> None:
    """Compare the database with the models. Ends with 1 if they differ."""
    from taskwell.database import migrate

    settings, difference = _run(migrate.check)
    if difference is not None:
        fail(difference)
    typer.echo(f"{settings.migration_database} is as the models say.")


@app.command()
def revision(message: Annotated[str, typer.Argument(help="What it does, in a few words.")]) -> None:
    """Write the next migration from what the models have and the database has not (for developers)."""
    from taskwell.database import migrate

    _run(lambda settings: migrate.revision(settings, message), makes=True)


@app.command()
def new_epoch() -> None:
    """Begin a new time line, where acknowledged writes were lost (a failover to a replica that was behind).

    Clients begin their copies anew, and no ETag of before is taken for one of now.
    """
    from taskwell.admin import copy, epochs

    async def work(settings: Settings) -> int:
        async with copy.loading(settings) as transaction:
            return await epochs.begin_epoch(transaction)

    settings, epoch = _run(work)
    typer.echo(f"{settings.migration_database} goes on in epoch {epoch}.")


def _run(work: Callable[[Settings], Coroutine[Any, Any, T]], *, makes: bool = False) -> tuple[Settings, T]:
    """`makes`: the database, if there is none."""
    settings = load_settings()
    if not makes:
        need_database(settings.migration_database)
    return settings, run(work(settings), settings.migration_database)
