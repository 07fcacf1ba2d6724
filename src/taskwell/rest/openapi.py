"""The OpenAPI document, in a form that client generators and API tools handle well."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter

from taskwell.auth.authorization import ADMIN, Access, access_of
from taskwell.core.principal import CLIENT_PATTERN
from taskwell.core.settings import Settings
from taskwell.http.authentication import AGENT
from taskwell.http.idempotency import DRY_RUN_HEADER
from taskwell.http.problems import MEDIA_TYPE, PROBLEM_TYPES, documented
from taskwell.rest.routing import JSON, MERGE_PATCH
from taskwell.schemas.problem import Problem
from taskwell.schemas.query import DRY_RUN
from taskwell.schemas.task_list import EXAMPLE_LIST_ID
from taskwell.schemas.types import EXAMPLE_ID
from taskwell.schemas.webhook import GapEvent, ListEvent, Message, PingEvent, TaskEvent

_DESCRIPTION = """\
Every operation on tasks and lists exists twice: at `/api/tasks` for the caller, and at `/api/{user_id}/tasks`
for the user in the path. Every error is a problem (RFC 9457).
"""
_TAGS = [
    {"name": "tasks", "description": "Create, read, change and delete tasks."},
    {"name": "lists", "description": "Lists that tasks are in. The inbox is no list: it cannot be deleted."},
    {"name": "labels", "description": "Names on tasks: their colors, places and numbers of tasks."},
    {"name": "claims", "description": "Tasks that a worker has taken for some time."},
    {"name": "history", "description": "What changed, who did it, and back again."},
    {"name": "webhooks", "description": "What happens to tasks and lists, sent to a URL."},
    {"name": "users", "description": "The owners of tasks."},
    {"name": "changes", "description": "The changes of tasks and lists, as a list or a live stream."},
    {"name": "tokens", "description": "Credentials of programs that act as a user."},
    {"name": "operations", "description": "Health checks for operators."},
]


_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A JWT of an issuer that the server trusts, or an API token (`tw_…`). With "
        "`TASKWELL_AUTH=stub` no credentials are needed.",
    }
}
_REFUSALS = {
    str(PROBLEM_TYPES[token].status): documented(PROBLEM_TYPES[token])
    for token in ("unauthorized", "forbidden", "rate_limited")
}
# Authentication reads it, whatever the operation; only writes are recorded. It has no example: a tool that
# sends those would call itself by another's name.
_AGENT: Mapping[str, Any] = {
    "name": AGENT.lower(),
    "in": "header",
    "required": False,
    "description": "The name of the program that writes, such as `claude-code`: up to 100 printable ASCII "
    "characters. Nothing proves it. The name in a JWT comes first.",
    "schema": {"type": "string", "maxLength": 100, "pattern": f"^{CLIENT_PATTERN}$", "title": AGENT},
}
# Tools that generate requests send every parameter: its example, or what they make of its schema. So the
# examples are compatible with each other. One that is empty is as good as absent. What is not here has its
# example in its schema.
_EXAMPLES: Mapping[str, Any] = {
    "after": "1970-01-01T00:00:00Z",
    "archived": False,
    "before": "2100-01-01T00:00:00Z",
    "claim": 41,
    "claimed": False,
    "client": "claude-code",
    "completed": False,
    "completed_after": "1970-01-01T00:00:00Z",
    "completed_before": "2100-01-01T00:00:00Z",
    "counts": False,
    "created_after": "2020-01-01T00:00:00Z",
    "created_before": "2100-01-01T00:00:00Z",
    "cursor": "",
    "deleted": False,
    "dry_run": False,
    "due": "today,none",
    "due_after": "1970-01-01",
    "due_before": "2100-01-01",
    "field": "title",
    "fields": "id,title,due",
    "id": "alice",
    "if-match": "*",
    "if-none-match": '"0"',
    "kind": "task",
    "label": [],
    "label_any": [],
    "label_not": [],
    "labelled": False,
    "last-event-id": "0",
    "lastEventId": "0",
    "limit": 50,
    "list_id": EXAMPLE_LIST_ID,
    "name": "home",
    "op": "created,updated",
    "outcome": "delivered",
    "prefer": "handling=lenient",
    "priority": "1,none",
    "q": "milk",
    "recurring": False,
    "since": "0",
    "sort": "completed,-updated_at",
    "start_after": "1970-01-01",
    "start_before": "2100-01-01",
    "started": True,
    "status": "pending",
    "task": EXAMPLE_ID,
    "task_id": EXAMPLE_ID,
    "tasks": "delete",
    "token": EXAMPLE_ID,
    "token_id": EXAMPLE_ID,
    "types": "task,list,label",
    "tz": "UTC",
    "updated_after": "2020-01-01T00:00:00Z",
    "updated_before": "2100-01-01T00:00:00Z",
    "user_id": "alice",
    "via": "api",
    "webhook_id": EXAMPLE_ID,
}
# What is sent to webhooks, by the name in the document.
_MESSAGES: Mapping[str, tuple[type[Message], str]] = {
    "task": (TaskEvent, "Something happened to a task"),
    "list": (ListEvent, "Something happened to a list"),
    "webhook.ping": (PingEvent, "A ping, on request"),
    "webhook.gap": (GapEvent, "Events were lost"),
}
_MESSAGE_HEADERS = {
    "webhook-id": "The id of the event at this webhook, the same for every attempt.",
    "webhook-timestamp": "When the attempt began, in seconds since 1970.",
    "webhook-signature": "`v1,` and the signature by the secret; two while the secret is being rotated.",
}
# FastAPI leaves members that are null out of examples.
_EXAMPLES_WITH_NULL: Mapping[str, Any] = {name: {"after": None} for name in ("TaskMove", "ListMove")}


def install(app: FastAPI) -> None:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title="taskwell",
        version=app.version,
        description=_DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        routes=app.routes,
        tags=_TAGS,
        # Relative to the document's host. The served document has the root path here.
        servers=[{"url": "/"}],
    )
    accesses = {
        route.unique_id: access_of(route.endpoint)
        for route in iter_route_contexts(app.routes)
        if getattr(route, "include_in_schema", False) and route.endpoint is not None
    }
    for name, example in _EXAMPLES_WITH_NULL.items():
        document["components"]["schemas"][name]["examples"] = [example]
    for path in document["paths"].values():
        for method, operation in path.items():
            _secure(method, operation, accesses[operation["operationId"]])
            _correct(method, operation)
            _show_dry_run(operation)
            _show_examples(method, operation, document["components"]["schemas"])
    document["components"]["securitySchemes"] = _SECURITY_SCHEMES
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    document["webhooks"] = _webhooks(schemas)
    _limit_texts(app.state.settings, schemas)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _webhooks(schemas: dict[str, Any]) -> dict[str, Any]:
    """The messages to webhooks. Adds their schemas."""
    found = {}
    for name, (message, summary) in _MESSAGES.items():
        schema = TypeAdapter(message).json_schema(
            ref_template="#/components/schemas/{model}", mode="serialization"
        )
        schemas |= schema.pop("$defs", {}) | {message.__name__: schema}
        body = {"schema": {"$ref": f"#/components/schemas/{message.__name__}"}}
        operation = {
            "operationId": "webhook_" + name.removeprefix("webhook."),
            "summary": summary,
            "description": str(message.__doc__),
            "tags": ["webhooks"],
            "security": [],
            "parameters": [
                {"name": header, "in": "header", "required": True, "description": text,
                 "schema": {"type": "string"}}
                for header, text in _MESSAGE_HEADERS.items()
            ],
            "requestBody": {"required": True, "content": {JSON: body}},
            "responses": {"2XX": {"description": "It was received. Any other answer is a failure."}},
        }  # fmt: skip
        found[name] = {"post": operation}
    return found


def _limit_texts(settings: Settings, schemas: Mapping[str, Any]) -> None:
    """Show the limits of this server."""
    limits = {"title": settings.title_max_length, "description": settings.description_max_length}
    for schema in (schemas["TaskCreate"], schemas["TaskUpdate"]):
        for name, most in limits.items():
            member = schema["properties"][name]
            for choice in (member, *member.get("anyOf", ())):
                if "maxLength" in choice:
                    choice["maxLength"] = most
    for name in ("ClaimCreate", "ClaimNext", "ClaimRenew"):
        schemas[name]["properties"]["seconds"]["maximum"] = settings.claim_max_seconds


def _secure(method: str, operation: dict[str, Any], access: Access) -> None:
    """Document what authentication reads.

    `{}`: in stub mode no credentials are needed; OpenAPI cannot express modes.
    """
    if access.scope is None:
        operation["security"] = []
        return
    scopes = [access.scope, *([ADMIN] if access.allow_admin else [])]
    operation["security"] = [{"bearer": scopes}, {}]
    operation["responses"] |= _REFUSALS
    if method != "get":
        operation.setdefault("parameters", []).append(deepcopy(_AGENT))


def _correct(method: str, operation: dict[str, Any]) -> None:
    """Add what FastAPI cannot know, and remove what it adds by itself."""
    if MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {}):
        operation["responses"].pop("422", None)  # FastAPI's validation error; taskwell's is a 400
    operation["responses"] = dict(sorted(operation["responses"].items()))
    content = operation.get("requestBody", {}).get("content", {})
    if method in {"patch", "put"}:
        content[MERGE_PATCH] = content[JSON]
    for answer in operation["responses"].values():
        # FastAPI derives a title from the operation's id, and generators would create a class from it.
        answer.get("content", {}).get(JSON, {}).get("schema", {}).pop("title", None)
    for parameter in operation.get("parameters", []):
        # A parameter can be absent; it cannot be null.
        schema = parameter["schema"]
        for choice in schema.pop("anyOf", []):
            if choice != {"type": "null"}:
                schema |= choice


def _show_dry_run(operation: dict[str, Any]) -> None:
    """Show the header of a dry run on the successes of every operation that can be one."""
    for parameter in operation.get("parameters", []):
        if parameter["name"] != DRY_RUN or "const" in parameter["schema"]:
            continue
        for status, answer in operation["responses"].items():
            if status < "300":
                answer["headers"] = {**answer.get("headers", {}), **DRY_RUN_HEADER}


def _show_examples(method: str, operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Set the examples of parameters and bodies where every tool finds them."""
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        own = parameter["schema"].pop("examples", None)
        if (method, name) == ("put", "if-none-match"):
            parameter["example"] = ""  # it would contradict If-Match
        elif name == "idempotency-key":
            # A key belongs to one request: Postman replaces the variable in each request.
            parameter["example"] = operation["operationId"].removeprefix("user_") + " {{$guid}}"
        elif name in _EXAMPLES:
            example = _EXAMPLES[name]
            parameter["example"] = int(example) if parameter["schema"].get("type") == "integer" else example
        elif own is not None:
            parameter["example"] = own[0]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        name = content["schema"]["$ref"].rpartition("/")[2]
        content["example"] = schemas[name]["examples"][0]
