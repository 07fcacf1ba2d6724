"""The fast path: answers simple requests of known clients without middleware or asyncio task.

For a single task or a page of tasks the middleware costs more than everything else, and gives equal response
headers to equal request headers. So the fast path records the head of a response of the slow path, with
placeholders for the values that differ. For a later request of the same kind, with the same headers from the
same address, it executes the operation at once and sends the result below the recorded head.

Each rule exists once: a request that is not simple takes the slow path, and so does one that fails.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import getrandbits
from re import Match
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from starlette.types import Scope

from taskwell.auth.authorization import Caller
from taskwell.core.bounded_cache import BoundedCache
from taskwell.core.principal import as_principal
from taskwell.core.settings import Settings
from taskwell.http import logs
from taskwell.http.exchange import HttpExchange
from taskwell.http.headers import Header, lines
from taskwell.http.metrics import Metrics
from taskwell.http.problems import inner_path, path_as_sent
from taskwell.http.request_state import LocalLimit, caller_of, request_state
from taskwell.http.root_path import link, note_origin, note_root, root_of
from taskwell.rest.cursors import split_cursor
from taskwell.rest.fast_path.simple_requests import (
    BYPASS_HEADERS,
    KINDS,
    LIST,
    PATH,
    ROUTES,
    Kind,
    SimpleOperation,
    SimpleRequests,
)
from taskwell.rest.pages import TaskListing
from taskwell.schemas.types import is_user_id
from taskwell.services.live_changes import Feed
from taskwell.services.operations import UNDECIDED, CreateTask, ListTasks, Operation, Operations
from taskwell.services.task_query import Chunk

# These differ from one request to the next, and the middleware ignores them.
_IGNORED_HEADERS = frozenset({b"content-length", b"traceparent", b"tracestate", b"baggage"})
# The response to a request with one of these differs from the recorded one.
_BYPASS_HEADERS = BYPASS_HEADERS | {b"if-none-match", b"x-request-id", b"expect"}
_PLACEHOLDERS = frozenset({b"content-length", b"etag", b"location", b"ratelimit", b"x-request-id"})
# Of a single response, so that no recorded head has them.
_OF_ONE = frozenset({b"link", b"completion"})
_LINK = b"%(link)b"  # a whole line, or nothing
_CLIENTS = 1_000
_MAX_HEADER_BYTES = 4_096  # the head of a request with more is not recorded


class Reply(NamedTuple):
    """The result of an operation. `location`: of a created task. `link`: to the next page."""

    body: bytes
    etag: str
    location: str = ""
    link: str | None = None


class SharedPage(NamedTuple):
    """The reply of a chunk that several requests have read together: of one client at one URL."""

    chunk: Chunk
    client: "ClientProfile"
    url: tuple[str, bytes]
    reply: Reply

    def is_of(self, chunk: Chunk, client: "ClientProfile", url: tuple[str, bytes]) -> bool:
        return self.chunk is chunk and self.client is client and self.url == url


@dataclass(slots=True)
class ClientProfile:
    """What the middleware derives from request headers.

    `checks`: its conditions that can change between two requests, such as the expiry of a token. `heads`: the
    recorded heads, by the operation.
    """

    caller: Caller
    checks: Sequence[Callable[[], bool]]
    limit: LocalLimit | None
    root_path: str
    heads: dict[type[Operation[Any]], bytes] = field(default_factory=dict)

    def may(self, kind: Kind, owner: str) -> bool:
        """Whether the caller is still authenticated, and authorized to run the operation for the owner."""
        caller = self.caller
        own = is_user_id(owner) if caller.any_user else owner == caller.user_id
        return own and kind.access.scope in caller.scopes and all(check() for check in self.checks)


@dataclass(slots=True)
class PendingRequest:
    """A request whose operation runs. `ratelimit`: the value of the response's RateLimit field."""

    exchange: HttpExchange
    kind: Kind
    operation: Operation[Any]
    client: ClientProfile
    route: str
    ratelimit: bytes
    started_at: float


