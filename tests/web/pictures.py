"""Writes the pictures of the page: `python -m tests.web.pictures`. Fonts differ from machine to machine."""

import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import Browser, Page, sync_playwright

from harness.servers import server_process

DOCS = Path(__file__).parents[2] / "docs"


def fill(url: str) -> None:
    """Tasks as people have them."""
    http = httpx2.Client(base_url=url, timeout=30)

    def post(path: str, **body: Any) -> str:
        made: str = http.post(path, json=body).raise_for_status().json()["id"]
        return made

    def day(days: int, time: str = "") -> dict[str, str]:
        due = (datetime.now().astimezone() + timedelta(days)).date().isoformat()
        return {"due": f"{due}T{time}", "time_zone": "Europe/Berlin"} if time else {"due": due}

    home = post("/api/lists", name="Home", color="#2e7d32")
    work = post("/api/lists", name="Work", color="#1565c0")
    garden = post("/api/lists", name="Garden", color="#f9a825")
    for title, fields in (
        ("Renew the passport", {**day(-3), "priority": 1, "list_id": home}),
        ("Send the invoice for October", {**day(-1), "list_id": work, "labels": ["finance"]}),
        ("Stand-up", {**day(0, "09:30"), "list_id": work}),
        ("Review the change to offline sync", {
            **day(0, "11:00"), "list_id": work, "priority": 5, "labels": ["code"],
            "description": "Both texts are kept when two devices change one title.\n"
            "https://example.com/changes/118",
        }),
        ("Call mum", {**day(0, "18:00"), "labels": ["family", "phone"]}),
        ("Water the tomatoes", {**day(0), "list_id": garden}),
        ("Buy a birthday present for Ada 🎁", {**day(1), "labels": ["family"]}),
        ("Dentist", {**day(2, "09:15"), "priority": 5}),
        ("Plan the next release", {**day(3), "list_id": work}),
        ("Order seeds for spring", {**day(9), "list_id": garden}),
        ("Learn to bake sourdough", {"labels": ["someday"]}),
    ):  # fmt: skip
        last = post("/api/tasks", title=title, **fields)
        if title.startswith("Review"):
            parts = [
                post("/api/tasks", title=part, parent_id=last, list_id=work)
                for part in ("Read the tests", "Try it on the train", "Write the answer")
            ]
            http.post(f"/api/tasks/{parts[0]}/toggle")


def picture(browser: Browser, url: str, name: str, act: Callable[[Page], object], **options: Any) -> None:
    context = browser.new_context(timezone_id="Europe/Berlin", **options)
    page = context.new_page()
    page.goto(f"{url}/app/today")
    page.wait_for_selector("html[data-ready]", state="attached")
    page.get_by_text("Up to date").wait_for(state="attached")
    act(page)
    page.wait_for_timeout(500)
    page.screenshot(path=DOCS / name)
    context.close()


def open_task(page: Page) -> None:
    page.get_by_text("Review the change to offline sync").first.click()


def write(page: Page) -> None:
    page.get_by_label("Add a task").press_sequentially("Pay the rent friday 9:00 #home !2")


def main() -> None:
    desk = {"viewport": {"width": 1280, "height": 800}}
    phone = {"viewport": {"width": 390, "height": 780}, "has_touch": True}
    with (
        tempfile.TemporaryDirectory() as folder,
        server_process(Path(folder)) as server,
        sync_playwright() as playwright,
    ):
        fill(server.url)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        picture(browser, server.url, "page-light.png", open_task, **desk)
        picture(browser, server.url, "page-dark.png", write, color_scheme="dark", **desk)
        picture(browser, server.url, "page-phone.png", lambda _: None, is_mobile=True, **phone)
        browser.close()


if __name__ == "__main__":
    main()
