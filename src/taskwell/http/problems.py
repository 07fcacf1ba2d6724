"""Renders every error as `application/problem+json` (RFC 9457), from one table of types.

A response contains only texts of the table and of this program, and the request's path; never an exception's
message or the client's input.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from taskwell.core.errors import (
    Claimed,
    ClaimLost,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KeyReused,
    NotFound,
    Overloaded,
    PreconditionFailed,
    PreconditionRequired,
    RateLimited,
    StorageFull,
    TaskwellError,
    Unauthorized,
    Unavailable,
    Violation,
)
from taskwell.http.app_state import app_state
from taskwell.http.methods import methods_at
from taskwell.http.request_state import request_state
from taskwell.http.root_path import link, public

MEDIA_TYPE = "application/problem+json"
_MAX_VIOLATIONS = 20
_ROOM_FOR_VIOLATIONS = 2_400  # characters, so that no problem is longer than 4 KiB
_MAX_INSTANCE = 1_024


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A problem type. `/problems/<token>` shows its `meaning` and `remedy`."""

    token: str
    status: int
    meaning: str
    remedy: str

    @property
    def title(self) -> str:
        return self.token.replace("_", " ").title()


PROBLEM_TYPES = {
    problem.token: problem
    for problem in (
        ProblemType(
            "validation_error",
            400,
            "The request is malformed or breaks a rule.",
            "Fix the fields listed in `errors`: `pointer` is a JSON pointer into the body, `parameter` a "
            "parameter of the path, the query or the header. The same request will fail again.",
        ),
        ProblemType(
            "unauthorized",
            401,
            "Authentication failed: the bearer token is missing or invalid.",
            "Send `Authorization: Bearer` with a token. If one was sent, `detail` says why it was refused; "
            "if it has expired, sign in again for a new one.",
        ),
        ProblemType(
            "forbidden",
            403,
            "The caller lacks permission: the data is another user's, or the token lacks a scope.",
            "Use your own id in the path, or `/api/tasks` without one. If `detail` names a scope, use a "
            "token that has it.",
        ),
        ProblemType(
            "not_found",
            404,
            "There is nothing at this path: it never existed, was deleted, or belongs to another user. The "
            "response is the same for all three.",
            "Check the path and the id. A deleted task can be restored from the trash for a limited time.",
        ),
        ProblemType(
            "method_not_allowed",
            405,
            "The path exists, but does not support the method.",
            "Use a method that the `Allow` header lists.",
        ),
        ProblemType(
            "claimed",
            409,
            "The task is claimed already. `claim` says by whom, since when and until when; `yours` is true "
            "if it was claimed with the same token.",
            "Take another task, or wait until the claim ends. Its holder renews it by its number.",
        ),
        ProblemType(
            "conflict",
            409,
            "The id or the e-mail address is taken, there are as many lists or webhooks as are allowed, the "
            "task to be claimed is completed, the server sends no events, or a request with the same "
            "Idempotency-Key is still running.",
            "Choose another id or address, or use the existing user; delete a list or a webhook; reopen the "
            "task. With a `Retry-After` header: repeat the request after that many seconds.",
        ),
        ProblemType(
            "gone",
            410,
            "The cursor has expired: changes after it were purged, or the database was restored from a "
            "backup.",
            "Discard the local copy and fetch everything again, without `since`.",
        ),
        ProblemType(
            "claim_lost",
            412,
            "The claim is over: the task was completed, released, or claimed again. `claim` is the one that "
            "holds the task now, or null.",
            "Stop working on the task, or read it and claim it again.",
        ),
        ProblemType(
            "precondition_failed",
            412,
            "The task or the list is not in the state that the request expects: it has changed, or the task "
            "exists already.",
            "Read the task or the list again, then send the change with its current `ETag`, which is in the "
            "`ETag` header.",
        ),
        ProblemType(
            "payload_too_large",
            413,
            "The body is larger than the server accepts.",
            "Send less data per request.",
        ),
        ProblemType(
            "unsupported_media_type",
            415,
            "The body is not declared as JSON in UTF-8, or is compressed.",
            "Send `Content-Type: application/json`; PATCH and PUT also take `application/merge-patch+json`.",
        ),
        ProblemType(
            "idempotency_key_reused",
            422,
            "The `Idempotency-Key` was used for another request: another method, path, query or body.",
            "Send a new key with each new request, and the same key only to repeat a request.",
        ),
        ProblemType(
            "precondition_required",
            428,
            "This server requires `If-Match` to change a task.",
            "Send `If-Match` with the task's `ETag`.",
        ),
        ProblemType(
            "rate_limited",
            429,
            "The caller has sent too many requests.",
            "Repeat the request after the seconds in the `Retry-After` header. The `RateLimit` header of "
            "every response says how many requests are left.",
        ),
        ProblemType(
            "headers_too_large",
            431,
            "The request's headers are larger than 16 KiB in all.",
            "Send fewer or shorter headers; often a cookie or a token is too large.",
        ),
        ProblemType(
            "internal_error",
            500,
            "The server failed unexpectedly. Its log has the details under the `request_id`.",
            "Report it to the server's operator with the `request_id`.",
        ),
        ProblemType(
            "overloaded",
            503,
            "The server is overloaded. Nothing was changed.",
            "Repeat the request after the seconds in the `Retry-After` header; if it is refused again, "
            "wait longer each time.",
        ),
        ProblemType(
            "database_unavailable",
            503,
            "The database cannot be reached or is busy. Nothing was changed, unless `detail` says that the "
            "outcome is unknown.",
            "Repeat the request after the seconds in the `Retry-After` header.",
        ),
        ProblemType(
            "storage_full",
            507,
            "The server's storage is full. Nothing was changed; reads still work.",
            "Ask the server's operator to free space. Repeating the request fails until then.",
        ),
    )
}

