"""Clients that others have written, as programs. A new one is a function here and a file in field/clients."""

import asyncio
import http.client
import http.server
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import httpx2

from field.matrix import NotHere, Site, check, new_tasks, situation
from field.proxies import find
from harness.packages import install_node
from harness.proxy import Plan, Proxy

_HEADLESS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-component-update",
    "--disable-background-networking",
)
FILES = Path(__file__).parents[1] / "clients"
POSTMAN = Path(__file__).parents[1] / "postman"


def _run(site: Site, *command: str | Path, seconds: float = 90) -> str:
    """What the program prints; it has to end with 0."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, cwd=site.folder, check=False
    )
    assert done.returncode == 0, (done.stderr + done.stdout)[-600:]
    return done.stdout


def _not_vite(site: Site, reason: str) -> None:
    if site.proxy is not None and site.proxy.name == "vite":
        raise NotHere(reason)


def _curl(site: Site, *arguments: str, to: str | None = None) -> tuple[int, str]:
    """The status and the body."""
    command = (
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--noproxy",
        "*",
        "--write-out",
        "\n%{http_code}",
    )
    printed = _run(site, *command, *arguments[:-1], (to or site.url) + arguments[-1])
    body, _, status = printed.rpartition("\n")
    return int(status), body


def _toggle_twice(site: Site, *arguments: str, to: str | None = None) -> None:
    tasks = new_tasks()
    status, body = _curl(site, *arguments, "--json", '{"title": "Buy milk"}', tasks, to=to)
    assert status == 201, body
    task = f"{tasks}/{json.loads(body)['id']}"
    for _ in range(2):
        status, body = _curl(
            site, *arguments, "-X", "POST", "--json", '{"completed": true}', f"{task}/toggle", to=to
        )
        assert status == 200, body
        assert json.loads(body)["completed"] is True, "the body was lost"
    status, body = _curl(site, *arguments, "--compressed", tasks, to=to)
    assert status == 200, body
    assert len(json.loads(body)) == 1
    status, body = _curl(site, *arguments, "-X", "DELETE", task, to=to)
    assert status == 204, body


@situation("curl --http2 (offers h2c)", needs=("curl", "curl"))
def curl_offers_http2(site: Site) -> None:
    _not_vite(site, "it takes an upgrade for its own")
    _toggle_twice(site, "--http2")


@situation("curl over HTTP/2 to the proxy", needs=("curl", "curl"))
def curl_speaks_http2(site: Site) -> None:
    _toggle_twice(site, "--http2-prior-knowledge", to=site.http2)


@situation("curl --http1.0", needs=("curl", "curl"), everywhere=False)
def curl_http_1_0(site: Site) -> None:
    _toggle_twice(site, "--http1.0")


@situation("curl with Expect: 100-continue", needs=("curl", "curl"), everywhere=False)
def curl_expects(site: Site) -> None:
    _toggle_twice(site, "-H", "Expect: 100-continue")


@situation("ab, with and without keep-alive", needs=("ab", "apache2-utils"), everywhere=False)
def apache_bench(site: Site) -> None:
    tasks = new_tasks()
    with site.client() as client:
        check(client.post(tasks, json={"title": "a"}), 201)
    for arguments in ((), ("-k",)):
        for path in (tasks, f"{tasks}?limit=1"):
            printed = _run(
                site, str(find("ab")), "-q", "-n", "100", "-c", "8", *arguments, f"{site.url}{path}"
            )
            assert "Complete requests:      100\n" in printed, printed
            assert "Failed requests:        0\n" in printed, printed
            assert "Non-2xx" not in printed, printed


@situation("the JDK's HttpClient", needs=("java", "openjdk-17-jdk-headless"), everywhere=False)
def jdk(site: Site) -> None:
    _not_vite(site, "it takes an upgrade for its own")
    _run(site, "java", FILES / "Jdk.java", site.url, new_tasks())


@situation("Node's fetch", needs=("node", "nodejs"), everywhere=False)
def node(site: Site) -> None:
    _run(site, "node", FILES / "node.mjs", site.url, new_tasks())


@situation("Postman's import, run by newman", needs=("npm", "nodejs npm"), everywhere=None)
def postman(site: Site) -> None:
    """All optional parameters are sent, by their examples: none may be what refuses a request."""
    _not_vite(site, "it passes /api on alone")
    install_node(POSTMAN)
    lines = [line.split() for line in _run(site, "node", POSTMAN / "run.mjs", site.url).splitlines()]
    # What an example names may be missing, or there already; the number of a claim is always another one.
    refused = [
        (method, path, status)
        for method, path, status in lines
        if int(status) >= 300 and int(status) not in ({412} if "/claim/" in path else {404, 409})
    ]
    assert refused == []
    assert sum(int(status) < 300 for _, _, status in lines) >= 32, lines


@situation(
    "Chromium: fetch with credentials, preflights, EventSource cut",
    needs=("chromium", "chromium"),
    everywhere=False,
)
def chromium(site: Site) -> None:
    _not_vite(site, "it answers preflights itself: its pages are of the same origin")
    with _page() as (page, outcomes), _cutting(site.port) as cutting:
        query = urlencode(
            {"api": site.url, "stream": f"http://127.0.0.1:{cutting}{site.prefix}", "tasks": new_tasks()}
        )
        profile = site.folder / "chromium"
        with (site.folder / "chromium.log").open("wb") as log:
            browser = subprocess.Popen(
                [str(find("chromium")), *_HEADLESS, f"--user-data-dir={profile}", f"{page}/?{query}"],
                stdout=log,
                stderr=log,
                env={"HOME": str(site.folder), "PATH": "/usr/bin:/bin"},
            )
        try:
            outcome = outcomes.get(timeout=90)
        finally:
            browser.terminate()
            browser.wait(timeout=20)
            shutil.rmtree(profile, ignore_errors=True)
    assert outcome == "ok", outcome


@contextmanager
def _page() -> Iterator[tuple[str, "queue.Queue[str]"]]:
    """The address of the page, and what it reports."""
    outcomes: queue.Queue[str] = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer((FILES / "page.html").read_bytes())

        def do_POST(self) -> None:
            outcomes.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._answer(b"")

        def _answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", f"{len(content)}")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", outcomes
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _cutting(port: int) -> Iterator[int]:
    """The port of a relay whose first connection is cut in the middle of the answer."""
    loop = asyncio.new_event_loop()
    plans = iter([Plan(response_bytes=4_000)])
    relay = Proxy(port, lambda: next(plans, Plan()))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(relay.__aenter__(), loop).result(10)
    try:
        yield relay.port
    finally:
        asyncio.run_coroutine_threadsafe(relay.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@situation("Python's http.client, one connection", everywhere=False)
def http_client(site: Site) -> None:
    tasks = new_tasks()
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    for number in range(5):
        connection.request(
            "POST", site.prefix + tasks, f'{{"title": "{number}"}}', {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        answer.read()
    connection.close()
    with httpx2.Client(base_url=site.url, trust_env=False, verify=False) as client:
        assert len(check(client.get(tasks), 200)) == 5
