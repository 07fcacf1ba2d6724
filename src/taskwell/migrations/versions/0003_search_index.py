"""An index of three-character pieces for `q`: pg_trgm where it may be had, FTS5 on SQLite."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The end of the user's id in a form that the tokenizer can look up together with the text, so that a search
# is not slowed down by the tasks of others. Two users may share it: the query names its user besides.
_OWNER = "'<' || substr(hex({0}.user_id), -16) || '>'"
_NUMBER = "(SELECT number FROM tasks_search_rows WHERE user_id = {0}.user_id AND id = {0}.id)"
_ADD = (
    "INSERT INTO tasks_search (rowid, owner, title_key, description_key) "
    f"SELECT {_NUMBER}, {_OWNER}, {{0}}.title_key, {{0}}.description_key"
)
# A contentless table is told what it held.
_REMOVE = (
    "INSERT INTO tasks_search (tasks_search, rowid, owner, title_key, description_key) "
    f"SELECT 'delete', {_NUMBER}, {_OWNER}, {{0}}.title_key, {{0}}.description_key"
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _upgrade_postgresql()
    else:
        _upgrade_sqlite()


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP INDEX IF EXISTS ix_tasks_search")  # the extension may be of use to others
        return
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER tasks_search_{event}")
    op.execute("DROP TABLE tasks_search")
    op.execute("DROP TABLE tasks_search_rows")


def _upgrade_postgresql() -> None:
    """Without the extension, or the right to create it, `q` walks the tasks of its user."""
    connection = op.get_bind()
    available = "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
    if connection.execute(sa.text(available)).first() is None:
        return
    try:
        with connection.begin_nested():
            op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            op.execute(
                "CREATE INDEX ix_tasks_search ON tasks "
                "USING gin (title_key gin_trgm_ops, description_key gin_trgm_ops)"
            )
    except DBAPIError:
        return


def _upgrade_sqlite() -> None:
    """Row numbers of its own, since VACUUM may change those of `tasks`."""
    op.execute(
        "CREATE TABLE tasks_search_rows "
        "(number INTEGER PRIMARY KEY, user_id TEXT NOT NULL, id TEXT NOT NULL, UNIQUE (user_id, id))"
    )
    op.execute(
        "CREATE VIRTUAL TABLE tasks_search USING fts5 "
        "(owner, title_key, description_key, content = '', tokenize = 'trigram case_sensitive 1')"
    )
    op.execute("INSERT INTO tasks_search_rows (user_id, id) SELECT user_id, id FROM tasks")
    op.execute(f"{_ADD.format('tasks')} FROM tasks")
    op.execute(
        "CREATE TRIGGER tasks_search_insert AFTER INSERT ON tasks BEGIN "
        "INSERT INTO tasks_search_rows (user_id, id) VALUES (new.user_id, new.id); "
        f"{_ADD.format('new')}; END"
    )
    op.execute(
        "CREATE TRIGGER tasks_search_update AFTER UPDATE OF title_key, description_key ON tasks BEGIN "
        f"{_REMOVE.format('old')}; {_ADD.format('new')}; END"
    )
    op.execute(
        "CREATE TRIGGER tasks_search_delete AFTER DELETE ON tasks BEGIN "
        f"{_REMOVE.format('old')}; "
        "DELETE FROM tasks_search_rows WHERE user_id = old.user_id AND id = old.id; END"
    )
