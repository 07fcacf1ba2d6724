"""`taskwell backup` and `taskwell restore`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskwell.cli.running import progress_shown, run
from taskwell.cli.settings import load_settings

if TYPE_CHECKING:
    from taskwell.admin.backup import Backup
    from taskwell.admin.copy import Summary

WithWebhooks = Annotated[
    bool,
    typer.Option(
        "--with-webhooks", help="Let webhooks go on delivering; else they are inactive, as fits a copy."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def backup(
    file: Annotated[Path, typer.Argument(help="The backup to write; it must not exist yet.")],
    as_json: AsJson = False,
) -> None:
    """Write all data to one file, while the server runs. It can be restored to SQLite or PostgreSQL."""
    from taskwell.admin import backup

    settings = load_settings()
    with progress_shown("Backing up") as progress:
        made = run(backup.back_up(settings, file, progress), settings.migration_database)
    if as_json:
        typer.echo(json.dumps({"file": str(file), **_described(made)}))
    else:
        typer.echo(f"{file} contains {in_words(made.tables)}.")


def restore(
    file: Annotated[Path, typer.Argument(help="The backup to restore.")],
    replace: Annotated[bool, typer.Option("--replace", help="Delete the database's contents first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
    with_webhooks: WithWebhooks = False,
    as_json: AsJson = False,
) -> None:
    """Fill an empty database from a backup. Clients then fetch their copies again."""
    from taskwell.admin import backup

    settings = load_settings()
    url = settings.migration_database
    found = run(backup.read_backup(file), url)
    if replace and not yes:
        as_of = found.taken_at.isoformat(timespec="seconds")
        question = f"Replace all data in {url} with {in_words(found.tables)}, as of {as_of}?"
        typer.confirm(question, abort=True, err=True)
    with progress_shown("Restoring") as progress:
        done = run(
            backup.restore(settings, file, progress, replace=replace, with_webhooks=with_webhooks), url
        )
    tell_of_webhooks(done.disabled)
    if as_json:
        typer.echo(json.dumps({"database": str(url), **_described(done.backup), "epoch": done.epoch}))
    else:
        typer.echo(f"{url} contains {in_words(done.backup.tables)}, and continues in epoch {done.epoch}.")


def tell_of_webhooks(disabled: int) -> None:
    if disabled:
        typer.echo(
            f"{disabled} webhooks are inactive here, so that a copy delivers nothing: switch them on by the "
            "API, or use --with-webhooks",
            err=True,
        )


def _described(made: "Backup") -> dict[str, Any]:
    return {
        "taken_at": made.taken_at.isoformat(),
        "revision": made.revision,
        "rows": {name: table.rows for name, table in made.tables.items()},
    }


def in_words(tables: "Mapping[str, Summary]") -> str:
    """Counts of the tables that users know: `2 users, 1,000 tasks, 1 api tokens`."""
    known = ("users", "tasks", "api_tokens")
    return ", ".join(f"{tables[name].rows:,} {name.replace('_', ' ')}" for name in known if name in tables)