_TOKEN_OF_STATUS = {problem.status: problem.token for problem in PROBLEM_TYPES.values()}
_TOKEN_OF_KIND: dict[type[TaskwellError], str] = {
    Invalid: "validation_error",
    Unauthorized: "unauthorized",
    Forbidden: "forbidden",
    RateLimited: "rate_limited",
    NotFound: "not_found",
    Claimed: "claimed",
    ClaimLost: "claim_lost",
    Conflict: "conflict",
    Gone: "gone",
    PreconditionFailed: "precondition_failed",
    KeyReused: "idempotency_key_reused",
    PreconditionRequired: "precondition_required",
    Overloaded: "overloaded",
    Unavailable: "database_unavailable",
    StorageFull: "storage_full",
}


def problems(*tokens: str, database: bool = True) -> dict[int | str, dict[str, Any]]:
    """The error responses of an operation in the OpenAPI document: the given ones, and the common ones."""
    always = ["validation_error", "internal_error"]
    if database:
        always += ["database_unavailable", "overloaded"]
    answers: dict[int | str, dict[str, Any]] = {}
    for token in dict.fromkeys((*tokens, *always)):
        problem = PROBLEM_TYPES[token]
        answer = documented(problem)
        if problem.status in answers:
            answers[problem.status]["description"] += f"\n\n{answer['description']}"
        else:
            answers[problem.status] = answer
    return answers


