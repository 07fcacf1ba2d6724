"""The journeys that must hold on each database: writing, offline and back, several at once."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, Route, expect

from tests.web.conftest import NO_CONNECTION, Visitor, add, eventually, row, rows, up_to_date

pytestmark = pytest.mark.slow


class TestWriting:
    def test_add_tick_and_undo(self, visit_each: Visitor) -> None:
        page = visit_each.synced()
        expect(page.get_by_text("Your inbox is empty")).to_be_visible()
        add(page, "Buy milk")
        add(page, "Buy bread")
        up_to_date(page)
        assert rows(page) == ["Buy milk", "Buy bread"]
        row(page, "Buy milk").get_by_role("checkbox").click()
        expect(row(page, "Buy milk").get_by_role("checkbox")).to_be_checked()
        up_to_date(page)
        assert [task["title"] for task in visit_each.tasks(completed="true")] == ["Buy milk"]
        page.get_by_role("button", name=re.compile("^Undo")).click()
        expect(row(page, "Buy milk").get_by_role("checkbox")).not_to_be_checked()
        up_to_date(page)
        assert visit_each.tasks(completed="true") == []

    def test_a_done_task_stays_for_a_moment_and_goes(self, visit: Visitor) -> None:
        visit.task("Buy milk")
        page = visit.synced()
        row(page, "Buy milk").get_by_role("checkbox").click()
        expect(row(page, "Buy milk")).to_have_class(re.compile("is-done"))
        expect(row(page, "Buy milk")).to_have_count(0)
        page.get_by_role("link", name="Done").click()
        expect(row(page, "Buy milk")).to_be_visible()


def write_offline(page: Page) -> None:
    """Twenty changes: 14 creations, three completions, two new titles, a deletion."""
    for number in range(14):
        add(page, f"Task {number}")
    for number in range(3):
        row(page, f"Task {number}").get_by_role("checkbox").click()
    for number in (3, 4):
        row(page, f"Task {number}").locator(".title").click()
        page.get_by_label("Title").fill(f"Other {number}")
        page.keyboard.press("Enter")
        page.get_by_label("Close the details").click()
    row(page, "Task 5").focus()
    page.keyboard.press("Delete")


COUNT_FRAMES = """new Promise((done) => {
  const request = window.requestAnimationFrame
  let frames = 0
  window.requestAnimationFrame = (work) => (frames++, request.call(window, work))
  setTimeout(() => done(frames), 700)
})"""


def hold(page: Page, url: str) -> list[Route]:
    """The requests of an address, which wait from now on."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(url, keep)
    return held


def release(page: Page, held: list[Route]) -> None:
    eventually(lambda: bool(held), page)
    for route in held:
        route.continue_()


class TestRows:
    def test_those_of_a_short_list_are_soon_all_there(self, visit: Visitor) -> None:
        for number in range(120):
            visit.task(f"Task {number}")
        page = visit.synced()
        expect(page.locator("#rows .row")).to_have_count(120)
        page.get_by_role("link", name="Today").click()
        page.get_by_role("link", name="Inbox").click()
        expect(page.locator("#rows .row")).to_have_count(120)

    def test_the_first_are_asked_for_before_the_user_is_known(self, visit: Visitor) -> None:
        visit.task("Buy milk")
        page = visit.context().new_page()
        held = hold(page, "**/api/users/me")
        with page.expect_response(re.compile("/api/tasks")):
            page.goto(f"{visit.url}/app/inbox")
        expect(page.locator("#rows .row")).to_have_count(0)
        release(page, held)
        up_to_date(page)
        assert rows(page) == ["Buy milk"]
        assert len([url for url in visit.requested if "/api/tasks" in url]) == 1

    @pytest.mark.parametrize("place", ["", "upcoming", "list/LIST", "label/at%20home"])
    def test_the_first_are_those_of_the_view(self, visit: Visitor, place: str) -> None:
        at_home = visit.http.post("/api/lists", json={"name": "At home"}).json()["id"]
        today = datetime.now(ZoneInfo("Europe/Berlin")).date()
        fields = {
            "": {"due": f"{today}"},
            "upcoming": {"due": f"{today + timedelta(days=2)}"},
            "list/LIST": {"list_id": at_home},
            "label/at%20home": {"labels": ["at home"]},
        }
        visit.task("Buy milk", **fields[place])
        for number in range(31):
            visit.task(f"Task {number}")
        page = visit.context().new_page()
        hold(page, "**/api/changes?*")
        page.goto(f"{visit.url}/app/{place}".replace("LIST", at_home))
        expect(row(page, "Buy milk")).to_be_visible()
        assert rows(page) == ["Buy milk"]

    def test_a_view_is_not_called_empty_before_all_is_known(self, visit: Visitor) -> None:
        for number in range(31):
            visit.task(f"Task {number}")
        page = visit.context().new_page()
        held = hold(page, "**/api/changes?*")
        page.goto(f"{visit.url}/app/inbox")
        expect(row(page, "Task 0")).to_be_visible()
        page.get_by_role("link", name="Today").click()
        expect(page.get_by_text("Loading…")).to_be_visible()
        release(page, held)
        up_to_date(page)
        expect(page.get_by_text("Nothing is due today")).to_be_visible()

    @pytest.mark.parametrize("place", ["inbox", "trash", "unsaved", "done"])
    def test_nothing_is_drawn_while_nothing_happens(self, visit: Visitor, place: str) -> None:
        for number in range(30):
            visit.task(f"Task {number}")
        page = visit.synced()
        expect(page.locator("#rows .row")).to_have_count(30)
        page.evaluate(f"document.querySelector('#sidebar a[href$=\"/{place}\"]')?.click()")
        page.wait_for_timeout(500)
        assert page.evaluate(COUNT_FRAMES) < 4


