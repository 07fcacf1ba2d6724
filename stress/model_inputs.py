"""What the client of `model` sends: bodies, filters, orders, and the places of what they are about.

A place is a number that chooses among the tasks, or lists, that there are, or one that is not.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from hypothesis import strategies as st

from harness import task_bodies

_TODAY = datetime.now(UTC).date()
_DAYS = tuple((_TODAY + timedelta(days=days)).isoformat() for days in (-400, -2, -1, 0, 1, 2, 7, 8))
_LOCAL = ("T00:00", "T00:00:01", "T09:30", "T14:00:00", "T23:59:59")
_INSTANTS = ("T00:00Z", "T10:00:00Z", "T23:30:00.000Z", "T09:00:00+05:30", "T01:00-11:00")
_ODD = ("2026-03-29T02:30", "2026-10-25T02:30", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2024-02-29")
_times = st.one_of(
    st.sampled_from(_DAYS),
    st.tuples(st.sampled_from(_DAYS), st.sampled_from(_LOCAL)).map("".join),
    st.tuples(st.sampled_from(_DAYS), st.sampled_from(_INSTANTS)).map("".join),
    st.sampled_from(_ODD),
)
_zones = st.sampled_from(
    ("UTC", "Europe/Berlin", "America/New_York", "Asia/Calcutta", "Pacific/Kiritimati", "Pacific/Pago_Pago")
)
zone_of_request = st.sampled_from([None, None, None]) | _zones
names = st.sampled_from(
    ["home", "Home", "HOME", " work ", "Büro", "Bu\u0308ro", "ß", "ss", "a/b", 'x"y', "a,b"]
)
_labels = st.lists(names, max_size=4)
_positions = st.sampled_from(["a0", "a0", "a1", "a1V", "Zz", "i8DhyrHb7o", "z" * 27])
_colors = st.sampled_from([None, "#2e7d32", "#2E7D32", "#ABCDEF80"])
_extras = st.none() | st.recursive(
    st.none() | st.sampled_from([1, "x", [None]]),
    lambda values: st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2),
    max_leaves=4,
).filter(lambda value: isinstance(value, dict))
places = st.integers(0, 30)
_places = st.none() | places


# Bodies


def _together(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """The members of all, those of later ones before those of earlier ones."""
    return st.tuples(*parts).map(
        lambda drawn: {name: value for part in drawn for name, value in part.items()}
    )


_values = task_bodies.accepted("aAbßẞéÉ%_\\'\"\n\t😀 ")
_plain = ("title", "description", "completed", "priority", "link")
_plain_bodies = partial(task_bodies.bodies, _values, names=_plain)
_ends = st.sampled_from(["", "", "COUNT=1", "COUNT=2", "COUNT=7", "COUNT=500"]) | st.sampled_from(
    _DAYS[-5:]
).map(lambda day: f"UNTIL={day.replace('-', '')}")
# Of which `reference_recurrence` knows the occurrences, without an end.
endless_rules = st.sampled_from(
    [
        "FREQ=DAILY", "FREQ=DAILY;INTERVAL=3", "FREQ=WEEKLY", "FREQ=WEEKLY;BYDAY=MO,TH",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR,SU", "FREQ=MONTHLY", "FREQ=MONTHLY;INTERVAL=2",
        "FREQ=MONTHLY;BYMONTHDAY=15,31", "FREQ=MONTHLY;BYDAY=-1FR",
    ]
)  # fmt: skip
_rules = st.tuples(endless_rules, _ends).map(lambda parts: ";".join(filter(None, parts)))
_modes = st.sampled_from(["next", "each", "completion"])
_excluded = st.lists(
    st.sampled_from([*_DAYS, *(f"{day}T09:30:00" for day in _DAYS), *(f"{day}T00:00:00" for day in _DAYS)]),
    max_size=4,
)
_others = {"recurrence_mode": _modes, "recurrence_exclude": _excluded}
# Which occurrence a client means, in the words of `Machine.meant`.
_occurrences = st.sampled_from(["current", "current", "earlier", "later", "its day"])
_recurring = st.one_of(
    st.fixed_dictionaries({"due": _times, "recurrence": _rules}, optional={"start": _times, **_others}),
    st.fixed_dictionaries({"start": _times, "recurrence": _rules}, optional=_others),
    st.fixed_dictionaries({"recurrence": st.none() | _rules}, optional=_others),
    st.fixed_dictionaries({}, optional=_others),
)
# Few members each, so that most bodies contradict neither themselves nor the task.
_aspects = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"due": st.none() | _times}, optional={"time_zone": st.none() | _zones}),
    st.fixed_dictionaries(
        {}, optional={"start": st.none() | _times, "due": st.none() | _times, "time_zone": st.none() | _zones}
    ),
    _recurring,
    _recurring,
    st.fixed_dictionaries({"labels": st.none() | _labels}),
    st.fixed_dictionaries({"extra": _extras}),
    st.fixed_dictionaries({"status": st.sampled_from(["open", "in_progress", "completed", "cancelled"])}),
    st.fixed_dictionaries({"position": _positions}),
    st.fixed_dictionaries({"list_id": _places}),
    st.fixed_dictionaries({"parent_id": _places}),
    st.fixed_dictionaries({"list_id": _places, "parent_id": _places}),
)
_changing = st.one_of(
    st.fixed_dictionaries({"labels_add": _labels}, optional={"labels_remove": _labels, "labels": _labels}),
    st.fixed_dictionaries({"labels_remove": _labels}),
    st.just({"completed": True, "subtasks": "complete"}),
    st.just({"status": "cancelled", "subtasks": "complete"}),
    st.just({"subtasks": "complete"}),
    st.just({"completed": True, "recurrence": None}),
    st.fixed_dictionaries(
        {"completed": st.just(True), "occurrence": _occurrences}, optional={"subtasks": st.just("complete")}
    ),
)
_unheard_of = st.sampled_from([{}, {}, {"unheard_of": 1}])
tasks = _together(_plain_bodies(task_bodies.REQUIRED), _aspects, _aspects, _unheard_of)
changes = st.one_of(
    _together(_plain_bodies(), _aspects, _unheard_of),
    _together(_aspects, _aspects),
    _together(_aspects, _changing),
)
recurring_tasks = _together(
    st.fixed_dictionaries(
        {"title": st.just("Bins"), "due": _times, "recurrence": _rules},
        optional={"start": _times, "time_zone": st.none() | _zones, **_others},
    ),
    st.just({}) | st.fixed_dictionaries({"parent_id": _places}),
)
# In which an occurrence is completed, one after the other.
ways = st.lists(st.sampled_from(["toggle", "complete", "PATCH", "PUT", "skip"]), max_size=6)
completions = st.fixed_dictionaries(
    {}, optional={"occurrence": _occurrences, "subtasks": st.just("complete")}
)
put_tasks = _together(tasks, st.just({}) | _changing)
wrong: st.SearchStrategy[Any] = st.just([]) | st.sampled_from(
    [{name: value} for name in task_bodies.FIELDS for value in task_bodies.REFUSED[name]]
)
skips = st.none() | st.fixed_dictionaries({}, optional={"occurrence": _occurrences})
states = st.sampled_from(
    [None, {}, {"completed": True}, {"completed": False}, {"completed": True, "subtasks": "complete"}]
) | st.fixed_dictionaries({"completed": st.just(True), "occurrence": _occurrences})
list_moves = st.tuples(st.sampled_from(["after", "before"]), _places).map(lambda one: {one[0]: one[1]})
moves = _together(
    list_moves,
    st.just({}) | st.fixed_dictionaries({}, optional={"list_id": _places, "parent_id": _places}),
)
new_lists = st.fixed_dictionaries(
    {"name": st.sampled_from(["Home", " Work ", "x"])}, optional={"color": _colors, "position": _positions}
)
list_changes = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["Home", "y"]),
        "color": _colors,
        "position": _positions,
        "unheard_of": st.just(1),
    },
)
label_puts = st.fixed_dictionaries({}, optional={"color": _colors, "position": st.none() | _positions})
_new_names = st.fixed_dictionaries({"name": names})
label_changes = st.one_of(_new_names, label_puts, _together(label_puts, _new_names))


# Conditions, and the operations of a batch

guards = st.sampled_from([None, None, None, "right", "stale", "any", "weak", "compressed", "one of"])
keyed = st.sampled_from([False, False, True])
_OPS = ("create", "create under an id", "update", "delete", "restore", "move")
_rest = (places, st.sampled_from([None, None, None, None, "right", "right", "stale"]))
_bodies = st.fixed_dictionaries(
    {"create": tasks, "update": changes, "toggle": states, "skip": skips, "move": moves}
)
_list_bodies = st.fixed_dictionaries(
    {
        "create": new_lists,
        "update": list_changes,
        "move": list_moves,
        "delete": st.sampled_from([None, {"tasks": "keep"}]),
    }
)
entries = st.one_of(
    st.tuples(st.just("task"), st.sampled_from((*_OPS, *_OPS, "toggle", "toggle", "skip")), *_rest, _bodies),
    st.tuples(st.just("task"), st.sampled_from(_OPS[:2]), *_rest, _bodies),
    st.tuples(st.just("list"), st.sampled_from((*_OPS, "archive", "unarchive")), *_rest, _list_bodies),
)


# Queries

_flags = st.sampled_from(["true", "false"])
_words = st.sampled_from(("overdue", "today", "tomorrow", "week", "none", "any"))
_names = st.lists(names, min_size=1, max_size=2)
_conditions: dict[str, st.SearchStrategy[Any]] = {
    "completed": _flags,
    "status": st.sampled_from(["all", "pending", "open", "in_progress", "completed", "cancelled"]),
    "q": st.sampled_from(["a", "A", "ss", "ß", "é", "%", "_", "\\", "'", '"', "😀", " b ", "a b", ""]),
    "due": st.lists(_words | st.sampled_from(_DAYS), min_size=1, max_size=3).map(",".join),
    "due_before": _times, "due_after": _times, "start_before": _times, "start_after": _times,
    "started": _flags, "label": _names, "label_any": _names, "label_not": _names, "labelled": _flags,
    "archived": _flags, "priority": st.sampled_from(["none", "1", "1,2", "7,none", "5"]),
    "list": st.lists(_places, min_size=1, max_size=2), "parent": _places,
}  # fmt: skip
_pairs = [st.tuples(st.just(name), values) for name, values in _conditions.items()]
filters = st.tuples(st.lists(st.one_of(_pairs), max_size=2), st.sampled_from([None, None]) | _zones).map(
    lambda drawn: dict(drawn[0]) | ({"tz": drawn[1]} if drawn[1] else {})
)
moments = st.dictionaries(
    st.sampled_from(
        [f"{verb}_{side}" for verb in ("created", "updated", "completed") for side in ("after", "before")]
    ),
    places,
    max_size=1,
)
_SORTS = (
    "created_at", "updated_at", "title", "completed", "completed_at", "due", "start", "priority", "position",
)  # fmt: skip
sorts = st.none() | st.lists(st.sampled_from(_SORTS), min_size=1, max_size=3, unique=True).flatmap(
    lambda some: st.tuples(*(st.sampled_from([name, f"-{name}"]) for name in some)).map(",".join)
)
limits = st.sampled_from([None, None, 1, 2, 5, 1_000])
fields = st.sampled_from([None, None, None, "id", "id,title,due", "id,position,labels,due_at,status,extra"])
kinds = st.sampled_from(["", "task", "list", "label", "task,list", "task,list,label", "task,list,label"])
