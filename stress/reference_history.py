"""The history of the model: what each number that the book has given must have recorded."""

from collections.abc import Iterable
from typing import Any

from stress.reference_model import Change, Record, Unknown, folded, value_of

_OWN = {"id", "user_id", "created_at", "updated_at", "version", "deleted_at"}
_NEW: dict[str, Any] = {"completed": False, "status": "open", "recurrence_mode": "next"}
_EMPTY: tuple[Any, ...] = (None, [], {})


def check(records: Iterable[Record], changes: Iterable[Change]) -> None:
    """`records`: as the server shows them, oldest first."""
    for number, (record, change) in enumerate(zip(records, changes, strict=True), 1):
        assert record["version"] == number
        assert record["kind"] == change.kind
        after = change.after
        assert record["id"] == (folded(after["name"]) if change.kind == "label" else value_of(after["id"]))
        made = change.before is None
        assert (record["op"] == "created") == made, (record, change)
        expected = _of_new(after) if change.before is None else _of_change(change.before, after)
        told = dict(record["changes"])
        for name, pair in expected.items():
            shown = told.pop(name, None)
            if not any(_is_open(value) for value in pair):
                values = [value_of(value) for value in pair]
                assert shown == (values if values[0] != values[1] else None), (name, record, change)
        assert not told, (told, change)


def _of_new(after: Record) -> dict[str, tuple[Any, Any]]:
    values = {name: value for name, value in after.items() if name not in _OWN}
    return {
        name: (None, None if value_of(value) in (_NEW.get(name), *_EMPTY) and not _is_open(value) else value)
        for name, value in values.items()
    }


def _of_change(before: Record, after: Record) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (before[name], value) for name, value in after.items() if name not in _OWN}
    pairs["deleted"] = (before["deleted_at"] is not None, after["deleted_at"] is not None)
    return pairs


def _is_open(value: Any) -> bool:
    """Whether the server has not shown it."""
    return isinstance(value, Unknown) and value.value is None
