"""Bodies of tasks, drawn from the schemas: a new field is in them by itself.

Whether a value will do is asked of `TaskCreate`; `TaskUpdate` has the same fields, with the same rules. What
a task shows after a request is `as_shown` of a new one, `as_changed` of one that is there.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from taskwell.core.clock import utc_now
from taskwell.core.errors import Invalid, Violation
from taskwell.schemas.base import Instant
from taskwell.schemas.task import TaskCreate, TaskUpdate
from taskwell.schemas.values import merged
from taskwell.services import recurring
from taskwell.services.recurring import Recurrence
from taskwell.services.reminder_times import moved_reminders
from taskwell.services.task_dates import Dates, recomputed, resolve
from taskwell.services.task_fields import sent_values

Body = dict[str, Any]
Values = tuple[Any, ...]

# The fields whose value is the id of something that has to be there: no body is drawn with them.
REFERENCES = ("list_id", "parent_id")
# No field by itself: what is sent counts only where the request completes the task.
OF_COMPLETION = ("completed_at",)
FIELDS = tuple(name for name in TaskCreate.model_fields if name not in {*REFERENCES, *OF_COMPLETION})
REQUIRED = tuple(name for name, field in TaskCreate.model_fields.items() if field.is_required())
# Any accepted values of these go together, also with those of a task that has no others: `status` may
# contradict `completed`, `start` may be later than `due`, and a rule needs a date.
COMPATIBLE = tuple(name for name in FIELDS if name not in {"status", "start", "recurrence"})
_DUE = {"due": "2026-11-20T09:00:00"}
# Without these a value has no effect: a zone is that of a time.
COMPANIONS: Mapping[str, Body] = {
    "time_zone": _DUE,
    "recurrence": _DUE,
    "recurrence_mode": {**_DUE, "recurrence": "FREQ=DAILY"},
    "recurrence_exclude": {**_DUE, "recurrence": "FREQ=DAILY"},
}

_TEXTS = (
    "Buy bread", "Buy milk", "  buy MILK ", " Buy bread\n", "Straße", "STRASSE", "ÄÖÜ ß", "日本語", "👩‍👩‍👧",
    "e\u0301", "É", "\u0130", "100 %", "a_b", "%_\\'\"", "\\", "'", "0", "z", "two\nlines", "a\r\nb\tc",
    "", " ", "a\0b", "a\rb", "\u200b", "\u202e", "\ud800",
)  # fmt: skip
_DATES = (
    "2026-11-18", "2031-05-06T07:08", "2031-05-06T07:08:09", "2031-05-06T07:08:09Z", "2026-03-29T02:30:00",
    "2031-05-06T07:08:09.25+02:00", "2031-02-30T00:00:00Z", "2026-02-29", "1899-12-31", "9999-01-01",
    "2026-11-20T24:00", "20261120",
)  # fmt: skip
_ZONES = ("UTC", "Asia/Calcutta", "America/New_York", "europe/berlin", "GMT+1", "W. Europe Standard Time")
_POSITIONS = ("a0", "Zz", "i8DhyrHb7oV", "a", "a00", "A0", "i8DhyrHb7o" * 30)
_LINKS = (
    "https://example.com/a?b=c&d=%20#e", " mailto:ada@example.com ", "x-app:7", "https://bücher.example/ß",
    *(f"https://example.com/{'x' * length}" for length in (2_028, 2_029)), "https://example.com/a b",
    "/recipes/7", "javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x",
    "https://example.com/\ud800",
)  # fmt: skip
_LABELS: Values = (
    ["Büro", "home"], ["home", "HOME", "Home"], ["ß", "SS", "ss"], ['"', "\\", "a,b", "😀"], [" home "],
    [f"label {n}" for n in range(30)], [f"label {n}" for n in range(31)], ["x" * 60], ["x" * 61],
    [""], [" "], [1], [None], ["a\nb"], ["\u202e"], "home",
)  # fmt: skip
_RULES: Values = (
    "FREQ=DAILY", "freq=monthly;bymonthday=31", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;COUNT=3",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;UNTIL=20401231", "FREQ=HOURLY;INTERVAL=4", "FREQ=SECONDLY",
    "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;COUNT=2;UNTIL=20301231", "each", "completion", "never",
    ["2026-12-25"], ["2026-12-26T09:00", "2026-12-27"], ["2026-02-30"], ["2026-12-25T09:00:00Z"],
)  # fmt: skip


def _nested(levels: int) -> dict[str, Any]:
    return {"deep": _nested(levels - 1) if levels > 1 else 7}


_EXTRAS: Values = (
    {"example.com/colour": "blue", "list": [1, None, {"a": True}]}, {"gone": None}, [["a", 1]],
    {"ß": 'a"\\\n\u2028😀', "n": 1.5}, {"half": "\ud800"}, {"": 1}, {"x" * 100: 1}, {"x" * 101: 1},
    {"deep": [[[[[[["seven"]]]]]]]}, {"deep": [[[[[[[["eight"]]]]]]]]}, _nested(8), _nested(9),
    {"big": "x" * 16_374}, {"big": "x" * 16_375},
)  # fmt: skip
_REMINDERS: Values = (
    [{"trigger": "P1W"}, {"trigger": "-P1DT2H", "from": "start"}], [{"trigger": "2026-11-20T08:45:00+01:00"}],
    [{"trigger": "2026-11-20T08:45"}], [{"trigger": "-P366D"}], [{"trigger": "-P366DT1S"}],
    [{"trigger": "P1M"}],
    [{"trigger": "2026-11-20"}], [{"trigger": "PT0S"}] * 10, [{"trigger": "PT0S"}] * 11, [{}], [{"at": "x"}],
    [{"trigger": "PT0S", "from": "due"}], [{"trigger": "PT0S", "from": None}],
)  # fmt: skip
# What some field takes, and what it does not.
_POOL: Values = (
    None, True, False, 1, 7, 9, 0, 10, -1, 1.5, [], {}, "true",
    *_TEXTS, *_DATES, *_ZONES, *_POSITIONS, *_LINKS, *_LABELS, *_EXTRAS, *_RULES, *_REMINDERS,
)  # fmt: skip

_PROPERTIES = TaskCreate.model_json_schema()["properties"]
_INSTANT = TypeAdapter[Any](Instant)


def _schema_of(name: str) -> dict[str, Any]:
    """Without the choice to be null."""
    schema: dict[str, Any] = _PROPERTIES[name]
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    return {**schema, **choices[0]} if choices else schema


def _candidates(name: str) -> Values:
    """What the schema itself names, the pool, and texts about the schema's limit."""
    schema = _schema_of(name)
    limit = schema.get("maxLength")
    texts = ("x" * limit, "x" * (limit + 1)) if limit else ()
    return (*schema.get("examples", ()), *schema.get("enum", ()), *_POOL, *texts)


