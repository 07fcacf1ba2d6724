"""Tasks as JSON that the database writes.

The bytes are those of `schemas.task.task_to_json`; to make rows into records and records into JSON would cost
more than all else that a read does. An id of a user needs no escaping: see `schemas.types.USER_ID_PATTERN`.
"""

from sqlalchemy import ColumnElement, literal_column

# What every task begins with, and nothing else in the JSON of a task has: a text would have \" in it.
BEGINNING = '{"id":"'


def task_json_sql(dialect: str, *, deleted: bool = False) -> str:
    """SQL for the JSON of a row of `tasks`; with `deleted_at` if it is to show it."""
    return _postgresql(deleted) if dialect == "postgresql" else _sqlite(deleted)


def json_column(dialect: str, *, deleted: bool = False) -> ColumnElement[str]:
    return literal_column(task_json_sql(dialect, deleted=deleted)).label("json")


# No colon stands before a letter: SQLAlchemy would take that for a parameter.


def _postgresql(deleted: bool) -> str:
    def instant(column: str) -> str:
        return f"""to_char(tasks.{column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

    def text(column: str) -> str:
        return f"coalesce(to_json(tasks.{column})::text, 'null')"

    deleted_at = f""" || ',"deleted_at":"' || {instant("deleted_at")} || '"'""" if deleted else ""
    return f"""
        '{BEGINNING}' || tasks.id || '","user_id":"' || tasks.user_id
        || '","title":' || {text("title")} || ',"description":' || {text("description")}
        || ',"completed":' || CASE
            WHEN tasks.completed THEN 'true,"completed_at":"' || {instant("completed_at")} || '"'
            ELSE 'false,"completed_at":' || 'null'
        END
        || ',"created_at":"' || {instant("created_at")} || '","updated_at":"' || {instant("updated_at")}
        || '","version":' || tasks.version{deleted_at} || '}}'
        """


def _sqlite(deleted: bool) -> str:
    """`printf` is faster than a chain of `||`. Ids are kept without hyphens, instants without T and Z."""

    def instant(column: str) -> str:
        return f"replace(tasks.{column}, ' ', 'T')"

    deleted_at = f""", printf(',"deleted_at":"%sZ"', {instant("deleted_at")})""" if deleted else ", ''"
    return f"""
        printf(
            '{BEGINNING}%.8s-%.4s-%.4s-%.4s-%s","user_id":"%s","title":%s,"description":%s,'
            || '"completed":%s,"created_at":"%sZ","updated_at":"%sZ","version":%d%s}}',
            tasks.id, substr(tasks.id, 9), substr(tasks.id, 13), substr(tasks.id, 17), substr(tasks.id, 21),
            tasks.user_id, json_quote(tasks.title), json_quote(tasks.description),
            CASE
                WHEN tasks.completed THEN printf('true,"completed_at":"%sZ"', {instant("completed_at")})
                ELSE 'false,"completed_at":' || 'null'
            END,
            {instant("created_at")}, {instant("updated_at")}, tasks.version{deleted_at}
        )
        """
