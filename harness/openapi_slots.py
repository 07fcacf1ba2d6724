"""Every place of every operation that a client can fill, by the OpenAPI document, and requests that do so.

Nothing here names an operation: a new one, or a new member of a body, is in by itself.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

# In the place of what is to be put there.
_HOLE = "\ufffchole\ufffc"
_HOLE_IN_JSON = json.dumps(_HOLE).encode()
_HOLE_AS_MEMBER = _HOLE_IN_JSON + b": " + _HOLE_IN_JSON
_UNKNOWN = "x-unknown"

Part = str | int


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    document: dict[str, Any]
    schemas: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def parameters(self, place: str) -> list[str]:
        return [item["name"] for item in self.document.get("parameters", []) if item["in"] == place]

    def body(self) -> Any:
        """A body with every member; None without one."""
        content = self.document.get("requestBody", {}).get("content", {})
        return self._sample(content["application/json"]["schema"]) if content else None

    def _sample(self, schema: dict[str, Any]) -> Any:
        schema = self._resolved(schema)
        if "properties" in schema:
            return {name: self._sample(member) for name, member in schema["properties"].items()}
        if schema.get("type") == "array":
            return [self._sample(choice) for choice in self._choices(schema["items"])]
        if "const" in schema:
            return schema["const"]
        known = [*schema.get("examples", []), *schema.get("enum", [])]
        return known[0] if known else "2050-01-01T00:00:00Z"

    def _choices(self, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The schemas that a value may have: a choice may be one of others."""
        resolved = self._resolved(schema)
        if "oneOf" not in resolved:
            yield resolved
        for choice in resolved.get("oneOf", ()):
            yield from self._choices(choice)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Without references, and without the choice to be null."""
        choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
        if choices:
            return self._resolved({**choices[0], **schema, "anyOf": []})
        name = schema.get("$ref", "").rpartition("/")[2]
        return self.schemas[name] if name else schema


@dataclass(frozen=True, slots=True)
class Slot:
    """`kind`: path, query, header, value (in a body), member (of an object in a body) or body."""

    operation: Operation
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Filled:
    """A request but for its method. `header` is a whole line, or empty."""

    target: str
    header: bytes = b""
    body: bytes | None = None


def operations(document: dict[str, Any]) -> list[Operation]:
    return [
        Operation(method.upper(), path, operation, document["components"]["schemas"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def slots(operation: Operation) -> Iterator[Slot]:
    for place in ("path", "query", "header"):
        names = operation.parameters(place)
        yield from (Slot(operation, place, name) for name in names)
        if place != "path":
            yield Slot(operation, place, _UNKNOWN)
    body = operation.body()
    if body is not None:
        yield Slot(operation, "body", "")
        for path, value in _nodes(body):
            yield Slot(operation, "value", _pointer(path))
            if isinstance(value, dict):
                yield Slot(operation, "member", _pointer(path))


def fill(slot: Slot, text: str | bytes, known: Callable[[str], str]) -> Filled:
    """`text`: percent-encoded for a path or a query, bytes for the rest. `known`: a good path parameter."""
    operation = slot.operation
    target = operation.path
    for name in operation.parameters("path"):
        hostile = slot.kind == "path" and slot.name == name
        target = target.replace(f"{{{name}}}", str(text) if hostile else quote(known(name)))
    body = operation.body()
    whole = None if body is None else json.dumps(body).encode()
    match slot.kind, text:
        case "query", str():
            return Filled(f"{target}?{slot.name}={text}", body=whole)
        case "header", bytes():
            return Filled(target, slot.name.encode() + b": " + text, whole)
        case "body", bytes():
            return Filled(target, body=text)
        case "value", bytes():
            holed = json.dumps(_with_hole(body, _parts(slot.name))).encode()
            return Filled(target, body=holed.replace(_HOLE_IN_JSON, text))
        case "member", bytes():
            holed = json.dumps(_with_hole(body, [*_parts(slot.name), _HOLE])).encode()
            return Filled(target, body=holed.replace(_HOLE_AS_MEMBER, text))
    return Filled(target, body=whole)


def _nodes(value: Any, path: tuple[Part, ...] = ()) -> Iterator[tuple[tuple[Part, ...], Any]]:
    """Every value in a JSON value, itself the first."""
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, item in inner:
        yield from _nodes(item, (*path, part))


def _pointer(path: tuple[Part, ...]) -> str:
    """RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _with_hole(value: Any, path: list[str]) -> Any:
    """The same value with a hole at a place, which may be a member that is not there yet."""
    if not path:
        return _HOLE
    part, *rest = path
    if isinstance(value, list):
        return [_with_hole(item, rest) if str(n) == part else item for n, item in enumerate(value)]
    return {**value, part: _with_hole(value.get(part), rest)}