def _example(name: str) -> Any:
    examples = _schema_of(name).get("examples")
    assert examples, f"the schema of {name} has no example"
    return examples[0]


def agreeing(body: Body) -> Body:
    """The body with a status that does not contradict `completed`."""
    if not {"status", "completed"} <= body.keys():
        return body
    return {**body, "status": "cancelled" if body["completed"] else "in_progress"}


# Together they are the body of a task.
EXAMPLES: Mapping[str, Any] = agreeing({name: _example(name) for name in FIELDS})
NEEDED: Mapping[str, Any] = {name: EXAMPLES[name] for name in REQUIRED}


def accepts(name: str, value: Any) -> bool:
    try:
        TaskCreate.model_validate({**NEEDED, name: value})
    except ValidationError:
        return False
    return True


ACCEPTED: Mapping[str, Values] = {
    name: tuple(value for value in _candidates(name) if accepts(name, value)) for name in FIELDS
}
REFUSED: Mapping[str, Values] = {
    name: tuple(value for value in _candidates(name) if not accepts(name, value)) for name in FIELDS
}

# The fields of a new task of which nothing is sent. Its position is made of the clock.
_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys((*FIELDS, *REFERENCES)), "due_at": None, "completed": False, "status": "open",
    "labels": [], "reminders": [], "extra": {}, "recurrence_mode": "next", "recurrence_exclude": [],
}  # fmt: skip
_DONE = {"completed", "cancelled"}


def as_shown(body: Body) -> Body:
    """The fields of a new task, as an answer has them; without `position` if the body has none.

    Raises:
        ValidationError, Invalid: the body is refused.
    """
    TaskCreate.model_validate(body)
    shown = _changed(_NOTHING, body)
    return shown if "position" in body else {name: shown[name] for name in shown if name != "position"}


def as_changed(shown: Mapping[str, Any], body: Body) -> Body:
    """The same of a task that shows these fields, after a change of it. Times go into UTC.

    Raises:
        ValidationError, Invalid: the body is refused.
    """
    result = _changed(shown, body)
    completes = result["completed"] and not shown["completed"] and result["status"] == "completed"
    return _advanced(result) if completes and result["recurrence"] else result


def _changed(shown: Mapping[str, Any], body: Body) -> Body:
    sent = sent_values(TaskUpdate.model_validate(body))
    result = {**shown, **{name: value for name, value in sent.items() if name not in Dates._fields}}
    result |= {name: str(sent[name]) for name in REFERENCES if sent.get(name)}
    result |= _state(shown, sent) | _dates(shown, sent)
    result |= _shown_recurrence(recurring.resolve(sent, _recurrence(shown), _dates_of(result)))
    result |= {name: result[name] or [] for name in ("labels", "reminders")}
    if "extra" in sent:
        result["extra"] = {} if sent["extra"] is None else merged(shown["extra"], sent["extra"])
    return result


def _state(shown: Mapping[str, Any], sent: Mapping[str, Any]) -> Body:
    completed = sent.get("completed", shown["completed"])
    if "status" in sent:
        completed = sent["status"] in _DONE
        if sent.get("completed", completed) != completed:
            raise Invalid(Violation("body", "/status", "status_conflict", ""))
        return {"status": sent["status"], "completed": completed}
    if completed == shown["completed"]:
        return {}
    return {"status": "completed" if completed else "open"}


