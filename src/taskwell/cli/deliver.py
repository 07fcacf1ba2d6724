"""`taskwell deliver`."""

from typing import TYPE_CHECKING, Annotated

import typer

from taskwell.cli.running import on_database
from taskwell.cli.settings import load_settings

if TYPE_CHECKING:
    from taskwell.core.settings import Settings
    from taskwell.database.database import Database


def deliver(
    every: Annotated[
        float, typer.Option(help="Look for events every so many seconds.", min=0.1, max=3_600)
    ] = 2.0,
) -> None:
    """Send the events of webhooks until it is stopped, for servers with TASKWELL_WEBHOOKS=off."""
    from taskwell.http import logs

    settings = load_settings()
    logs.install(settings)
    on_database(lambda database: _deliver(settings, database, every), creates=True)


async def _deliver(settings: "Settings", database: "Database", every: float) -> None:
    import asyncio
    import contextlib
    import signal

    from taskwell.http.metrics import Metrics
    from taskwell.services.live_changes import Feed
    from taskwell.webhooks.deliverer import Deliverer

    metrics, feed = Metrics(settings.metrics_folder), Feed(database)
    deliverer = Deliverer(settings, database, feed, metrics, polls=every)
    work = asyncio.gather(deliverer.run(), metrics.publish_forever(database, feed))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    typer.echo(f"delivering from {settings.database}", err=True)
    with contextlib.suppress(asyncio.CancelledError):
        await work
