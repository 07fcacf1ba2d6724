"""The middleware, as pure ASGI classes, from the outermost inwards.

A middleware that has nothing to do returns the awaitable of the inner application: a coroutine of its own
would cost half a microsecond per middleware, and again per message.
"""

import logging
import re
import time
from collections.abc import Awaitable
from functools import partial
from itertools import chain
from random import getrandbits
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskwell.core.errors import Invalid, Overloaded, Violation
from taskwell.core.origins import pattern_of
from taskwell.http import logs
from taskwell.http.headers import Header, lines
from taskwell.http.methods import methods_at
from taskwell.http.metrics import Metrics, route_of
from taskwell.http.prefixes import REST_METHODS, Prefixes
from taskwell.http.problems import path_as_sent, problem_response, response_of
from taskwell.http.request_state import request_state

logger = logging.getLogger("taskwell")


class RequestId:
    """Gives each request an id and puts it into response and log. A client's own id is kept if harmless.

    Also counts the request in the metrics and writes the access log.

    """

    _HARMLESS = re.compile(rb"[A-Za-z0-9-]{1,64}")

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = lines(scope).get(b"x-request-id", [b""])[0]
        # An id needs to be unique, not secret, so the fast random generator suffices.
        request_id = sent.decode() if self._HARMLESS.fullmatch(sent) else f"{getrandbits(128):032x}"
        state = request_state(scope)
        state.request_id, state.scope_id = request_id, id(scope)
        logs.request_id.set(request_id)
        self.metrics.under_way += 1
        start = state.started_at or time.perf_counter()

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                state.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            return send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - start
            method, status = scope["method"], state.status or 0
            self.metrics.under_way -= 1
            self.metrics.note_request(method, route_of(scope), status, seconds)
            # Percent-encoded as it was sent: a decoded path could break the line.
            logs.note_request(request_id, method, path_as_sent(scope), status, seconds)


_STRANGE_ORIGIN = Violation(
    "header", "Origin", "not_allowed", "may not call this server: see TASKWELL_CORS_ORIGINS"
)
_STRANGE_REQUEST = Violation(
    "header", "Access-Control-Request", "not_allowed", "names a method that is not known here, or no header"
)
VARY: Header = (b"vary", b"Origin")
_LOOPBACK_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"
_EXPOSED = (
    "Completion", "Dry-Run", "ETag", "Idempotent-Replayed", "Link", "Location", "Preference-Applied",
    "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-Id", "X-Total-Count",
)  # fmt: skip


class Origins(CORSMiddleware):
    """The CORS policy: Starlette's rules, with every request header for an allowed origin.

    A named origin may send credentials, since many clients set `credentials: "include"`; no cookie is ever
    read, so nothing is gained by it. `*` may not. A named origin may also call a server in a private network
    from a page of the Internet.
    """

    _FIELD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
    _TOKENS = re.compile(rf"[ \t]*({_FIELD}([ \t]*,[ \t]*{_FIELD})*)?[ \t]*")

    def __init__(
        self, allowed: tuple[str, ...], *, loopback: bool, methods: tuple[str, ...] = REST_METHODS
    ) -> None:
        named = "*" not in allowed
        patterns = [pattern_of(allowed), _LOOPBACK_ORIGIN if loopback else None]
        super().__init__(
            PlainTextResponse(),  # only the policy is used, not the middleware
            allow_origins=frozenset(origin for origin in allowed if "*." not in origin),
            allow_origin_regex="|".join(filter(None, patterns)) or None,
            allow_methods=methods,
            allow_headers=("*",),
            allow_credentials=named,
            allow_private_network=named,
            expose_headers=_EXPOSED,
        )
        self._cors_headers = [
            (name.lower().encode(), value.encode()) for name, value in self.simple_headers.items()
        ]

    def headers_for(self, origin: bytes) -> list[Header]:
        """The CORS headers of a response. A page of an origin that is not allowed cannot read it."""
        if self.allow_all_origins:
            return [*self._cors_headers, VARY]
        if self.is_allowed_origin(origin.decode("latin-1")):
            return [(b"access-control-allow-origin", origin), *self._cors_headers, VARY]
        return [VARY]

    def preflight_response(self, request_headers: Headers) -> Response:
        """Allow every well-formed header, since the origin decides; refuse malformed names."""
        response = super().preflight_response(request_headers)
        names = request_headers.get("access-control-request-headers", "")
        if not self._TOKENS.fullmatch(names):
            response.status_code = 400
        return response


