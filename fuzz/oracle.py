"""What h11 sees in a stream: an independent reading of the same bytes.

h11 is corrected in four places. It refuses what a server has to take or may take, and what httptools does not
tell apart:

- Empty lines before a request line are skipped (RFC 9112, 2.2).
- Several spaces in a request line are one (RFC 9112, 3).
- RTSP/1.0 is HTTP/1.0 to llhttp, for GET, POST and OPTIONS.
- The size of a chunk may begin with any number of zeros (RFC 9112, 7.1).
"""

import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import NamedTuple

import h11

_EMPTY_LINES = re.compile(rb"[\r\n]*")
_REQUEST_LINE = re.compile(rb"(?:([^\s]+) +([^\s]+) +HTTP|(GET|POST|OPTIONS) +([^\s]+) +RTSP)(?=/\d\.\d\r\n)")
_LONG_SIZE = re.compile(rb"0+([0-9A-Fa-f]{1,16}(?:;[^\n]*)?\r\n)\Z")
_LARGEST_HEAD = 1 << 20


@dataclass(slots=True)
class Request:
    """`text`: as it was sent. `ran`: the application was asked, and not only `refusal` given."""

    method: bytes
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    whole: bool = False
    text: bytes = b""
    ran: bool = False
    refusal: str = ""


@dataclass(slots=True)
class Seen:
    """`error`: why h11 sees no more than `requests`."""

    requests: list[Request] = field(default_factory=list)
    error: str = ""


class Target(NamedTuple):
    path: bytes
    query: bytes


def target_of(method: bytes, target: bytes) -> Target:
    """As a server is asked: without scheme and authority (RFC 9112, 3.2), and without a fragment.

    The target of CONNECT is an authority, and is kept as it is.
    """
    absolute = re.match(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", target)
    path, _, query = target.partition(b"#")[0][absolute.end() if absolute else 0 :].partition(b"?")
    if method == b"CONNECT":
        return Target(target.partition(b"?")[0], query if target.startswith(b"/") else b"")
    return Target(path or b"/" if absolute else path, query)


def see(data: bytes, closing: Container[int] = ()) -> Seen:
    """`closing`: the requests, by number, whose answer ends the connection."""
    seen = Seen()
    place = 0
    while True:
        data, start = _corrected(data, place)
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_HEAD)
        connection.receive_data(data[start:])
        try:
            _read(connection, seen)
        except h11.RemoteProtocolError as error:
            seen.error = str(error).partition(":")[0].partition("(")[0].strip()
        place = len(data) - len(connection.trailing_data[0])
        if seen.error == "illegal chunk header" and (long := _LONG_SIZE.search(data, start, place)):
            data, place, seen.error = data[: long.start()] + data[long.start(1) :], start, ""
            seen.requests.pop()
            continue
        if not seen.requests or not seen.requests[-1].whole or seen.requests[-1].text:
            return seen
        seen.requests[-1].text = data[start:place]
        if not _answer(connection, closes=len(seen.requests) - 1 in closing):
            seen.error = seen.error or "the connection was to be closed"
            return seen


def _corrected(data: bytes, place: int) -> tuple[bytes, int]:
    """Where the next request begins, with a request line as h11 takes it."""
    skipped = _EMPTY_LINES.match(data, place)
    start = skipped.end() if skipped else place
    if (line := _REQUEST_LINE.match(data, start)) and line[0].count(b" ") + line[0].count(b"RTSP") > 2:
        first, second = line[1] or line[3], line[2] or line[4]
        data = data[:start] + first + b" " + second + b" HTTP" + data[line.end() :]
    return data, start


def _read(connection: h11.Connection, seen: Seen) -> None:
    """One request, or what there is of it."""
    while True:
        match connection.next_event():
            case h11.Request(method=method, target=target, headers=headers):
                seen.requests.append(Request(method, *target_of(method, target), list(headers)))
            case h11.Data(data=data):
                seen.requests[-1].body += data
            case h11.EndOfMessage():
                seen.requests[-1].whole = True
                return
            case _:
                return


def _answer(connection: h11.Connection, *, closes: bool) -> bool:
    """As if it were any request: an upgrade is only offered. Whether another request may follow."""
    headers = [("Content-Length", "0")] + [("Connection", "close")] * closes
    connection.send(h11.Response(status_code=405, headers=headers))
    connection.send(h11.EndOfMessage())
    return connection.our_state is h11.DONE
