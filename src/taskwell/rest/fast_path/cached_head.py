"""Plain requests of known clients, answered without the layers and without a task of their own.

For a request about a single task, or for a page of them, the way through the layers costs more than all the
rest, and to who sends the same headers they say the same each time. So the head of an answer that has come
all the way is kept, with gaps for what differs from one answer to the next. A later request of its kind, with
the same headers from the same address, is asked for at once, and what is found is put below that head.

There are no second rules. Whatever is not plain goes the long way; and so does an error, once it is known.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import getrandbits
from re import Match
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from starlette.types import Scope

from taskwell.auth.authorization import TASKS_READ, TASKS_WRITE, Caller
from taskwell.core.bounded_cache import BoundedCache
from taskwell.core.settings import Settings
from taskwell.database.database import Database
from taskwell.database.principal import ALL_USERS, as_user
from taskwell.http import logs
from taskwell.http.exchange import HttpExchange
from taskwell.http.headers import Header, lines
from taskwell.http.metrics import Metrics
from taskwell.http.problems import inner_path, path_as_sent
from taskwell.http.request_state import LocalLimit, caller_of, request_state
from taskwell.http.root_path import link, note_origin, note_root, root_of
from taskwell.rest.fast_path.direct_dispatch import BYPASS_HEADERS, PATH, ROUTES, parsed
from taskwell.rest.pages import TaskListing
from taskwell.schemas.query import KnownQueries, TaskQuery
from taskwell.schemas.task import TaskCreate
from taskwell.schemas.types import is_user_id
from taskwell.services.live_changes import Feed
from taskwell.services.task_query import list_chunks
from taskwell.services.task_statements import (
    NewTask,
    TaskKey,
    get_tasks,
    insert_tasks,
    new_task,
    toggle_tasks,
)
from taskwell.services.users import UserNotFound

# These differ from one request to the next, and make no difference to the layers.
_IGNORED_HEADERS = frozenset({b"content-length", b"traceparent", b"tracestate", b"baggage"})
# With one of these a request is answered otherwise than the one before it.
_BYPASS_HEADERS = BYPASS_HEADERS | {b"if-none-match", b"x-request-id", b"expect"}
_PLACEHOLDERS = frozenset({b"content-length", b"etag", b"location", b"ratelimit", b"x-request-id"})
_LINK = b"%(link)b"  # a whole line, where there is one
_CLIENTS = 1_000
_LONGEST_HEADERS = 4_096  # bytes; whoever sends more is not remembered


OperationInput = TaskKey | NewTask | TaskListing


class Reply(NamedTuple):
    """What an answer tells. `location`: of what was made. `link`: where the next page is."""

    json: str
    etag: str
    location: str = ""
    link: str | None = None


class OperationKind(NamedTuple):
    """`needs`: the caller's scope. `status`: of the answer, when it is no error."""

    function: Callable[..., Any]
    needs: str
    status: int
    writes: bool = True


_GET = OperationKind(get_tasks, TASKS_READ, 200, writes=False)
_TOGGLE = OperationKind(toggle_tasks, TASKS_WRITE, 200)
_CREATE = OperationKind(insert_tasks, TASKS_WRITE, 201)
_LIST = OperationKind(list_chunks, TASKS_READ, 200, writes=False)
# By the method, and by the last part that a path has.
_KINDS: Mapping[tuple[str, str | None], OperationKind] = {
    ("GET", "task_id"): _GET,
    ("POST", "toggle"): _TOGGLE,
    ("POST", None): _CREATE,
    ("POST", "user_id"): _CREATE,
    ("GET", None): _LIST,
    ("GET", "user_id"): _LIST,
}


@dataclass(slots=True)
class ClientProfile:
    """What the layers say to some headers. `checks`: what they look at besides, and may see otherwise now."""

    caller: Caller
    checks: Sequence[Callable[[], bool]]
    limit: LocalLimit | None
    root_path: str
    heads: dict[OperationKind, bytes] = field(default_factory=dict)

    def may(self, kind: OperationKind, owner: str) -> bool:
        caller = self.caller
        own = is_user_id(owner) if caller.any_user else owner == caller.user_id
        return own and kind.needs in caller.scopes and all(check() for check in self.checks)


