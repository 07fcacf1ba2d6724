"""The labels of the model: names that tasks have, and rows for those with a color or a place."""

from collections import Counter
from typing import Any

from stress.reference_model import Book, Record, Refused, Unknown, adopt, by_version, distinct, folded


def put(book: Book, name: str, body: Record) -> Record:
    return _write_row(book, name, body)


def update(book: Book, name: str, body: Record) -> Record:
    """Rename a label in every task, or change its color or place. Raises Refused."""
    row, changes = row_of(book, name), dict(body)
    _require(book, name)
    new = changes.pop("name", row["name"] if row else name).strip()
    if "name" in body:
        _replace(book, name, new)
    if row is not None and folded(new) != folded(name):
        _delete_row(book, name)
        if row_of(book, new) is None:
            changes = {"color": row["color"], "position": row["position"]} | changes
    if not changes and (row is None or not body):
        return row or {"name": new, "color": None, "position": None, "version": None}
    return _write_row(book, new, changes)


def delete(book: Book, name: str) -> None:
    """Raises Refused."""
    _require(book, name)
    row = row_of(book, name)
    _replace(book, name, None)
    if row is not None:
        _delete_row(book, name)


def known(book: Book) -> list[Record]:
    """Every label, with the numbers of tasks that are not in an archived list."""
    used: dict[str, Counter[str]] = {}
    opened: Counter[str] = Counter()
    for task in book.alive():
        archived = book.lists.get(task["list_id"], {}).get("archived_at") is not None
        for name in task["labels"]:
            used.setdefault(folded(name), Counter())[name] += not archived
            opened[folded(name)] += not archived and not task["completed"]
    rows = {key: row for key, row in book.labels.items() if row["deleted_at"] is None}
    found = [_counted(rows.get(key), used.get(key, Counter()), opened[key]) for key in rows | used]
    return sorted(found, key=_place)


def _place(label: Record) -> tuple[bool, str, str]:
    """Those with a position first, then by name."""
    return label["position"] is None, label["position"] or "", folded(label["name"])


def show(shown: Record, expected: Record | None) -> None:
    assert expected is not None
    assert shown == {name: value for name, value in expected.items() if name != "deleted_at"}


def show_gone(book: Book, shown: Record) -> None:
    """As the feed tells of a label whose row is gone."""
    row = book.labels[folded(shown["name"])]
    assert shown.keys() == {"name", "deleted", "version", "deleted_at"}
    assert row["deleted_at"] is not None
    adopt(row, {name: value for name, value in shown.items() if name != "deleted"})


def row_of(book: Book, name: str) -> Record | None:
    row = book.labels.get(folded(name))
    return None if row is None or row["deleted_at"] is not None else row


def _counted(row: Record | None, used: Counter[str], opened: int) -> Record:
    counts = {"open": opened, "total": used.total()}
    if row is not None:
        return {name: row[name] for name in ("name", "color", "position", "version")} | counts
    most = max(used, key=lambda name: (used[name], name))
    return {"name": most, "color": None, "position": None, "version": None} | counts


def _require(book: Book, name: str) -> None:
    if row_of(book, name) is None and not _having(book, name):
        raise Refused(404)


def _having(book: Book, name: str) -> list[Record]:
    """Those in the trash too."""
    key = folded(name)
    return by_version(task for task in book.tasks.values() if key in map(folded, task["labels"]))


def _replace(book: Book, name: str, new: str | None) -> None:
    now: Any = Unknown()
    for task in _having(book, name):
        names = [new if folded(one) == folded(name) else one for one in task["labels"]]
        changes = {"labels": distinct([one for one in names if one is not None])}
        changed = {**task, **changes, "updated_at": now}
        book.tasks[task["id"]] = book.number_change("task", task, changed)


def _write_row(book: Book, name: str, changes: Record) -> Record:
    stored = row_of(book, name)
    row = stored or {"color": None, "position": None}
    changes = dict(changes)
    if isinstance(changes.get("color"), str):
        changes["color"] = changes["color"][:7].lower()
    written = {**row, **changes, "name": name.strip(), "deleted_at": None}
    book.labels[folded(name)] = book.number_change("label", stored, written)
    return book.labels[folded(name)]


def _delete_row(book: Book, name: str) -> None:
    row = book.labels[folded(name)]
    gone = {"color": None, "position": None, "deleted_at": Unknown()}
    book.labels[folded(name)] = book.number_change("label", row, row | gone)
