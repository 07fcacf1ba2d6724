"""The interface between a connection and a handler of complete requests.

A protocol package can answer requests without the middleware. The application passes its handler to the
connections, so `http` does not import it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.types import Scope

from taskwell.http.headers import Header


class HttpExchange(Protocol):
    """A request and its response. `on_head` gets the status and headers of a slow-path response."""

    scope: Scope
    body: bytearray
    keep_alive: bool
    started: bool
    on_head: Callable[[int, Sequence[Header]], None] | None

    def answer(self, status: int, head: bytes, body: bytes) -> None: ...
    def take_slow_path(self) -> None: ...


class ExchangeHandler(Protocol):
    def try_handle(self, exchange: HttpExchange) -> bool:
        """Answer a complete request, now or later. False: it takes the slow path."""
