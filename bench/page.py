"""Measures the page at /app in Chromium with 100 and with 10,000 tasks. `python -m bench.page`."""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import Page, sync_playwright

from harness.node import install
from harness.servers import server_process

MANY, FEW = 10_000, 100
LIGHTHOUSE = Path(__file__).parent / "lighthouse"
# Milliseconds until the next frame after an action.
_FRAME = """(action) => new Promise((done) => {
  const began = performance.now()
  action()
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)))
})"""
_TICK = f"({_FRAME})(() => document.querySelector('#rows .row:not(.is-done) .check').click())"
_SCROLL = f"({_FRAME})(() => document.getElementById('scroller').scrollBy(0, 900))"


def fill(http: httpx2.Client, count: int) -> None:
    for begin in range(0, count, 1_000):
        operations = [
            {"op": "create", "task": {"title": f"Task {number} of many, with a title of usual length"}}
            for number in range(begin, min(begin + 1_000, count))
        ]
        http.post("/api/tasks/batch", json={"operations": operations}).raise_for_status()


def rows_after(page: Page, url: str) -> float:
    """Milliseconds from the start of the navigation to the first row on the screen."""
    page.add_init_script(
        "new MutationObserver((_, self) => { if (document.querySelector('#rows .row')) { self.disconnect();"
        " requestAnimationFrame(() => setTimeout(() => { window.rowsAfter = performance.now() })) } })"
        ".observe(document, { childList: true, subtree: true })"
    )
    page.goto(f"{url}/app/inbox")
    page.locator("#rows .row").first.wait_for()
    page.wait_for_timeout(300)
    return float(page.evaluate("window.rowsAfter"))


def shown_after(page: Page, http: httpx2.Client) -> float:
    """Milliseconds until a change of another client is on the screen; the task is at the end of the list."""
    first = page.locator("#rows .row").first
    began = time.perf_counter()
    http.patch(f"/api/tasks/{first.get_attribute('data-id')}", json={"priority": 1}).raise_for_status()
    first.locator(".priority").wait_for()
    return (time.perf_counter() - began) * 1_000


def with_many(url: str, http: httpx2.Client) -> dict[str, float]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        figures = {"first visit, first rows (ms)": rows_after(context.new_page(), url)}
        page = context.pages[0]
        page.get_by_text("Up to date").wait_for(state="attached", timeout=120_000)
        page.wait_for_timeout(3_000)  # for the copy to be written
        figures["rows from the copy (ms)"] = rows_after(context.new_page(), url)
        page = context.pages[1]
        page.get_by_text("Up to date").wait_for(state="attached", timeout=120_000)
        page.wait_for_timeout(1_500)
        figures["tick (ms, median of 9)"] = statistics.median(page.evaluate(_TICK) for _ in range(9))
        figures["scroll, longest of 40 frames (ms)"] = max(page.evaluate(_SCROLL) for _ in range(40))
        page.locator("#scroller").evaluate("element => element.scrollTo(0, 0)")
        page.wait_for_timeout(6_000)
        figures["a foreign change is shown (ms)"] = shown_after(page, http)
        browser.close()
    return figures


def lighthouse(url: str) -> dict[str, float]:
    install(LIGHTHOUSE)
    command: list[str | Path] = [
        LIGHTHOUSE / "node_modules" / ".bin" / "lighthouse", f"{url}/app/inbox", "--quiet", "--output=json",
        "--chrome-flags=--headless=new --no-sandbox",
    ]  # fmt: skip
    environment = os.environ | {"CHROME_PATH": shutil.which("chromium") or ""}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    categories: dict[str, Any] = json.loads(told)["categories"]
    return {f"Lighthouse, {name}": round(each["score"] * 100) for name, each in categories.items()}


def main() -> None:
    for count in (FEW, MANY):
        with tempfile.TemporaryDirectory() as folder, server_process(Path(folder)) as server:
            http = httpx2.Client(base_url=server.url, timeout=120)
            fill(http, count)
            figures = lighthouse(server.url)
            if count == MANY:
                figures |= with_many(server.url, http)
        print(f"{count:,} tasks")
        for name, value in figures.items():
            print(f"{name:40} {value:8.0f}", flush=True)


if __name__ == "__main__":
    main()