class TestOffline:
    def test_twenty_changes_arrive_once_and_in_order(self, visit_each: Visitor) -> None:
        visit_each.tolerated = [NO_CONNECTION]
        page = visit_each.synced()
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        page.context.set_offline(True)
        write_offline(page)
        expect(page.locator("#sidebar .status")).to_have_text("Offline · 20 waiting")
        page.reload()
        expect(page.locator("#sidebar .status")).to_contain_text("20 waiting")
        expect(row(page, "Other 3")).to_be_visible()
        assert visit_each.tasks() == []
        page.context.set_offline(False)
        up_to_date(page)
        kept = [f"Task {number}" for number in (0, 1, 2, *range(6, 14))]
        assert visit_each.titles() == sorted(["Other 3", "Other 4", *kept])
        assert len(visit_each.tasks(completed="true")) == 3
        history = visit_each.http.get("/api/history", params={"limit": "100"}).json()
        assert len(history) == 20
        created = [record["changes"]["title"][1] for record in history[::-1] if record["op"] == "created"]
        assert created == [f"Task {number}" for number in range(14)]

    def test_what_is_written_right_before_a_reload_is_kept(self, visit: Visitor) -> None:
        visit.tolerated = [NO_CONNECTION]
        page = visit.synced()
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        page.context.set_offline(True)
        for number in range(20):
            page.get_by_label("Add a task").fill(f"Task {number}")
            with page.expect_navigation():
                page.evaluate(
                    "() => { document.querySelector('#add').form.requestSubmit(); location.reload() }"
                )
            expect(page.locator("#sidebar .status")).to_contain_text(f"{number + 1} waiting")

    def test_what_others_do_meanwhile_is_not_lost(self, visit_each: Visitor) -> None:
        visit_each.tolerated = [NO_CONNECTION, "412"]
        task = visit_each.task("Buy milk")
        page = visit_each.synced()
        page.context.set_offline(True)
        row(page, "Buy milk").locator(".title").click()
        page.get_by_label("Title").fill("Buy oat milk")
        page.keyboard.press("Enter")
        page.get_by_label("Close the details").click()
        expect(row(page, "Buy oat milk")).to_be_visible()
        visit_each.http.patch(f"/api/tasks/{task['id']}", json={"title": "Buy two litres", "priority": 1})
        page.context.set_offline(False)
        page.get_by_role("link", name="Could not be saved").click()
        card = page.locator(".card")
        expect(card).to_contain_text("Buy oat milk")
        expect(card).to_contain_text("Buy two litres")
        page.get_by_role("button", name="Keep mine").click()
        expect(page.get_by_text("Everything is saved")).to_be_visible()
        up_to_date(page)
        (now,) = visit_each.tasks()
        assert (now["title"], now["priority"]) == ("Buy oat milk", 1)


class TestSeveral:
    def test_two_pages_and_a_script_change_one_task(self, visit_each: Visitor) -> None:
        visit_each.tolerated = ["412"]  # a title's guard, whose version the script has made stale
        task = visit_each.task("Buy milk")
        first, second = visit_each.synced(), visit_each.synced()
        row(first, "Buy milk").locator(".title").click()
        row(second, "Buy milk").locator(".title").click()
        first.get_by_label("Title").fill("Buy oat milk")
        second.get_by_label("Priority").select_option("High")
        visit_each.http.patch(f"/api/tasks/{task['id']}", json={"labels_add": ["shop"]})
        first.keyboard.press("Enter")
        for page in (first, second):
            expect(row(page, "Buy oat milk")).to_be_visible()
            expect(row(page, "Buy oat milk")).to_contain_text("High")
            expect(row(page, "Buy oat milk").locator(".chip")).to_have_text("shop")
            up_to_date(page)
        (now,) = visit_each.tasks()
        assert (now["title"], now["priority"], now["labels"]) == ("Buy oat milk", 1, ["shop"])

    def test_what_others_do_is_seen_at_once(self, visit_each: Visitor) -> None:
        page = visit_each.synced()
        task = visit_each.task("From elsewhere")
        expect(row(page, "From elsewhere")).to_be_visible()
        visit_each.http.delete(f"/api/tasks/{task['id']}")
        expect(row(page, "From elsewhere")).to_have_count(0)

    def test_a_browser_has_one_stream(self, visit: Visitor) -> None:
        context = visit.context()
        visit.tolerated = [NO_CONNECTION]
        ended: list[str] = []
        context.on("requestfailed", lambda request: ended.append(request.url))
        first = visit.synced(context=context)
        second = visit.synced(context=context)
        eventually(lambda: any(url.endswith("/api/events") for url in ended), second)
        visit.task("Buy milk")
        expect(row(second, "Buy milk")).to_be_visible()
        expect(row(first, "Buy milk")).to_be_visible()
        add(first, "Buy bread")
        expect(row(second, "Buy bread")).to_be_visible()
        second.goto("about:blank")
        visit.task("Buy eggs")
        expect(row(first, "Buy eggs")).to_be_visible()
