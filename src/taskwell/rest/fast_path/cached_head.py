"""Simple requests of known clients, answered without the layers and without a task of their own.

For a request about a single task, or for a page of them, the way through the layers costs more than all the
rest, and to who sends the same headers they say the same each time. So the head of an answer that has come
all the way is kept, with gaps for what differs from one answer to the next. A later request of its kind, with
the same headers from the same address, is asked for at once, and what is found is put below that head.

There are no second rules. Whatever is not plain goes the long way; and so does an error, once it is known.
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
from taskwell.core.settings import Settings
from taskwell.database.principal import ALL_USERS, as_user
from taskwell.http import logs
from taskwell.http.exchange import HttpExchange
from taskwell.http.headers import Header, lines
from taskwell.http.metrics import Metrics
from taskwell.http.problems import inner_path, path_as_sent
from taskwell.http.request_state import LocalLimit, caller_of, request_state
from taskwell.http.root_path import link, note_origin, note_root, root_of
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
from taskwell.services.operations import CreateTask, ListTasks, Operation, Operations
from taskwell.services.users import UserNotFound

# These differ from one request to the next, and make no difference to the layers.
_IGNORED_HEADERS = frozenset({b"content-length", b"traceparent", b"tracestate", b"baggage"})
# With one of these a request is answered otherwise than the one before it.
_BYPASS_HEADERS = BYPASS_HEADERS | {b"if-none-match", b"x-request-id", b"expect"}
_PLACEHOLDERS = frozenset({b"content-length", b"etag", b"location", b"ratelimit", b"x-request-id"})
_LINK = b"%(link)b"  # a whole line, where there is one
_CLIENTS = 1_000
_LONGEST_HEADERS = 4_096  # bytes; whoever sends more is not remembered


class Reply(NamedTuple):
    """What an answer tells. `location`: of what was made. `link`: where the next page is."""

    json: str
    etag: str
    location: str = ""
    link: str | None = None


@dataclass(slots=True)
class ClientProfile:
    """What the layers say to some headers. `checks`: what they look at besides, and may see otherwise now."""

    caller: Caller
    checks: Sequence[Callable[[], bool]]
    limit: LocalLimit | None
    root_path: str
    heads: dict[type[Operation[Any]], bytes] = field(default_factory=dict)

    def may(self, kind: Kind, owner: str) -> bool:
        caller = self.caller
        own = is_user_id(owner) if caller.any_user else owner == caller.user_id
        return own and kind.access.scope in caller.scopes and all(check() for check in self.checks)


@dataclass(slots=True)
class PendingRequest:
    """A request on its way. `ratelimit`: what the client is told of its limit."""

    exchange: HttpExchange
    kind: Kind
    operation: Operation[Any]
    client: ClientProfile
    route: str
    ratelimit: bytes
    started_at: float


class FastPath:
    """What is known of clients, and how their simple requests are answered."""

    def __init__(self, app: FastAPI, operations: Operations, feed: Feed) -> None:
        self._operations = operations
        self._feed = feed
        self._settings: Settings = app.state.settings
        self._origin = self._settings.public_origin
        self._metrics: Metrics = app.state.metrics
        self._requests = SimpleRequests(self._settings, app.state.rest.queries)
        self._noted_emails: BoundedCache[str, str] = app.state.noted_emails
        self._clients: BoundedCache[tuple[object, ...], ClientProfile] = BoundedCache(_CLIENTS)

    def try_handle(self, exchange: HttpExchange) -> bool:
        """Answer a request that is whole. If False, it has to go the long way, and may be learned from."""
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
        """Whether the address says no more than is understood here: of lists only that a page is wanted."""
        if b"%" in scope["raw_path"]:
            return False
        query = scope["query_string"]
        return self._requests.is_page(query) if kind is LIST else not query

    def _operation(
        self, kind: Kind, client: ClientProfile, found: Match[str], exchange: HttpExchange
    ) -> SimpleOperation | None:
        """None: the caller may not, the body needs a longer answer, or more has to be done than this."""
        owner = found["user_id"] or client.caller.user_id
        if not client.may(kind, owner) or len(exchange.body) > self._settings.max_body_bytes:
            return None
        if kind.writes and not self._is_email_noted(client.caller):
            return None
        query, body = exchange.scope["query_string"], bytes(exchange.body)
        return self._requests.operation(kind, owner, found["task_id"], query, body)

    def _is_email_noted(self, caller: Caller) -> bool:
        return caller.email is None or self._noted_emails.get(caller.user_id) == caller.email

    def _start(self, pending: PendingRequest) -> bool:
        caller = pending.client.caller
        with as_user(ALL_USERS if caller.any_user else caller.user_id):
            answer = self._operations.start(pending.operation)
        if answer is None:
            self._give_back(pending)
            return False
        pending.exchange.started = True
        self._metrics.under_way += 1
        # Not even what is at hand is told at once: to answer all that a turn of the loop brings after all of
        # it was read takes two thirds of the time.
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
        body = reply.json.encode()
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
        """To be told what has happened; or to create the user, if it is only that there is none yet."""
        exchange, scope = pending.exchange, pending.exchange.scope
        self._give_back(pending)
        state = request_state(scope)
        state.started_at = pending.started_at
        if not isinstance(error, UserNotFound):
            state.outcome = error
        exchange.take_slow_path()

    def _give_back(self, pending: PendingRequest) -> None:
        """The slow path counts the request against the client's limit."""
        if pending.client.limit is not None:
            pending.client.limit.give_back(pending.client.caller.user_id)

    def _reply_of(self, pending: PendingRequest, outcome: Any) -> Reply:
        operation, scope = pending.operation, pending.exchange.scope
        if isinstance(operation, ListTasks):
            owner, query, limit = operation.user_id, operation.query, operation.limit
            page = TaskListing(Request(scope), self._operations, owner, query, limit).page(outcome)
            return Reply(page.json, page.etag, link=page.link)
        created = isinstance(operation, CreateTask)
        location = f"{link(scope, inner_path(scope))}/{outcome.id}" if created else ""
        return Reply(outcome.json, f'"{outcome.version}"', location)

    def _record_head(
        self,
        key: tuple[object, ...],
        kind: Kind,
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
        client.heads[kind.operation] = b"".join([*kept, _LINK])


def _key(exchange: HttpExchange) -> tuple[object, ...]:
    """Whom the layers would take the request to be of. They believe a proxy by its address."""
    scope = exchange.scope
    address = scope["client"]
    sent = [header for header in scope["headers"] if header[0] not in _IGNORED_HEADERS]
    return (address and address[0], scope["scheme"], *sent)


def _with_placeholders(header: Header) -> bytes:
    name, value = header
    return b"%b: %b\r\n" % (name, b"%%(%b)b" % name if name in _PLACEHOLDERS else value.replace(b"%", b"%%"))
