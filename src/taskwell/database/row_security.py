"""Row-level security: PostgreSQL itself isolates users, should a statement of taskwell's fail to.

Migrations create the policies. The settings decide whether they are enforced, and the tables' owner enforces
them; a server follows what it finds, since otherwise it would see no rows.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from taskwell.core.settings import Settings
from taskwell.database.database import Database
from taskwell.database.migrate import migrating
from taskwell.database.postgres import PostgresBackend

_TABLES = text(
    """
    SELECT polrelid::regclass::text AS name, relrowsecurity AS enabled, relforcerowsecurity AS forced,
        row_security_active(polrelid) AS active, pg_has_role(relowner, 'USAGE') AS alterable,
        (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS bypassed
    FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
    WHERE polname = 'taskwell_owner' AND pg_table_is_visible(polrelid)
    ORDER BY polrelid
    """
)
_ENFORCE = "ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
_DISABLE = "DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"

_BYPASSED = "row-level security has no effect on {}: serve with a role without SUPERUSER and BYPASSRLS"
_NOT_YET = "row-level security differs from TASKWELL_ROW_LEVEL_SECURITY: run `taskwell db upgrade`"
_NOT_OWNER = (
    "row-level security stays unchanged, since the role of {} does not own the tables: set "
    "MIGRATION_DATABASE_URL with a role that does"
)


def required(settings: Settings) -> bool | None:
    """Whether the settings require row-level security on or off; None: unchanged."""
    if settings.row_level_security == "auto":
        return True if settings.auth == "jwt" else None
    return settings.row_level_security == "on"


async def arrange(settings: Settings, database: Database, *, may_alter: bool) -> str | None:
    """Turn row-level security on or off as the settings say, and make the server follow the result.

    Returns the obstacle that an operator must remove.
    """
    backend = database.backend
    if not isinstance(backend, PostgresBackend):
        return None
    obstacle = None
    target, tables = required(settings), await _table_states(backend)
    if target and any(table.bypassed for table in tables):
        obstacle = _BYPASSED.format(settings.database)
    elif target is not None and not all(table.enabled == table.forced == target for table in tables):
        obstacle = await _alter(settings, enforce=target) if may_alter else _NOT_YET
        tables = await _table_states(backend)
    if any(table.active for table in tables):
        await backend.obey_row_security()
        return obstacle
    return obstacle or (_NOT_YET if target else None)


async def _table_states(backend: PostgresBackend) -> Sequence[Row[Any]]:
    async with backend.reading() as connection:
        return (await connection.execute(_TABLES)).all()


async def _alter(settings: Settings, *, enforce: bool) -> str | None:
    def work(connection: Connection) -> str | None:
        tables = connection.execute(_TABLES).all()
        if not all(table.alterable for table in tables):
            return _NOT_OWNER.format(settings.migration_database)
        for table in tables:
            connection.execute(text(f"ALTER TABLE {table.name} {_ENFORCE if enforce else _DISABLE}"))
        return None

    return await migrating(settings, work)
