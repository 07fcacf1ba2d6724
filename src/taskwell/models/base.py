"""Definitions that all tables share."""

from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import Column, Dialect, Table, Text, TypeDecorator
from sqlmodel import SQLModel

# Each database names an unnamed constraint in its own way, and migrations could not address it.
SQLModel.metadata.naming_convention = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
metadata = SQLModel.metadata

# Compared by code points, independent of the database's collation.
TextKey = Text().with_variant(Text(collation="C"), "postgresql")


class JsonText(TypeDecorator[Any]):
    """JSON as compact text, which is put into responses as it is, the same on both databases.

    `empty`: the value that is stored as null.
    """

    impl = Text
    cache_ok = True

    def __init__(self, empty: str) -> None:
        super().__init__()
        self.empty = empty

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str | None:
        text = None if value is None else to_json(value).decode()
        return None if text == self.empty else text

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        return from_json(self.empty if value is None else value)


USER_ID_MAX_LENGTH = 255
SEQUENCE_END = 2**53  # JavaScript rounds larger integers


def table_of(model: type[SQLModel]) -> Table:
    """A model's table, whose columns have their types."""
    return metadata.tables[str(model.__tablename__)]


def value_type(column: Column[Any]) -> type:
    """The Python type of a column's values."""
    kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    return kind.python_type
