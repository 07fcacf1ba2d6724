"""Simple requests of known clients: answered as they would be if they came all the way."""

import json
import logging
import re
import socket
import time
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from harness.responses import JSON, create, problem, unknown_id
from harness.servers import LocalServer, local_server, wait_for
from harness.side_effects import at_once, execute
from taskwell.core.errors import OutcomeUnknown
from taskwell.core.settings import Settings

# The fast path reads the mounts by itself.
pytestmark = pytest.mark.both_mounts

TASKS = "/api/tasks"
NEW = {"title": "Buy milk", "description": "Two litres"}
CHANGING = {"date", "etag", "location", "x-request-id", "content-length", "ratelimit"}


@pytest.fixture
def client(client: httpx2.Client) -> httpx2.Client:
    """One whom nobody knows."""
    client.headers["X-Client"] = uuid4().hex
    return client


def constant(answer: httpx2.Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers.multi_items() if name not in CHANGING]


# Of a request that takes neither short way.
LONG = {"Prefer": "wait=1"}


class TestKnownLists:
    @pytest.mark.parametrize(
        "query",
        [
            "limit=2",
            "sort=title&limit=2",
            "due=any&completed=false&sort=due&limit=2",
            "list=inbox&sort=-position&limit=2",
            "due=2026-11-20,2026-11-21&tz=Asia/Tokyo&limit=2",
            "fields=title&limit=2",
        ],
    )
    def test_behind_a_known_one_are_those_of_the_long_way(
        self, client: httpx2.Client, tasks: str, taken: list[bool], query: str
    ) -> None:
        for n in range(5):
            create(client, tasks, title=f"Task {n % 2}", due=f"2026-11-{20 + n % 2}")
        path, seen = f"{tasks}?{query}", 0
        while path:
            for _ in range(2):  # the first makes the query known, as the server writes it, and its head
                client.get(path)
            taken.clear()
            short, long = client.get(path), client.get(path, headers=LONG)
            assert taken == [True, False]
            assert short.status_code == 200
            assert short.content == long.content
            assert short.headers["etag"] == long.headers["etag"]
            assert short.links == long.links
            seen += len(short.json())
            path = short.links["next"]["url"] if "next" in short.links else ""
        assert seen == 5

    def test_those_who_read_one_together_get_their_own_link(
        self, client: httpx2.Client, tasks: str, server: LocalServer
    ) -> None:
        for _ in range(3):
            create(client, tasks)
        paths = [f"{tasks}?limit=2", f"{tasks}?limit=2&mine={client.headers['x-client']}"]
        for path in paths * 2:
            client.get(path)
        headers = dict(client.headers)

        def ask(n: int) -> tuple[bytes, str]:
            with httpx2.Client(base_url=server.url, headers=headers) as another:
                answers = [another.get(paths[n % 2]) for _ in range(10)]
            return answers[-1].content, answers[-1].links["next"]["url"]

        told = at_once(8, ask)
        assert len({content for content, _ in told}) == 1
        for n, (_, url) in enumerate(told):
            assert url.rpartition("&cursor=")[0] == paths[n % 2]

    def test_a_cursor_of_another_list_is_refused(self, client: httpx2.Client, tasks: str) -> None:
        for _ in range(2):
            create(client, tasks)
        link = client.get(f"{tasks}?limit=1").links["next"]["url"]
        cursor = link.partition("&cursor=")[2]
        for known in ("sort=title&limit=1", "due=today&tz=UTC&limit=1", "due=today&limit=1"):
            assert client.get(f"{tasks}?{known}").status_code == 200
            for wrong in (cursor, cursor[:-1], f"{cursor}&cursor={cursor}"):
                answer = client.get(f"{tasks}?{known}&cursor={wrong}")
                assert problem(answer, 400, "validation_error")["errors"][0]["code"] in {
                    "invalid_cursor",
                    "repeated",
                }
        assert client.get(f"{tasks}?limit=1&cursor={cursor}").status_code == 200

    def test_the_zone_of_the_user_is_looked_up(
        self, client: httpx2.Client, tasks: str, taken: list[bool]
    ) -> None:
        create(client, tasks, due="2026-11-20")
        first, again = (client.get(f"{tasks}?due=2026-11-20&limit=1") for _ in range(2))
        assert taken[-1] is False
        assert (first.content, first.headers["etag"]) == (again.content, again.headers["etag"])