@dataclass(slots=True)
class PendingRequest:
    """A request on its way. `ratelimit`: what the client is told of its limit."""

    exchange: HttpExchange
    kind: OperationKind
    wanted: OperationInput
    client: ClientProfile
    owner: str
    route: str
    ratelimit: bytes
    begun: float


class FastPath:
    """What is known of clients, and how their plain requests are answered."""

    def __init__(self, app: FastAPI, database: Database, feed: Feed) -> None:
        self._database = database
        self._feed = feed
        self._settings: Settings = app.state.settings
        self._origin = self._settings.public_origin
        self._metrics: Metrics = app.state.metrics
        self._queries: KnownQueries = app.state.rest.queries
        self._noted_emails: BoundedCache[str, str] = app.state.noted_emails
        self._clients: BoundedCache[tuple[object, ...], ClientProfile] = BoundedCache(_CLIENTS)

    def try_handle(self, exchange: HttpExchange) -> bool:
        """Answer a request that is whole. If False, it has to go the long way, and may be learned from."""
        scope = exchange.scope
        found = PATH.fullmatch(scope["path"])
        kind = _KINDS.get((scope["method"], found.lastgroup)) if found else None
        if found is None or kind is None or not self._is_plain(kind, scope):
            return False
        key = _key(exchange)
        client = self._clients.get(key)
        if client is None or kind not in client.heads:
            exchange.on_head = partial(self._record_head, key, kind, scope)
            return False
        if client.root_path:
            note_root(scope, client.root_path)
        if self._origin:
            note_origin(scope, self._origin)
        owner = found["user_id"] or client.caller.user_id
        wanted = self._wanted(kind, owner, found, exchange) if client.may(kind, owner) else None
        if wanted is None or not exchange.keep_alive or not self._may_be_written(kind, owner, client):
            return False
        ratelimit = client.limit.take(client.caller.user_id) if client.limit else b""
        if ratelimit is None:
            return False
        route = ROUTES[found.lastgroup, found["user_id"] is not None]
        pending = PendingRequest(exchange, kind, wanted, client, owner, route, ratelimit, time.perf_counter())
        # Not even what is at hand is told at once: to answer all that a turn of the loop brings after all of
        # it was read takes two thirds of the time.
        self._execute(pending).add_done_callback(partial(self._end, pending))
        return True

    def _is_plain(self, kind: OperationKind, scope: Scope) -> bool:
        """Whether the address says no more than is understood here: of lists only that a page is wanted."""
        if b"%" in scope["raw_path"]:
            return False
        if kind is not _LIST:
            return not scope["query_string"]
        _, limit = self._queries.find(scope["query_string"]) or (None, None)
        return limit is not None

    def _wanted(
        self, kind: OperationKind, owner: str, found: Match[str], exchange: HttpExchange
    ) -> OperationInput | None:
        """None: what the body says needs a longer answer."""
        if kind is _CREATE:
            new = parsed(bytes(exchange.body), TaskCreate) if self._has_room(exchange) else None
            return None if new is None else new_task(owner, new)
        if exchange.body:
            return None
        if kind is _LIST:
            query, limit = self._queries.find(exchange.scope["query_string"]) or (TaskQuery(), None)
            return TaskListing(Request(exchange.scope), self._database, owner, query, limit)
        return TaskKey(owner, found["task_id"])

    def _has_room(self, exchange: HttpExchange) -> bool:
        return len(exchange.body) <= self._settings.max_body_bytes

    def _may_be_written(self, kind: OperationKind, owner: str, client: ClientProfile) -> bool:
        """Whether nothing has to be waited for, looked at or noted besides."""
        if not kind.writes:
            return True
        if self._database.user_locks.is_locked(owner) or (
            kind is _TOGGLE and self._settings.require_if_match
        ):
            return False
        email = client.caller.email
        return email is None or self._noted_emails.get(client.caller.user_id) == email

    def _execute(self, pending: PendingRequest) -> asyncio.Future[Any]:
        pending.exchange.begun = True
        self._metrics.under_way += 1
        caller = pending.client.caller
        with as_user(ALL_USERS if caller.any_user else caller.user_id):
            if isinstance(pending.wanted, TaskListing):
                return pending.wanted.chunk()
            run = self._database.write_together if pending.kind.writes else self._database.look_up
            return run(pending.kind.function, pending.wanted)

    def _end(self, pending: PendingRequest, answer: asyncio.Future[Any]) -> None:
        self._metrics.under_way -= 1
        error = answer.exception()
        if error is None:
            self._reply(pending, answer.result())
        else:
            self._fall_back(pending, error)

    def _reply(self, pending: PendingRequest, outcome: Any) -> None:
        exchange, kind = pending.exchange, pending.kind
        if kind.writes:
            self._feed.wake(pending.owner)
        reply = _reply_of(pending, outcome)
        body = reply.json.encode()
        request_id = f"{getrandbits(128):032x}"
        head = pending.client.heads[kind] % {
            b"content-length": b"%d" % len(body),
            b"etag": reply.etag.encode(),
            b"location": reply.location.encode(),
            b"link": b"link: %b\r\n" % reply.link.encode() if reply.link else b"",
            b"ratelimit": pending.ratelimit,
            b"x-request-id": request_id.encode(),
        }
        exchange.answer(kind.status, head, body)
        method, seconds = exchange.scope["method"], time.perf_counter() - pending.begun
        self._metrics.note_request(method, pending.route, kind.status, seconds)
        logs.note_request(request_id, method, path_as_sent(exchange.scope), kind.status, seconds)

    def _fall_back(self, pending: PendingRequest, error: BaseException) -> None:
        """To be told what has happened; or to create the user, if it is only that there is none yet."""
        exchange, scope = pending.exchange, pending.exchange.scope
        if pending.client.limit is not None:
            pending.client.limit.give_back(pending.client.caller.user_id)  # it is counted there
        state = request_state(scope)
        state.started_at = pending.begun
        if not isinstance(error, UserNotFound):
            state.outcome = error
        exchange.take_slow_path()

    def _record_head(
        self,
        key: tuple[object, ...],
        kind: OperationKind,
        scope: Scope,
        status: int,
        headers: Sequence[Header],
    ) -> None:
        """From an answer that has come all the way."""
        sent = lines(scope)
        # Of a scope that was copied on its way, as below another server's root path, nothing is known.
        state = request_state(scope)
        known = state.caller is not None and state.cacheable and state.scope_id == id(scope)
        telling = status != kind.status or not _BYPASS_HEADERS.isdisjoint(sent) or not known
        if telling or sum(len(name) + len(value) for name, value in scope["headers"]) > _LONGEST_HEADERS:
            return
        client = self._clients.get(key)
        if client is None:
            client = ClientProfile(caller_of(scope), state.checks, state.limit, root_of(scope))
            self._clients[key] = client
        kept = [_with_placeholders(header) for header in headers if header[0] != b"link"]
        client.heads[kind] = b"".join([*kept, _LINK])


def _reply_of(pending: PendingRequest, outcome: Any) -> Reply:
    wanted = pending.wanted
    if isinstance(wanted, TaskListing):
        page = wanted.page(outcome)
        return Reply(page.json, page.etag, link=page.link)
    scope = pending.exchange.scope
    location = f"{link(scope, inner_path(scope))}/{wanted.id}" if pending.kind is _CREATE else ""
    return Reply(outcome.json, f'"{outcome.version}"', location)


def _key(exchange: HttpExchange) -> tuple[object, ...]:
    """Whom the layers would take the request to be of. They believe a proxy by its address."""
    scope = exchange.scope
    address = scope["client"]
    sent = [header for header in scope["headers"] if header[0] not in _IGNORED_HEADERS]
    return (address and address[0], scope["scheme"], *sent)


def _with_placeholders(header: Header) -> bytes:
    name, value = header
    return b"%b: %b\r\n" % (name, b"%%(%b)b" % name if name in _PLACEHOLDERS else value.replace(b"%", b"%%"))