class Cors:
    """Adds the CORS headers and answers preflights. A refused preflight is a problem response."""

    def __init__(self, app: ASGIApp, prefixes: Prefixes, policy: Origins) -> None:
        self.app = app
        self.policy = policy
        self.prefixes = prefixes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or not self.prefixes.of(scope).cors:
            return self.app(scope, receive, send)
        origins = lines(scope).get(b"origin")
        if origins is None:
            return self.app(scope, receive, partial(_send_with, send, [VARY]))
        if scope["method"] != "OPTIONS" or b"access-control-request-method" not in lines(scope):
            return self.app(scope, receive, partial(_send_with, send, self.policy.headers_for(origins[0])))
        response = self.policy.preflight_response(Headers(scope=scope))
        if response.status_code != 200:
            names = ("vary", "access-control-allow-origin", "access-control-allow-credentials")
            kept = {name: response.headers[name] for name in names if name in response.headers}
            error = Invalid(_STRANGE_REQUEST if "access-control-allow-origin" in kept else _STRANGE_ORIGIN)
            response = response_of(scope, error)
            response.headers.update(kept)
        return response(scope, receive, send)


def _send_with(send: Send, headers: list[Header], message: Message) -> Awaitable[None]:
    """Add headers to a response. `Vary` is sent without an Origin too, since caches must distinguish them."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], *headers]
    return send(message)


class UnhandledErrors:
    """Answers an unexpected exception with a problem, inside the middleware that adds headers to it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception:
            state = request_state(scope)
            logger.exception("request %s failed", state.request_id)
            if state.status is not None:  # break the connection, or half a list would look whole
                raise
            detail = "The server failed unexpectedly; its log has the details under the request's id."
            await problem_response(scope, "internal_error", detail)(scope, receive, send)


_NO_HTTP = Violation(
    "request", "request", "malformed", "is not valid HTTP/1.1: check its first line, headers and body length"
)
_NO_HOST = Violation("header", "Host", "malformed", "must be given once, as a name or an address")
_NO_TEXT = "is not percent-encoded UTF-8 text"


