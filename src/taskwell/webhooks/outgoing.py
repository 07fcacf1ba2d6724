"""Sends one request: guarded, bounded in time and size, without redirects."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import httpcore2

from taskwell.core.errors import Invalid, Violation
from taskwell.core.settings import Settings
from taskwell.schemas.webhook import Error
from taskwell.webhooks.guard import Guard, GuardedBackend, NotAllowed, NotResolved

TOTAL_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 5.0
_ANSWER_BYTES = 4_096
_ANSWER_CHARACTERS = 500
MAX_REQUESTS = 20  # at a time, of this process
_REFUSED = (
    "must be a host that this server may reach: TASKWELL_WEBHOOK_ALLOW lists those that it may beside public "
    "addresses"
)
_NOT_ENCRYPTED = "must begin with https://, unless TASKWELL_WEBHOOK_ALLOW has the host or its network"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request. `error`: why there is no status, in our words."""

    ms: int
    status: int | None = None
    error: Error | None = None
    text: str | None = None
    retry_after: str | None = None


class Outgoing:
    """The connections of webhooks."""

    def __init__(self, settings: Settings, guard: Guard | None = None) -> None:
        self._guard = guard or Guard(settings.webhook_allow)
        proxy = settings.webhook_proxy
        self._proxy = None if proxy is None else _proxy(proxy.get_secret_value())
        self._context = httpcore2.default_ssl_context()
        self._pools = {scheme: self._pool(encrypted=scheme == "https") for scheme in ("https", "http")}

    def _pool(self, *, encrypted: bool) -> httpcore2.AsyncConnectionPool:
        backend = None if self._proxy else GuardedBackend(self._guard, encrypted=encrypted)
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._context,
            proxy=self._proxy,
            max_connections=2 * MAX_REQUESTS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=backend,
        )

    async def check_url(self, url: str) -> None:
        """Check where a URL leads to now. A name that does not resolve may do so later.

        Raises:
            Invalid: the server may not connect there.
        """
        if self._proxy is not None:
            return
        host, port, encrypted, _ = _parts(url)
        try:
            await self._guard.addresses(host, port, encrypted=encrypted)
        except NotAllowed:
            detail = _REFUSED if encrypted else _NOT_ENCRYPTED
        except NotResolved:
            if encrypted:
                return
            detail = _NOT_ENCRYPTED
        else:
            return
        raise Invalid(Violation("body", "/url", "not_allowed", detail))

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request. Never raises what the receiver or the network did."""
        started = time.monotonic()

        def answer(**members: object) -> Answer:
            return Answer(ms=round((time.monotonic() - started) * 1_000), **members)  # type: ignore[arg-type]

        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                status, text, retry_after = await self._send(url, headers, body)
        except Exception as error:  # noqa: BLE001 (whatever a receiver sends, it must not stop the others)
            return answer(error=_error_of(error))
        redirect: Error | None = "redirect" if 300 <= status < 400 else None
        return answer(status=status, error=redirect, text=text, retry_after=retry_after)

    async def _send(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, str | None]:
        host, port, encrypted, target = _parts(url)
        scheme = "https" if encrypted else "http"
        default = port == (443 if encrypted else 80)
        shown = f"[{host}]" if ":" in host else host
        sent = {
            "host": shown if default else f"{shown}:{port}",
            "content-type": "application/json",
            "content-length": f"{len(body)}",
            **headers,
        }
        request = httpcore2.Request(
            "POST",
            # From these parts, not from the text: no other parser decides where it goes.
            httpcore2.URL(scheme=scheme, host=host, port=port, target=target),
            headers=list(sent.items()),
            content=body,
            extensions={"timeout": {"connect": _CONNECT_SECONDS, "pool": TOTAL_SECONDS}},
        )
        response = await self._pools[scheme].handle_async_request(request)
        try:
            content = b""
            async for part in response.aiter_stream():
                content += part
                if len(content) >= _ANSWER_BYTES:
                    break
        finally:
            await response.aclose()  # ends the connection, unless the answer was read to its end
        text = content[:_ANSWER_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")
        names = {name.lower(): value for name, value in response.headers}
        retry_after = names.get(b"retry-after", b"").decode("latin-1")
        return response.status, text[:_ANSWER_CHARACTERS], retry_after or None

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


def _proxy(url: str) -> httpcore2.Proxy:
    parts = urlsplit(url)
    auth = None
    if parts.username is not None:
        auth = (unquote(parts.username), unquote(parts.password or ""))
    port = parts.port or (443 if parts.scheme == "https" else 80)
    assert parts.hostname is not None
    return httpcore2.Proxy(
        httpcore2.URL(scheme=parts.scheme, host=parts.hostname, port=port, target="/"), auth=auth
    )


def _parts(url: str) -> tuple[str, int, bool, str]:
    """Host, port, whether it is encrypted, and the target."""
    parts = urlsplit(url)
    encrypted = parts.scheme == "https"
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    assert parts.hostname is not None
    return parts.hostname, parts.port or (443 if encrypted else 80), encrypted, target


def _error_of(error: Exception) -> Error:
    match error:
        case NotAllowed():
            return "not_allowed"
        case NotResolved():
            return "dns"
        case TimeoutError() | httpcore2.TimeoutException():
            return "timeout"
        case httpcore2.ConnectError() | httpcore2.ProxyError():
            causes = (error.__cause__, error.__context__)
            return "tls" if any(isinstance(cause, ssl.SSLError) for cause in causes) else "refused"
    return "broken"
