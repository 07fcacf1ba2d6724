"""`taskwell`: the top-level commands, and the groups."""

import asyncio
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from taskwell import __version__
from taskwell.cli import backup, config, db, deliver, doctor, move, tokens, users
from taskwell.cli.settings import fail, load_settings
from taskwell.core.settings import Settings, is_loopback, open_to_all

app = typer.Typer(
    help="A task backend on SQLite or PostgreSQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def taskwell(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def serve(
    host: Annotated[list[str] | None, typer.Option(help="The address to listen on; may be repeated.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.", min=0, max=65535)] = None,
    workers: Annotated[int | None, typer.Option(help="The number of processes.", min=1, max=256)] = None,
    uds: Annotated[Path | None, typer.Option(help="A Unix socket to listen on instead.")] = None,
    root_path: Annotated[
        str | None, typer.Option(help="The path under which a proxy serves the API, such as /tasks.")
    ] = None,
) -> None:
    """Serve the API. Creates and migrates the database first."""
    from taskwell.cli.listening import bound, run
    from taskwell.core.settings_warnings import remarks
    from taskwell.http import logs

    if root_path is not None:
        os.environ["TASKWELL_ROOT_PATH"] = root_path or "/"  # for the worker processes
    settings = load_settings()
    logs.install(settings)
    hosts, port, uds = _address(settings, host, port, uds)
    if uds is None:
        _refuse_public(settings, hosts)
    workers = workers or settings.workers
    for remark in remarks(settings.model_copy(update={"workers": workers})):
        logging.getLogger("taskwell").warning("%s", remark)
    with bound(hosts, port, uds) as listeners, _metrics_shared(settings, workers):
        _prepare(settings)
        run(settings, listeners, workers, uds)


def _address(
    settings: Settings, host: list[str] | None, port: int | None, uds: Path | None
) -> tuple[Sequence[str], int, Path | None]:
    """The address to listen on: options override settings."""
    given = [text.strip().removeprefix("[").removesuffix("]") for text in host or () if text.strip()]
    addressed = bool(given) or port is not None
    if uds is not None and addressed:
        fail("--uds excludes --host and --port: remove one or the other")
    if not addressed:
        uds = uds or settings.uds
    return given or settings.host, settings.port if port is None else port, uds


def _refuse_public(settings: Settings, hosts: Sequence[str]) -> None:
    if settings.auth != "stub" or settings.allow_stub_auth_on_public_address:
        return
    for host in hosts:
        if is_loopback(host):
            continue
        fail(open_to_all(f"on {host}"))


def _prepare(settings: Settings) -> None:
    """Try once to make the database ready, to exit without a traceback on errors that waiting cannot fix."""
    from taskwell.core.database_url import BadDatabaseUrl
    from taskwell.database.database import Database
    from taskwell.database.startup import StartupError, prepare

    async def prepare_once() -> None:
        database = Database(settings)
        try:
            await prepare(settings, database)
        finally:
            await database.close()

    try:
        asyncio.run(prepare_once())
    except (StartupError, BadDatabaseUrl) as error:
        fail(error)


@contextmanager
def _metrics_shared(settings: Settings, workers: int) -> Iterator[None]:
    """Create a folder in which several processes share their metrics, in memory where possible."""
    if workers == 1 or settings.metrics == "nobody" or settings.metrics_folder:
        yield
        return
    memory = Path("/dev/shm")  # noqa: S108 (TemporaryDirectory creates a unique name there)
    with TemporaryDirectory(prefix="taskwell-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        os.environ["TASKWELL_METRICS_FOLDER"] = folder
        yield


def openapi() -> None:
    """Print the OpenAPI document."""
    from taskwell.app import create_app

    typer.echo(json.dumps(create_app(load_settings()).openapi(), indent=2, ensure_ascii=False))


# In the order of `taskwell --help`.
_SERVING, _DATA, _PEOPLE = "The server", "The data", "Who has access"
for _command in (serve, deliver.deliver, doctor.doctor, config.config, openapi):
    app.command(rich_help_panel=_SERVING)(_command)
for _move in (backup.backup, backup.restore, move.move):
    app.command(rich_help_panel=_DATA)(_move)
app.add_typer(db.app, name="db", rich_help_panel=_DATA)
app.add_typer(users.app, name="users", rich_help_panel=_PEOPLE)
app.add_typer(tokens.app, name="tokens", rich_help_panel=_PEOPLE)