def _dates(shown: Mapping[str, Any], sent: Mapping[str, Any]) -> Body:
    return _shown_dates(resolve(sent, _dates_of(shown), "UTC"))


def _dates_of(shown: Mapping[str, Any]) -> Dates:
    return recomputed(Dates(shown["start"], shown["due"], shown["time_zone"]))


def _shown_dates(dates: Dates) -> Body:
    due_at = dates.due_at and _INSTANT.dump_python(dates.due_at, mode="json")
    return {"start": dates.start, "due": dates.due, "time_zone": dates.time_zone, "due_at": due_at}


def _recurrence(shown: Mapping[str, Any]) -> Recurrence:
    exclude = tuple(shown["recurrence_exclude"])
    return Recurrence(shown["recurrence"], shown["recurrence_mode"], exclude)


def _shown_recurrence(recurrence: Recurrence) -> Body:
    return {
        "recurrence": recurrence.rule,
        "recurrence_mode": recurrence.mode,
        "recurrence_exclude": list(recurrence.exclude),
    }


def _advanced(shown: Body) -> Body:
    """A recurring task that was completed just now."""
    advance = recurring.advance(_dates_of(shown), _recurrence(shown), utc_now(), "UTC")
    if advance is None:
        return shown
    is_open = {"completed": False, "status": "open"}
    reminders = moved_reminders(shown["reminders"], advance.shift, shown["time_zone"], "UTC")
    moved = {"reminders": reminders, **_shown_dates(advance.dates), **_shown_recurrence(advance.recurrence)}
    return shown | moved | is_open


def value_as_shown(name: str, value: Any) -> Any:
    return as_shown({**NEEDED, **COMPANIONS.get(name, {}), name: value})[name]


DEFAULTS: Mapping[str, Any] = {
    name: value for name, value in as_shown(dict(NEEDED)).items() if name not in REQUIRED
}


def telling_values(name: str) -> Values:
    """The schema's example, another value, and null where that is allowed. No two are shown alike."""
    example = EXAMPLES[name]
    shown = value_as_shown(name, example)
    others = (value for value in ACCEPTED[name] if value and value_as_shown(name, value) != shown)
    another = next(others, DEFAULTS.get(name))
    return (example, another, None) if another is not None and accepts(name, None) else (example, another)


def shown_texts() -> frozenset[str]:
    """How the texts are shown that bodies are drawn from, so that a time is known for one that was sent."""
    shown = {value_as_shown(name, value) for name in FIELDS for value in ACCEPTED[name]
             if isinstance(value, str)}  # fmt: skip
    due = {value_as_shown("due", value) for value in ACCEPTED["due"]}
    instants = {as_shown({**NEEDED, "due": value, "time_zone": zone})["due_at"]
                for value in due for zone in ACCEPTED["time_zone"]}  # fmt: skip
    return frozenset(shown | instants - {None})


# Strategies: `bodies` puts together what one of the others gives for each field.


def bodies(
    value_of: Callable[[str], st.SearchStrategy[Any]],
    required: Collection[str] = (),
    names: Collection[str] = FIELDS,
) -> st.SearchStrategy[Body]:
    return st.fixed_dictionaries(
        {name: value_of(name) for name in names if name in required},
        optional={name: value_of(name) for name in names if name not in required},
    )


def accepted(letters: Iterable[str]) -> Callable[[str], st.SearchStrategy[Any]]:
    """What a field takes. Texts are of those of the letters that it takes."""

    def value_of(name: str) -> st.SearchStrategy[Any]:
        usable = [letter for letter in letters if accepts(name, f"a{letter}a")]
        if not usable or "pattern" in _schema_of(name):
            # Two that are as large as they may be do not go together, where a change merges them.
            return st.sampled_from([value for value in ACCEPTED[name] if len(str(value)) < 1_000])
        texts = st.text(usable, max_size=8).filter(partial(accepts, name))
        return st.none() | texts if accepts(name, None) else texts

    return value_of


def anything(name: str) -> st.SearchStrategy[Any]:
    """What a field takes or does not."""
    return st.one_of(
        st.sampled_from(ACCEPTED[name]),
        st.sampled_from(ACCEPTED[name] + REFUSED[name]),
        st.text(st.characters(codec="utf-8"), max_size=12),
    )


# The same at random, for programs that go by a seed.


def random_value(random: Random, name: str, refused: float) -> Any:
    """`refused`: the share of values that the field does not take."""
    return random.choice((REFUSED if random.random() < refused else ACCEPTED)[name])


def random_body(random: Random, *, refused: float, required: float = 0.9, others: float = 0.4) -> Body:
    """`required`, `others`: the share of bodies that have such a field."""
    shares = {name: required if name in REQUIRED else others for name in FIELDS}
    body = {name: random_value(random, name, refused) for name in FIELDS if random.random() < shares[name]}
    return {**body, "unheard_of": 1} if random.random() < 0.1 else body
