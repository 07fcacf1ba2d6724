"""Creates responses: `schemas` serializes the body, this module sets the headers."""

from collections.abc import Mapping, Sequence

from fastapi import Request, Response
from pydantic_core import from_json, to_json

from taskwell.core.errors import PreconditionFailed
from taskwell.http.conditional import is_expected, is_unchanged
from taskwell.http.headers import lines
from taskwell.http.problems import inner_path
from taskwell.http.root_path import link
from taskwell.schemas.batch import BatchResults, results_json
from taskwell.schemas.change import ChangePage, changes_json
from taskwell.schemas.claim import ClaimRead, ClaimRenewed, ClaimsTaken, ClaimTaken, claim_json
from taskwell.schemas.label import LabelRead, label_json, labels_json
from taskwell.schemas.task import TaskAdvanced, TaskRead, task_to_json
from taskwell.schemas.task_list import ListRead, list_json
from taskwell.schemas.token import TokenCreated, TokenRead, token_json, tokens_json
from taskwell.schemas.user import UserRead, user_json
from taskwell.schemas.webhook import WebhookCreated, WebhookRead, webhook_json
from taskwell.services.task_lists import ListOutdated
from taskwell.services.task_statements import TaskJson

_JSON = "application/json"


class JsonResponse(Response):
    """A response of ready bytes. A `Response` spends most of its time on computing headers."""

    def __init__(self, body: bytes, status: int, *headers: tuple[bytes, bytes]) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        length = (b"content-length", b"%d" % len(body))
        self.raw_headers = [length, (b"content-type", b"application/json"), *headers]


def task_response(
    task: TaskRead | TaskJson, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A single task, with its version as a strong ETag (RFC 9110, 8.8.3)."""
    if isinstance(task, TaskRead):
        sent = {"ETag": f'"{task.version}"', **(headers or {})}
        if isinstance(task, TaskAdvanced):
            sent["Completion"] = task.completion
        return Response(task_to_json(task), status, sent, _JSON)
    others = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return JsonResponse(task.json.encode(), status, (b"etag", b'"%d"' % task.version), *others)


def list_response(one: ListRead, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A single list, as `task_response` a task."""
    return Response(list_json(one), status, {"ETag": f'"{one.version}"', **(headers or {})}, _JSON)


def created_response(request: Request, task: TaskRead | TaskJson) -> Response:
    return task_response(task, 201, {"Location": f"{_path(request)}/{task.id}"})


def created_list_response(request: Request, one: ListRead) -> Response:
    return list_response(one, 201, {"Location": f"{_path(request)}/{one.id}"})


def _path(request: Request) -> str:
    return link(request.scope, inner_path(request.scope)).rstrip("/")


def with_fields(task: TaskRead | TaskJson, names: Sequence[str]) -> TaskJson:
    """A task with some of its fields."""
    members = from_json(task_to_json(task) if isinstance(task, TaskRead) else task.json)
    return TaskJson(task.version, to_json({name: members[name] for name in names}).decode())


def read_response(request: Request, task: TaskRead | TaskJson) -> Response:
    """A single task, under the preconditions of the request.

    Raises:
        PreconditionFailed: `If-Match` does not hold.
    """
    if not is_expected(request, str(task.version)):
        raise PreconditionFailed(task.version)
    return unless_unchanged(request, task_response(task))


def read_list_response(request: Request, one: ListRead) -> Response:
    """A single list, as `read_response` a task. Raises ListOutdated."""
    if not is_expected(request, str(one.version)):
        raise ListOutdated(one.version)
    return unless_unchanged(request, list_response(one))


def no_content(_: object) -> Response:
    return Response(status_code=204)


def user_response(user: UserRead, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(user_json(user), status, headers, _JSON)


def token_response(token: TokenCreated) -> Response:
    return Response(token_json(token), 201, {"Cache-Control": "no-store"}, _JSON)


def tokens_response(tokens: list[TokenRead]) -> Response:
    return Response(tokens_json(tokens), media_type=_JSON)


def json_response(body: bytes) -> Response:
    return Response(body, media_type=_JSON)


def webhook_response(webhook: WebhookRead) -> Response:
    return json_response(webhook_json(webhook))


def secret_response(webhook: WebhookCreated, status: int = 200) -> Response:
    return Response(webhook_json(webhook), status, {"Cache-Control": "no-store"}, _JSON)


def created_webhook_response(request: Request, webhook: WebhookCreated) -> Response:
    response = secret_response(webhook, 201)
    response.headers["Location"] = f"{_path(request)}/{webhook.id}"
    return response


def label_response(label: LabelRead) -> Response:
    return Response(label_json(label), media_type=_JSON)


def claim_response(claim: ClaimsTaken | ClaimRenewed | list[ClaimRead]) -> Response:
    return Response(claim_json(claim), media_type=_JSON)


def taken_response(taken: ClaimTaken) -> Response:
    """The claim of a single task, with the task's ETag."""
    return Response(claim_json(taken), 200, {"ETag": f'"{taken.task.version}"'}, _JSON)


def labels_response(labels: Sequence[LabelRead]) -> Response:
    return Response(labels_json(labels), media_type=_JSON)


def count_response(count: int) -> Response:
    return Response(b'{"deleted":%d}' % count, media_type=_JSON)


def batch_response(results: BatchResults) -> Response:
    return Response(results_json(results), media_type=_JSON)


def changes_response(changes: ChangePage) -> Response:
    return Response(changes_json(changes), media_type=_JSON)


def unless_unchanged(request: Request, response: Response) -> Response:
    """The response, or a 304 if its ETag is in `If-None-Match`."""
    if b"if-none-match" not in lines(request.scope):
        return response
    if not is_unchanged(request, response.headers["etag"]):
        return response
    headers = {name: response.headers[name] for name in ("etag", "link") if name in response.headers}
    return Response(status_code=304, headers=headers)
