"""Parsing of JSON, query and preferences, before FastAPI validates them."""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from email.message import Message
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Header, Param, Query
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, QueryParams

from taskwell.auth.authorization import access_of
from taskwell.core import strict_json
from taskwell.core.errors import Invalid, Violation
from taskwell.http.app_state import app_state
from taskwell.http.authorization import authorize
from taskwell.http.conditional import refuse_unknown_conditions
from taskwell.http.problems import problem_response
from taskwell.schemas.base import strict_handling
from taskwell.schemas.claim import is_claim_number
from taskwell.schemas.query import DRY_RUN, REPEATABLE, names_of
from taskwell.schemas.types import TextLimits, is_task_id, is_user_id, text_limits

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
# Whether a text can be the value of a path parameter, by its name.
PATH_IDS: Mapping[str, Callable[[str], bool]] = {
    "user_id": is_user_id,
    "id": is_user_id,
    "task_id": is_task_id,
    "list_id": is_task_id,
    "token_id": is_task_id,
    "claim": is_claim_number,
    "webhook_id": is_task_id,
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ParsedRequest(Request):
    """A request with strictly parsed JSON and canonical parameter names."""

    value: Any = None
    query: QueryParams | None = None

    @property
    def query_params(self) -> QueryParams:
        return super().query_params if self.query is None else self.query

    async def json(self) -> Any:
        return self.value


class TaskwellRoute(APIRoute):
    """The route of every operation."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        access = access_of(self.endpoint)
        names, headers = names_of(_names(self.dependant, Query)), _names(self.dependant, Header)
        # A typo in the filter of a bulk deletion would delete too much.
        careful = self.methods == {"DELETE"} and bool({*names.values()} - {DRY_RUN})
        media_types = (JSON,) if self.methods == {"POST"} else (JSON, MERGE_PATCH)

        async def handler(original: Request) -> Response:
            authorize(original, access)
            request = ParsedRequest(original.scope, original.receive)
            refuse_unknown_conditions(request, headers)
            preferences = parse_preferences(request.headers.getlist("prefer"))
            strict = preferences.get("handling") == "strict"
            if request.scope["query_string"]:
                request.query = _canonical(request.query_params, names, strict or careful, not careful)
            if self.body_field and (body := await request.body()):
                if not _is_json(request.headers, media_types):
                    return _unsupported(request, media_types)
                request.value = _read(body)
            text_limits.set(_limits(request))
            token = strict_handling.set(strict)
            try:
                response = await handle(request)
            finally:
                strict_handling.reset(token)
            if strict:
                response.headers.append("Preference-Applied", "handling=strict")
            return response

        return handler


def _limits(request: Request) -> TextLimits:
    settings = app_state(request.scope).settings
    return TextLimits(settings.title_max_length, settings.description_max_length)


def _names(dependant: Dependant, kind: type[Query | Header]) -> set[str]:
    """The names of a route's parameters of one kind. A field of a query model has no kind of its own."""
    infos = {field.alias: field.field_info for field in get_flat_params(dependant)}
    return {
        name
        for name, info in infos.items()
        if isinstance(info, kind) or (kind is Query and not isinstance(info, Param))
    }


def parse_preferences(lines: Iterable[str]) -> dict[str, str]:
    """The values of `Prefer` (RFC 7240) by name, the first of each; without their parameters."""
    preferences: dict[str, str] = {}
    for line in lines:
        for item in line.split(","):
            name, _, value = item.partition(";")[0].partition("=")
            preferences.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    return preferences


def _canonical(query: QueryParams, names: Mapping[str, str], strict: bool, blank: bool) -> QueryParams:
    """The parameters by their canonical names, without empty ones.

    `blank`: whether one may be empty. `dry_run` never may, and is known in any case of its letters, or a slip
    would do what was only to be shown.

    Raises:
        Invalid: a parameter is repeated, under any of its names; one is blank and must not be; or one is
            unknown, in strict mode.
    """
    sent = query.multi_items()
    given = [(name, value) for word, value in sent if (name := _name(names, word)) is not None]
    for name, value in given:
        if (name == DRY_RUN or not blank) and not value.strip():
            meant = "send true or false" if name == DRY_RUN else "leave it out to mean all"
            raise Invalid(Violation("query", name, "blank", f"must not be blank: {meant}"))
    understood = [(name, value) for name, value in given if value]
    for name, count in Counter(name for name, _ in understood).items():
        if count > 1 and name not in REPEATABLE:
            raise Invalid(Violation("query", name, "repeated", "must be given once, by one name"))
    if strict and len(given) < len(sent):
        known = f"has a parameter other than {', '.join(sorted(set(names.values()))) or 'none'}"
        raise Invalid(Violation("query", "query", "unknown_parameter", known))
    return QueryParams(understood)


def _name(names: Mapping[str, str], word: str) -> str | None:
    return names.get(word) or (DRY_RUN if names.get(word.lower()) == DRY_RUN else None)


def _is_json(headers: Headers, media_types: tuple[str, ...]) -> bool:
    message = Message()
    message["Content-Type"] = headers.get("content-type", "")
    charset = message.get_param("charset", "utf-8")
    return (
        len(headers.getlist("content-type")) == 1
        and message.get_content_type() in media_types
        and str(charset).lower() in {"utf-8", "utf8"}
        and all(coding.lower() == "identity" for coding in headers.getlist("content-encoding"))
    )


def _unsupported(request: Request, media_types: tuple[str, ...]) -> Response:
    known = ", ".join(media_types)
    name = {"POST": "Accept-Post", "PATCH": "Accept-Patch"}.get(request.method, "Accept")
    detail = f"The body must be {' or '.join(media_types)}, in UTF-8 and not compressed."
    return problem_response(request.scope, "unsupported_media_type", detail, headers={name: known})


def _read(body: bytes) -> Any:
    try:
        value = strict_json.loads_body(body)
    except strict_json.MalformedJson as error:
        raise Invalid(Violation("body", "", "malformed_json", str(error))) from None
    if value is None:  # FastAPI would treat it as a missing body
        raise Invalid(Violation("body", "", "invalid_type", "must be a JSON object"))
    return value
