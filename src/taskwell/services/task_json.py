"""Tasks as JSON that the database writes.

The bytes are those of `schemas.task.task_json`; to make rows into records and records into JSON would cost
more than all else that a read does. An id of a user needs no escaping: see `schemas.text.USER_ID_PATTERN`.
"""

from sqlalchemy import ColumnElement, literal_column

# What every task begins with, and nothing else in the JSON of a task has: a text would have \" in it.
BEGINNING = '{"id":"'


def task_json(dialect: str, *, deleted: bool = False) -> str:
    """SQL for the JSON of a row of `tasks`; with `deleted_at` if it is to show it."""
    instant, text, pattern = _PARTS[dialect]
    return pattern.format(
        title=text.format("tasks.title"),
        description=text.format("tasks.description"),
        completed_at=instant.format("tasks.completed_at"),
        created_at=instant.format("tasks.created_at"),
        updated_at=instant.format("tasks.updated_at"),
        deleted_at=f""" || ',"deleted_at":"' || {instant.format("tasks.deleted_at")} || '"'"""
        if deleted
        else "",
    )


def json_column(dialect: str, *, deleted: bool = False) -> ColumnElement[str]:
    return literal_column(task_json(dialect, deleted=deleted)).label("json")


# No colon stands before a letter: SQLAlchemy would take that for a parameter.
_COMMON = """'","user_id":"' || tasks.user_id || '","title":' || {title} || ',"description":' || {description}
    || ',"completed":' || CASE WHEN tasks.completed THEN 'true,"completed_at":"' || {completed_at} || '"'
        ELSE 'false,"completed_at":' || 'null' END
    || ',"created_at":"' || {created_at} || '","updated_at":"' || {updated_at}
    || '","version":' || tasks.version{deleted_at} || '}}'"""

# How an instant and a text are written, and the whole.
_PARTS = {
    "postgresql": (
        """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
        "coalesce(to_json({})::text, 'null')",
        f"""'{{{BEGINNING}' || tasks.id || {_COMMON}""",
    ),
    # Kept as text: ids without hyphens, instants with a space and without their Z.
    "sqlite": (
        "replace({}, ' ', 'T') || 'Z'",
        "json_quote({})",
        f"""'{{{BEGINNING}' || substr(tasks.id, 1, 8) || '-' || substr(tasks.id, 9, 4) || '-'
    || substr(tasks.id, 13, 4) || '-' || substr(tasks.id, 17, 4) || '-' || substr(tasks.id, 21)
    || {_COMMON}""",
    ),
}
