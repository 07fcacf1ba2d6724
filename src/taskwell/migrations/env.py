"""Run by Alembic on the connection that `database.migrate` hands it; it owns no URL and no transaction."""

from typing import Any

from alembic import context
from sqlalchemy import Index, UnaryExpression

from taskwell.database.migrate import VERSION_TABLE
from taskwell.models import metadata

connection = context.config.attributes["connection"]


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Whether a thing in the database concerns taskwell: other applications' tables may stand beside ours."""
    return kind != "table" or name in metadata.tables


def is_comparable(thing: Any, _name: str | None, _kind: str, _reflected: bool, _other: Any) -> bool:
    """SQLAlchemy cannot read the direction of an index's columns from SQLite. PostgreSQL's check does."""
    if connection.dialect.name != "sqlite" or not isinstance(thing, Index):
        return True
    ours = next((index for index in _our_indexes() if index.name == thing.name), thing)
    return not any(isinstance(part, UnaryExpression) for part in ours.expressions)


def _our_indexes() -> list[Index]:
    return [index for table in metadata.tables.values() for index in table.indexes]


context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=is_ours,
    include_object=is_comparable,
    # SQLite cannot alter a table: the script makes a new one and moves the rows.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
