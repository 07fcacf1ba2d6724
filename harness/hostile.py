"""Requests that no decent client sends, byte by byte, and the statuses that may answer them.

What is to be refused carries the canary wherever it can, so that an answer which repeats it is found out.
"""

import gzip
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlsplit

from taskwell.rest.cursors import encode_cursor
from taskwell.schemas.query import TaskQuery

CANARY = "c4n4ry"
ORIGIN = "http://localhost:3000"
CUT = 0  # in the place of a status: the connection was cut without an answer

_HOST = b"Host: 127.0.0.1"
_USUAL = (_HOST, f"Origin: {ORIGIN}".encode())
_JSON = b"Content-Type: application/json"
_STRICT = b"Prefer: handling=strict"
_FINE = b'{"title": "x", "completed": true}'
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Case:
    """One request. `places` are those that the answer's `errors` may name; none if that does not matter."""

    name: str
    method: str
    target: str
    headers: tuple[bytes, ...] = _USUAL
    body: bytes = b""
    statuses: tuple[int, ...] = (400,)
    places: tuple[str, ...] = ()
    raw: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0].partition("#")[0]

    @property
    def wire(self) -> bytes:
        if self.raw:
            return self.raw
        lines = [f"{self.method} {self.target} HTTP/1.1".encode("latin-1"), *self.headers]
        if self.body or self.method in _WITH_BODY:
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join([*lines, b"", self.body])


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    closes: bool


