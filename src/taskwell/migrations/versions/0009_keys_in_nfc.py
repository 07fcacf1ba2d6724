"""Keys in which a text is found whatever its Unicode normal form."""

import unicodedata
from collections.abc import Callable, Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ROWS = 1_000
_TASKS = sa.table(
    "tasks",
    sa.column("user_id", sa.Text()),
    sa.column("id", sa.Uuid()),
    sa.column("title", sa.Text()),
    sa.column("description", sa.Text()),
    sa.column("title_key", sa.Text()),
    sa.column("description_key", sa.Text()),
)
# ASCII has one form only.
_MAY_DIFFER = {
    "sqlite": "length(CAST({0} AS BLOB)) > length({0})",
    "postgresql": "octet_length({0}) > length({0})",
}


def upgrade() -> None:
    _set_keys(_key)


def downgrade() -> None:
    _set_keys(str.casefold)


def _key(text: str) -> str:
    folded = text.casefold()
    composed = unicodedata.normalize("NFC", folded)
    return folded if folded == composed else f"{folded}\n{composed}"


def _set_keys(key: Callable[[str], str]) -> None:
    """Case-folding is Python's on every database, so the rows come here once."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":  # nobody may hold a row that is waited for here
        op.execute("LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE")
    differs = _MAY_DIFFER[connection.dialect.name]
    place = (_TASKS.c.user_id, _TASKS.c.id)
    page = (
        sa.select(_TASKS)
        .where(sa.text(f"({differs.format('title_key')} OR {differs.format('description_key')})"))
        .order_by(*place)
        .limit(_ROWS)
    )
    fill = (
        sa.update(_TASKS)
        .where(_TASKS.c.user_id == sa.bindparam("of_user"), _TASKS.c.id == sa.bindparam("of_task"))
        .values(title_key=sa.bindparam("of_title"), description_key=sa.bindparam("of_description"))
    )
    rows = connection.execute(page).all()
    while rows:
        keys = [(key(row.title), None if row.description is None else key(row.description)) for row in rows]
        changed = [
            {"of_user": row.user_id, "of_task": row.id, "of_title": title, "of_description": description}
            for row, (title, description) in zip(rows, keys, strict=True)
            if (title, description) != (row.title_key, row.description_key)
        ]
        if changed:
            connection.execute(fill, changed)
        last = rows[-1]
        rows = connection.execute(page.where(sa.tuple_(*place) > sa.tuple_(last.user_id, last.id))).all()
