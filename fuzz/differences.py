"""How what the server runs differs from what h11 sees, and which of it is right."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import httptools

from fuzz.connections import Record, answers_in
from fuzz.oracle import Request, Seen
from fuzz.streams import Stream

_TARGETS = "a target that is no path and no URL (RFC 9112, 3.2), where h11 takes any text"
_LINES = "a line that does not end in CRLF, or a control character (RFC 9112, 2.2 and RFC 9110, 5.5)"
_METHODS = "a method that is not registered for HTTP/1.1 (RFC 9110, 9.1)"
_LENGTHS = "a length that is told twice (RFC 9112, 6.3): whoever reads one of the two could be misled"
_CODINGS = "anything but `chunked` (RFC 9112, 6.1), and white space behind it"
_CHUNKS = "white space, line ends and control characters around a chunk's size (RFC 9112, 7.1)"
_TEXTS = "a path, a query or a host that two readers take differently, by a layer of the application"

CLOSED = "closed by the request before"
# What h11 takes and the server refuses, in the words of llhttp and the server: why that is right.
LISTED = {
    "Invalid method encountered": _METHODS,
    "Invalid method for HTTP/x.x request": _METHODS,
    "Expected space after method": _METHODS,
    "Expected HTTP/2 Connection Preface": _METHODS,
    "a method of ICE": _METHODS,
    "Unexpected start char in url": _TARGETS,
    "Unexpected char in url schema": _TARGETS,
    "Invalid characters in url": _TARGETS,
    "invalid url": _TARGETS,
    "Invalid HTTP version": "a version that is not 1.0 or 1.1",
    "another version": "a version that is not 1.0 or 1.1",
    "Expected CRLF after version": _LINES,
    "Missing expected CR after header value": _LINES,
    "Invalid header value char": _LINES,
    "Invalid header field char": _LINES,
    "Unexpected whitespace after header value": "a header in several lines (RFC 9112, 5.2)",
    "Content-Length can't be present with Transfer-Encoding": _LENGTHS,
    "Transfer-Encoding can't be present with Content-Length": _LENGTHS,
    "Duplicate Content-Length": _LENGTHS,
    "Invalid character in Content-Length": _LENGTHS,
    "Invalid `Transfer-Encoding` header value": _CODINGS,
    "Request has invalid `Transfer-Encoding`": _CODINGS,
    "Invalid character in chunk size": _CHUNKS,
    "Expected LF after chunk size": _CHUNKS,
    "Invalid character in chunk extensions": _CHUNKS,
    "Invalid character in chunk extensions name": _CHUNKS,
    "Invalid character in chunk extensions value": _CHUNKS,
    "Invalid character in chunk extensions quoted value": _CHUNKS,
    "Invalid character in chunk extensions quote value": _CHUNKS,
    CLOSED: "what follows `Connection: close` in a trailer, or `Proxy-Connection: close`: llhttp obeys both",
    "url is too long": "a target of more than 65,535 bytes",
    "The headers are larger than 16,384 bytes in all.": "headers of more than 16,384 bytes",
    "must be given once, as a name or an address": _TEXTS,
    "is not percent-encoded UTF-8 text without control characters": _TEXTS,
    "is not percent-encoded UTF-8 text without NUL": _TEXTS,
    "must not contain an encoded slash": _TEXTS,
}


@dataclass(frozen=True, slots=True)
class Difference:
    """`ran`: the server ran what h11 does not see."""

    kind: str
    ran: bool = False


def differences(stream: Stream, seen: Seen, record: Record) -> list[Difference]:
    found = [Difference(fault) for fault in dict.fromkeys(record.faults)]
    found += _wrong_answers(record)
    for number, run in enumerate(record.requests):
        if number >= len(seen.requests):
            if not run.ran:
                continue
            found.append(Difference(f"run, and h11 says: {seen.error or 'not whole'}", ran=True))
            return found
        if not run.ran:
            found.append(Difference(run.refusal))
        elif what := _other(run, seen.requests[number]):
            found.append(Difference(f"run with another {what}", ran=True))
            return found
    return found + _refused(stream, seen, record)


def _other(run: Request, seen: Request) -> str:
    """What is not the same of the two."""
    ran, saw = _normal(run.headers), _normal(seen.headers)
    if (run.method, run.path, run.query) != (seen.method, seen.path, seen.query):
        return "request line"
    if len(ran) > len(saw):
        return "number of fields, as if trailers were some"
    if ran != saw:
        return "field"
    if run.whole and (not seen.whole or run.body != seen.body):
        return "body"
    return ""


def _normal(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without `Upgrade`, which the server takes away, and as h11 writes `Transfer-Encoding`."""
    return [
        (name, value.lower() if name == b"transfer-encoding" else value)
        for name, value in headers
        if name != b"upgrade"
    ]


def _wrong_answers(record: Record) -> list[Difference]:
    answers = answers_in(record.output)
    numbers = [answer.number for answer in answers]
    if numbers and numbers[-1] is None:
        del numbers[-1]  # the refusal, which is the last
    if numbers != record.answered and not record.cut:
        return [Difference("the answers are not those to the requests")]
    if any(answer.version == "1.0" and answer.chunked for answer in answers):
        return [Difference("chunks for HTTP/1.0")]
    return []


def _refused(stream: Stream, seen: Seen, record: Record) -> list[Difference]:
    """The first request that h11 sees whole and the server does not run."""
    for number, request in enumerate(seen.requests):
        run = record.requests[number] if number < len(record.requests) else None
        if not request.whole or (run and run.whole):
            continue
        answered = run is not None and number in record.answered
        if number and not Bare(seen.requests[number - 1].text).keeps_alive:
            return [Difference(CLOSED)]
        if words := refusal(request.text):
            told = answered or _ends_with_refusal(record)
            return [Difference(words if told else f"refused without an answer: {words}")]
        if not answered:
            when = "when the client half-closes" if stream.ends_at_once else "though it is not refused"
            return [Difference(f"not run, {when}")]
    return []


def _ends_with_refusal(record: Record) -> bool:
    answers = answers_in(record.output)
    return record.cut or (bool(answers) and answers[-1].status == 400 and answers[-1].number is None)


def refusal(data: bytes) -> str:
    """What llhttp says of a request by itself, and what the server adds."""
    bare = Bare(data)
    if bare.error:
        return bare.error
    if bare.version not in {"1.0", "1.1"}:
        return "another version"
    return "a method of ICE" if bare.method == b"SOURCE" else ""


class Bare:
    """llhttp alone, with a request that offers no other protocol."""

    _OFFER = re.compile(rb"(?i)(?<=\n)upgrade:")
    _CONNECT = re.compile(rb"\ACONNECT +[^ ]+")

    def __init__(self, data: bytes) -> None:
        self.url = self.method = b""
        self.error = self.version = ""
        self.keeps_alive = True
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(self._OFFER.sub(b"upgrad_:", self._CONNECT.sub(b"POST /", data, count=1)))
            httptools.parse_url(self.url)
        except httptools.HttpParserError as error:
            self.error = re.split(r" b'|: ", str(error))[0]

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_headers_complete(self) -> None:
        self.version, self.method = self._parser.get_http_version(), self._parser.get_method()

    def on_message_complete(self) -> None:
        self.keeps_alive = self._parser.should_keep_alive()