class ValidateRequest:
    """Refuses a path, query or host that two parsers could read differently (RFC 3986, 2.1 and 3.3).

    Also answers requests that the connection refuses: `overloaded` and `malformed` in the request state.
    """

    _MAX_HEADER_BYTES = 16_384
    _HOST = re.compile(rb"([A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
    _SIMPLE = re.compile(rb"[!-$&-~]*")  # neither escapes nor control characters
    _BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
    _CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        response = self._refusal(scope) if scope["type"] == "http" else None
        return (response or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        state = request_state(scope)
        if state.overloaded:
            return response_of(scope, Overloaded())
        if state.malformed == "validation_error":
            return response_of(scope, Invalid(_NO_HTTP))
        size = sum(map(len, chain.from_iterable(scope["headers"])))
        if size > self._MAX_HEADER_BYTES or state.malformed:
            detail = f"The headers are larger than {self._MAX_HEADER_BYTES:,} bytes in all."
            return problem_response(scope, "headers_too_large", detail, headers={"Connection": "close"})
        if not self._has_one_host(scope):
            response = response_of(scope, Invalid(_NO_HOST))
            response.headers["Connection"] = "close"  # a proxy may have stopped parsing here (RFC 9112, 3.2)
            return response
        violation = self._violation(scope)
        return response_of(scope, Invalid(violation)) if violation else None

    def _violation(self, scope: Scope) -> Violation | None:
        path, query = scope.get("raw_path") or b"", scope["query_string"]
        if not self._SIMPLE.fullmatch(path) and (refused := self._refused_path(path)):
            return refused
        if query and (not self._is_text(query) or b"%00" in query):
            return Violation("query", "query", "malformed", f"{_NO_TEXT} without NUL")
        return None

    def _has_one_host(self, scope: Scope) -> bool:
        hosts = lines(scope).get(b"host", ())
        if not hosts:
            return bool(scope["http_version"] == "1.0")  # many a health check speaks it
        return len(hosts) == 1 and self._HOST.fullmatch(hosts[0]) is not None

    def _refused_path(self, path: bytes) -> Violation | None:
        if not self._is_text(path) or self._CONTROL.search(unquote_to_bytes(path)):
            return Violation("path", "path", "malformed", f"{_NO_TEXT} without control characters")
        if b"%2f" in path.lower():
            return Violation("path", "path", "malformed", "must not contain an encoded slash")
        return None

    def _is_text(self, part: bytes) -> bool:
        if b"%" not in part and part.isascii():
            return True
        try:
            unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            return False
        return not self._BROKEN_ESCAPE.search(part)


class Options:
    """Answers OPTIONS with the methods of the path (RFC 9110, 9.3.7). Cors has answered preflights before.

    It needs no credentials: the answer is the same for every caller, and health checks send none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            return self.app(scope, receive, send)
        allowed = ", ".join(methods_at(scope))
        return Response(status_code=204, headers={"Allow": allowed})(scope, receive, send)


class NormalizePath:
    """Serves a path with a trailing slash like that without it, and HEAD like GET without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        usual = scope["type"] != "http" or (scope["method"] != "HEAD" and scope["path"][-1:] != "/")
        return (self.app if usual else self._alike)(scope, receive, send)

    async def _alike(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        asked = scope
        if len(path) > 1 and path.endswith("/"):
            scope = {**scope, "path": path[:-1]}
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        try:
            await (self.app if asked["method"] == scope["method"] else self._head)(scope, receive, send)
        finally:
            if asked is not scope:
                request_state(asked).route = route_of(scope)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        ended = False

        async def send_no_body(message: Message) -> None:
            nonlocal ended
            if ended:
                raise OSError  # what a server raises when the client is gone: a stream stops here
            if message["type"] == "http.response.body":
                ended = True
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        try:
            await self.app(scope, receive, send_no_body)
        except ClientDisconnect:
            if not ended:
                raise


class BodyLimit:
    """Reads the whole body of a request, or answers 413 as soon as it is too large.

    The body is put into the request state, and can still be received. The connection limits the time.
    """

    def __init__(self, app: ASGIApp, prefixes: Prefixes, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.prefixes = prefixes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["method"] not in self.prefixes.methods_with_body:
            return self.app(scope, receive, send)
        declared = lines(scope).get(b"content-length", [b"0"])[0]
        if not declared.strip(b"0") and b"transfer-encoding" not in lines(scope):
            request_state(scope).body = b""
            return self.app(scope, receive, send)
        return self._read(declared, scope, receive, send)

    async def _read(self, declared: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self.prefixes.of(scope).max_body
        max_bytes = self.max_bytes if limit is None else limit
        acceptable = declared.isdigit() and int(declared[:20]) <= max_bytes
        body = await self._whole(receive, max_bytes) if acceptable else b""
        if not acceptable or len(body) > max_bytes:
            await _body_too_large(scope, max_bytes)(scope, receive, send)
            return
        request_state(scope).body = body
        whole: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def receive_whole() -> Message:
            nonlocal whole
            message, whole = whole, None
            return message or await receive()

        await self.app(scope, receive_whole, send)

    async def _whole(self, receive: Receive, max_bytes: int) -> bytes:
        """The body, or as much of it as exceeds the limit.

        Raises:
            ClientDisconnect: the client disconnected before the end, or was cut off at its deadline.
        """
        body = bytearray()
        more = True
        while more and len(body) <= max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return bytes(body)


def _body_too_large(scope: Scope, max_bytes: int) -> Response:
    detail = f"The body is larger than {max_bytes:,} bytes."
    # The rest of the body is not read, so the connection cannot serve another request.
    return problem_response(scope, "payload_too_large", detail, headers={"Connection": "close"})
