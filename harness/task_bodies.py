"""Bodies of tasks, drawn from the schemas: a new field is in them by itself.

Whether a value will do is asked of `TaskCreate`; `TaskUpdate` has the same fields, with the same rules.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any, get_type_hints

from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from taskwell.schemas.task import TaskCreate, TaskRead

Body = dict[str, Any]
Values = tuple[Any, ...]

FIELDS = tuple(TaskCreate.model_fields)
REQUIRED = tuple(name for name, field in TaskCreate.model_fields.items() if field.is_required())

_TEXTS = (
    "Buy bread", "Buy milk", "  buy MILK ", " Buy bread\n", "Straße", "STRASSE", "ÄÖÜ ß", "日本語", "👩‍👩‍👧",
    "e\u0301", "É", "\u0130", "100 %", "a_b", "%_\\'\"", "\\", "'", "0", "z", "two\nlines", "a\r\nb\tc",
    "", " ", "a\0b", "a\rb", "\u200b", "\u202e", "\ud800",
)  # fmt: skip
_INSTANTS = ("2031-05-06T07:08:09Z", "2031-05-06T07:08:09.25+02:00", "2031-02-30T00:00:00Z")
# What some field takes, and what it does not.
_POOL: Values = (None, True, False, 1, 7, 1.5, [], {}, "true", *_TEXTS, *_INSTANTS)

_PROPERTIES = TaskCreate.model_json_schema()["properties"]
_SHOWN: Mapping[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind) for name, kind in get_type_hints(TaskRead, include_extras=True).items()
}


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


EXAMPLES: Mapping[str, Any] = {name: _example(name) for name in FIELDS}
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


def as_shown(body: Body) -> dict[str, Any]:
    """The fields of a new task, as an answer has them."""
    task = TaskCreate.model_validate(body)
    return {name: _as_shown(name, getattr(task, name)) for name in FIELDS}


def value_as_shown(name: str, value: Any) -> Any:
    return as_shown({**NEEDED, name: value})[name]


def _as_shown(name: str, value: Any) -> Any:
    kind = _SHOWN[name]
    return kind.dump_python(kind.validate_python(value), mode="json")


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
    return frozenset(shown)


# Strategies: `bodies` puts together what one of the others gives for each field.


def bodies(
    value_of: Callable[[str], st.SearchStrategy[Any]], required: Collection[str] = ()
) -> st.SearchStrategy[Body]:
    return st.fixed_dictionaries(
        {name: value_of(name) for name in FIELDS if name in required},
        optional={name: value_of(name) for name in FIELDS if name not in required},
    )


def accepted(letters: Iterable[str]) -> Callable[[str], st.SearchStrategy[Any]]:
    """What a field takes. Texts are of those of the letters that it takes."""

    def value_of(name: str) -> st.SearchStrategy[Any]:
        usable = [letter for letter in letters if accepts(name, f"a{letter}a")]
        if not usable:
            return st.sampled_from(ACCEPTED[name])
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
