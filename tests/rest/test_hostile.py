"""Whatever is sent, the answer is clear: what was asked for, or a short problem that repeats nothing."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx2
import pytest

from harness import hostile
from harness.hostile import CANARY, CUT, ORIGIN, Answer, Case, Place, Wire
from harness.responses import create
from harness.servers import LocalServer, wait_for

TOKENS = {
    400: "validation_error",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    431: "headers_too_large",
}
MOST_BYTES = 4_096
MOST_OF_A_PATH = 1_024

Refuse = Callable[[Iterable[Case]], None]


@pytest.fixture
def wire(server: LocalServer) -> Iterator[Wire]:
    with Wire(server.url) as wire:
        yield wire


@pytest.fixture
def place(client: httpx2.Client, tasks: str) -> Place:
    task = create(client, tasks, description="Two bottles")
    return Place(tasks, task["id"], task["user_id"])


@pytest.fixture
def refuse(wire: Wire, client: httpx2.Client, place: Place) -> Refuse:
    """Each is refused as it has to be, and together they change nothing."""

    def refuse(cases: Iterable[Case]) -> None:
        before = client.get(place.tasks).json()
        complaints = list(complaints_of(wire, cases, check_problem))
        assert not complaints, "\n".join(complaints)
        assert client.get(place.tasks).json() == before

    return refuse


def complaints_of(wire: Wire, cases: Iterable[Case], check: Callable[[Case, Answer], None]) -> Iterator[str]:
    for case in cases:
        answer = wire.ask(case.wire, case.method)
        try:
            check(case, answer)
        except AssertionError as error:
            reason, _, _ = str(error).partition("\n")
            yield f"{case.name} -> {answer.status}: {reason}"


def check_problem(case: Case, answer: Answer) -> None:
    assert answer.status in case.statuses
    if answer.status == CUT:
        return
    check_headers(answer)
    assert len(answer.body) <= MOST_BYTES
    # What is left of such a request would be taken for the next one.
    assert answer.closes == (answer.status in {413, 431} or ": Host, " in case.name)
    if case.method == "HEAD":
        assert answer.body == b""
        return
    assert answer.body.isascii()
    problem = json.loads(answer.body)
    assert problem.pop("instance") == case.path[:MOST_OF_A_PATH]
    assert CANARY not in json.dumps(problem)
    check_members(problem, answer)
    if answer.status == 400:
        check_errors(problem["errors"], case.places)


def check_headers(answer: Answer) -> None:
    headers = answer.headers
    assert headers.get("content-type") == "application/problem+json"
    assert headers.get("link") == f'</problems/{TOKENS[answer.status]}>; rel="describedby"'
    assert headers.get("access-control-allow-origin") == ORIGIN
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    assert CANARY not in str(headers)
    if answer.status == 405:
        assert headers["allow"]
    if answer.status == 415:
        accepted = [value for name, value in headers.items() if name.startswith("accept")]
        assert any("application/json" in value for value in accepted)


def check_members(problem: dict[str, Any], answer: Answer) -> None:
    errors = {"errors"} if answer.status == 400 else set()
    assert problem.keys() == {"type", "title", "status", "detail", "request_id", *errors}
    assert problem["type"] == TOKENS[answer.status]
    assert problem["title"] == TOKENS[answer.status].replace("_", " ").title()
    assert problem["status"] == answer.status
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def check_errors(errors: list[dict[str, str]], places: tuple[str, ...]) -> None:
    assert 1 <= len(errors) <= 20
    for error in errors:
        (named,) = error.keys() - {"code", "detail"}
        assert named in {"pointer", "parameter"}
        assert error["code"]
        assert error["detail"]
        assert not places or error[named] in places


class TestBodies:
    def test_malformed_json_is_a_400(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.bodies(place))

    def test_a_member_that_breaks_a_rule_is_a_400_that_points_to_it(
        self, refuse: Refuse, place: Place
    ) -> None:
        refuse(hostile.members(place))

    def test_a_list_that_breaks_a_rule_is_a_400_that_points_to_it(
        self, refuse: Refuse, place: Place, client: httpx2.Client
    ) -> None:
        refuse(hostile.lists(place))
        assert client.get(place.tasks.removesuffix("tasks") + "lists").json() == []

    def test_a_claim_that_breaks_a_rule_is_a_400_and_claims_nothing(
        self, refuse: Refuse, place: Place, client: httpx2.Client
    ) -> None:
        refuse(hostile.claims(place))
        assert client.get(place.tasks.removesuffix("tasks") + "claims").json() == []

    def test_a_user_that_breaks_a_rule_is_a_400_that_points_to_it(self, refuse: Refuse) -> None:
        refuse(hostile.users())

    def test_a_move_that_breaks_a_rule_is_a_400_that_points_to_it(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.moves(place))

    def test_subtasks_are_completed_or_it_is_a_400(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.subtasks(place))

    def test_an_unknown_time_zone_is_a_400_that_points_to_it(self, refuse: Refuse) -> None:
        refuse(hostile.zones())

    def test_another_content_type_is_a_415(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.media_types(place))


class TestPaths:
    def test_a_malformed_id_is_a_400(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.paths(place))

    @pytest.mark.direct
    def test_an_unknown_path_is_a_404(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.lost_paths(place))

    @pytest.mark.direct
    def test_an_unsupported_method_is_a_405(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.methods(place))


class TestQueries:
    def test_an_invalid_parameter_is_a_400(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.queries(place))

    def test_a_forged_cursor_is_a_400(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.forged_cursors(place))

    def test_a_damaged_cursor_is_a_400(self, refuse: Refuse, place: Place, client: httpx2.Client) -> None:
        create(client, place.tasks)
        link = client.get(f"{place.tasks}?limit=1").links["next"]["url"]
        path, _, cursor = link.partition("cursor=")
        assert client.get(link).status_code == 200
        refuse(
            Case(damaged, "GET", f"{path}cursor={damaged}", places=("cursor", "query"))
            for damaged in hostile.damaged(cursor)
        )


class TestHeaders:
    def test_strict_handling_refuses_unknown_names_without_repeating_them(
        self, refuse: Refuse, place: Place
    ) -> None:
        refuse(hostile.unknown_names(place))

    @pytest.mark.direct
    def test_a_request_without_one_good_host_is_a_400(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.hosts(place))

    @pytest.mark.direct
    def test_headers_beyond_16_kib_are_a_431_or_close_the_connection(
        self, refuse: Refuse, place: Place
    ) -> None:
        refuse(hostile.long_headers(place))

    def test_an_agent_name_that_cannot_be_stored_is_a_400(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.agents(place))

    def test_a_refused_preflight_is_a_400(self, refuse: Refuse, place: Place) -> None:
        refuse(hostile.preflights(place))

    def test_an_unlisted_origin_gets_no_cors_headers(self, wire: Wire, place: Place) -> None:
        for origin in hostile.STRANGE_ORIGINS:
            lines = (b"Host: 127.0.0.1", f"Origin: {origin}".encode("latin-1"))
            answer = wire.ask(Case("", "GET", place.tasks, lines).wire)
            assert answer.status == 200, origin
            assert "access-control-allow-origin" not in answer.headers, origin
            assert CANARY not in str(answer.headers)


@pytest.mark.direct
class TestHarmless:
    def test_unusual_but_valid_requests_succeed(
        self, wire: Wire, client: httpx2.Client, place: Place
    ) -> None:
        create(client, place.tasks)
        complaints = list(complaints_of(wire, hostile.harmless(place), check_harmless))
        assert not complaints, "\n".join(complaints)


def check_harmless(case: Case, answer: Answer) -> None:
    if answer.status >= 400:
        check_problem(case, answer)
        return
    assert answer.status in case.statuses
    assert answer.headers.get("content-type") == "application/json"
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert CANARY not in str(answer.headers)
    assert CANARY.encode() not in answer.body


@pytest.mark.direct
class TestBrokenHttp:
    def test_malformed_http_is_a_400_that_closes_the_connection(
        self, wire: Wire, client: httpx2.Client, place: Place
    ) -> None:
        before = client.get(place.tasks).json()
        complaints = list(complaints_of(wire, hostile.broken_http(place), check_malformed))
        assert not complaints, "\n".join(complaints)
        assert client.get(place.tasks).json() == before


def check_malformed(case: Case, answer: Answer) -> None:
    assert answer.status in case.statuses
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["type"] == "validation_error"
    assert problem["errors"][0]["code"] == "malformed"
    assert CANARY not in str(answer.headers) + json.dumps({**problem, "instance": ""})
    assert answer.closes


@pytest.fixture
def limit(server: LocalServer) -> int:
    return server.settings.max_body_bytes


def head(method: str, target: str, *lines: bytes) -> bytes:
    start = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {ORIGIN}".encode()
    return b"\r\n".join((start, b"Content-Type: application/json", *lines, b"", b""))


def length(count: int) -> bytes:
    return b"Content-Length: %d" % count


CHUNKED = b"Transfer-Encoding: chunked"


def chunks(body: bytes, size: int) -> bytes:
    parts = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def a_task_of(size: int) -> bytes:
    return b'{"title": "x"}'.ljust(size)


def check_too_large(method: str, path: str, answer: Answer) -> None:
    check_problem(Case("", method, path, statuses=(413,)), answer)


@pytest.mark.direct
class TestBodyLimit:
    def test_a_body_of_exactly_the_limit_is_read(self, wire: Wire, place: Place, limit: int) -> None:
        body = a_task_of(limit)
        assert wire.ask(head("POST", place.tasks, length(limit)) + body).status == 201
        whole = chunks(body, 60_000) + b"0\r\n\r\n"
        assert wire.ask(head("POST", place.tasks, CHUNKED) + whole).status == 201

    def test_a_longer_content_length_is_a_413_before_the_body_is_sent(
        self, wire: Wire, place: Place, limit: int
    ) -> None:
        for method, path in (*place.writes, ("POST", "/api/users")):
            for declared in (limit + 1, 10**9, 2**63, 2**64 - 1):
                check_too_large(method, path, wire.ask(head(method, path, length(declared))))

    def test_expect_100_continue_of_a_longer_body_gets_no_100(
        self, wire: Wire, place: Place, limit: int
    ) -> None:
        asking = head("POST", place.tasks, length(limit + 1), b"Expect: 100-continue")
        wire.write(asking)
        assert wire.finish_writing().startswith(b"HTTP/1.1 413 ")

    def test_a_client_that_sends_the_body_anyway_can_read_the_413(
        self, wire: Wire, place: Place, limit: int
    ) -> None:
        body = a_task_of(3 * limit)
        answer = wire.ask(head("POST", place.tasks, length(len(body))) + body)
        check_too_large("POST", place.tasks, answer)

    @pytest.mark.parametrize("size", [1_000, 60_000, 2_000_000])
    def test_chunks_beyond_the_limit_are_a_413_before_the_last_one(
        self, wire: Wire, place: Place, limit: int, size: int
    ) -> None:
        for method, path in (*place.writes, ("POST", "/api/users")):
            answer = wire.ask(head(method, path, CHUNKED) + chunks(a_task_of(limit + 1), size))
            check_too_large(method, path, answer)

    def test_a_body_in_chunks_of_one_byte_is_read(self, wire: Wire, place: Place) -> None:
        body = chunks(a_task_of(20_000), 1) + b"0\r\n\r\n"
        assert wire.ask(head("POST", place.tasks, CHUNKED) + body).status == 201

    def test_a_refused_body_changes_nothing(
        self, wire: Wire, client: httpx2.Client, place: Place, limit: int
    ) -> None:
        before = client.get(place.tasks).json()
        wire.ask(head("POST", place.tasks, length(limit + 1)) + a_task_of(limit + 1))
        wire.ask(head("POST", place.tasks, CHUNKED) + chunks(a_task_of(limit + 1), 60_000) + b"0\r\n\r\n")
        assert client.get(place.tasks).json() == before


@pytest.mark.direct
class TestHalfARequest:
    """The client goes before all that it has promised is sent."""

    @pytest.mark.parametrize(
        "rest",
        [
            length(100) + b"\r\n\r\n" + b'{"title": "x"}',
            length(100) + b"\r\n\r\n",
            CHUNKED + b"\r\n\r\n" + b'e\r\n{"title": "x"}\r\n',
            CHUNKED + b"\r\n\r\n" + b'20\r\n{"title": "x"}',
            CHUNKED + b"\r\n\r\n",
            b"Content-Le",
        ],
    )
    def test_leaves_no_task_behind(
        self, wire: Wire, client: httpx2.Client, place: Place, rest: bytes
    ) -> None:
        before = client.get(place.tasks).json()
        wire.write(head("POST", place.tasks)[:-2] + rest)
        assert wire.finish_writing() == b""
        assert client.get(place.tasks).json() == before

    def test_keeps_no_connection_to_the_database(
        self, wire: Wire, client: httpx2.Client, place: Place
    ) -> None:
        for _ in range(50):
            wire.write(head("PATCH", place.task, length(100)) + b'{"title": "x"}')
            wire.close()
            wire.write(head("PATCH", place.task, length(14)) + b'{"title": "x"}')
            wire.close()
        wait_for(lambda: client.get("/health/ready").json()["pool"]["in_use"] == 0)
        assert client.patch(place.task, json={"title": "still there"}).json()["title"] == "still there"