class Wire:
    """A connection on which anything may be written; a new one when the server has closed it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: bytes, method: str = "GET") -> Answer:
        self.write(request)
        return self._answer(method)

    def write(self, request: bytes) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=30)
        with suppress(ConnectionError):  # a server may answer and hang up before it has read everything
            self._socket.sendall(request)

    def finish_writing(self) -> bytes:
        """End the stream, and wait until the server ends it too: what it sent in between."""
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_WR)
        received = b""
        while part := self._socket.recv(65_536):
            received += part
        self.close()
        return received

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _answer(self, method: str) -> Answer:
        assert self._socket is not None
        response = http.client.HTTPResponse(self._socket, method=method)
        try:
            response.begin()
            names = {name.lower() for name in response.headers}
            headers = {name: ", ".join(response.headers.get_all(name, [])) for name in names}
            endless = headers.get("content-type", "").startswith("text/event-stream")
            body = b"" if endless else response.read()
            answer = Answer(response.status, headers, body, response.will_close or endless)
        except ConnectionError:
            answer = Answer(CUT, {}, b"", closes=True)
        finally:
            response.close()
        if answer.closes:
            self.close()
        return answer


@dataclass(frozen=True, slots=True)
class Place:
    """One of the two mounts, with a task that exists."""

    tasks: str
    task_id: str
    user_id: str

    @property
    def task(self) -> str:
        return f"{self.tasks}/{self.task_id}"

    @property
    def writes(self) -> tuple[tuple[str, str], ...]:
        create = ("POST", self.tasks)
        update = (("PATCH", self.task), ("PUT", self.task))
        return (create, *update, ("POST", f"{self.task}/toggle"), ("PATCH", f"{self.task}/complete"))

    @property
    def operations(self) -> tuple[tuple[str, str], ...]:
        reads = (("GET", self.tasks), ("HEAD", self.tasks), ("GET", self.task), ("HEAD", self.task))
        return (*reads, *self.writes, ("DELETE", self.task))


_NEW_USER = ("POST", "/api/users")
_ON_USERS = (("GET", "/api/users/me"), ("GET", "/api/users/someone"), ("DELETE", "/api/users/someone"))


def _string(value: str) -> bytes:
    """A JSON string, escaped, so that it may hold what UTF-8 cannot."""
    return json.dumps(value).encode()


def _with_each(characters: str | tuple[str, ...]) -> dict[str, bytes]:
    return {f"{item!a} in it": _string(f"{CANARY}{item}{CANARY}") for item in characters}


def _nested(levels: int, opening: str, middle: str, closing: str) -> bytes:
    return (opening * levels + middle + closing * levels).encode()


NO_OBJECT = {
    "white space": b" ",
    "an object cut short": b'{"title": "c4n4ry"',
    "a string cut short": b'{"title": "c4n4ry',
    "a comma too many": b'{"title": "c4n4ry",}',
    "single quotes": b"{'title': 'c4n4ry'}",
    "a comment": b'{"title": "c4n4ry"} // c4n4ry',
    "two values": b'{"title": "c4n4ry"} {"title": "c4n4ry"}',
    "a bare word": b"c4n4ry",
    "a form": b"title=c4n4ry&completed=true",
    "XML": b"<task><title>c4n4ry</title></task>",
    "gzip": gzip.compress(_FINE, mtime=0),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + _FINE,
    "a byte order mark behind it": _FINE + b"\xef\xbb\xbf",
    "a byte order mark and nothing else": b"\xef\xbb\xbf",
    "UTF-16": _FINE.decode().encode("utf-16"),
    "UTF-16 without its mark": _FINE.decode().encode("utf-16-be"),
    "UTF-32": _FINE.decode().encode("utf-32"),
    "Latin-1": '{"title": "c4n4ry é"}'.encode("latin-1"),
    "an overlong NUL": b'{"title": "c4n4ry \xc0\x80"}',
    "a surrogate in UTF-8": b'{"title": "c4n4ry \xed\xa0\x80"}',
    "a surrogate pair in UTF-8": b'{"title": "c4n4ry \xed\xa0\xbd\xed\xb8\x80"}',
    "a surrogate in a name": b'{"title": "x", "c4n4ry \xed\xa0\x80": 1}',
    "beyond Unicode": b'{"title": "c4n4ry \xf4\x90\x80\x80"}',
    "a character cut short": b'{"title": "c4n4ry \xe2\x82"}',
    "a raw NUL": b'{"title": "c4n4ry \0"}',
    "a NUL behind it": _FINE + b"\0",
    "a raw newline": b'{"title": "c4n4ry\n"}',
    "a raw escape": b'{"title": "c4n4ry \x1b[31m"}',
    "an unknown escape": b'{"title": "c4n4ry \\x41"}',
    "an escape cut short": b'{"title": "c4n4ry \\u00"}',
    "a leading zero": b'{"title": "x", "extra": 007}',
    "a hexadecimal number": b'{"title": "x", "extra": 0x10}',
    "brackets without end": b"[" * 100_000,
    "objects without end": b'{"a":' * 100_000,
    "null": b"null",
    "null between spaces": b" null\n",
    "true": b"true",
    "a number": b"17",
    "a string": b'"c4n4ry"',
    "an empty array": b"[]",
    "an array of a task": b'[{"title": "c4n4ry"}]',
    "an array of pairs": b'[["title", "c4n4ry"]]',
}

BAD_STRINGS = {
    "NUL": _string(f"{CANARY}\0"),
    "a high surrogate": _string(f"{CANARY}\ud800"),
    "a low surrogate": _string(f"\udc00{CANARY}"),
    "a surrogate pair the wrong way round": _string(f"\udc00\ud800{CANARY}"),
}

# No request may hold them, also where they would be ignored.
BAD_VALUES = BAD_STRINGS | {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "1e999": b"1e999",
    "-1e999": b"-1e999",
    "2^63": b"9223372036854775808",
    "-2^63 - 1": b"-9223372036854775809",
    "5,000 digits": b"1" * 5_000,
    "a surrogate deep inside": b"[[" + _string(f"\ud800{CANARY}") + b"]]",
    "a surrogate in an inner name": b"{" + _string(f"\ud800{CANARY}") + b": 1}",
    "NUL in an inner name": b"{" + _string(f"\0{CANARY}") + b": 1}",
    "an inner name twice": b'{"c4n4ry": 1, "c4n4ry": 2}',
    # One level is the body itself.
    "16 arrays": _nested(16, "[", "", "]"),
    "16 objects": _nested(16, '{"a":', "1", "}"),
    "900 arrays": _nested(900, "[", "", "]"),
    "1,100 objects": _nested(1_100, '{"a":', "1", "}"),
    "100,000 arrays": _nested(100_000, "[", "", "]"),
}

BAD_MEMBERS = {
    "a member twice": b'"title": "c4n4ry"',
    "a member twice, once escaped": b'"\\u0074itle": "c4n4ry"',
    "an unknown member twice": b'"c4n4ry": 1, "c4n4ry": 1',
    "NUL in a name": _string(f"{CANARY}\0") + b": 1",
    "a surrogate in a name": _string(f"{CANARY}\udfff") + b": 1",
}

NO_STRING = {
    "a number": b"17",
    "true": b"true",
    "an array": b'["c4n4ry"]',
    "an object": b'{"c4n4ry": "c4n4ry"}',
}

_BLANKS = (
    "", " ", "\t\n", "\xa0", "\u2003\u3000", "\u200b", "\u200d\u2060", "\ufeff", "\xad", "\u2028", "\u3164",
    "\u2800", "\u115f \u1160", "\u202e",
)  # fmt: skip
_CONTROLS = "\x01\a\b\v\f\x1b\x1c\x7f\x80\x85\x9b"
_LINES = ("\t", "\n", "\r", "\r\n", "\u2028", "\u2029")
_BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
# White space to Python's strip(), control characters to Unicode.
_SEPARATORS = "\x1c\x1d\x1e\x1f"

NO_TITLE = {
    **BAD_STRINGS,
    **NO_STRING,
    "null": b"null",
    "201 characters": _string(CANARY + "x" * 195),
    "201 characters of four bytes": _string("😀" * 201),
    "100,000 characters": _string(CANARY + "x" * 100_000),
    **{f"blank: {blank!a}": _string(blank) for blank in _BLANKS},
    **_with_each(_CONTROLS + _BIDI),
    **_with_each(_LINES),
    **{f"{character!a} around it": _string(f"{character}{CANARY}{character}") for character in _SEPARATORS},
}

NO_DESCRIPTION = {
    **BAD_STRINGS,
    **NO_STRING,
    "2,001 characters": _string(CANARY + "x" * 1_995),
    "2,001 characters of four bytes": _string("😀" * 2_001),
    "100,000 characters": _string(CANARY + "x" * 100_000),
    **_with_each(_CONTROLS + "\r"),
    **{f"{character!a} at its end": _string(f"{CANARY}{character}") for character in "\r\x1f\x85"},
}

NO_TRUTH = {
    "null": b"null",
    "0": b"0",
    "1": b"1",
    "1.0": b"1.0",
    "an empty string": b'""',
    "true in quotes": b'"true"',
    "the canary": b'"c4n4ry"',
    "an array": b"[true]",
    "an object": b'{"c4n4ry": true}',
}

NO_NAME = {
    **{name: value for name, value in NO_TITLE.items() if not name.startswith("201")},
    "101 characters": _string(CANARY + "x" * 95),
}
_NO_COLORS = (
    "", "#", CANARY, "red", "#12345", "#1234567", "#123456789", "123456", "#12345g", "#" + "\uff11" * 6,
)  # fmt: skip
NO_COLOR = {
    **BAD_STRINGS,
    **NO_STRING,
    **{f"{color!a}": _string(color) for color in _NO_COLORS},
    "a space around it": _string(" #123456 "),
    "a line end behind it": _string("#123456\n"),
}

_NO_ADDRESSES = (
    "", " ", CANARY, "@", f"{CANARY}@", f"@{CANARY}", f"{CANARY}@@x", f"{CANARY} x@x", f"{CANARY}@x x",
    f"{CANARY}@x\n@x", f"{CANARY}\x1b@x", f"{CANARY}\x7f@x", f"{CANARY}\u2028@x",
)  # fmt: skip
NO_MOVE = {
    "no neighbour": b"{}",
    "no neighbour but a strange one": b'{"c4n4ry": null, "After": null}',
    "two neighbours": b'{"after": null, "before": null}',
}

NO_NOTE = {name: value for name, value in NO_TITLE.items() if name != "null"}
NO_COUNT = {
    **NO_STRING,
    "a number": b"101.5",
    "null": b"null",
    "0": b"0",
    "-1": b"-1",
    "a whole number with a fraction": b"20.0",
    "an exponent": b"2e1",
    "much": b"9223372036854775807",
    "digits": b'"20"',
}
NO_CLAIM_FILTER = {
    "a number": b"17",
    "true": b"true",
    "an array": b'["c4n4ry"]',
    "an unknown member": b'{"c4n4ry": "c4n4ry"}',
    "the trash": b'{"deleted": true}',
    "a parameter of lists that is no filter": b'{"limit": 1}',
    "labels that are none": b'{"label": "c4n4ry"}',
    "a label that is none": b'{"label_any": ["c4n4ry", 7]}',
    "31 labels": b'{"label_not": [' + b",".join(b'"%d"' % number for number in range(31)) + b"]}",
    "no list": b'{"list": "c4n4ry"}',
    "an object for a list": b'{"list": {"c4n4ry": 1}}',
    "an array for a day": b'{"due": ["today"]}',
    "no day": b'{"due": "c4n4ry"}',
    "no time": b'{"due_before": "c4n4ry", "start_after": 7}',
    "no instant": b'{"created_after": "c4n4ry", "completed_before": []}',
    "no flag": b'{"claimed": "c4n4ry", "started": 2}',
    "no status": b'{"status": "c4n4ry"}',
    "what contradicts itself": b'{"status": "open", "completed": true}',
    "a search of 201 characters": b'{"q": "' + b"x" * 201 + b'"}',
    "no search": b'{"q": ["c4n4ry"]}',
}

NO_SUBTASKS = {
    "null": b"null",
    "other words": _string(CANARY),
    "in capitals": b'"Complete"',
    "much": _string("complete" * 10_000),
}

NO_ZONE = {
    name: _string(text)
    for name, text in {
        "another word": CANARY, "nothing": "", "a path": f"../{CANARY}", "small letters": "europe/berlin",
        "of Windows": "W. Europe Standard Time", "an offset": "GMT+1", "much": "x" * 100_000,
    }.items()
}  # fmt: skip

NO_EMAIL = {
    **BAD_STRINGS,
    **NO_STRING,
    **{f"{address!a}": _string(address) for address in _NO_ADDRESSES},
    "255 characters": _string(f"{CANARY}{'x' * 247}@x"),
    "longer in lower case": _string("\u0130" * 252 + "@x"),
}

NO_USER_ID = (
    "", ".", "..", "me", "tasks", "users", "changes", "events", "batch", " ", f"{CANARY} x", f"{CANARY}\n",
    f"\n{CANARY}", f"{CANARY}\t", f"{CANARY}\x1b", f"{CANARY}/x", f"{CANARY}\\x", f"{CANARY}%41",
    f"{CANARY}é", f"{CANARY}\u0663", f"{CANARY}\uff10", f"{CANARY}\u200b", f"{CANARY}\u202e",
    f"{CANARY}😀", f"{CANARY}*x", f"{CANARY},x", f"{CANARY};x", f"{CANARY}<script>", f"{CANARY}'--",
    f'{CANARY}"', f"{CANARY}{{x}}", CANARY + "x" * 250,
)  # fmt: skip

_SOME_ID = "01a1fe0f-d684-7744-b510-728daae80c6d"

NO_TASK_ID = (
    "0", "1", "-1", "1_0", "1.0", "18446744073709551616", "9" * 5_000, "\u0661\u0662", "null", "undefined",
    CANARY, f"{CANARY}'--", "<script>", "..", ".", "*", _SOME_ID[:-1], f"{_SOME_ID}0", f"{{{_SOME_ID}}}",
    _SOME_ID.replace("-", ""), f"urn:uuid:{_SOME_ID}", f" {_SOME_ID}", f"{_SOME_ID} ", f"{_SOME_ID}.json",
    f"{_SOME_ID};v=1", f"{_SOME_ID},{_SOME_ID}", _SOME_ID.replace("a", "\uff41"), _SOME_ID.replace("a", "g"),
    _SOME_ID.replace("-", "\u2010"), "x" * 36,
)  # fmt: skip

NOT_TEXT = (
    f"{CANARY}%", f"%{CANARY}", f"{CANARY}%4", f"{CANARY}%zz", f"{CANARY}%u0041", f"{CANARY}%00",
    f"%00{CANARY}", f"{CANARY}%ff", f"{CANARY}%c3", f"{CANARY}%c0%80", f"{CANARY}%ed%a0%80",
    f"{CANARY}%f4%90%80%80",
)  # fmt: skip
# Bad in a path only: a query may hold any text.
BAD_IN_A_PATH = (
    f"{CANARY}%0d%0aX-Injected:%20x", f"{CANARY}%0a", f"{CANARY}%09", f"{CANARY}%1b[31m", f"{CANARY}%7f",
    f"{CANARY}%2fx", f"{CANARY}%2Fx", "..%2f..%2fetc%2fpasswd",
)  # fmt: skip

NO_LIMIT = (
    "0", "00", "-0", "-1", "-9999999999999999999", "1.0", "1e3", "+1", "%2B1", "%201", "1%20", "1%0a",
    "1_0", "0x10", "%D9%A3", "%EF%BC%91", "%C2%B2", "1,000", "1;limit=2", "null", "true", "NaN", CANARY,
    f"1{CANARY}",
)  # fmt: skip

NO_CURSOR = (
    "x", CANARY, "0", "=", "====", "%20", "%C3%A9", "%F0%9F%98%80", "AAAA", "A" * 1_024, "A" * 1_025,
    CANARY * 1_000, "..%2f..", "null", "-1", "%27%20OR%201=1",
)  # fmt: skip

_NOW, _ID = "2026-11-21T10:00:00+00:00", "0" * 32
FORGED_PLACES: tuple[tuple[str, ...], ...] = (
    (), ("",), ("", ""), (CANARY, _ID), (_NOW,), (_NOW, CANARY), (_NOW, _ID, CANARY), (_NOW, _SOME_ID),
    ("2026-11-21T10:00:00", _ID), ("2026-11-21", _ID), ("1763719200", _ID),
    ("2026-11-21T10:00:60+00:00", _ID), ("2026-11-21T11:00:00+01:00", _ID),
    ("0001-01-01T00:00:00+23:59", _ID), ("9999-12-31T23:59:59.999999-23:59", _ID),
    ("0000-01-01T00:00:00+00:00", _ID), ("10000-01-01T00:00:00+00:00", _ID),
)  # fmt: skip

NO_JSON_TYPE = (
    b"", b"text/plain", b"text/json", b"application/x-www-form-urlencoded", b"multipart/form-data",
    b"application/xml", b"application/vnd.api+json", b"application/problem+json", b"application/jsonx",
    b"application/json-patch+json", b"application/json/x", b"application/ json", b"application", b"json",
    b"/", b";", b"*/*", b"c4n4ry/json", b"application/json\xff", b"=?utf-8?q?application/json?=",
    b"application/json, text/plain", b"application/json; charset=latin1", b"application/json; charset=utf-16",
    b'application/json; charset="utf-16"', b"application/json; charset=iso-8859-1",
    b"application/json; charset=", b"application/json; charset=c4n4ry",
    b"application/json; charset*=utf-8''utf-16", b"application/json\r\nContent-Type: text/plain",
    b"text/plain\r\nContent-Type: application/json",
)  # fmt: skip

NO_ENCODING = (
    b"gzip", b"GZIP", b"x-gzip", b"deflate", b"br", b"zstd", b"compress", b"identity, gzip",
    b"gzip, identity", b"aws-chunked", b"c4n4ry", b"\xff", b"identity\r\nContent-Encoding: gzip",
)  # fmt: skip

NO_HOST: dict[str, tuple[bytes, ...]] = {
    "none": (),
    "two": (_HOST, b"Host: c4n4ry.example"),
    "the same twice": (_HOST, _HOST),
    "a space in it": (b"Host: c4n4ry example",),
    "a path in it": (b"Host: 127.0.0.1/c4n4ry",),
    "a query in it": (b"Host: 127.0.0.1?c4n4ry",),
    "a user in it": (b"Host: c4n4ry@127.0.0.1",),
    "a list": (b"Host: 127.0.0.1, c4n4ry.example",),
    "a port that is none": (b"Host: 127.0.0.1:c4n4ry",),
    "bytes beyond ASCII": (b"Host: c4n4ry\xff",),
    "a bracket": (b"Host: [::1",),
    "a script": (b"Host: <c4n4ry>",),
}

TOO_MANY_HEADERS: dict[str, tuple[bytes, ...]] = {
    "17 KiB in one": (b"X-Long: " + b"c4n4ry" * 2_900,),
    "17 KiB in many": tuple(b"X-%d: " % number + b"c4n4ry" * 100 for number in range(29)),
    "70 kB": (b"X-Long: " + b"x" * 70_000,),
    "a name of 70 kB": (b"x" * 70_000 + b": c4n4ry",),
    "2,000 of them": tuple(b"X-%d: c4n4ry" % number for number in range(2_000)),
    "an Authorization of 1 MB": (b"Authorization: Bearer " + b"x" * 1_000_000,),
}

# What uvicorn takes for broken HTTP: it answers without asking the application.
BROKEN_HEADS = {
    "an unknown method": b"C4N4RY {path} HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method in lower case": b"get {path} HTTP/1.1\r\nHost: a\r\n\r\n",
    "an unknown version": b"GET {path} HTTP/3.0\r\nHost: a\r\n\r\n",
    "an unknown protocol": b"GET {path} HTTPS/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "NULs": b"\0" * 100,
    "a line feed alone": b"GET {path} HTTP/1.1\nHost: a\n\n",
    "a carriage return alone": b"GET {path} HTTP/1.1\rHost: a\r\r",
    "no path": b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path without its slash": b"GET c4n4ry HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in the path": b"GET {path}/c4n4ry x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a control character in the path": b"GET {path}/c4n4ry\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "UTF-8 in the path": b"GET {path}/c4n4ry\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a raw byte in the query": b"GET {path}?c4n4ry=\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "70 kB of path": b"GET {path}/" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "70 kB of query": b"GET {path}?" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL in a header": b"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: c4n4ry\0\r\n\r\n",
    "an escape in a header": b"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: c4n4ry\x1b[31m\r\n\r\n",
    "a carriage return in a header": b"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: c4n4ry\rx\r\n\r\n",
    "a folded header": b"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: c4n4ry\r\n x\r\n\r\n",
    "a space before the colon": b"GET {path} HTTP/1.1\r\nHost : a\r\n\r\n",
    "a header without a colon": b"GET {path} HTTP/1.1\r\nHost: a\r\nc4n4ry\r\n\r\n",
    "a header without a name": b"GET {path} HTTP/1.1\r\nHost: a\r\n: c4n4ry\r\n\r\n",
    "a name beyond ASCII": b"GET {path} HTTP/1.1\r\nHost: a\r\nc4n4ry\xc3\xa9: x\r\n\r\n",
}

_TASK = b'{"title": "c4n4ry"}'
_CHUNKED = b"Transfer-Encoding: chunked"
_AS_CHUNKS = b"13\r\n" + _TASK + b"\r\n0\r\n\r\n"

BROKEN_FRAMES = {
    "two lengths": (b"Content-Length: 19\r\nContent-Length: 5", _TASK),
    "the same length twice": (b"Content-Length: 19\r\nContent-Length: 19", _TASK),
    "a list of lengths": (b"Content-Length: 19, 19", _TASK),
    "a negative length": (b"Content-Length: -1", _TASK),
    "a length with a sign": (b"Content-Length: +19", _TASK),
    "a length with an underscore": (b"Content-Length: 1_9", _TASK),
    "a hexadecimal length": (b"Content-Length: 0x13", _TASK),
    "no length": (b"Content-Length: ", _TASK),
    "a length of two words": (b"Content-Length: 1 9", _TASK),
    "a length of 30 digits": (b"Content-Length: " + b"9" * 30, _TASK),
    "a length that is a word": (b"Content-Length: c4n4ry", _TASK),
    "a length in Latin-1": (b"Content-Length: \xb2", _TASK),
    "chunks and a length": (_CHUNKED + b"\r\nContent-Length: 19", _AS_CHUNKS),
    "a length and chunks": (b"Content-Length: 19\r\n" + _CHUNKED, _AS_CHUNKS),
    "chunked twice": (_CHUNKED + b"\r\n" + _CHUNKED, _AS_CHUNKS),
    "chunked before gzip": (_CHUNKED + b", gzip", _AS_CHUNKS),
    "gzip alone": (b"Transfer-Encoding: gzip", _TASK),
    "an unknown coding": (b"Transfer-Encoding: c4n4ry", _TASK),
    "a coding behind a tab": (b"Transfer-Encoding: \x0bchunked", _AS_CHUNKS),
    "a chunk's size that is none": (_CHUNKED, b"zz\r\n" + _TASK + b"\r\n0\r\n\r\n"),
    "a chunk's size with a sign": (_CHUNKED, b"-13\r\n" + _TASK + b"\r\n0\r\n\r\n"),
    "a chunk's size as in C": (_CHUNKED, b"0x13\r\n" + _TASK + b"\r\n0\r\n\r\n"),
    "a chunk's size of 17 digits": (_CHUNKED, b"f" * 17 + b"\r\n" + _TASK + b"\r\n0\r\n\r\n"),
    "a chunk longer than it says": (_CHUNKED, b"5\r\n" + _TASK + b"\r\n0\r\n\r\n"),
    "chunks ended by line feeds": (_CHUNKED, b"13\n" + _TASK + b"\n0\n\n"),
}

STRANGE_METHODS = (
    "TRACE", "CONNECT", "PROPFIND", "MKCOL", "COPY", "LOCK", "PURGE", "M-SEARCH", "LINK",
)  # fmt: skip

STRANGE_ORIGINS = (
    "null", "*", CANARY, f"http://{CANARY}.example", f"http://localhost.{CANARY}.example",
    f"http://localhost:3000.{CANARY}.example", f"http://{CANARY}@localhost", f"http://localhost@{CANARY}.example",
    f"http://localhost:3000/{CANARY}", "http://localhost:123456", "http://localhost:\xb2", "http://127.0.0.1.1",
    "ftp://localhost", "http://0.0.0.0:3000", "http://[::2]:3000", "http://LOCALHOST",
)  # fmt: skip

_STRANGE_NAMES = (CANARY, "id", "user_id", "version", "__proto__", "", "Title", "title\u200b", CANARY * 2_000)
_STRANGE_QUERIES = (f"{CANARY}=1", CANARY, f"{CANARY}%20x=1", "LIMIT=0", "limit[]=0", f"{CANARY}=1&" * 500)

_REFUSED_PREFLIGHTS: tuple[tuple[bytes, ...], ...] = (
    (b"Access-Control-Request-Method: C4N4RY",),
    (b"Access-Control-Request-Method: ",),
    (b"Access-Control-Request-Method: c4n4ry\xff",),
    (b"Access-Control-Request-Method: PATCH", b"Access-Control-Request-Headers: x c4n4ry"),
    (b"Access-Control-Request-Method: PATCH", b"Access-Control-Request-Headers: " + b"c4n4ry," * 1_000),
    (b"Access-Control-Request-Method: PATCH", b"Access-Control-Request-Headers: \xff"),
)

_REFUSED_AGENTS: tuple[tuple[bytes, ...], ...] = (
    (b"Taskwell-Agent: ",),
    (b"Taskwell-Agent: c4n4ry\xff",),
    (b"Taskwell-Agent: \xa0c4n4ry",),
    (b"Taskwell-Agent: c4n4ry\xe2\x80\xae",),
    (b"Taskwell-Agent: c4n4ry\tc4n4ry",),
    (b"Taskwell-Agent: c4n4ry" + b"x" * 95,),
    (b"Taskwell-Agent: c4n4ry", b"taskwell-agent: c4n4ry"),
)

_STRANGE_HEADERS = (
    b"Prefer: ", b"Prefer: c4n4ry", b"Prefer: \xff\xfe", b"Prefer: ,,,;;;===", b"Prefer: handling=c4n4ry",
    b"Prefer: return=c4n4ry", b"Prefer: " + b"c4n4ry," * 1_000, b"Accept: c4n4ry/\xff", b"Accept: ",
    b"Cookie: \xff", b"Authorization: Bearer c4n4ry", b"Forwarded: for=c4n4ry", b"Range: bytes=0-1",
    b"X-Forwarded-Host: c4n4ry.example", b"X-HTTP-Method-Override: DELETE", b"X-Original-URL: /c4n4ry",
    b"Upgrade: c4n4ry\r\nConnection: Upgrade", b"Expect: c4n4ry", b"If-Modified-Since: c4n4ry", b"TE: c4n4ry",
)  # fmt: skip

_STRANGE_REQUEST_IDS = (
    b"", b"c4n4ry x", b"c4n4ry\xff", b"c4n4ry\tx", b"<c4n4ry>", b"c4n4ry,x", b"c4n4ry_x", b"c4n4ry" * 11,
    b"c4n4ry" * 1_000, b"c4n4ry;x", b"'c4n4ry'", b"c4n4ry\xc3\xa9", b"{{c4n4ry}}", b"%0a-c4n4ry",
)  # fmt: skip

_HARMLESS_TYPES = (
    b"application/json", b"APPLICATION/JSON", b"application/json;charset=utf-8", b"application/json;",
    b'application/json; charset="UTF-8"', b"application/json ; charset=utf8", b"application/json; c4n4ry=1",
)  # fmt: skip

_HARMLESS_QUERIES = (
    "limit=1", "limit=001", "limit=1001", f"limit={'9' * 5_000}", f"limit={'0' * 5_000}1", *_STRANGE_QUERIES,
    "=", "&&&", "?", f"{CANARY}=%0d%0a", f"{CANARY}=%E2%80%AE", "x=%2500", "a=1&" * 2_000, "x" * 8_000,
)  # fmt: skip

_LOST = (
    f"/{CANARY}", f"/{CANARY}?{CANARY}={CANARY}", f"/{CANARY}#{CANARY}", "/api", "/api/", "/api//tasks",
    "/API/tasks", "//api/tasks", "/api/tasks//", f"/api/tasks/{_SOME_ID}/x", f"/api/tasks/{_SOME_ID}//",
    f"/api/tasks/{_SOME_ID}/toggle//", f"/api/tasks/{_SOME_ID}/toggle/{CANARY}", "/api/users/a/b", "/.env",
    f"/{'x' * 5_000}", f"/{'%22' * 1_000}", f"/{chr(34) * 2_000}", f"/{chr(92) * 2_000}",
    "/assets/../main.py", "/assets/%2e%2e/%2e%2e/main.py", f"/assets/{CANARY}", f"/assets/{'x' * 5_000}",
    f"/problems/{CANARY}",
    f"/api/tasks/{_SOME_ID}", f"/api/tasks/{_SOME_ID.upper()}", f"/api/nobody/tasks/{_SOME_ID}",
    "/api/tasks/00000000-0000-0000-0000-000000000000", "/api/tasks/ffffffff-ffff-ffff-ffff-ffffffffffff",
    f"/api/users/{_SOME_ID}",
)  # fmt: skip

_OTHER_PATHS = (
    "/api/users", "/api/users/me", "/api/users/someone", "/health/live", "/docs", "/openapi.json",
    "/problems", "/assets/docs.js",
)  # fmt: skip


def _sends(
    what: str, method: str, target: str, body: bytes, *headers: bytes, places: tuple[str, ...] = ("",)
) -> Case:
    return Case(f"{method} {target}: {what}", method, target, (*_USUAL, _JSON, *headers), body, places=places)


def _at(method: str, target: str, *places: str, statuses: tuple[int, ...] = (400,)) -> Case:
    """A target of which the rest of the request is fine."""
    case = Case(f"{method} {target[:80]}", method, target, places=places, statuses=statuses)
    if method not in _WITH_BODY:
        return case
    return Case(case.name, method, target, (*_USUAL, _JSON), _FINE, statuses, places)


def bodies(place: Place) -> Iterator[Case]:
    """Bodies that are refused whatever they are for."""
    for method, target in (*place.writes, _NEW_USER):
        for name, body in NO_OBJECT.items():
            yield _sends(name, method, target, body)
        for name, value in BAD_VALUES.items():
            yield _sends(name, method, target, b'{"title": "x", "completed": true, "unheard_of": %b}' % value)
        for name, member in BAD_MEMBERS.items():
            yield _sends(name, method, target, b'{"title": "x", "completed": true, %b}' % member)
    for method, target in (*place.writes[:3], _NEW_USER):
        yield _sends("nothing", method, target, b"")


def members(place: Place) -> Iterator[Case]:
    """Tasks of which one member is refused."""
    for method, target in place.writes:
        for name, value in NO_TRUTH.items():
            body = b'{"title": "x", "completed": %b}' % value
            yield _sends(f"completed: {name}", method, target, body, places=("/completed",))
    for method, target in place.writes[:3]:
        for name, value in NO_TITLE.items():
            body = b'{"title": %b}' % value
            yield _sends(f"title: {name}", method, target, body, places=("", "/title"))
        for name, value in NO_DESCRIPTION.items():
            body = b'{"title": "x", "description": %b}' % value
            yield _sends(f"description: {name}", method, target, body, places=("", "/description"))
    yield _sends("no title", "POST", place.tasks, b'{"c4n4ry": 1}', places=("/title",))


def moves(place: Place) -> Iterator[Case]:
    """Moves of which one member is refused."""
    method, target = "POST", f"{place.task}/move"
    for name, body in NO_OBJECT.items():
        yield _sends(name, method, target, body)
    ids = BAD_STRINGS | NO_STRING | {f"{text[:40]!a}": _string(text) for text in NO_TASK_ID}
    for member in ("after", "list_id", "parent_id"):
        for name, value in ids.items():
            body = b'{"before": null, %b: %b}' % (_string(member), value)
            yield _sends(f"{member}: {name}", method, target, body, places=("", f"/{member}"))
    for name, body in NO_MOVE.items():
        yield _sends(name, method, target, body, places=("",))


def subtasks(place: Place) -> Iterator[Case]:
    for method, target in place.writes[1:]:
        for name, value in (BAD_STRINGS | NO_STRING | NO_SUBTASKS).items():
            body = b'{"title": "x", "completed": true, "subtasks": %b}' % value
            yield _sends(f"subtasks: {name}", method, target, body, places=("", "/subtasks"))
        for name, value in (NO_TRUTH | {"false": b"false"}).items():
            body = b'{"completed": %b, "subtasks": "complete"}' % value
            yield _sends(
                f"subtasks, completed: {name}", method, target, body, places=("", "/completed", "/subtasks")
            )


def zones() -> Iterator[Case]:
    for name, value in (BAD_STRINGS | NO_STRING | NO_ZONE).items():
        body = b'{"time_zone": %b}' % value
        yield _sends(f"time_zone: {name}", "PATCH", "/api/users/me", body, places=("", "/time_zone"))
    for name, body in NO_OBJECT.items():
        yield _sends(name, "PATCH", "/api/users/me", body)


def users() -> Iterator[Case]:
    for name, value in NO_EMAIL.items():
        yield _sends(f"email: {name}", *_NEW_USER, b'{"email": %b}' % value, places=("", "/email"))
    for user_id in NO_USER_ID:
        body = b'{"id": %b}' % _string(user_id)
        yield _sends(f"id: {user_id[:40]!a}", *_NEW_USER, body, places=("", "/id"))
    for name, value in (BAD_STRINGS | NO_STRING).items():
        yield _sends(f"id: {name}", *_NEW_USER, b'{"id": %b}' % value, places=("", "/id"))


def lists(place: Place) -> Iterator[Case]:
    """Lists of which one member is refused, and what is no id of a list."""
    lists = place.tasks.removesuffix("tasks") + "lists"
    one = f"{lists}/{_SOME_ID}"
    for method, target in (("POST", lists), ("PATCH", one), ("PUT", one)):
        for name, value in NO_NAME.items():
            yield _sends(f"name: {name}", method, target, b'{"name": %b}' % value, places=("", "/name"))
        for name, value in NO_COLOR.items():
            body = b'{"name": "x", "color": %b}' % value
            yield _sends(f"color: {name}", method, target, body, places=("", "/color"))
    for list_id in NO_TASK_ID:
        target = f"{lists}/{quote(list_id, safe=':;,*')}"
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            yield _at(method, target, "list_id")
        yield from (
            _at("POST", f"{target}/{action}", "list_id") for action in ("restore", "archive", "unarchive")
        )
        if list_id.isascii():
            body = b'{"after": %b}' % _string(list_id)
            yield _sends(f"after: {list_id[:40]!a}", "POST", f"{one}/move", body, places=("/after",))


def claims(place: Place) -> Iterator[Case]:
    """Claims of which one member is refused, and what is no number of one."""
    one, some, renewed = f"{place.task}/claim", f"{place.tasks}/claims", f"{place.task}/claim/1"
    for method, target in (("POST", one), ("POST", some), ("PATCH", renewed)):
        for name, body in NO_OBJECT.items():
            yield _sends(name, method, target, body)
        yield from _refused_member(method, target, "seconds", BAD_VALUES | NO_COUNT)
    for target in (one, some):
        yield from _refused_member("POST", target, "note", NO_NOTE)
    yield from _refused_member("POST", some, "count", NO_COUNT)
    yield from _refused_member("POST", some, "sort", BAD_STRINGS | {"a number": b"7"})
    filters = BAD_STRINGS | NO_CLAIM_FILTER
    filters |= {f"{name[:40]!a}": b"{%b: 1}" % _string(name) for name in _STRANGE_NAMES}
    for name, value in filters.items():
        yield _sends(f"filter: {name}", "POST", some, b'{"filter": %b}' % value, places=())
    for text in NO_LIMIT:
        if text.isascii() and not {"%20", "%0a"} & {text[:3], text[-3:]}:
            yield from (_at(method, f"{one}/{text}", "claim") for method in ("PATCH", "DELETE"))


def _refused_member(method: str, target: str, member: str, values: Mapping[str, bytes]) -> Iterator[Case]:
    for name, value in values.items():
        body = b"{%b: %b}" % (_string(member), value)
        yield _sends(f"{member}: {name}", method, target, body, places=("", f"/{member}"))


def unknown_names(place: Place) -> Iterator[Case]:
    """Members and parameters that are ignored, unless the client wants them refused."""
    for method, target in place.writes:
        for member in _STRANGE_NAMES:
            body = b'{"title": "x", "completed": true, %b: 1}' % _string(member)
            yield _sends(f"strict, {member[:40]!a}", method, target, body, _STRICT)
    yield _sends("strict", *_NEW_USER, b'{"c4n4ry": 1}', _STRICT)
    for method, target in (*place.operations, *_ON_USERS):
        for query in _STRANGE_QUERIES:
            case = _at(method, f"{target}?{query}", "query")
            headers = (*case.headers, _STRICT)
            yield Case(f"{case.name}, strict", method, case.target, headers, case.body, places=case.places)


def paths(place: Place) -> Iterator[Case]:
    """What is no id, wherever an operation has one in its path."""
    for method, target in place.operations:
        if place.task_id in target:
            yield from _no_text(method, target.replace(place.task_id, "{}"))
            for task_id in NO_TASK_ID:
                yield _at(method, target.replace(place.task_id, quote(task_id, safe=":;,*'")), "task_id")
        if place.user_id in target:
            yield from _no_user_id(method, target.replace(place.user_id, "{}"))
    for method in ("GET", "HEAD", "DELETE"):
        yield from _no_user_id(method, "/api/users/{}")


def _no_user_id(method: str, target: str) -> Iterator[Case]:
    yield from _no_text(method, target)
    for user_id in _user_ids_in_a_path():
        if (method, target, user_id) not in _READ_THE_CALLER:
            path = target.format(user_id)
            of_a_user = target.startswith("/api/users/") or (path == "/api/users/tasks" and method != "POST")
            yield _at(method, path, "id" if of_a_user else "user_id")


_READ_THE_CALLER = {(method, "/api/users/{}", "me") for method in ("GET", "HEAD")}


def _user_ids_in_a_path() -> Iterator[str]:
    """Without those that make it another path, and those that are refused before there is an id."""
    for user_id in NO_USER_ID:
        if (
            user_id not in {"", "tasks"}
            and "/" not in user_id
            and "\n" not in user_id
            and user_id.isprintable()
        ):
            yield quote(user_id, safe="*,;'<>{}")


def _no_text(method: str, target: str) -> Iterator[Case]:
    for part in (*NOT_TEXT, *BAD_IN_A_PATH):
        yield _at(method, target.format(part), "path")


def queries(place: Place) -> Iterator[Case]:
    for method, target in (*place.operations, _NEW_USER, *_ON_USERS, ("GET", "/health/live")):
        for part in NOT_TEXT:
            yield _at(method, f"{target}?q={part}", "query")
            yield _at(method, f"{target}?{part}=q", "query")
    for method in ("GET", "HEAD"):
        for limit in NO_LIMIT:
            yield _at(method, f"{place.tasks}?limit={limit}", "limit")
        for query in ("limit=1&limit=1", "limit=1&%6cimit=2", "limit=0&x=1&limit=1"):
            yield _at(method, f"{place.tasks}?{query}", "limit")
        for cursor in NO_CURSOR:
            yield _at(method, f"{place.tasks}?cursor={cursor}", "cursor")
            yield _at(method, f"{place.tasks}?limit=1&cursor={cursor}", "cursor")
        yield _at(method, f"{place.tasks}?cursor={CANARY}&cursor={CANARY}", "cursor")


def forged_cursors(place: Place) -> Iterator[Case]:
    """Well-formed cursors that the server never gave: their digest keeps no secret."""
    for position in FORGED_PLACES:
        yield _forged(place, position, _list_of(place.user_id))
    for query in (_list_of(f"{place.user_id}x"), (place.user_id,), ("users", place.user_id)):
        yield _forged(place, (_NOW, _ID), query)


def _list_of(user_id: str) -> tuple[str, ...]:
    return user_id, *TaskQuery().fingerprint()


def _forged(
    place: Place, position: tuple[str, ...], query: tuple[str, ...], statuses: tuple[int, ...] = (400,)
) -> Case:
    target = f"{place.tasks}?limit=1&cursor={encode_cursor(position, query=query)}"
    name = f"GET {place.tasks}: the cursor of {position} in {query}"
    return Case(name, "GET", target, statuses=statuses, places=("cursor",))


def damaged(cursor: str) -> Iterator[str]:
    """Other spellings of a cursor that the server did give."""
    yield from (cursor[:-1], cursor[1:], cursor * 2, cursor.swapcase(), cursor[::-1])
    yield from (f"{cursor}{end}" for end in ("A", "=", "==", "!", "%20", "%0a", "%00", "%C3%A9"))
    yield from (f"{cursor[:8]}{junk}{cursor[8:]}" for junk in ("!!!!", "%20", "....", "===="))
    for place, letter in enumerate(cursor):
        yield f"{cursor[:place]}{quote(chr(ord(letter) ^ 1))}{cursor[place + 1 :]}"


def media_types(place: Place) -> Iterator[Case]:
    """Bodies that are not declared as plain JSON in UTF-8."""
    lines = [
        (),
        *((b"Content-Type: " + media_type,) for media_type in NO_JSON_TYPE),
        *((_JSON, b"Content-Encoding: " + encoding) for encoding in NO_ENCODING),
    ]
    merge_patch = (b"Content-Type: application/merge-patch+json",)
    for method, target in (*place.writes, _NEW_USER):
        for headers in (*lines, merge_patch) if method == "POST" else lines:
            name = f"{method} {target}: {headers}"
            yield Case(
                name, method, target, (*_USUAL, *headers), b'{"title": "c4n4ry", "completed": true}', (415,)
            )


def hosts(place: Place) -> Iterator[Case]:
    for method, target in (*place.operations, _NEW_USER, ("GET", "/health/live")):
        for name, lines in NO_HOST.items():
            headers = (*lines, _USUAL[1], *((_JSON,) if method in _WITH_BODY else ()))
            body = _FINE if method in _WITH_BODY else b""
            yield Case(f"{method} {target}: Host, {name}", method, target, headers, body)


def long_headers(place: Place) -> Iterator[Case]:
    for method, target in (("GET", place.tasks), ("HEAD", place.tasks), ("DELETE", place.task)):
        for name, lines in TOO_MANY_HEADERS.items():
            yield Case(f"{method} {target}: {name}", method, target, (*_USUAL, *lines), statuses=(431, CUT))


def methods(place: Place) -> Iterator[Case]:
    for target in dict.fromkeys((*(target for _, target in place.operations), *_OTHER_PATHS)):
        for method in STRANGE_METHODS:
            yield Case(f"{method} {target}", method, target, statuses=(405,))


def lost_paths(place: Place) -> Iterator[Case]:
    """Paths at which there is nothing."""
    for target in _LOST:
        for method in ("GET", "HEAD"):
            yield _at(method, target.replace("/api/tasks", place.tasks), statuses=(404,))


def agents(place: Place) -> Iterator[Case]:
    """Names of programs that cannot be stored."""
    for method, target in place.operations:
        for lines in _REFUSED_AGENTS:
            headers = (*_USUAL, *((_JSON,) if method in _WITH_BODY else ()), *lines)
            name = f"{method} {target}: {str(lines)[:80]}"
            body = b'{"title": "c4n4ry"}' if method in _WITH_BODY else b""
            yield Case(name, method, target, headers, body, places=("Taskwell-Agent",))


def preflights(place: Place) -> Iterator[Case]:
    """Preflights of a page that may call, for what it may not."""
    for lines in _REFUSED_PREFLIGHTS:
        yield Case(f"OPTIONS: {str(lines)[:200]}", "OPTIONS", place.tasks, (*_USUAL, *lines))


def broken_http(place: Place) -> Iterator[Case]:
    """What is no HTTP, or could be cut into requests in two ways."""
    for name, request in BROKEN_HEADS.items():
        yield Case(name, "GET", place.tasks, raw=request.replace(b"{path}", place.tasks.encode()))
    start = f"POST {place.tasks} HTTP/1.1\r\nHost: a".encode()
    for name, (frame, body) in BROKEN_FRAMES.items():
        yield Case(name, "POST", place.tasks, raw=b"\r\n".join((start, _JSON, frame, b"", body)))


def harmless(place: Place) -> Iterator[Case]:
    """Strange requests that are understood all the same."""
    for query in _HARMLESS_QUERIES:
        yield _at("GET", f"{place.tasks}?{query}", statuses=(200,))
    for target in (
        f"{place.tasks}/",
        f"{place.task}/",
        f"{place.tasks}/{place.task_id.upper()}",
        f"{place.task}#x",
    ):
        yield from (_at(method, target, statuses=(200,)) for method in ("GET", "HEAD", "GET"))
    # A proxy's form of a target; its host counts for nothing here.
    yield _at("GET", f"http://{CANARY}.example{place.tasks}?limit=1", statuses=(200,))
    yield Case("HTTP/1.0, which has no Host", "GET", place.tasks, raw=_old(place), statuses=(200,))
    for line in _STRANGE_HEADERS:
        yield Case(f"GET {place.task}: {line[:60]!r}", "GET", place.task, (*_USUAL, line), statuses=(200,))
    for request_id in _STRANGE_REQUEST_IDS:
        headers = (*_USUAL, b"X-Request-Id: " + request_id)
        yield Case(f"GET: X-Request-Id, {request_id[:60]!r}", "GET", place.tasks, headers, statuses=(200,))
        yield Case(f"GET: X-Request-Id, {request_id[:60]!r}", "GET", f"{place.tasks}/x", headers)
    for instant in ("0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00"):
        yield _forged(place, (instant, "f" * 32), _list_of(place.user_id), statuses=(200,))
    yield from _harmless_writes(place)


def _old(place: Place) -> bytes:
    return f"GET {place.tasks} HTTP/1.0\r\n\r\n".encode()


def _harmless_writes(place: Place) -> Iterator[Case]:
    for method, target in place.writes[1:]:
        for media_type in _HARMLESS_TYPES:
            headers = (*_USUAL, b"Content-Type: " + media_type)
            yield Case(f"{method} {target}: {media_type!r}", method, target, headers, _FINE, (200,))
        for member in (*_STRANGE_NAMES, "\u202e", "x" * 100_000):
            body = b'{"completed": true, %b: [{"c4n4ry": 1e300}]}' % _string(member)
            yield Case(f"{method} {target}: {member[:40]!a}", method, target, (*_USUAL, _JSON), body, (200,))
        deep = b'{"completed": true, "unheard_of": %b}' % _nested(15, "[", "", "]")
        yield Case(f"{method} {target}: 16 levels", method, target, (*_USUAL, _JSON), deep, (200,))


def everything(place: Place) -> Iterator[Case]:
    for cases in (
        bodies, members, moves, subtasks, lists, claims, unknown_names, paths, queries, forged_cursors,
        media_types, methods, lost_paths, preflights, hosts, long_headers, broken_http, harmless,
    ):  # fmt: skip
        yield from cases(place)
    yield from users()
    yield from zones()
