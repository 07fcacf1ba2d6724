"""The short form of `python -m fuzz.parser`: the server runs the requests that h11 sees, and no others."""

import asyncio

import pytest

from fuzz.oracle import see
from fuzz.parser import PROTOCOL, Report, fuzz, fuzz_over_sockets, fuzz_with, shortest
from fuzz.streams import Stream

# It runs the body of a request that offers an upgrade as further requests (uvicorn#2722), among other things.
UVICORN = "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol"
HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\n"
GET = b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
OFFER = HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 40\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n"


def check(report: Report, streams: int) -> None:
    assert not report.unlisted, "\n".join(map(str, report.examples.values()))
    assert report.counts["streams"] == streams
    assert report.counts["requests that both see"] > streams
    assert report.counts["streams that end with what both refuse"] > streams / 4
    assert report.counts["streams with a request run that h11 does not see"] == 0


def test_the_server_runs_what_h11_sees() -> None:
    check(asyncio.run(fuzz(range(2_000), seed=1)), 2_000)


def test_the_server_runs_what_h11_sees_over_sockets() -> None:
    check(fuzz_over_sockets(range(60), seed=2), 60)


class TestThatItCanFail:
    def test_it_finds_what_uvicorn_does_otherwise(self) -> None:
        report = asyncio.run(fuzz(range(500), seed=1, protocol=UVICORN))
        assert report.counts["streams with a request run that h11 does not see"] > 100
        assert report.unlisted.keys() >= {
            "run with another body",
            "run with another number of fields, as if trailers were some",
            "the answers are not those to the requests",
        }

    def test_it_finds_a_smuggled_request(self) -> None:
        stream = Stream((OFFER, SMUGGLED), ends_at_once=False, answers=())
        assert asyncio.run(fuzz_with([stream], PROTOCOL)).unlisted == {}
        report = asyncio.run(fuzz_with([stream], UVICORN))
        assert report.counts["streams with a smuggled request"] == 1

    def test_it_shortens_what_it_finds(self) -> None:
        stream = Stream((GET + OFFER + SMUGGLED,), ends_at_once=False, answers=())
        short = asyncio.run(shortest(stream, "run with another body", UVICORN))
        assert b"Upgrade:" in short.data
        assert b"/smuggled" not in short.data


class TestOracle:
    @pytest.mark.parametrize(
        "line",
        [
            b"\r\n\r\nPOST /a HTTP/1.1",
            b"POST   /a  HTTP/1.1",
        ],
    )  # fmt: skip
    def test_h11_is_corrected(self, line: bytes) -> None:
        seen = see(GET + line + b"\r\nHost: h\r\nContent-Length: 1\r\n\r\nx" + GET)
        assert [(request.method, request.path) for request in seen.requests] == [
            (b"GET", b"/b"),
            (b"POST", b"/a"),
            (b"GET", b"/b"),
        ]

    def test_a_chunk_may_have_any_number_of_zeros_before_its_size(self) -> None:
        chunks = b"%030x\r\nhello\r\n%030x\r\n\r\n" % (5, 0)
        seen = see(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + GET)
        assert [request.body for request in seen.requests] == [b"hello", b""]

    def test_nothing_is_seen_after_the_end_of_a_connection(self) -> None:
        assert len(see(GET + GET + GET, closing={1}).requests) == 2
        assert len(see(GET[:-2] + b"Connection: close\r\n\r\n" + GET).requests) == 1
