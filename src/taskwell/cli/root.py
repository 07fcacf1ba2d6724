"""`taskwell`: the commands that stand by themselves, and the groups."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from taskwell import __version__
from taskwell.cli import backups, config, db, doctor, moves, tokens, users
from taskwell.cli.settings import fail, load_settings
from taskwell.core.config import Settings, is_loopback, open_to_all

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
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.", min=0, max=65535)] = None,
    workers: Annotated[int | None, typer.Option(help="How many processes.", min=1, max=256)] = None,
    root_path: Annotated[
        str | None, typer.Option(help="The path under which a proxy shows the server, as in /tasks.")
    ] = None,
) -> None:
    """Serve the API. Creates and migrates the database first."""
    import uvicorn

    from taskwell.api import logs
    from taskwell.core.remarks import remarks

    if root_path is not None:
        os.environ["TASKWELL_ROOT_PATH"] = root_path or "/"  # the processes that serve read it there
    settings = load_settings()
    logs.install(settings)
    host, port = host or settings.host, settings.port if port is None else port
    workers = workers or settings.workers
    _refuse_public(settings, host)
    _refuse_taken(host, port)
    for remark in remarks(settings.model_copy(update={"workers": workers})):
        logging.getLogger("taskwell").warning("%s", remark)
    _prepare(settings)
    with _numbers_shared(settings, workers):
        uvicorn.run(
            "taskwell.main:create_logging_app",
            factory=True,
            http="taskwell.api.protocol:Protocol",
            ws="none",
            host=host,
            port=port,
            workers=workers,
            log_level=settings.log_level,
            log_config=None,
            access_log=False,  # it would show queries, and with them what is searched for
            server_header=False,
            proxy_headers=False,  # read in a layer of its own
            timeout_graceful_shutdown=10,
            timeout_worker_healthcheck=30,  # so long may a process take to start, too
        )


def _refuse_public(settings: Settings, host: str) -> None:
    guarded = settings.auth != "stub" or settings.allow_stub_auth_on_public_address
    if not is_loopback(host) and not guarded:
        fail(open_to_all(f"on {host}"))


def _refuse_taken(host: str, port: int) -> None:
    """Before a database is made: uvicorn would see it only when all is ready."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            if os.name == "posix":  # else what was there a moment ago would be in the way
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or "it is refused"
        fail(
            f"cannot listen on {host}, port {port}: {reason.lower()}. "
            "Choose another with --port or TASKWELL_PORT (--host or TASKWELL_HOST for the address)."
        )


def _prepare(settings: Settings) -> None:
    """What cannot be mended by waiting is told here, without a traceback."""
    from taskwell.core.database import Database
    from taskwell.core.database_url import BadDatabaseUrl
    from taskwell.core.preparation import CannotStart, prepare

    async def prepare_once() -> None:
        database = Database(settings)
        try:
            await prepare(settings, database)
        finally:
            await database.close()

    try:
        asyncio.run(prepare_once())
    except (CannotStart, BadDatabaseUrl) as error:
        fail(error)


@contextmanager
def _numbers_shared(settings: Settings, workers: int) -> Iterator[None]:
    """A folder in which several processes tell each other their numbers; in memory where there is such."""
    if workers == 1 or settings.metrics == "nobody" or settings.metrics_folder:
        yield
        return
    memory = Path("/dev/shm")  # noqa: S108 (the folder is made there under a name of its own)
    with TemporaryDirectory(prefix="taskwell-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        os.environ["TASKWELL_METRICS_FOLDER"] = folder
        yield


def openapi() -> None:
    """Print the OpenAPI document."""
    from taskwell.main import create_app

    typer.echo(json.dumps(create_app(load_settings()).openapi(), indent=2, ensure_ascii=False))


# In the order in which `taskwell --help` lists them.
_SERVING, _DATA, _PEOPLE = "The server", "The data", "Who has access"
for _command in (serve, doctor.doctor, config.config, openapi):
    app.command(rich_help_panel=_SERVING)(_command)
for _move in (backups.backup, backups.restore, moves.move):
    app.command(rich_help_panel=_DATA)(_move)
app.add_typer(db.app, name="db", rich_help_panel=_DATA)
app.add_typer(users.app, name="users", rich_help_panel=_PEOPLE)
app.add_typer(tokens.app, name="tokens", rich_help_panel=_PEOPLE)
