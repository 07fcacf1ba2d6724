"""`taskwell move`."""

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import SecretStr

from taskwell.cli.backup import AsJson, WithWebhooks, in_words, tell_of_webhooks
from taskwell.cli.running import progress_shown, run
from taskwell.cli.settings import fail, load_settings
from taskwell.core.database_url import BadDatabaseUrl, parse_database_url
from taskwell.core.settings import Settings

if TYPE_CHECKING:
    from taskwell.admin.transfer import Moved


def move(
    from_url: Annotated[str, typer.Argument(help="The source, as in DATABASE_URL.")],
    to_url: Annotated[str, typer.Argument(help="The target: an empty database.")],
    with_webhooks: WithWebhooks = False,
    as_json: AsJson = False,
) -> None:
    """Copy all data to another database, and compare the two row by row. Stop the server first.

    An interrupted move changes nothing: run it again.
    """
    from taskwell.admin import transfer

    settings = load_settings()
    source, target = _settings_for(settings, "FROM_URL", from_url), _settings_for(settings, "TO_URL", to_url)
    start = time.monotonic()
    with progress_shown("Moving") as progress:
        moved = run(
            transfer.move(source, target, progress, with_webhooks=with_webhooks), target.migration_database
        )
    seconds = time.monotonic() - start
    tell_of_webhooks(moved.disabled)
    if as_json:
        typer.echo(json.dumps(_described(source, target, moved) | {"seconds": round(seconds, 3)}))
        return
    typer.echo(
        f"{target.database} {'already contained' if moved.before else 'contains'} {in_words(moved.tables)}, "
        f"equal to {source.database}. Set DATABASE_URL to it."
    )


def _settings_for(settings: Settings, name: str, url: str) -> Settings:
    """The settings with another database; the configured one keeps its migration URL."""
    try:
        parse_database_url(url)
    except BadDatabaseUrl as error:
        fail(f"{name}: {error}")
    if url == settings.database_url.get_secret_value():
        return settings
    return settings.model_copy(update={"database_url": SecretStr(url), "migration_database_url": None})


def _described(source: Settings, target: Settings, moved: "Moved") -> dict[str, object]:
    return {
        "from": str(source.database),
        "to": str(target.database),
        "rows": {name: table.rows for name, table in moved.tables.items()},
        "digests": {name: table.digest for name, table in moved.tables.items()},
        "equal": True,
        "before": moved.before,
    }