class FastPath:
    """Caches the profiles of clients, and answers their simple requests."""

    def __init__(self, app: FastAPI, operations: Operations, feed: Feed) -> None:
        self._operations = operations
        self._feed = feed
        self._settings: Settings = app.state.settings
        self._origin = self._settings.public_origin
        self._metrics: Metrics = app.state.metrics
        self._requests = SimpleRequests(self._settings, app.state.rest.queries)
        self._noted_emails: BoundedCache[str, str] = app.state.noted_emails
        self._shared: SharedPage | None = None
        self._clients: BoundedCache[tuple[object, ...], ClientProfile] = BoundedCache(_CLIENTS)

    def try_handle(self, exchange: HttpExchange) -> bool:
        """Start to answer a complete request. False: it takes the slow path, which may record a head."""
        scope = exchange.scope
        found = PATH.fullmatch(scope["path"])
        kind = KINDS.get((scope["method"], found.lastgroup)) if found else None
        if found is None or kind is None or not self._is_simple(kind, scope):
            return False
        key = _key(exchange)
        client = self._clients.get(key)
        if client is None or kind.operation not in client.heads:
            exchange.on_head = partial(self._record_head, key, kind, scope)
            return False
        if client.root_path:
            note_root(scope, client.root_path)
        if self._origin:
            note_origin(scope, self._origin)
        operation = self._operation(kind, client, found, exchange)
        if operation is None or not exchange.keep_alive:
            return False
        ratelimit = client.limit.take(client.caller.user_id) if client.limit else b""
        if ratelimit is None:
            return False
        route = ROUTES[found.lastgroup, found["user_id"] is not None]
        return self._start(
            PendingRequest(exchange, kind, operation, client, route, ratelimit, time.perf_counter())
        )

    def _is_simple(self, kind: Kind, scope: Scope) -> bool:
        """Whether the URL has no escapes, and no query except the known one of a page."""
        if b"%" in scope["raw_path"]:
            return False
        query = scope["query_string"]
        return self._requests.is_page(query) if kind is LIST else not query

    def _operation(
        self, kind: Kind, client: ClientProfile, found: Match[str], exchange: HttpExchange
    ) -> SimpleOperation | ListTasks | None:
        """None: the request is forbidden, invalid or not simple, or the caller's email has to be stored."""
        owner = found["user_id"] or client.caller.user_id
        if not client.may(kind, owner) or len(exchange.body) > self._settings.max_body_bytes:
            return None
        if kind.writes and not self._is_email_noted(client.caller):
            return None
        query, body = exchange.scope["query_string"], bytes(exchange.body)
        if kind is LIST:
            return None if body else self._requests.page(owner, query)
        return self._requests.operation(kind, owner, found["task_id"], query, body)

    def _is_email_noted(self, caller: Caller) -> bool:
        return caller.email is None or self._noted_emails.get(caller.user_id) == caller.email

    def _start(self, pending: PendingRequest) -> bool:
        with as_principal(pending.client.caller.principal):
            answer = self._operations.start(pending.operation)
        if answer is None:
            self._give_back(pending)
            return False
        pending.exchange.started = True
        self._metrics.under_way += 1
        # Even a finished operation is answered by a callback: reading all requests of one turn of the event
        # loop first, and then answering them, takes two thirds of the time.
        answer.add_done_callback(partial(self._end, pending))
        return True

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
            self._feed.wake(pending.operation.user_id)
        reply = self._reply_of(pending, outcome)
        body = reply.body
        request_id = f"{getrandbits(128):032x}"
        head = pending.client.heads[kind.operation] % {
            b"content-length": b"%d" % len(body),
            b"etag": reply.etag.encode(),
            b"location": reply.location.encode(),
            b"link": b"link: %b\r\n" % reply.link.encode() if reply.link else b"",
            b"ratelimit": pending.ratelimit,
            b"x-request-id": request_id.encode(),
        }
        exchange.answer(kind.status, head, body)
        method, seconds = exchange.scope["method"], time.perf_counter() - pending.started_at
        self._metrics.note_request(method, pending.route, kind.status, seconds)
        logs.note_request(request_id, method, path_as_sent(exchange.scope), kind.status, seconds)

    def _fall_back(self, pending: PendingRequest, error: BaseException) -> None:
        """Take the slow path, which renders the error, or creates a missing user and tries again."""
        exchange, scope = pending.exchange, pending.exchange.scope
        self._give_back(pending)
        state = request_state(scope)
        state.started_at = pending.started_at
        if not isinstance(error, UNDECIDED):
            state.outcome = error
        exchange.take_slow_path()

    def _give_back(self, pending: PendingRequest) -> None:
        """The slow path counts the request against the client's limit."""
        if pending.client.limit is not None:
            pending.client.limit.give_back(pending.client.caller.user_id)

    def _reply_of(self, pending: PendingRequest, outcome: Any) -> Reply:
        operation, scope = pending.operation, pending.exchange.scope
        if isinstance(operation, ListTasks):
            return self._page(pending, operation, outcome)
        created = isinstance(operation, CreateTask)
        location = f"{link(scope, inner_path(scope))}/{outcome.id}" if created else ""
        return Reply(outcome.json.encode(), f'"{outcome.version}"', location)

    def _page(self, pending: PendingRequest, operation: ListTasks, chunk: Chunk) -> Reply:
        """The reply of a page. Concurrent requests for one page have one chunk, and share it."""
        scope = pending.exchange.scope
        url = (scope["path"], scope["query_string"])
        if self._shared is not None and self._shared.is_of(chunk, pending.client, url):
            return self._shared.reply
        owner, query, limit = operation.user_id, operation.query, operation.limit
        _, cursor = split_cursor(scope["query_string"])
        page = TaskListing(Request(scope), self._operations, owner, query, limit, cursor).page(chunk)
        reply = Reply(page.json.encode(), page.etag, link=page.link)
        self._shared = SharedPage(chunk, pending.client, url, reply)
        return reply

    def _record_head(
        self,
        key: tuple[object, ...],
        kind: Kind,
        scope: Scope,
        status: int,
        headers: Sequence[Header],
    ) -> None:
        """Record the head of a response of the slow path, unless request or response is special."""
        sent = lines(scope)
        # Middleware that copies the scope, as a mount under a root path does, leaves this one without state.
        state = request_state(scope)
        known = state.caller is not None and state.cacheable and state.scope_id == id(scope)
        special = status != kind.status or not _BYPASS_HEADERS.isdisjoint(sent) or not known
        if special or sum(len(name) + len(value) for name, value in scope["headers"]) > _MAX_HEADER_BYTES:
            return
        client = self._clients.get(key)
        if client is None:
            client = ClientProfile(caller_of(scope), state.checks, state.limit, root_of(scope))
            self._clients[key] = client
        recorded = [_with_placeholders(header) for header in headers if header[0] not in _OF_ONE]
        client.heads[kind.operation] = b"".join([*recorded, _LINK])


def _key(exchange: HttpExchange) -> tuple[object, ...]:
    """What the middleware identifies a client by. The address decides whether it trusts a proxy's headers."""
    scope = exchange.scope
    address = scope["client"]
    sent = [header for header in scope["headers"] if header[0] not in _IGNORED_HEADERS]
    return (address and address[0], scope["scheme"], *sent)


def _with_placeholders(header: Header) -> bytes:
    name, value = header
    return b"%b: %b\r\n" % (name, b"%%(%b)b" % name if name in _PLACEHOLDERS else value.replace(b"%", b"%%"))
