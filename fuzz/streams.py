"""Byte streams that a client of HTTP/1 may send: requests, right and wrong ones, and what is none.

A number gives a stream, always the same one. Every part of a request is mostly an ordinary one, so that a
stream gets beyond its first request.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

SMUGGLED = b"/smuggled"
_CANARY = b"POST " + SMUGGLED + b" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"

_METHODS = [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"]
_ODD_METHODS = [
    b"CONNECT", b"CONNECT", b"TRACE", b"PROPFIND", b"M-SEARCH", b"QUERY", b"PRI", b"SOURCE", b"DESCRIBE",
    b"SETUP", b"GET_PARAMETER", b"get", b"Get", b"FOO", b"X-Y!#$%&'*+.^_`|~", b"GE T", b"G@T", b"G\x00T",
    b"\xc3\x89", b"",
]  # fmt: skip
_TARGETS = [b"/", b"/a", b"/a/b?c=d&e", b"/a%20b?q=%41", b"/api/tasks/1", b"/a;b=c,d", b"/~a!$'()*+=:@"]
_ODD_TARGETS = [
    b"*", b"h:443", b"h:443", b"[::1]:443", b"h", b"http://h/a?b", b"http://h", b"http://h?a",
    b"https://u:p@h:8/a", b"HTTP://H/A", b"http:///a", b"http://[::1]:80/a", b"ftp://h/a", b"urn:a",
    b"//h/a", b"/../a", b"/a//b", b"/a#b", b"/a?b#c", b"/a#b?c", b"#a", b"?a", b"", b"/a b", b"/\xc3\xa9",
    b"/a\xff", b"/a?\xff", b"/%", b"/%zz", b"/%00", b"/%0d%0aX:y", b'/<>"{}|\\^`[]', b"/a\x7f", b"/a\x00",
    b"/a\tb", b"/a??b", b"/a?", b"/" + b"a" * 3_000, b"/" + b"a" * 70_000, b"http://h:99999/a",
    b"http://h:x/a", b"http://h h/a",
]  # fmt: skip
_ODD_VERSIONS = [
    b"HTTP/1.0", b"HTTP/1.0", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"HTTP/3.0", b"HTTP/1.10",
    b"HTTP/1", b"HTTP/11", b"http/1.1", b"RTSP/1.0", b"ICE/1.0", b"HTTP/1.1 ", b"HTTP/ 1.1", b"HTTP/1.1x",
    b"HTTP\\1.1", b"",
]  # fmt: skip
_ODD_SPACES = [b"  ", b"\t", b" \t", b"", b"\x0b", b"   "]
_ODD_LINE_ENDS = [
    b"\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\t\r\n", b"\x00\r\n", b"\x0b\r\n", b"\r\n\r\n",
]  # fmt: skip
_BETWEEN = [
    b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\n\r", b" ", b"\t\r\n", b"\x00", b"\r\n \r\n", b"\xef\xbb\xbf",
]  # fmt: skip

_HOSTS = [b"Host: h\r\n"] * 12 + [b"host:h\r\n", b"HOST:  h:80 \r\n"]
_ODD_HOSTS = [
    b"", b"Host:\r\n", b"Host: h\r\nHost: h\r\n", b"Host: a\r\nHost: b\r\n", b"Host: a, b\r\n",
    b"Host: a b\r\n", b"Host : h\r\n", b"Host: h/a\r\n", b"Host: u@h\r\n", b"Host: \xff\r\n",
    b" Host: h\r\n", b"XHost: h\r\n",
]  # fmt: skip
_FIELDS = [
    b"Accept: */*", b"X-A: b", b"x-a: c", b"User-Agent: a/1 (b; c)", b'If-Match: "5"',
    b"Content-Type: application/json", b"X-Empty:", b"X-Empty: ", b"X-Space:  a  b ", b"X-Tab:\ta\t",
    b"Cookie: a=b; c=d", b"X-8: \x80\xff\xc3\xa9", b"Connection: keep-alive", b"Connection: Keep-Alive",
    b"X-Forwarded-For: 1.2.3.4", b"!#$%&'*+-.^_`|~09: a",
]  # fmt: skip
_ODD_FIELDS = [
    b"Connection: close", b"Connection: close", b"connection: CLOSE", b"Connection: keep-alive, close",
    b"Connection: close, x", b"Connection: x,close,y", b"Connection: closed", b"Connection: close x",
    b'Connection: "close"', b"Connection: close;a", b"Connection: close\r\nConnection: keep-alive",
    b"Connection: keep-alive\r\nConnection: close", b"Connection: ,close,", b"Connection: content-length",
    b"Connection: close\t", b"Proxy-Connection: close", b"Keep-Alive: timeout=5", b"Expect: 100-continue",
    b"Expect: 100-Continue", b"Expect: 200-ok", b"Expect: 100-continue, x", b"Trailer: X-Trailer",
    b"TE: trailers", b"X-Fold: a\r\n b", b"X-Fold: a\r\n\tb", b"X-Fold:\r\n a", b"Connection:\r\n close",
    b"X-Fold: a\r\n \r\n", b" X-Lead: a", b"X-A : b", b"X-A\t: b", b": a", b"X-A", b"X A: b", b"X(A): b",
    b"X\x00: a", b"X: a\x00b", b"X: a\rb", b"X: a\nb", b"X: a\x01b", b"X: \x7f", b"X: a\x0bb",
    b"X\xc3\xa9: a", b"X: " + b"a" * 20_000, b"Content-Encoding: gzip", b"X: a\r\rb", b"X:\x0ba",
    b"X: a\x0c", b"X_A: b", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
]  # fmt: skip
_UPGRADES = [
    b"h2c", b"websocket", b"TLS/1.0", b"HTTP/2.0", b"x", b"h2c, websocket", b"", b"a/b/c", b'"', b"\xff",
]  # fmt: skip
_UPGRADE_OPTIONS = [
    b"Upgrade", b"Upgrade, HTTP2-Settings", b"upgrade", b"keep-alive, Upgrade", b"Upgrade, close",
    b"close, Upgrade", b"Upgrade, keep-alive", b"UPGRADE", b"Upgrade\r\nConnection: HTTP2-Settings",
    b"Upgrade,", b"upgradex", b"keep-alive",
]  # fmt: skip
_ENCODINGS = [b"chunked"] * 8 + [b"Chunked", b"CHUNKED", b" chunked ", b"\tchunked"]
_ODD_ENCODINGS = [
    b"gzip, chunked", b"chunked, identity", b"identity", b"xchunked", b"chunkedx", b"chunked, chunked",
    b"chunked;a=b", b"chunked,", b",chunked", b"gzip", b"", b"chun ked", b'"chunked"', b"\x0bchunked",
    b"chunked\x00", b"trailers, chunked", b"gzip\r\nTransfer-Encoding: chunked",
    b"chunked\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding: gzip",
    b"chunked\r\nTransfer-Encoding: identity", b"\r\n chunked", b"identity, chunked",
    b"chunked\r\nTransfer-Encoding:",
]  # fmt: skip
_LENGTH_FORMS: list[Callable[[bytes], bytes]] = [
    lambda n: b"+" + n, lambda n: n + b"," + n, lambda n: n + b", " + n, lambda n: b"-" + n,
    lambda n: b"0x" + n, lambda n: b"0" + n, lambda n: b"0" * 30 + n, lambda n: b"  " + n + b" ",
    lambda n: n + b" 1", lambda n: n + b".0", lambda n: n + b"e0", lambda n: n + b";a", lambda _: b"",
    lambda _: b"18446744073709551616", lambda _: b"99999999999999999999", lambda _: b"9" * 40,
    lambda n: n + b"\r\nContent-Length: " + n, lambda n: n + b"\r\nContent-Length: 0",
    lambda n: b"0\r\nContent-Length: " + n, lambda n: n + b"\r\nContent-Length:", lambda n: n + b"\x00",
    lambda n: b'"' + n + b'"', lambda n: b"\xb2" + n, lambda n: n + b"\r\n ", lambda n: b"\r\n " + n,
    lambda n: n + b"_0", lambda n: n + b",", lambda n: b"%d" % (int(n) + 3),
    lambda n: b"%d" % max(0, int(n) - 3), lambda n: b"%d" % (int(n) * 10),
]  # fmt: skip
_EXTENSIONS = [b";a", b";a=b", b';a="b c"', b';a="b\\"c"', b";a;b=c"]
_ODD_EXTENSIONS = [
    b"; a = b", b";", b";a=b;", b"; a", b";a =b", b";;a", b" ", b"\t", b";a=\n", b";a\rb", b";a\nb",
    b";\x00", b";a=\xff", b" ;a", b'x', b';a="', b"\x0b", b";a=b\rx", b" x", b';a="\r\n', b";\r",
]  # fmt: skip
_ODD_SIZES: list[Callable[[int], bytes]] = [
    lambda n: b"0x%x" % n, lambda n: b"+%x" % n, lambda n: b"-%x" % n, lambda n: b" %x" % n,
    lambda n: b"%x" % (n + 1), lambda n: b"%x" % max(0, n - 1), lambda n: b"%030x" % n, lambda _: b"f" * 16,
    lambda _: b"f" * 17, lambda _: b"f" * 30, lambda _: b"", lambda _: b"g", lambda n: b"%xg" % n,
    lambda n: b"%x " % n, lambda n: b"%x_0" % n, lambda _: b"\xb2", lambda n: b"1" + b"0" * 16 + b"%x" % n,
]  # fmt: skip
_ODD_CHUNK_ENDS = [b"\n", b"\r", b"", b"x\r\n", b"\r\n\r\n", b"\r\r\n", b"  "]
_TRAILERS = [b"", b"", b"X-Trailer: a\r\n", b"X-A: b\r\nAuthorization: c\r\n", b"x-trailer:\r\n"]
_ODD_TRAILERS = [
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n",
    b"Connection: close\r\n", b"X : a\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"X: a\n", b"X\r\n",
    b" a\r\n", b"X: a\r\n b\r\n", b"\n", b"X: \x00\r\n", b"Expect: 100-continue\r\n",
]  # fmt: skip
_PIECES = [
    b"\r", b"\n", b"\r\n", b" ", b"\t", b"\x00", b"\xff", b":", b",", b";", b"0", b"1", b"a", b"\r\n\r\n",
    b"\r\n ", b"HTTP/1.1", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", _CANARY, b"Content-Length: 5\r\n",
    b"Upgrade: x\r\nConnection: upgrade\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"\x0b",
    b"\x1f", b"\x7f", b"#", b"?", b"%", b"/", b'"',
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stream:
    """`pieces`: as they arrive. `ends_at_once`: the client ends its side before it has an answer."""

    pieces: tuple[bytes, ...]
    ends_at_once: bool
    answers: tuple[str, ...]  # how the application answers the requests, in order

    def __str__(self) -> str:
        shown = re.sub(rb"(.)\1{99,}", lambda run: b"<%d times %b>" % (len(run[0]), run[1]), self.data)
        ends = ", and its end at once" if self.ends_at_once else ""
        return (
            f"{shown!r} in pieces of {[len(piece) for piece in self.pieces]}{ends}; answers: {self.answers}"
        )

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


def stream(seed: int, number: int) -> Stream:
    random = Random((seed << 32) + number)
    odd = _Odd(random, random.choice((0.0, 0.01, 0.03, 0.1)))
    requests = [_request(odd) for _ in range(random.choice((1, 1, 2, 2, 3, 4, 5, 6)))]
    data = b"".join(odd.choice((b"",), _BETWEEN) + request for request in requests)
    if random.random() < 0.2:
        data = _mutated(random, data)
    if random.random() < 0.1:
        data = data[: random.randrange(len(data) + 1)]
    answers = tuple(random.choices(ANSWERS, weights=(70, 10, 14, 4, 2), k=len(requests) + 2))
    return Stream(_split(random, data), random.random() < 0.2, answers)


ANSWERS = ("whole", "early", "slow", "close", "leave")


class _Odd:
    """Chooses an ordinary value, and now and then an odd one."""

    def __init__(self, random: Random, share: float) -> None:
        self.random, self._share = random, share

    def __call__(self) -> bool:
        return self.random.random() < self._share

    def choice(self, ordinary: Sequence[bytes], odd: Sequence[bytes]) -> bytes:
        return self.random.choice(odd if self() else ordinary)


def _request(odd: _Odd) -> bytes:
    random = odd.random
    line = [
        odd.choice(_METHODS, _ODD_METHODS),
        odd.choice(_TARGETS, _ODD_TARGETS),
        odd.choice((b"HTTP/1.1",), _ODD_VERSIONS),
    ]
    if line[0] == b"CONNECT" and random.random() < 0.7:
        line[1] = b"h:443"
    spaces = [odd.choice((b" ",), _ODD_SPACES) for _ in range(2)]
    start = line[0] + spaces[0] + line[1] + spaces[1] + line[2] + b"\r\n"
    framing, body = _content(odd)
    fields = [odd.choice(_FIELDS, _ODD_FIELDS) + b"\r\n" for _ in range(random.randrange(4))]
    if random.random() < 0.15:
        fields.append(_upgrade(random))
    if random.random() < 0.05:
        fields.append(b"Expect: 100-continue\r\n")
    fields += [odd.choice(_HOSTS, _ODD_HOSTS), framing]
    random.shuffle(fields)
    head = start + b"".join(fields) + b"\r\n"
    return (_with_odd_line_ends(random, head) if odd() else head) + body


def _upgrade(random: Random) -> bytes:
    lines = [b"Upgrade: " + random.choice(_UPGRADES) + b"\r\n"]
    if random.random() < 0.9:
        lines.append(b"Connection: " + random.choice(_UPGRADE_OPTIONS) + b"\r\n")
    if random.random() < 0.5:
        lines.append(b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n")
    random.shuffle(lines)
    return b"".join(lines)


def _with_odd_line_ends(random: Random, head: bytes) -> bytes:
    """One of them, or all."""
    end, lines = random.choice(_ODD_LINE_ENDS), head.split(b"\r\n")
    if random.random() < 0.3:
        return end.join(lines)
    place = random.randrange(1, len(lines))
    return b"\r\n".join(lines[:place]) + end + b"\r\n".join(lines[place:])


def _content(odd: _Odd) -> tuple[bytes, bytes]:
    """The fields that frame a body, and the body."""
    random = odd.random
    kind, body = random.choice(("none", "length", "length", "chunked", "chunked")), _body(random)
    if kind == "none":
        return (odd.choice((b"",), (b"Content-Length: 0\r\n",)), b"")
    if kind == "length":
        length = b"%d" % len(body)
        return b"Content-Length: " + (
            random.choice(_LENGTH_FORMS)(length) if odd() else length
        ) + b"\r\n", body
    lines = [b"Transfer-Encoding: " + odd.choice(_ENCODINGS, _ODD_ENCODINGS) + b"\r\n"]
    encoded = _chunked(odd, body)
    if odd():
        lines.append(b"Content-Length: %d\r\n" % random.choice((0, 3, len(body), len(encoded))))
        random.shuffle(lines)
    return b"".join(lines), encoded


def _body(random: Random) -> bytes:
    """Most of them hold a request that must not be seen."""
    filler = random.choice((b"", b"a", b"\r\n", b"\n", b"{}", b"0\r\n\r\n", b"\x00\xff", b"x" * 300))
    if random.random() < 0.03:
        filler = b"x" * random.choice((4_096, 65_536, 70_000))
    return filler + random.choice((_CANARY, _CANARY, _CANARY * 2, b"hello", b""))


def _chunked(odd: _Odd, body: bytes) -> bytes:
    random, places = odd.random, {0, len(body)}
    if body:
        places |= {random.randrange(len(body)) for _ in range(random.randrange(3))}
    bounds = sorted(places)
    chunks = [_chunk(odd, body[start:end]) for start, end in pairwise(bounds)]
    last = odd.choice(
        (b"0", b"0", b"00", b"000"), (b"", b"0 ", b"0x0", b"+0", b"-0", b"0;", b"0" * 30, b"0\n")
    )
    extension = _extension(odd)
    trailers = odd.choice(_TRAILERS, _ODD_TRAILERS)
    return b"".join(chunks) + last + extension + b"\r\n" + trailers + odd.choice((b"\r\n",), _ODD_CHUNK_ENDS)


def _chunk(odd: _Odd, data: bytes) -> bytes:
    random = odd.random
    size = (
        random.choice(_ODD_SIZES)(len(data)) if odd() else random.choice((b"%x", b"%X", b"%04x")) % len(data)
    )
    ends = [odd.choice((b"\r\n",), _ODD_CHUNK_ENDS) for _ in range(2)]
    return size + _extension(odd) + ends[0] + data + ends[1]


def _extension(odd: _Odd) -> bytes:
    if odd():
        return odd.random.choice(_ODD_EXTENSIONS)
    return odd.random.choice(_EXTENSIONS) if odd.random.random() < 0.1 else b""


def _mutated(random: Random, data: bytes) -> bytes:
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        start = random.randrange(len(data) + 1)
        end = min(len(data), start + random.choice((0, 0, 1, 1, 2, 8)))
        piece = random.choice((random.choice(_PIECES), b"", random.randbytes(1), data[start:end] * 2))
        data = data[:start] + piece + data[end:]
    return data


def _split(random: Random, data: bytes) -> tuple[bytes, ...]:
    """As one, in pieces of any size, or byte by byte."""
    kind = random.choice(("one", "one", "few", "few", "many", "bytes"))
    if kind == "bytes" and len(data) <= 600:
        return single_bytes(data)
    count = {"one": 0, "few": random.randrange(1, 4)}.get(kind, random.randrange(4, 20))
    bounds = sorted({0, len(data), *(random.randrange(len(data) + 1) for _ in range(count))})
    return tuple(data[start:end] for start, end in pairwise(bounds))


def single_bytes(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[place : place + 1] for place in range(len(data)))