def documented(problem: ProblemType) -> dict[str, Any]:
    """The response of a problem type in the OpenAPI document."""
    example = {
        "type": problem.token,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.meaning,
        "instance": "/api/tasks",
        "request_id": "5c0a6cc4d6c44b7f9b2f7d3c2d7f9b1e",
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    answer: dict[str, Any] = {
        "description": f"`{problem.token}`: {problem.meaning}",
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
    if problem.status == 412:
        text = {"type": "string"}
        answer["headers"] = {"ETag": {"description": "The current ETag.", "schema": text}}
    return answer


def path_as_sent(scope: Scope) -> str:
    """The request's path as the client sent it, percent-encoded."""
    return public(scope, inner_path(scope))


def inner_path(scope: Scope) -> str:
    """The request's path without the root path, percent-encoded."""
    return instance_of(scope.get("raw_path") or quote(scope["path"]).encode())


def instance_of(path: bytes) -> str:
    return path.decode("ascii", "replace")[:_MAX_INSTANCE]


def problem_members(token: str, detail: str, instance: str, request_id: str) -> dict[str, Any]:
    problem = PROBLEM_TYPES[token]
    return {
        "type": token,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
    }


def problem_response(
    scope: Scope,
    token: str,
    detail: str,
    *,
    violations: Iterable[Violation] = (),
    headers: Mapping[str, str] | None = None,
    index: int | None = None,
    further: Mapping[str, object] | None = None,
) -> Response:
    request_id = request_state(scope).request_id
    members = problem_members(token, detail, path_as_sent(scope), request_id)
    if index is not None:
        members["index"] = index
        members["detail"] = f"operation {index}: {detail}"
    members |= further or {}
    if errors := [_error(violation) for violation in violations]:
        members["errors"] = errors[:_MAX_VIOLATIONS]
    return Response(
        json.dumps(members),
        members["status"],
        {"Link": f'<{link(scope, f"/problems/{token}")}>; rel="describedby"', **(headers or {})},
        MEDIA_TYPE,
    )


def _error(violation: Violation) -> dict[str, str]:
    place = "pointer" if violation.source == "body" else "parameter"
    return {place: violation.name, "code": violation.code, "detail": violation.detail}


def install(app: FastAPI) -> None:
    """Register the exception handlers of this module."""
    app.add_exception_handler(TaskwellError, _taskwell_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)


async def _taskwell_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TaskwellError)
    return response_of(request.scope, error)


def response_of(scope: Scope, error: TaskwellError) -> Response:
    token = next(_TOKEN_OF_KIND[kind] for kind in type(error).__mro__ if kind in _TOKEN_OF_KIND)
    if isinstance(error, Unavailable | StorageFull):
        app_state(scope).metrics.unavailable[error.reason] += 1
    violations = error.violations if isinstance(error, Invalid) else ()
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    match error:
        case PreconditionFailed():
            headers["ETag"] = f'"{error.tag}"'
        case Unauthorized():
            headers["WWW-Authenticate"] = _challenge("invalid_token" if error.refused else None)
        case Forbidden(scope=str(scope_needed)):
            headers["WWW-Authenticate"] = _challenge("insufficient_scope", scope=scope_needed)
    return problem_response(
        scope,
        token,
        error.detail,
        violations=violations,
        headers=headers,
        index=error.index,
        further=error.members,
    )


def _challenge(error: str | None, **members: str) -> str:
    """The value of WWW-Authenticate (RFC 6750, 3)."""
    parameters = {"realm": "taskwell", **({"error": error} if error else {}), **members}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _taskwell_error(request, Invalid(*_shown(map(_violation, error.errors()))))


def _shown(violations: Iterable[Violation]) -> Iterator[Violation]:
    """The first ones for which there is room. Each is in a problem twice, in `detail` and in `errors`."""
    room = _ROOM_FOR_VIOLATIONS
    for number, violation in enumerate(islice(violations, _MAX_VIOLATIONS)):
        room -= len(violation.sentence()) + len(json.dumps(_error(violation)))
        if number and room < 0:
            return
        yield violation


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    match error.status_code:
        case 404:
            detail = "There is nothing at this path."
        case 405:
            headers["Allow"] = ", ".join(methods_at(request.scope))
            detail = f"This path does not support the method: use {headers['Allow']}."
        case status if status in _TOKEN_OF_STATUS:
            detail = PROBLEM_TYPES[_TOKEN_OF_STATUS[status]].meaning
        case _:
            raise error
    token = _TOKEN_OF_STATUS[error.status_code]
    return problem_response(request.scope, token, detail, headers=headers)


_DETAILS = {
    "int_type": ("invalid_type", "must be a whole number"),
    "union_tag_not_found": ("required", "must have an op"),
    "list_type": ("invalid_type", "must be an array"),
    "missing": ("required", "is required"),
    "string_type": ("invalid_type", "must be a string"),
    "string_unicode": ("invalid_text", "must not contain half of a surrogate pair"),
    "bool_type": ("invalid_type", "must be true or false"),
    "model_attributes_type": ("invalid_type", "must be a JSON object"),
    "model_type": ("invalid_type", "must be a JSON object"),
    "dict_type": ("invalid_type", "must be a JSON object"),
    "missing_sentinel_error": ("invalid", "is not valid"),
}
# With what the schema allows.
_ALLOWED = {
    "greater_than_equal": ("out_of_range", "must be at least {ge}"),
    "less_than_equal": ("out_of_range", "must be at most {le}"),
    "less_than": ("out_of_range", "must be less than {lt}"),
    "literal_error": ("invalid", "must be {expected}"),
    "union_tag_invalid": ("invalid_op", "must have an op that its kind has: {expected_tags}"),
}
# Codes that this program raises itself, with its own messages.
_OWN_CODES = {
    "blank", "invalid_email", "invalid_id", "invalid_limit", "invalid_text", "reserved", "too_long",
    "too_short", "unknown_member", "invalid_flag", "invalid_instant", "invalid_order", "invalid_scope",
    "invalid_sort", "invalid_status", "invalid_date", "unknown_time_zone", "invalid_position", "invalid_link",
    "invalid_color", "invalid_name", "invalid_priority", "invalid_subtasks", "unknown_field",
    "invalid_kind", "invalid_types", "too_many", "too_large", "too_deep_json", "invalid_rate",
    "invalid_op", "invalid_field", "invalid_via", "invalid_version", "invalid_token", "invalid_undo",
    "invalid_client", "invalid_trigger", "invalid", "unsupported", "out_of_range", "required",
    "invalid_url", "invalid_event", "invalid_payload", "invalid_cursor",
    "invalid_redelivery", "invalid_outcome",
}  # fmt: skip


def _violation(error: Mapping[str, Any]) -> Violation:
    kind = error["type"]
    limits = error.get("ctx", {})
    if "field_type" in limits:  # a list's length: Pydantic's own message would repeat the client's
        detail = f"must have {limits.get('min_length', 1)} to {limits.get('max_length', 1_000):,} items"
        code = kind
    elif kind in _ALLOWED:
        code, allowed = _ALLOWED[kind]
        detail = allowed.format(**limits).replace("'", "")
    elif kind in _OWN_CODES:
        code, detail = kind, error["msg"]
    else:
        code, detail = _DETAILS.get(kind, ("invalid", "is not valid"))
    source, *path = error["loc"]
    if path[:1] == ["operations"]:
        path = path[:2] + path[4:]  # without the tags of the two unions, which are not members of the body
    if source != "body":
        return Violation(source, str(path[0]) if path else source, code, detail)
    return Violation("body", "".join(f"/{part}" for part in path), code, detail)
