"""A browser for the tests of this folder, and servers that its pages are opened on."""

import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from harness.databases import migrated_database
from harness.servers import LocalServer, local_server
from taskwell.core.settings import Settings
from tests.conftest import DATABASES

expect.set_options(timeout=20_000)
# The browser itself reports failed requests; a test that causes some says which.
NO_CONNECTION = r"net::ERR_"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ends with the folder: while it runs, no other test of this process could run an event loop."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium: these tests need it")
    arguments = ["--host-resolver-rules=MAP tasks.internal 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], LocalServer]]:
    """A server for each database, in a thread: beside the browser this one can run no event loop."""
    started: dict[str, LocalServer] = {}
    stack = ExitStack()

    def start(kind: str) -> LocalServer:
        folder = tmp_path_factory.mktemp(f"web-{kind}")
        url = stack.enter_context(migrated_database(kind, folder))
        return stack.enter_context(local_server(Settings(database_url=url)))

    with ThreadPoolExecutor(1) as elsewhere:

        def server(kind: str) -> LocalServer:
            if kind not in started:
                started[kind] = elsewhere.submit(start, kind).result()
            return started[kind]

        yield server
        elsewhere.submit(stack.close).result()


class Visitor:
    """Opens pages on a server, and reads and writes there as another client."""

    def __init__(self, browser: Browser, url: str, **headers: str) -> None:
        self.browser = browser
        self.url = url
        self.http = httpx2.Client(base_url=url, headers=headers, timeout=30)
        self.tolerated: list[str] = []
        self.told: list[str] = []
        self.requested: list[str] = []
        self.contexts: list[BrowserContext] = []

    def context(self, **options: Any) -> BrowserContext:
        options = {"viewport": {"width": 1280, "height": 800}, "timezone_id": "Europe/Berlin", **options}
        context = self.browser.new_context(**options)
        context.set_default_timeout(20_000)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.told.append(f"error: {error.error}"))
        context.on("request", lambda request: self.requested.append(request.url))
        self.contexts.append(context)
        return context

    def _hear(self, message: ConsoleMessage) -> None:
        self.told.append(f"{message.type}: {message.text}")

    def open(self, view: str = "inbox", context: BrowserContext | None = None, **options: Any) -> Page:
        page = (context or self.context(**options)).new_page()
        page.goto(f"{self.url}/app/{view}")
        return page

    def synced(self, view: str = "inbox", **options: Any) -> Page:
        """A page that has caught up and loaded all of its parts."""
        page = self.open(view, **options)
        up_to_date(page)
        return page

    def task(self, title: str, **fields: Any) -> dict[str, Any]:
        answer = self.http.post("/api/tasks", json={"title": title, **fields})
        task: dict[str, Any] = answer.raise_for_status().json()
        return task

    def tasks(self, **query: str) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = self.http.get("/api/tasks", params=query).raise_for_status().json()
        return tasks

    def titles(self) -> list[str]:
        return sorted(task["title"] for task in self.tasks())

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        self.http.close()
        untold = [line for line in self.told if not any(re.search(known, line) for known in self.tolerated)]
        assert untold == []


def up_to_date(page: Page) -> None:
    expect(page.locator("#sidebar .status")).to_be_attached()
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(page.locator("#sidebar .status")).to_have_text("Up to date")
    expect(page.locator("html[data-ready]")).to_be_attached()


def row(page: Page, title: str) -> Any:
    return page.locator("#rows .row").filter(has=page.locator(".title", has_text=re.compile(f"^{title}$")))


def rows(page: Page) -> list[str]:
    return page.locator("#rows .row .title").all_inner_texts()


def add(page: Page, text: str) -> None:
    page.get_by_label("Add a task").fill(text)
    page.keyboard.press("Enter")


@pytest.fixture
def visit(browser: Browser, servers: Callable[[str], LocalServer]) -> Iterator[Visitor]:
    """On SQLite, with no task of before."""
    yield from _visitor(browser, servers("sqlite"))


@pytest.fixture(params=DATABASES)
def visit_each(
    request: pytest.FixtureRequest, browser: Browser, servers: Callable[[str], LocalServer]
) -> Iterator[Visitor]:
    """The same on each database, for what depends on it."""
    yield from _visitor(browser, servers(request.param))


def _visitor(browser: Browser, server: LocalServer) -> Iterator[Visitor]:
    visitor = Visitor(browser, server.url)
    visitor.http.delete("/api/users/default")
    yield visitor
    visitor.close()


def eventually(condition: Callable[[], bool], page: Page) -> None:
    """Wait as the browser does: its events need this thread."""
    for _ in range(400):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not come about in time")