class TestHeads:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Origin": "http://localhost:3000"},
            {"Origin": "https://evil.example"},
            {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"},
            {"User-Agent": "a%b", "Accept": "application/json", "Cookie": "a=b"},
        ],
    )
    def test_are_those_of_the_long_way(
        self, client: httpx2.Client, tasks: str, taken: list[bool], headers: dict[str, str]
    ) -> None:
        client.headers.update(headers)
        first, second = (client.post(tasks, json=NEW) for _ in range(2))
        path = f"{tasks}/{first.json()['id']}"
        read, again = (client.get(path) for _ in range(2))
        toggled, back = (client.post(f"{path}/toggle") for _ in range(2))
        assert taken == [False, True] * 3
        for long, short in ((first, second), (read, again), (toggled, back)):
            assert long.headers.keys() == short.headers.keys()
            assert constant(long) == constant(short)
            assert long.status_code == short.status_code
            assert re.fullmatch("[0-9a-f]{32}", short.headers["x-request-id"])
            assert short.headers["x-request-id"] != long.headers["x-request-id"]
            assert int(short.headers["content-length"]) == len(short.content)
        assert second.headers["location"] == f"{tasks}/{second.json()['id']}"
        assert second.headers["etag"] == f'"{second.json()["version"]}"'
        assert again.json() == read.json()
        assert back.json()["completed"] is False
        assert int(back.headers["etag"].strip('"')) == int(toggled.headers["etag"].strip('"')) + 1

    def test_another_length_of_a_title_is_no_other_client(
        self, client: httpx2.Client, taken: list[bool]
    ) -> None:
        for title in ("a", "b" * 150, "ü"):
            created = client.post(TASKS, json={"title": title}).json()
            assert created["title"] == title
        assert taken == [False, True, True]

    def test_another_trace_is_no_other_client(
        self, client: httpx2.Client, tasks: str, taken: list[bool]
    ) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        taken.clear()
        for n in range(3):
            client.get(path, headers={"traceparent": f"00-{n:032x}-{n:016x}-01"})
        assert taken == [False, True, True]

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Request-Id": "mine"},
            {"If-None-Match": '"0"'},
            {"Prefer": "handling=strict"},
            {"Idempotency-Key": "k"},
            {"Expect": "100-continue"},
        ],
    )
    def test_what_tells_of_the_request_itself_is_never_remembered(
        self, client: httpx2.Client, tasks: str, taken: list[bool], headers: dict[str, str]
    ) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        for _ in range(3):
            assert client.get(path, headers=headers).status_code == 200
        assert not any(taken)

    def test_headers_that_are_very_long_are_never_remembered(
        self, client: httpx2.Client, taken: list[bool]
    ) -> None:
        client.headers["Cookie"] = "x" * 5_000
        path = f"{TASKS}/{create(client, TASKS)['id']}"
        for _ in range(2):
            assert client.get(path).status_code == 200
        assert not any(taken)

    @pytest.mark.slow
    def test_many_clients_are_forgotten_rather_than_kept(self, server: LocalServer, tasks: str) -> None:
        with httpx2.Client(base_url=server.url) as client:
            path = f"{tasks}/{create(client, tasks)['id']}"
            for n in range(1_100):
                assert client.get(path, headers={"X-Client": str(n)}).status_code == 200


class TestPages:
    def test_are_those_of_the_long_way(self, client: httpx2.Client, tasks: str, taken: list[bool]) -> None:
        for n in range(4):
            create(client, tasks, title=f"{n}")
        taken.clear()
        for limit, more in ((3, True), (4, False)):
            # Once to be understood, once to be learned from.
            pages = [client.get(f"{tasks}?limit={limit}&new={client.headers['x-client']}") for _ in range(4)]
            assert [task["title"] for task in pages[0].json()] == ["3", "2", "1", "0"][:limit]
            assert ("link" in pages[0].headers) is more
            for page in pages[1:]:
                assert page.content == pages[0].content
                assert dict(constant(page)) == dict(constant(pages[0]))
                assert page.headers["etag"] == pages[0].headers["etag"]
                assert int(page.headers["content-length"]) == len(page.content)
        assert taken == [False, False, True, True, False, True, True, True]

    def test_lead_to_the_next_one(self, client: httpx2.Client, tasks: str, taken: list[bool]) -> None:
        made = [create(client, tasks, title=f"{n}")["id"] for n in range(5)]
        taken.clear()
        for _ in range(3):
            page, found = f"{tasks}?sort=-title&limit=2&new={client.headers['x-client']}", []
            while page:
                answer = client.get(page)
                found += [task["id"] for task in answer.json()]
                page = answer.links.get("next", {}).get("url", "")
            assert found == made[::-1]
        # The first makes the query known, and the answer to the second its head.
        assert taken == [False, False] + [True] * 7

    def test_tell_of_the_last_write(self, client: httpx2.Client, tasks: str, taken: list[bool]) -> None:
        for n in range(1, 6):
            create(client, tasks, title=f"{n}")
            page = client.get(f"{tasks}?limit=10")
            assert [task["title"] for task in page.json()] == [f"{m}" for m in range(n, 0, -1)]
            assert (
                client.get(f"{tasks}?limit=10", headers={"If-None-Match": page.headers["etag"]}).status_code
                == 304
            )
        assert True in taken

    @pytest.mark.parametrize("query", ["", "?limit=0", "?limit=2&limit=3", "?cursor=x", "?q=%FF"])
    def test_any_other_list_goes_the_long_way(
        self, client: httpx2.Client, tasks: str, taken: list[bool], query: str
    ) -> None:
        create(client, tasks)
        client.get(f"{tasks}?limit=2")
        statuses = {client.get(f"{tasks}{query}").status_code for _ in range(3)}
        assert len(statuses) == 1
        assert not any(taken)

    def test_of_nobody_are_empty(self, client: httpx2.Client, user: str, taken: list[bool]) -> None:
        for _ in range(3):
            page = client.get(f"/api/{user}/tasks?limit=2&new={client.headers['x-client']}")
            assert (page.status_code, page.json()) == (200, [])
        assert taken == [False, False, True]

    def test_with_a_body_go_the_long_way(self, client: httpx2.Client, tasks: str, taken: list[bool]) -> None:
        for _ in range(3):
            answer = client.request("GET", f"{tasks}?limit=2", content=b"{}", headers=JSON)
            assert answer.status_code == 200
        assert not any(taken)


