"""Diagnoses a set-up: reports problems with their remedies, and changes nothing."""

import os
import shutil
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Row, text

from taskwell.auth.jwks import KeysUnavailable, OtherIssuer, check_name
from taskwell.auth.jwt import Verifier
from taskwell.core.clock import utc_now
from taskwell.core.database_url import BadDatabaseUrl, DatabaseUrl, is_private
from taskwell.core.settings import Settings, is_loopback
from taskwell.core.settings_warnings import remarks
from taskwell.database import migrate, row_security
from taskwell.database.database import Database, ReadTransaction, open_backend
from taskwell.database.faults import Fault, NotConnected, fault_of, lasting_reason, refusal
from taskwell.database.migrate import ConflictingTables, Schema
from taskwell.database.postgres import PostgresBackend
from taskwell.database.sqlite_file import absolute, closed_files, refuse_network_file_system
from taskwell.models import metadata
from taskwell.services import placement, users, webhooks

Level = Literal["good", "note", "wrong"]

_MIB = 2**20
_MIN_FREE = 64 * _MIB
_MAX_SKEW = timedelta(seconds=5)
_OLDEST_POSTGRES = 15
_PATIENCE_SECONDS = 3.0
_THROUGH_POOLER = "migrations go through the pooler: set MIGRATION_DATABASE_URL to the direct address"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a `check`: `wrong` must be fixed, a `note` may be intended. It holds no secret."""

    check: str
    level: Level
    says: str


Findings = AsyncGenerator[Finding]
Inside = Callable[[ReadTransaction, Settings, bool], Findings]


async def examine(settings: Settings) -> list[Finding]:
    """Run all checks. Returns every finding, good or not, in their order."""
    checks: tuple[Callable[[Settings], Findings], ...] = (
        _settings,
        _sqlite if settings.database.is_sqlite else _postgresql,
        _migration_url,
        _issuers,
        _rate_limit,
    )
    return [finding for check in checks for finding in [found async for found in check(settings)]]


async def _settings(settings: Settings) -> Findings:
    noted = (Finding("settings", "note", says) for says in remarks(settings))
    found = [*_authentication(settings), *_migration_pooler(settings), *noted]
    for finding in found or [Finding("settings", "good", "the settings are consistent")]:
        yield finding


def _authentication(settings: Settings) -> Iterator[Finding]:
    stub = settings.auth == "stub"
    public = [] if settings.uds else [host for host in settings.host if not is_loopback(host)]
    if stub and public:
        if settings.allow_stub_auth_on_public_address:
            says = "any client that reaches the port can read and change every task, as the settings allow"
            yield Finding("settings", "note", says)
        else:
            says = f"authentication is off on {public[0]}, so the server will not start: "
            yield Finding("settings", "wrong", f"{says}set TASKWELL_AUTH=jwt or TASKWELL_HOST=127.0.0.1")
    if stub and (settings.jwt_secret or settings.jwt_issuer):
        says = "tokens are set up, but authentication is off: set TASKWELL_AUTH=jwt"
        yield Finding("settings", "wrong", says)


def _migration_pooler(settings: Settings) -> Iterator[Finding]:
    if settings.migration_database.pooled:
        yield Finding("settings", "note", _THROUGH_POOLER)


async def _sqlite(settings: Settings) -> Findings:
    url = settings.database
    try:
        absolute(url.path)
    except BadDatabaseUrl as error:
        yield Finding("files", "wrong", str(error))
        return
    found = [*_file_system(settings), *_permissions(url), *_disk(url)]
    for finding in found:
        yield finding
    if any(finding.level == "wrong" for finding in found):
        return
    if not url.path.exists():
        yield Finding("database", "note", f"there is no {url.path} yet: the server creates it at start")
        return
    async for finding in _database(settings, _inside_sqlite):
        yield finding


def _file_system(settings: Settings) -> Iterator[Finding]:
    try:
        refuse_network_file_system(settings.database.path)
    except BadDatabaseUrl as error:
        allowed = settings.allow_network_file_system
        yield Finding("file system", "note" if allowed else "wrong", str(error))


def _permissions(url: DatabaseUrl) -> Iterator[Finding]:
    folder = absolute(url.path).parent
    if not folder.is_dir():
        yield Finding("files", "wrong", f"there is no folder {folder}: create it")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("files", "wrong", f"{folder} is not writable: make the server's user its owner")
    else:
        closed = closed_files(absolute(url.path))
        for file in closed:
            yield Finding("files", "wrong", f"{file} is not writable: make the server's user its owner")
        if not closed:
            yield Finding("files", "good", f"{folder} and the database's files are writable")


def _disk(url: DatabaseUrl) -> Iterator[Finding]:
    folder = absolute(url.path).parent
    if not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    used = url.path.stat().st_size if url.path.exists() else 0
    says = f"{free // _MIB:,} MiB are free on the disk of {folder}"
    if free < _MIN_FREE:
        yield Finding("disk", "wrong", f"{says}: free space before writes fail")
    elif free < 2 * used:
        yield Finding("disk", "note", f"{says}: too little for a backup beside {url.path.name}")
    else:
        yield Finding("disk", "good", says)


async def _inside_sqlite(transaction: ReadTransaction, settings: Settings, _pooled: bool) -> Findings:
    path = settings.database.path
    (first, *_) = await transaction.all(text("PRAGMA integrity_check"))
    if first[0] != "ok":
        says = f"{path} is damaged: move it away with its -wal, and run `taskwell restore` with a backup"
        yield Finding("integrity", "wrong", says)
    elif await transaction.first(text("PRAGMA foreign_key_check")) is not None:
        says = f"{path} has rows that refer to missing rows: another program wrote to it; restore a backup"
        yield Finding("integrity", "wrong", says)
    else:
        yield Finding("integrity", "good", f"{path} is intact")


async def _postgresql(settings: Settings) -> Findings:
    async for finding in _database(settings, _inside_postgresql):
        yield finding


async def _database(settings: Settings, inside: Inside) -> Findings:
    """Check that the database answers, its contents, its schema and the isolation of users."""
    database = Database(settings)
    try:
        async with database.backend.reading() as connection:
            transaction = ReadTransaction(connection)
            await transaction.first(text("SELECT 1"))
            yield Finding("database", "good", f"{settings.database} answers")
            pooled = isinstance(database.backend, PostgresBackend) and database.backend.pooled
            if pooled:
                yield _pooler(settings)
            async for finding in inside(transaction, settings, pooled):
                yield finding
            schema = await transaction.run_sync(migrate.state_of)
            others = await transaction.run_sync(migrate.conflicting_tables)
            async for finding in _contents(transaction, schema):
                yield finding
        if others:
            yield Finding("schema", "wrong", str(ConflictingTables(settings, others)))
            return
        yield _schema(settings, schema)
        async for finding in _users_apart(settings, database, schema):
            yield finding
    except Exception as error:
        if (reason := _why(settings.database, error)) is None:
            raise
        yield Finding("database", "wrong", reason)
    finally:
        await database.close()


async def _contents(transaction: ReadTransaction, schema: Schema) -> Findings:
    """Check what no constraint of the tables keeps right."""
    if schema is not Schema.CURRENT:
        return
    reserved = await users.list_reserved_users(transaction)
    if reserved:
        says = f"these users keep ids that are reserved now: {', '.join(reserved[:20])}"
        yield Finding("users", "note", says)
    failing, off = await webhooks.count_failing(transaction)
    if failing:
        says = f"{failing} webhooks fail, of which {off} were switched off for it: their users can ping them"
        yield Finding("webhooks", "note", says)
    strays = await placement.count_strays(transaction)
    if strays:
        says = f"{strays} tasks have a list or a parent that does not exist: set list_id or parent_id to null"
        yield Finding("tasks", "wrong", says)


async def _users_apart(settings: Settings, database: Database, schema: Schema) -> Findings:
    obstacle = await row_security.arrange(settings, database, may_alter=False)
    if database.backend.isolates_users:
        yield Finding("row-level security", "good", "PostgreSQL isolates users")
    elif obstacle is not None and schema is Schema.CURRENT:
        level: Level = "wrong" if settings.row_level_security == "on" else "note"
        yield Finding("row-level security", level, obstacle)


def _pooler(settings: Settings) -> Finding:
    says = "connections go through a pooler: statements are not kept prepared, and time limits are the role's"
    migrated = settings.migration_database
    if migrated.pooled or str(migrated) != str(settings.database):  # reported already, or does not apply
        return Finding("pooler", "good", says)
    return Finding("pooler", "note", f"{says}; {_THROUGH_POOLER}")


def _why(url: DatabaseUrl, error: Exception) -> str | None:
    if (lasting := lasting_reason(url, error)) is not None:
        return lasting
    if isinstance(error, NotConnected):
        return refusal(url, error)
    match fault_of(error):
        case None:
            return None
        case Fault.BUSY:
            return f"{url} is busy, or has no free connection: check which clients use it"
        case _:
            return f"{url} cannot be reached: check that it is running, the host, the port and the network"


def _schema(settings: Settings, schema: Schema) -> Finding:
    match schema:
        case Schema.CURRENT:
            return Finding("schema", "good", "the schema is current")
        case Schema.AHEAD:
            return Finding("schema", "wrong", "the schema is of a newer taskwell: install that version")
        case Schema.BEHIND if settings.migrate_at_start:
            says = "the schema is behind: the server migrates it at start"
            return Finding("schema", "note", says)
        case _:
            return Finding("schema", "wrong", "the schema is behind: run `taskwell db upgrade`")


_SERVER = text(
    """
    SELECT current_setting('server_version_num')::int / 10000 AS version,
        current_setting('server_encoding') AS encoding,
        pg_is_in_recovery() AS standby,
        current_setting('default_transaction_read_only') = 'on' AS read_only,
        (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            AS connections,
        clock_timestamp() AS now
    """
)


async def _inside_postgresql(transaction: ReadTransaction, settings: Settings, pooled: bool) -> Findings:
    before = utc_now()
    server = await transaction.first(_SERVER)
    assert server is not None
    middle = before + (utc_now() - before) / 2
    found = [*_server(server), *_connection(server, settings, pooled=pooled), *_clocks(server.now - middle)]
    for finding in found or [Finding("server", "good", f"PostgreSQL {server.version}, writable")]:
        yield finding
    denied = await _denied(transaction)
    if denied:
        says = f"the role lacks privileges on {', '.join(denied)}: GRANT it SELECT, INSERT, UPDATE, DELETE"
        yield Finding("privileges", "wrong", says)


def _server(server: Row[Any]) -> Iterator[Finding]:
    if server.version < _OLDEST_POSTGRES:
        says = f"PostgreSQL {server.version} is too old: upgrade to version {_OLDEST_POSTGRES} or later"
        yield Finding("server", "wrong", says)
    if server.encoding != "UTF8":
        says = f"the database's encoding is {server.encoding}, which lacks characters: create one with UTF8"
        yield Finding("server", "wrong", says)
    if server.standby:
        yield Finding("server", "wrong", "this is a read-only standby: set DATABASE_URL to the primary")
    elif server.read_only:
        says = "it is read-only: turn default_transaction_read_only off, for the role or the database"
        yield Finding("server", "wrong", says)


def _connection(server: Row[Any], settings: Settings, *, pooled: bool) -> Iterator[Finding]:
    url = settings.database
    if pooled:
        return  # the pooler's own connections cannot be inspected
    host = str(url.url.host or url.connect_args.get("host", ""))
    if not server.encrypted and not host.startswith("/") and not is_private(host):
        says = "passwords and tasks cross the network unencrypted: add sslmode=require to DATABASE_URL"
        yield Finding("encryption", "wrong", says)
    most = settings.workers * (settings.db_pool_size + settings.db_max_overflow)
    if most > server.connections:
        says = f"{settings.workers} processes may open {most} connections, but the server allows "
        yield Finding("connections", "note", f"{says}{server.connections}: lower TASKWELL_DB_POOL_SIZE")


def _clocks(skew: timedelta) -> Iterator[Finding]:
    if abs(skew) > _MAX_SKEW:
        seconds = abs(skew).total_seconds()
        says = f"the clocks of this machine and the database differ by {seconds:,.0f} s: set both by NTP"
        yield Finding("clocks", "wrong", says)


async def _denied(transaction: ReadTransaction) -> list[str]:
    """The existing tables on which the role lacks privileges."""
    rights = " AND ".join(
        f"has_table_privilege(oid, '{right}')" for right in ("SELECT", "INSERT", "UPDATE", "DELETE")
    )
    visible = " AND relkind = 'r' AND pg_table_is_visible(oid)"
    statement = text(f"SELECT relname FROM pg_class WHERE relname = ANY(:names) {visible} AND NOT ({rights})")  # noqa: S608 (made of constants)
    names = [*metadata.tables, migrate.VERSION_TABLE]
    return [row[0] for row in await transaction.all(statement.bindparams(names=names))]


async def _migration_url(settings: Settings) -> Findings:
    """Check the migration URL, if it is another one."""
    url = settings.migration_database
    if url.is_sqlite or str(url) == str(settings.database):
        return
    try:
        there, here = await _name_of(settings, url), await _name_of(settings, settings.database)
    except Exception as error:
        if (reason := _why(url, error)) is None:
            raise
        yield Finding("migrations", "wrong", reason)
        return
    if there == here:
        yield Finding("migrations", "good", f"{url} answers")
    else:
        says = f"MIGRATION_DATABASE_URL names the database {there}, DATABASE_URL {here}: correct one of them"
        yield Finding("migrations", "wrong", says)


async def _name_of(settings: Settings, url: DatabaseUrl) -> str:
    backend = open_backend(settings, url)
    try:
        async with backend.reading() as connection:
            row = await ReadTransaction(connection).first(text("SELECT current_database()"))
    finally:
        await backend.close()
    return str(row[0]) if row else ""


async def _issuers(settings: Settings) -> Findings:
    if settings.auth != "jwt":
        return
    key_sets = Verifier(settings).key_sets
    for issuer, keys in key_sets.items():
        try:
            await keys.find(None, "RS256")
        except KeysUnavailable:
            says = f"the keys of {issuer} cannot be fetched ({keys.obstacle}): "
            yield Finding("issuers", "wrong", f"{says}check TASKWELL_JWT_ISSUER, and its JWKS URL")
        else:
            yield Finding("issuers", "good", f"the keys of {issuer} can be fetched")
    for issuer in settings.jwt_issuer if settings.jwt_jwks_url or settings.jwt_secret else ():
        # Their names are only compared with those in tokens, so no other check notices a wrong one.
        try:
            await check_name(issuer)
        except OtherIssuer as error:
            yield Finding("issuers", "wrong", f"tokens of {issuer} will be refused: {error}")
        except Exception:  # noqa: BLE001, S110 (a discovery document is optional)
            pass


async def _rate_limit(settings: Settings) -> Findings:
    url = settings.rate_limit_storage.get_secret_value()
    if url.startswith("memory:"):
        return
    try:
        await _ping(url)
    except Exception as error:  # noqa: BLE001 (any error disables the rate limit)
        says = f"requests are not limited, since Redis cannot be reached ({type(error).__name__}): "
        yield Finding("rate limit", "wrong", f"{says}check TASKWELL_RATE_LIMIT_STORAGE")
    else:
        yield Finding("rate limit", "good", "Redis answers")


async def _ping(url: str) -> None:
    from redis.asyncio import Redis  # noqa: PLC0415 (an extra)

    client = Redis.from_url(url, socket_timeout=_PATIENCE_SECONDS, socket_connect_timeout=_PATIENCE_SECONDS)
    try:
        await client.get("taskwell")
    finally:
        await client.aclose()
