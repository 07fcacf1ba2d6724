"""Long answers and long requests."""

import json
import socket
from contextlib import suppress
from http.client import HTTPResponse

import httpx2

from field.matrix import GZIP, Site, check, check_problem, new_tasks, situation

_TASKS = 3_000
_LIMIT = 1_048_576


def _fill(client: httpx2.Client, tasks: str, count: int, present: int = 0) -> None:
    for begin in range(present, count, 1_000):
        operations = [
            {"op": "create", "task": {"title": f"Task {number}", "description": "x" * 200}}
            for number in range(begin, min(begin + 1_000, count))
        ]
        check(client.post(f"{tasks}/batch", json={"operations": operations}), 200)


@situation("a list of 3,000 tasks and its export arrive whole")
def large_list(site: Site) -> None:
    user = "field-large"
    tasks = f"/api/{user}/tasks"
    with site.client() as client:
        _fill(client, tasks, _TASKS, len(check(client.get(tasks), 200)))  # once for all proxies
        for headers in (GZIP, {"Accept-Encoding": "identity"}):
            found = check(client.get(tasks, headers=headers), 200)
            assert len({task["id"] for task in found}) == _TASKS
            export = client.get(f"/api/users/{user}/export", headers=headers)
            assert export.status_code == 200
            lines = [json.loads(line) for line in export.text.split("\n") if line]
            assert sum("task" in line for line in lines) == _TASKS
            assert len(lines) == 1 + 2 * _TASKS  # the user, and a record of each creation
        assert len(check(client.get(f"{tasks}?limit=1000"), 200)) == 1_000


@situation("pages by Link, from the first to the last")
def pages(site: Site) -> None:
    tasks = new_tasks()
    with site.client() as client:
        _fill(client, tasks, 25)
        seen: list[str] = []
        url: httpx2.URL | None = httpx2.URL(f"{site.url}{tasks}?limit=10")
        while url:
            answer = client.get(url, headers=GZIP)
            seen += [task["title"] for task in check(answer, 200)]
            link = answer.links.get("next")
            url = answer.url.join(link["url"]) if link else None
        assert len(set(seen)) == len(seen) == 25


@situation("a body of 1 MiB is taken, one beyond the limit is a 413")
def too_large(site: Site) -> None:
    tasks = new_tasks()
    with site.client() as client:
        body = json.dumps({"title": "a", "description": "b"})
        content = body + " " * (_LIMIT - len(body))
        headers = {"Content-Type": "application/json"}
        check(client.post(tasks, content=content, headers=headers), 201)
        for size in (_LIMIT + 1, 3 * _LIMIT):
            answer = client.post(tasks, content=body + " " * (size - len(body)), headers=headers)
            if site.proxy is not None and site.proxy.name == "nginx as it comes":
                assert answer.status_code == 413  # of nginx, whose limit is the same
                continue
            check_problem(answer, 413, "payload_too_large")
        check(client.get(tasks), 200)


@situation("a body without a length (chunked) is taken")
def chunked(site: Site) -> None:
    with site.client() as client:
        parts = (part.encode() for part in ('{"tit', 'le": "in ', 'parts"}'))
        answer = client.post(new_tasks(), content=parts, headers={"Content-Type": "application/json"})
        assert check(answer, 201)["title"] == "in parts"


def _expecting(site: Site, tasks: str, body: bytes, length: int) -> HTTPResponse:
    """The answer to a request whose body is sent after 100, or not at all."""
    head = (
        f"POST {site.prefix}{tasks} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(head.encode())
        first = connection.recv(65_536, socket.MSG_PEEK)
        if first.startswith(b"HTTP/1.1 100"):
            connection.recv(first.index(b"\r\n\r\n") + 4)
            with suppress(ConnectionError):  # the answer may be there before the end of the body
                connection.sendall(body)
        response = HTTPResponse(connection, method="POST")
        response.begin()
        response.read()
        return response


@situation("Expect: 100-continue: the body is asked for and taken")
def expected(site: Site) -> None:
    body = b'{"title": "expected"}'
    assert _expecting(site, new_tasks(), body, len(body)).status == 201


@situation("Expect: 100-continue beyond the limit: 413")
def expected_too_much(site: Site) -> None:
    body = b" " * (2 * _LIMIT)
    assert _expecting(site, new_tasks(), body, len(body)).status == 413