class TestErrors:
    def test_what_is_not_there(self, client: httpx2.Client, tasks: str, taken: list[bool]) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        client.get(path)
        client.post(f"{path}/toggle")
        taken.clear()
        for method, rest in (("GET", ""), ("POST", "/toggle")) * 2:
            answer = client.request(method, f"{tasks}/{unknown_id()}{rest}")
            problem(answer, 404, "not_found")
        assert taken == [True] * 4

    def test_a_body_that_is_refused(self, client: httpx2.Client, tasks: str, taken: list[bool]) -> None:
        create(client, tasks)
        for body in (b"{", b"[]", b'{"title": ""}', b'{"title": 1}'):
            answer = client.post(tasks, content=body, headers=JSON)
            problem(answer, 400, "validation_error")
        assert not any(taken)

    def test_a_body_that_is_too_large(self, tmp_path: Path, taken: list[bool]) -> None:
        settings = Settings(database_url=f"sqlite:///{tmp_path}/t.db", max_body_bytes=16_384)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            create(client, TASKS)
            create(client, TASKS)
            answer = client.post(TASKS, content=b"{}" + b" " * 16_384, headers=JSON)
            problem(answer, 413, "payload_too_large")
        assert taken[1] is True

    def test_an_address_that_is_none_of_these(self, client: httpx2.Client, taken: list[bool]) -> None:
        created = create(client, TASKS)
        path = f"{TASKS}/{created['id']}"
        client.get(path)
        for strange in (
            f"{path}/",
            f"{path}?x=1",
            path.upper(),
            f"/api/a%20b/tasks/{created['id']}",
            f"{path}/x",
        ):
            assert client.get(strange).status_code in {200, 400, 404}
        assert client.head(path).content == b""
        assert not any(taken)

    def test_a_name_that_no_user_can_have(self, client: httpx2.Client, tasks: str, taken: list[bool]) -> None:
        path = create(client, tasks)["id"]
        client.get(f"{tasks}/{path}")
        for name in ("a b", "a" * 300, "ä", "\u2028"):
            assert client.get(f"/api/{name}/tasks/{path}").status_code in {400, 404}
        assert not any(taken)

    def test_what_the_database_cannot_say_is_told_with_its_reason(
        self, server: LocalServer, client: httpx2.Client, tasks: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A write that may have been done is not tried again by going the long way."""
        create(client, tasks)
        create(client, tasks)
        calls: list[int] = []

        async def lost(work: object) -> None:
            calls.append(1)
            raise OutcomeUnknown

        with monkeypatch.context() as patch:
            patch.setattr(server.database.backend, "write_prepared", lost)
            answer = client.post(tasks, json=NEW)
        members = problem(answer, 503, "database_unavailable")
        assert "saved or not" in members["detail"]
        assert answer.headers["retry-after"]
        assert len(calls) == 1
        assert len(client.get(tasks).json()) == 2


class TestWrites:
    def test_create_a_user_who_is_not_there_yet(
        self, client: httpx2.Client, user: str, taken: list[bool]
    ) -> None:
        create(client, f"/api/{user}/tasks")
        create(client, f"/api/{user}-2/tasks")
        assert taken == [False, True]
        assert len(client.get(f"/api/{user}-2/tasks").json()) == 1

    def test_a_user_who_is_not_there_is_a_404_where_none_are_created(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/t.db"
        with local_server(Settings(database_url=url, create_users=False)) as server:
            execute(
                server.settings,
                "INSERT INTO users (id, last_seq, purged_seq, created_at) VALUES ('a', 0, 0, '2026-11-21')",
            )
            with httpx2.Client(base_url=server.url) as client:
                create(client, "/api/a/tasks")
                create(client, "/api/a/tasks")
                for _ in range(2):
                    problem(client.post("/api/b/tasks", json=NEW), 404, "not_found")

    def test_a_toggle_with_a_body_or_where_a_condition_is_required(
        self, database_url: str, taken: list[bool]
    ) -> None:
        settings = Settings(database_url=database_url, require_if_match=True)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            created = create(client, TASKS)
            path = f"{TASKS}/{created['id']}/toggle"
            etag = {"If-Match": f'"{created["version"]}"'}
            assert client.post(path, headers=etag).status_code == 200
            for _ in range(2):
                problem(client.post(path), 428, "precondition_required")
                problem(client.post(path, json={"completed": True}), 428, "precondition_required")
        assert not any(taken)

    def test_are_seen_by_whoever_waits_for_them(self, server: LocalServer, tasks: str) -> None:
        with httpx2.Client(base_url=server.url, timeout=10) as client:
            for _ in range(3):
                create(client, tasks)
            with client.stream("GET", f"{tasks.removesuffix('tasks')}events") as events:
                lines = events.iter_lines()
                assert next(lines)
                begun = time.monotonic()
                with httpx2.Client(base_url=server.url) as writer:
                    for title in ("first", "second"):
                        create(writer, tasks, title=title)
                        assert any(title in line for line in lines)
                assert time.monotonic() - begun < 5

    def test_of_many_at_once_are_all_kept(self, server: LocalServer, tasks: str) -> None:
        def work(number: int) -> list[int]:
            with httpx2.Client(base_url=server.url) as client:
                return [create(client, tasks, title=f"{number}")["version"] for _ in range(10)]

        versions = [version for made in at_once(16, work) for version in made]
        first = min(versions)
        assert sorted(versions) == list(range(first, first + 160))


class TestConnections:
    def test_several_requests_in_one_piece_are_answered_in_their_order(
        self, server: LocalServer, client: httpx2.Client, tasks: str
    ) -> None:
        ids = [create(client, tasks, title=f"{n}")["id"] for n in range(5)]
        requests = b"".join(
            f"GET {tasks}/{one} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for one in ids * 4
        )
        requests += f"GET {tasks}/{ids[0]} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(requests)
            answers = b"".join(iter(lambda: connection.recv(65_536), b""))
        bodies = [part.partition(b"\r\n\r\n")[2] for part in answers.split(b"HTTP/1.1 200 OK\r\n")[1:]]
        assert [json.loads(body)["id"] for body in bodies] == [*ids * 4, ids[0]]

    def test_very_many_requests_behind_a_write_are_answered_in_their_order(
        self, server: LocalServer, client: httpx2.Client, tasks: str
    ) -> None:
        client.headers.clear()
        path = f"{tasks}/{create(client, tasks)['id']}"
        toggle = f"POST {path}/toggle HTTP/1.1\r\nHost: localhost\r\n\r\n"
        get = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall((get * 2 + toggle * 2 + toggle + get * 2_000 + last).encode())
            answers = b"".join(iter(lambda: connection.recv(65_536), b""))
        parts = answers.split(b"HTTP/1.1 200 OK\r\n")[1:]
        assert len(parts) == 2 + 3 + 2_000 + 1
        read = [json.loads(part.partition(b"\r\n\r\n")[2])["completed"] for part in parts]
        assert read == [False, False, True, False] + [True] * 2_002

    def test_a_client_that_has_gone_is_no_fault(
        self, server: LocalServer, client: httpx2.Client, tasks: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        create(client, tasks)
        body = json.dumps(NEW).encode()
        head = f"POST {tasks} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(request)
        wait_for(lambda: server.app.state.metrics.under_way == 0)
        create(client, tasks)
        wait_for(lambda: client.get("/health/ready").json()["pool"]["in_use"] == 0)
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class TestWhatIsTold:
    def test_requests_are_counted_and_logged_like_all_others(
        self, server: LocalServer, client: httpx2.Client, user: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        tasks = f"/api/{user}/tasks"
        path = f"{tasks}/{create(client, tasks)['id']}"
        key = ("GET", "/api/{user_id}/tasks/{task_id}", 200)
        client.get(path)
        before = sum(server.app.state.metrics._requests[key].counts)
        with caplog.at_level(logging.INFO, "taskwell.access"):
            for _ in range(3):
                client.get(path)
            wait_for(lambda: sum(server.app.state.metrics._requests[key].counts) == before + 3)
            wait_for(
                lambda: len([line for line in caplog.messages if line.startswith(f"GET {path} 200 ")]) == 3
            )
        wait_for(lambda: server.app.state.metrics.under_way == 0)
