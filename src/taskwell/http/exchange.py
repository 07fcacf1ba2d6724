"""What a connection and a handler of whole requests know of each other.

A protocol package can answer requests without the layers. The application hands its handler to the
connections, so `http` does not import it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.types import Scope

from taskwell.http.headers import Header


class HttpExchange(Protocol):
    """A request and its response. `on_head` gets the status and the headers of a response of the layers."""

    scope: Scope
    body: bytearray
    keep_alive: bool
    started: bool
    on_head: Callable[[int, Sequence[Header]], None] | None

    def answer(self, status: int, head: bytes, body: bytes) -> None: ...
    def take_slow_path(self) -> None: ...


class ExchangeHandler(Protocol):
    def try_handle(self, exchange: HttpExchange) -> bool:
        """Answer a whole request, now or later. False: it goes through the layers."""
