"""Odd forms of HTTP that proxies and old clients speak."""

import json
import re
import socket
import time

import httpx2

from field.matrix import NotHere, Site, check, new_tasks, situation

_HOST = "Host: 127.0.0.1\r\n"
_JSON = "Content-Type: application/json\r\n"
_OFFERS = (
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    "Connection: upgrade\r\nUpgrade: TLS/1.0, HTTP/2.0\r\n",
)


@situation("HEAD has the headers of GET and no body")
def head(site: Site) -> None:
    tasks = new_tasks()
    with site.client() as client:
        task = f"{tasks}/{check(client.post(tasks, json={'title': 'a'}), 201)['id']}"
        for path in (task, f"{tasks}?limit=5", tasks):
            plain = {"Accept-Encoding": "identity"}
            got, answer = client.get(path, headers=plain), client.head(path, headers=plain)
            assert answer.status_code == 200
            assert answer.content == b""
            assert answer.headers["etag"].removeprefix("W/") == got.headers["etag"].removeprefix("W/")
            assert answer.headers["content-type"] == got.headers["content-type"]
        assert check(client.get(task), 200)  # the connection is still good


@situation("OPTIONS names the methods: 204 with Allow")
def options(site: Site) -> None:
    if site.proxy is not None and site.proxy.name == "vite":
        raise NotHere("it answers OPTIONS itself")
    tasks = new_tasks()
    with site.client() as client:
        for path, allowed in (
            (tasks, {"GET", "HEAD", "POST", "DELETE", "OPTIONS"}),
            ("/api/tasks/batch", {"POST", "OPTIONS"}),
            (f"{tasks}/01a2239b-3923-7286-a71a-c6baa53d1b2f/toggle", {"POST", "OPTIONS"}),
        ):
            answer = client.options(path)
            assert answer.status_code == 204, f"{path}: {answer.status_code}"
            assert set(answer.headers["allow"].split(", ")) == allowed, answer.headers["allow"]


@situation("a proxy's health checks find it up")
def health(site: Site) -> None:
    """Those of HAProxy, Varnish, load balancers, as bytes to the server itself."""
    ready = "/health/ready"
    for request in (
        "OPTIONS / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        f"GET {ready} HTTP/1.0\r\n\r\n",
        f"HEAD {ready} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        f"GET {ready} HTTP/1.1\r\n{_HOST}Connection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n",
    ):
        answer = site.ask(request, site.direct)
        assert answer.status in {200, 204}, f"{request!r}: {answer.status}"
    time.sleep(3 if site.is_of("haproxy") else 0)  # several checks
    with site.client() as client:
        check(client.get("/api/tasks?limit=1"), 200)


@situation("offers to upgrade are passed over: h2c, WebSocket")
def upgrades(site: Site) -> None:
    if site.proxy is not None and site.proxy.name == "vite":
        raise NotHere("it takes an upgrade for its own")
    body = '{"completed": true}'
    tasks = new_tasks()
    with site.client() as client:
        task = f"{tasks}/{check(client.post(tasks, json={'title': 'a'}), 201)['id']}"
    for offer in _OFFERS:
        if "h2c" in offer and site.is_of("apache2", "caddy", "varnishd"):
            continue  # it takes the offer itself
        for path in (f"{task}/toggle", tasks):
            sent = body if path != tasks else '{"title": "b"}'
            head = f"POST {site.prefix}{path} HTTP/1.1\r\n{_HOST}{_JSON}{offer}"
            answer = site.ask(f"{head}Content-Length: {len(sent)}\r\n\r\n{sent}")
            found = check(answer, 200, 201)
            assert found["completed"] is (path != tasks), "the body was lost"
        answer = site.ask(f"GET {site.prefix}{task} HTTP/1.1\r\n{_HOST}{offer}\r\n")
        assert check(answer, 200)["completed"] is True


@situation("HTTP/1.0 clients get no chunks")
def http_1_0(site: Site) -> None:
    tasks = new_tasks()
    body = '{"title": "old"}'
    start = f"POST {site.prefix}{tasks} HTTP/1.0\r\n{_HOST}{_JSON}"
    made = site.ask(f"{start}Content-Length: {len(body)}\r\n\r\n{body}")
    check(made, 201)
    user = tasks.split("/")[2]
    for path in (tasks, f"{tasks}?limit=1", f"/api/users/{user}/export"):
        raw = site.read_all(f"GET {site.prefix}{path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        head, _, content = raw.partition(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0], head
        assert not re.search(rb"(?i)^transfer-encoding", head, flags=re.MULTILINE), head
        assert b'"old"' in content
        json.loads(content.split(b"\n")[0])


@situation("HTTP/1.0 clients can read events")
def events_for_http_1_0(site: Site) -> None:
    tasks = new_tasks()
    with (
        site.client() as client,
        socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection,
    ):
        check(client.post(tasks, json={"title": "old"}), 201)
        path = tasks.replace("/tasks", "/events?since=0")
        connection.sendall(f"GET {site.prefix}{path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        received = b""
        while b'"old"' not in received:
            more = connection.recv(65_536)
            assert more, received
            received += more
        head, _, content = received.partition(b"\r\n\r\n")
        assert b"chunked" not in head.lower(), head
        assert not re.match(rb"[0-9a-f]+\r\n", content), content


@situation("a request whose client goes away harms nobody")
def aborted(site: Site) -> None:
    tasks = new_tasks()
    for sent in (
        f"POST {site.prefix}{tasks} HTTP/1.1\r\n{_HOST}{_JSON}Content-Length: 50\r\n\r\n{{",
        f"GET {site.prefix}{tasks} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ):
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
                connection.sendall(sent.encode())
    with site.client() as client:
        assert check(client.get(tasks), 200) == []
        check(client.post(tasks, json={"title": "a"}), 201)


@situation("a client that says it sends no more still gets its answer")
def half_closed(site: Site) -> None:
    if site.is_of("nginx", "varnishd", "node"):
        raise NotHere("the proxy itself gives such a client up")
    tasks = new_tasks()
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(
            f"GET {site.prefix}{tasks} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert b" 200 " in received.split(b"\r\n")[0], received


@situation("health is not kept by a cache")
def not_cached(site: Site) -> None:
    with httpx2.Client(base_url=f"http://127.0.0.1:{site.direct}", verify=False) as client:
        for path in ("/health/live", "/health/ready"):
            assert client.get(path).headers.get("cache-control") == "no-store"
