"""What people do on the page, and what happens to it meanwhile."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect

from harness.servers import ServerProcess, server_process
from tests.cli.commands import done
from tests.web.conftest import NO_CONNECTION, Visitor, add, eventually, row, rows, up_to_date

BERLIN = ZoneInfo("Europe/Berlin")
HOSTILE = '<img src=x onerror=alert(1)> "quoted" & <b>bold</b> {{7*7}} ${1} \'; DROP'


def day(days: int = 0) -> str:
    return (datetime.now(BERLIN) + timedelta(days)).date().isoformat()


def new_list(visit: Visitor, name: str) -> str:
    made: str = visit.http.post("/api/lists", json={"name": name}).raise_for_status().json()["id"]
    return made


class TestQuickAdd:
    def test_its_words_become_fields(self, visit: Visitor) -> None:
        home = new_list(visit, "Home")
        page = visit.synced()
        page.get_by_label("Add a task").fill("Call mum tomorrow 18:00 #home @phone !1")
        assert page.locator("mark").all_inner_texts() == ["tomorrow", "18:00", "#home", "@phone", "!1"]
        expect(page.locator("#understood .chip")).to_have_text(
            ["Tomorrow 18:00", "#Home", "@phone", "High priority"]
        )
        page.keyboard.press("Enter")
        up_to_date(page)
        (task,) = visit.tasks()
        assert (task["title"], task["list_id"], task["labels"]) == ("Call mum", home, ["phone"])
        assert (task["due"], task["time_zone"], task["priority"]) == (
            f"{day(1)}T18:00:00",
            "Europe/Berlin",
            1,
        )

    def test_backspace_puts_a_word_back_to_text(self, visit: Visitor) -> None:
        page = visit.synced()
        page.get_by_label("Add a task").fill("Read the news of tomorrow friday")
        expect(page.locator("mark")).to_have_text("friday")
        page.keyboard.press("Backspace")
        expect(page.locator("mark")).to_have_count(0)
        page.keyboard.press("Enter")
        up_to_date(page)
        (task,) = visit.tasks()
        assert (task["title"], task["due"]) == ("Read the news of tomorrow friday", None)

    def test_a_view_gives_what_it_shows(self, visit: Visitor) -> None:
        page = visit.synced("label/phone")
        add(page, "Call Ada")
        page.get_by_role("link", name="Today").click()
        add(page, "Call Grace")
        up_to_date(page)
        ada, grace = sorted(visit.tasks(), key=lambda task: task["title"])
        assert (ada["labels"], ada["due"], grace["due"]) == (["phone"], None, day())


class TestViews:
    def test_each_task_is_where_it_belongs(self, visit: Visitor) -> None:
        home = new_list(visit, "Home")
        visit.task("Late", due=day(-2))
        visit.task("Now", due=day(), list_id=home)
        visit.task("Soon", due=day(1), labels=["x"])
        visit.task("Some time")
        page = visit.synced("today")
        assert rows(page) == ["Late", "Now"]
        expect(row(page, "Late").locator(".due")).to_have_class(re.compile("is-late"))
        for place, expected in {
            "Upcoming": ["Soon"],
            "Inbox": ["Late", "Soon", "Some time"],
            "Home": ["Now"],
            "x": ["Soon"],
        }.items():
            page.locator("#sidebar").get_by_text(place, exact=True).click()
            expect(page.locator("h1")).to_contain_text(place)
            expect(page.locator("#rows .title")).to_have_text(expected)

    def test_a_time_that_has_come_is_overdue(self, visit: Visitor) -> None:
        visit.task("Midnight", due=f"{day()}T00:00:00", time_zone="Europe/Berlin")
        visit.task("Any time", due=day())
        page = visit.synced("today")
        assert rows(page) == ["Midnight", "Any time"]
        expect(page.locator("#rows .head h2")).to_have_text(["Overdue", re.compile("^Today")])
        expect(row(page, "Midnight").locator(".due")).to_have_class(re.compile("is-late"))
        expect(row(page, "Any time").locator(".due")).to_have_class(re.compile("is-today"))
        row(page, "Midnight").get_by_role("checkbox").click()
        expect(row(page, "Midnight").locator(".due")).not_to_have_class(re.compile("is-late"))
        assert rows(page) == ["Midnight", "Any time"]

    def test_addresses_back_and_reload(self, visit: Visitor) -> None:
        task = visit.task("Buy milk")
        page = visit.synced("inbox")
        row(page, "Buy milk").locator(".title").click()
        assert page.url.endswith(f"/app/task/{task['id']}")
        page.reload()
        expect(page.get_by_label("Title")).to_have_value("Buy milk")
        page.get_by_role("link", name="Done").click()
        expect(page.locator("h1")).to_have_text("Done")
        page.go_back()
        expect(page.get_by_label("Title")).to_have_value("Buy milk")
        page.go_back()
        expect(page.locator("h1")).to_have_text("Inbox")

    def test_search_finds_titles_notes_and_labels(self, visit: Visitor) -> None:
        visit.task("Buy milk", description="two litres")
        visit.task("Call mum", labels=["family"])
        page = visit.synced()
        page.keyboard.press("/")
        for words, found in {"LITRE": ["Buy milk"], "fam mum": ["Call mum"], "nothing": []}.items():
            page.get_by_role("searchbox").fill(words)
            expect(page.locator("#rows .title")).to_have_text(found)
        assert page.url.endswith("/app/search?q=nothing")
        expect(page.get_by_text("Nothing found")).to_be_visible()

    def test_the_trash_gives_back(self, visit: Visitor) -> None:
        task = visit.task("Buy milk")
        visit.http.delete(f"/api/tasks/{task['id']}")
        page = visit.synced("trash")
        page.get_by_role("button", name="Restore Buy milk").click()
        expect(page.get_by_text("The trash is empty")).to_be_visible()
        up_to_date(page)
        assert visit.titles() == ["Buy milk"]

    def test_the_trash_is_walked_by_keys(self, visit: Visitor) -> None:
        for title in ("Buy milk", "Call mum"):
            visit.http.delete(f"/api/tasks/{visit.task(title)['id']}")
        page = visit.synced("trash")
        milk = page.get_by_role("button", name="Restore Buy milk")
        mum = page.get_by_role("button", name="Restore Call mum")
        expect(milk).to_be_visible()
        press(page, "j")
        expect(mum).to_be_focused()  # the one that was deleted last
        press(page, "j", "j")
        expect(milk).to_be_focused()
        press(page, "k", "Enter")
        expect(mum).to_have_count(0)
        up_to_date(page)
        assert visit.titles() == ["Call mum"]

    def test_lists_are_made_renamed_colored_and_deleted(self, visit: Visitor) -> None:
        page = visit.synced()
        page.get_by_label("New list").click()
        choose(page, "Garden")
        add(page, "Water the roses")
        for choices in (["Rename", "Balcony"], ["Color", "Teal"]):
            page.get_by_label("Change the list").click()
            for choice in choices:
                choose(page, choice)
        up_to_date(page)
        (made,) = visit.http.get("/api/lists").json()
        assert (made["name"], made["color"]) == ("Balcony", "#00796b")
        page.get_by_label("Change the list").click()
        choose(page, "Delete")
        up_to_date(page)
        assert (visit.tasks(), visit.http.get("/api/lists").json()) == ([], [])
        page.keyboard.press("z")
        up_to_date(page)
        assert visit.titles() == ["Water the roses"]

    def test_many_tasks_are_few_rows(self, visit: Visitor) -> None:
        for begin in (0, 500):
            operations = [
                {"op": "create", "task": {"title": f"Task {begin + number:04}"}} for number in range(500)
            ]
            visit.http.post("/api/tasks/batch", json={"operations": operations}).raise_for_status()
        page = visit.synced()
        expect(page.locator("#sidebar").get_by_text("1000", exact=False)).to_be_visible()
        assert page.locator("#rows .row").count() < 60
        page.keyboard.press("End")
        expect(row(page, "Task 0999")).to_be_focused()
        expect(row(page, "Task 0999")).to_have_attribute("aria-posinset", "1000")
        page.locator("#scroller").evaluate("element => element.scrollTo(0, 20_000)")
        expect(row(page, "Task 0460")).to_be_visible()
        page.keyboard.press("k")
        expect(row(page, "Task 0998")).to_be_focused()


def choose(page: Page, text: str) -> None:
    page.locator("dialog input").fill(text)
    page.keyboard.press("Enter")


class TestDetails:
    def test_everything_of_a_task_can_be_changed(self, visit: Visitor) -> None:
        home = new_list(visit, "Home")
        visit.task("Plan the trip")
        page = visit.synced()
        row(page, "Plan the trip").locator(".title").click()
        page.get_by_label("Notes").fill("See https://example.com/trip.")
        page.get_by_label("Due", exact=True).fill("2031-05-06")
        page.get_by_label("Time").fill("09:30")
        page.get_by_label("Start").fill("2031-05-01")
        page.get_by_label("Priority").select_option("Medium")
        page.get_by_role("button", name="Add a label").click()
        choose(page, "travel")
        page.get_by_label("Add a subtask").fill("Book the train")
        page.keyboard.press("Enter")
        page.get_by_label("List", exact=True).select_option("Home")
        up_to_date(page)
        trip, train = sorted(visit.tasks(), key=lambda task: task["title"], reverse=True)
        assert (trip["due"], trip["time_zone"], trip["start"]) == (
            "2031-05-06T09:30:00", "Europe/Berlin", "2031-05-01",
        )  # fmt: skip
        assert (trip["priority"], trip["labels"], trip["list_id"]) == (5, ["travel"], home)
        assert (train["parent_id"], train["list_id"]) == (trip["id"], home)
        link = page.get_by_role("link", name="https://example.com/trip")
        assert link.get_attribute("href") == "https://example.com/trip"
        assert "noopener" in str(link.get_attribute("rel"))

    def test_a_recurrence_is_set_in_words_and_its_completion_undone(self, visit: Visitor) -> None:
        visit.task("Bins")
        page = visit.synced()
        press(page, "j", "Enter")
        repeats = page.get_by_label("Repeats")
        repeats.focus()
        page.keyboard.type("every monday")
        page.keyboard.press("Enter")
        expect(repeats).to_have_value("every Monday")
        up_to_date(page)
        (task,) = visit.tasks()
        monday = date.fromisoformat(task["due"])
        assert (task["recurrence"], monday.weekday()) == ("FREQ=WEEKLY;BYDAY=MO", 0)
        due = page.get_by_label("Due", exact=True)
        press(page, "Escape", "Space", "Enter")
        expect(due).to_have_value((monday + timedelta(7)).isoformat())
        press(page, "Escape", "z", "Enter")
        expect(due).to_have_value(monday.isoformat())
        repeats.fill("")
        page.keyboard.press("Enter")
        up_to_date(page)
        (task,) = visit.tasks()
        assert (task["recurrence"], task["due"]) == (None, monday.isoformat())

    def test_a_date_that_is_taken_off_comes_back_with_its_recurrence(self, visit: Visitor) -> None:
        weekly = {"due": f"{day(1)}T09:00:00", "time_zone": "Europe/Berlin", "recurrence": "FREQ=WEEKLY"}
        task = visit.task("Bins", **weekly, recurrence_mode="each", reminders=[{"trigger": "-PT15M"}])
        page = visit.synced("upcoming")
        row(page, "Bins").locator(".title").click()
        page.get_by_label("Due", exact=True).fill("")
        expect(page.get_by_text("No date or recurrence: “Bins”")).to_be_visible()
        up_to_date(page)
        assert visit.tasks()[0]["due"] is None
        press(page, "Escape", "z")
        up_to_date(page)
        after = visit.tasks()[0]
        changed = {name for name, value in after.items() if value != task[name]}
        assert changed <= {"version", "updated_at"}

    def test_a_repetition_is_undone_with_its_subtasks(self, visit: Visitor) -> None:
        task = visit.task(
            "Bins", due=datetime.now(UTC).date().isoformat(), recurrence="FREQ=DAILY;INTERVAL=3"
        )
        part = visit.task("Empty them", parent_id=task["id"], completed=True)
        page = visit.synced()
        row(page, "Bins").get_by_role("checkbox").click()
        up_to_date(page)
        after = {one["title"]: one for one in visit.tasks()}
        assert (after["Bins"]["completed"], after["Empty them"]["completed"]) == (False, False)
        page.keyboard.press("z")
        up_to_date(page)
        after = {one["title"]: one for one in visit.tasks()}
        assert (after["Bins"]["due"], after["Empty them"]["completed"]) == (task["due"], part["completed"])

    def test_reminders_are_chosen_and_shown_when_their_time_has_come(self, visit: Visitor) -> None:
        task = visit.task("Call mum", due=f"{day(1)}T09:00", time_zone="Europe/Berlin")
        page = visit.synced("upcoming")
        row(page, "Call mum").locator(".title").click()
        adds = page.get_by_label("Add a reminder")
        adds.select_option("15 minutes before")
        expect(page.locator(".details .chip")).to_have_text("15 minutes before")
        adds.select_option("At a time…")
        now = datetime.now(BERLIN)
        page.get_by_label("Remind at").fill((now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M"))
        up_to_date(page)
        at = (now + timedelta(hours=1)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:00")
        triggers = [reminder["trigger"] for reminder in visit.tasks()[0]["reminders"]]
        assert triggers == ["-PT15M", f"{at}Z"]
        page.get_by_role("button", name="Remove 15 minutes before").click()
        up_to_date(page)
        assert [reminder["trigger"] for reminder in visit.tasks()[0]["reminders"]] == [f"{at}Z"]
        soon = (datetime.now(UTC) + timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
        changed = visit.http.patch(f"/api/tasks/{task['id']}", json={"reminders": [{"trigger": soon}]})
        changed.raise_for_status()
        expect(page.locator(".toast").first).to_contain_text("Reminder: “Call mum”", timeout=15_000)

    def test_the_history_says_what_was_changed(self, visit: Visitor) -> None:
        task = visit.task("Buy milk", priority=5)
        visit.http.patch(f"/api/tasks/{task['id']}", json={"title": "Buy oat milk", "priority": None})
        page = visit.synced(f"task/{task['id']}")
        page.get_by_role("button", name="History").click()
        expect(page.locator(".history li").first).to_contain_text(
            "updated · title: Buy milk → Buy oat milk, priority: 5 → none"
        )
        expect(page.get_by_role("heading", name="History")).to_be_focused()

    def test_the_history_takes_back(self, visit: Visitor) -> None:
        task = visit.task("Buy milk")
        visit.http.patch(f"/api/tasks/{task['id']}", json={"title": "Buy oat milk"})
        page = visit.synced()
        row(page, "Buy oat milk").locator(".title").click()
        page.get_by_role("button", name="History").click()
        page.get_by_role("button", name=re.compile("Undo: updated")).click()
        expect(page.get_by_label("Title")).to_have_value("Buy milk")
        expect(page.locator(".history li").first).to_contain_text("undone")

    def test_it_can_be_dragged_and_moved_by_keys(self, visit: Visitor) -> None:
        for title in "ABCD":
            visit.task(title)
        home = new_list(visit, "Home")
        page = visit.synced()
        drag(page, "D", row(page, "B"))
        expect(page.locator("#rows .title")).to_have_text(["A", "D", "B", "C"])
        row(page, "A").focus()
        page.keyboard.press("Alt+ArrowDown")
        expect(page.locator("#rows .title")).to_have_text(["D", "A", "B", "C"])
        expect(row(page, "A")).to_be_focused()
        page.keyboard.press("]")
        up_to_date(page)
        assert rows(page) == ["D", "A", "B", "C"]
        by_title = {task["title"]: task for task in visit.tasks()}
        assert by_title["A"]["parent_id"] == by_title["D"]["id"]
        page.keyboard.press("[")
        page.keyboard.press("z")
        page.keyboard.press("z")
        up_to_date(page)
        drag(page, "C", page.locator(f'[data-drop="{home}"]'))
        expect(row(page, "C")).to_have_count(0)
        up_to_date(page)
        placed = sorted(visit.tasks(list="inbox"), key=lambda task: task["position"])
        assert [(task["title"], task["parent_id"]) for task in placed] == [
            ("D", None),
            ("A", None),
            ("B", None),
        ]
        assert [task["title"] for task in visit.tasks(list=home)] == ["C"]

    def test_several_at_once_are_one_step(self, visit: Visitor) -> None:
        for title in "ABC":
            visit.task(title)
        page = visit.synced()
        for _ in range(2):
            page.keyboard.press("j")
            page.keyboard.press("x")
        expect(page.get_by_text("2 selected")).to_be_visible()
        visit.requested.clear()
        page.get_by_role("toolbar").get_by_role("button", name="Due").click()
        choose(page, "tomorrow")
        page.keyboard.press("l")
        choose(page, "trip")
        up_to_date(page)
        writes = [url for url in visit.requested if "/api/tasks" in url]
        assert writes == [f"{visit.url}/api/tasks/batch"] * 2
        assert [(task["due"], task["labels"]) for task in visit.tasks(sort="title")] == [
            (day(1), ["trip"]), (day(1), ["trip"]), (None, []),
        ]  # fmt: skip
        page.keyboard.press("z")
        page.keyboard.press("z")
        up_to_date(page)
        assert {(task["due"], *task["labels"]) for task in visit.tasks()} == {(None,)}

    def test_a_choice_right_after_another_stays_open(self, visit: Visitor) -> None:
        visit.task("Fast")
        page = visit.synced()
        page.keyboard.press("j")
        for first, key, title in (("t", "l", "Label"), ("?", "?", "Keys"), ("?", "t", "Due")):
            page.keyboard.press(first)
            expect(page.locator("dialog")).to_be_visible()
            # Both within one frame: the browser tells of a closed dialog only with the next one.
            page.evaluate(CLOSED_AND_PRESSED, key)
            assert page.evaluate(OPEN_AFTER_TWO_FRAMES) == [title]
            page.keyboard.press("Escape")
            expect(page.locator("dialog")).to_have_count(0)


OPEN_AFTER_TWO_FRAMES = """async () => {
  for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame)
  return [...document.querySelectorAll('dialog[open]')].map((dialog) => dialog.ariaLabel)
}"""
CLOSED_AND_PRESSED = """async (key) => {
  await new Promise(requestAnimationFrame)
  document.querySelector('dialog').click()
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }))
}"""


def drag(page: Page, title: str, target: Any) -> None:
    row(page, title).hover()
    row(page, title).locator(".handle").hover()
    page.mouse.down()
    box = target.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 12, steps=4)
    page.mouse.move(box["x"] + 60, box["y"] + 6)
    page.mouse.up()


# Hold the queue's store for half a second, and let the page be drawn meanwhile.
SLOW_QUEUE = """async () => {
    const [{ name }] = await indexedDB.databases()
    const opening = indexedDB.open(name)
    await new Promise(done => (opening.onsuccess = done))
    const db = opening.result
    const queue = db.transaction('queue', 'readwrite').objectStore('queue')
    const until = Date.now() + 500
    const hold = () => {
        dispatchEvent(new Event('resize'))
        if (Date.now() < until) queue.count().onsuccess = hold
        else db.close()
    }
    hold()
}"""


class TestWays:
    def test_by_the_keyboard_alone(self, visit: Visitor) -> None:  # noqa: PLR0915 (one journey)
        home = new_list(visit, "Home")
        page = visit.synced()
        press(page, "q")
        page.keyboard.type("Buy milk")
        press(page, "Enter")
        page.keyboard.type("Buy bread")
        press(page, "Enter", "Escape")
        expect(row(page, "Buy milk")).to_be_focused()
        press(page, "1", "t")
        choose(page, "tomorrow")
        press(page, "j", "m")
        choose(page, "home")
        expect(row(page, "Buy bread")).to_have_count(0)
        expect(row(page, "Buy milk")).to_be_focused()
        press(page, "Enter")
        expect(page.get_by_label("Title")).to_have_value("Buy milk")
        press(page, "Escape", "Space")
        expect(row(page, "Buy milk").get_by_role("checkbox")).to_be_checked()
        press(page, "z", "a")
        expect(page.get_by_label("Add a subtask")).to_be_focused()
        page.keyboard.type("Two litres")
        press(page, "Enter", "Escape", "g", "l")
        choose(page, "home")
        expect(page.locator("h1")).to_have_text("Home")
        press(page, "j", "Delete")
        expect(page.get_by_text("This list is empty")).to_be_visible()
        press(page, "z", "?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        press(page, "Escape", "Control+k")
        choose(page, "inbox")
        up_to_date(page)
        tasks = {task["title"]: task for task in visit.tasks()}
        assert set(tasks) == {"Buy milk", "Buy bread", "Two litres"}
        milk = tasks["Buy milk"]
        assert (milk["priority"], milk["due"], milk["completed"]) == (1, day(1), False)
        assert tasks["Buy bread"]["list_id"] == home
        assert tasks["Two litres"]["parent_id"] == milk["id"]

    def test_the_next_key_is_for_what_the_last_one_opened(self, visit: Visitor) -> None:
        visit.task("Buy milk")
        page = visit.synced()
        page.keyboard.press("j")
        # Each is pressed before the browser draws a frame: what it opens has the focus at once.
        focused_after = """key => {
            const event = new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })
            document.activeElement.dispatchEvent(event)
            const focused = document.activeElement
            return focused.closest('dialog[open]')?.ariaLabel ?? focused.id
        }"""
        assert page.evaluate(focused_after, "a") == "add-part"
        page.keyboard.press("Escape")
        assert page.evaluate(focused_after, "t") == "Due"
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert page.evaluate(focused_after, "/") == "search"

    def test_an_undo_gives_the_focus_back_however_slow_the_disk_is(self, visit: Visitor) -> None:
        visit.tolerated = [NO_CONNECTION]
        visit.task("Buy milk")
        visit.task("Call mum")
        page = visit.synced()
        page.context.set_offline(True)
        press(page, "j", "j", "e")
        expect(page.locator(".row.is-done")).to_be_focused()
        page.evaluate(SLOW_QUEUE)
        page.keyboard.press("z")
        expect(page.locator("#rows .title")).to_have_text(["Buy milk", "Call mum"])
        expect(row(page, "Call mum")).not_to_have_class(re.compile("is-done"))
        expect(row(page, "Call mum")).to_be_focused()

    def test_what_is_not_shown_is_not_selected(self, visit: Visitor) -> None:
        for title in ("Buy milk", "Call mum", "Read"):
            visit.task(title)
        page = visit.synced()
        press(page, "j", "x", "j", "x", "e")
        expect(page.get_by_text("2 selected")).to_be_visible()
        expect(page.locator("#rows .title")).to_have_text(["Read"])  # the others were shown for a moment
        expect(page.get_by_role("toolbar", name="Selected tasks")).to_have_count(0)
        page.keyboard.press("Delete")
        expect(page.locator("#rows .title")).to_have_count(0)
        up_to_date(page)
        assert len(visit.tasks(completed="true")) == 2

    @pytest.mark.parametrize("place", ["done", "trash", "search", "unsaved"])
    def test_a_task_can_be_added_from_anywhere(self, visit: Visitor, place: str) -> None:
        page = visit.synced(place)
        page.keyboard.type("qCall the dentist")
        page.keyboard.press("Enter")
        up_to_date(page)
        assert visit.titles() == ["Call the dentist"]

    def test_a_task_that_is_gone_to_is_what_the_keys_mean(self, visit: Visitor) -> None:
        home = new_list(visit, "Home")
        visit.task("Buy milk")
        visit.task("Visit gran")
        visit.task("Toast", list_id=home)
        page = visit.synced()
        for title in ("Visit gran", "Toast"):
            press(page, "j", "Control+k")
            page.keyboard.type(title)
            page.keyboard.press("Enter")
            expect(row(page, title)).to_be_focused()
            page.keyboard.press("1")
            expect(row(page, title).locator(".priority")).to_have_text("High")
        expect(page.locator("h1")).to_have_text("Home")

    def test_the_search_field_is_left_by_keys(self, visit: Visitor) -> None:
        visit.task("Buy milk")
        page = visit.synced()
        for leave in ("ArrowDown", "Enter"):
            page.keyboard.type("/milk")
            page.keyboard.press(leave)
            expect(row(page, "Buy milk")).to_be_focused()
            page.keyboard.press("/")
            press(page, "Escape")
            expect(page.get_by_role("searchbox")).to_have_value("")
            press(page, "Escape", "g", "i")
            expect(page.locator("h1")).to_have_text("Inbox")

    def test_letters_can_be_switched_off(self, visit: Visitor) -> None:
        visit.task("Buy milk")
        page = visit.synced()
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Single letters are commands").uncheck()
        page.get_by_role("button", name="Close").click()
        press(page, "ArrowDown", "e", "q")
        expect(row(page, "Buy milk")).to_be_focused()
        expect(row(page, "Buy milk").get_by_role("checkbox")).not_to_be_checked()

    def test_by_the_thumb_alone(self, visit: Visitor) -> None:
        for title in ("Swiped to the right", "Swiped to the left", "Tapped"):
            visit.task(title)
        page = visit.synced(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        swipe(page, "Swiped to the right", 150)
        expect(row(page, "Swiped to the right").get_by_role("checkbox")).to_be_checked()
        swipe(page, "Swiped to the left", -150)
        expect(row(page, "Swiped to the left").locator(".due")).to_have_text("Tomorrow")
        row(page, "Tapped").locator(".title").tap()
        page.get_by_label("Priority").select_option("High")
        page.get_by_label("Close the details").tap()
        page.get_by_label("Menu", exact=True).tap()
        page.get_by_role("link", name="Upcoming").tap()
        expect(page.locator("#rows .title")).to_have_text(["Swiped to the left"])
        page.get_by_label("Add a task").tap()
        page.keyboard.type("Typed on glass")
        page.get_by_role("button", name="Add", exact=True).tap()
        up_to_date(page)
        done = {task["title"]: (task["completed"], task["due"], task["priority"]) for task in visit.tasks()}
        assert done == {
            "Swiped to the right": (True, None, None),
            "Swiped to the left": (False, day(1), None),
            "Tapped": (False, None, 1),
            "Typed on glass": (False, None, None),
        }

    def test_dark_is_kept(self, visit: Visitor) -> None:
        page = visit.synced()
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Dark").check()
        background = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(background) == "rgb(22, 23, 25)"
        page.reload()
        up_to_date(page)
        assert page.evaluate(background) == "rgb(22, 23, 25)"


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def swipe(page: Page, title: str, distance: int) -> None:
    box = row(page, title).locator(".title").bounding_box()
    x, y = 180, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 6):
        point = {"x": x + distance * step / 5, "y": y}
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    page.wait_for_timeout(100)  # a finger that stands still flings nothing
    session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


class TestTime:
    @pytest.mark.parametrize("days", [-1, 1])
    def test_a_clock_that_is_wrong_by_a_day_changes_no_day(self, visit: Visitor, days: int) -> None:
        visit.task("Due today", due=day())
        context = visit.context()
        context.clock.set_fixed_time(datetime.now(UTC) + timedelta(days))
        page = visit.synced("today", context=context)
        expect(row(page, "Due today").locator(".due")).to_have_text("Today")
        add(page, "Also today")
        up_to_date(page)
        assert [task["due"] for task in visit.tasks()] == [day(), day()]

    def test_another_zone_changes_no_task_but_the_day(self, visit: Visitor) -> None:
        """On an island where it is tomorrow already, or still yesterday."""
        zone = "Pacific/Kiritimati" if datetime.now(UTC).hour >= 10 else "Pacific/Pago_Pago"
        there = datetime.now(ZoneInfo(zone)).date().isoformat()
        visit.task("A day", due=there)
        visit.task("A call", due=f"{day()}T12:00", time_zone="Europe/Berlin")
        page = visit.context(timezone_id=None).new_page()
        session = page.context.new_cdp_session(page)
        session.send("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
        page.goto(f"{visit.url}/app/inbox")
        expect(row(page, "A call").locator(".due")).to_have_text(re.compile("^(overdue: )?12:00$"))
        session.send("Emulation.setTimezoneOverride", {"timezoneId": zone})
        here = datetime.fromisoformat(f"{day()}T12:00").replace(tzinfo=BERLIN).astimezone(ZoneInfo(zone))
        expect(row(page, "A day").locator(".due")).to_have_text("Today")
        expect(row(page, "A call").locator(".due")).to_contain_text(here.strftime("%H:%M"))
        assert {task["title"]: task["due"] for task in visit.tasks()} == {
            "A day": there, "A call": f"{day()}T12:00:00",
        }  # fmt: skip


class TestTrouble:
    def test_what_is_refused_is_shown_and_can_be_mended(self, visit: Visitor) -> None:
        visit.tolerated = ["400"]
        page = visit.synced()
        add(page, "u" * 250)
        page.get_by_role("link", name="Could not be saved").click()
        expect(page.locator(".card")).to_contain_text("must have 1 to 200 characters")
        page.reload()
        page.locator(".card textarea").fill("Shorter")
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_text("Everything is saved")).to_be_visible()
        up_to_date(page)
        assert visit.titles() == ["Shorter"]

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_server_is_asked_again(self, visit: Visitor, status: int) -> None:
        visit.tolerated = [str(status)]
        page = visit.synced()
        refused: list[str] = []

        def refuse(route: Any) -> None:
            refused.append(route.request.headers["idempotency-key"])
            if len(refused) > 2:
                route.continue_()
            else:
                route.fulfill(status=status, headers={"Retry-After": "1"}, json={"type": "overloaded"})

        page.route(re.compile("/api/tasks/"), refuse)
        add(page, "Buy milk")
        expect(page.locator("#sidebar .status")).to_contain_text("1 waiting")
        up_to_date(page)
        assert visit.titles() == ["Buy milk"]
        assert len(refused) == 3
        assert len(set(refused)) == 1

    def test_an_answer_that_is_lost_changes_nothing_twice(self, visit: Visitor) -> None:
        visit.tolerated = [NO_CONNECTION]
        page = visit.synced()
        asked: list[Any] = []

        def lose(route: Any) -> None:
            asked.append(route.request.url)
            if len(asked) == 1:
                route.fetch()
                route.abort("connectionreset")
            else:
                route.continue_()

        page.route(re.compile("/api/tasks/"), lose)
        add(page, "Buy milk")
        eventually(lambda: len(asked) == 2, page)
        up_to_date(page)
        assert visit.titles() == ["Buy milk"]
        assert len(visit.http.get("/api/history").json()) == 1

    def test_a_hostile_title_is_only_text(self, visit: Visitor) -> None:
        listed = new_list(visit, HOSTILE)
        task = visit.task(HOSTILE, description=HOSTILE, labels=[HOSTILE[:60]], due=day(), list_id=listed)
        visit.task("A part", parent_id=task["id"], list_id=listed)
        gone = visit.task(HOSTILE)
        visit.http.delete(f"/api/tasks/{gone['id']}")
        visit.http.post(f"/api/tasks/{visit.task(HOSTILE)['id']}/toggle")
        page = visit.synced()
        views = ["today", f"list/{listed}", "done", "trash", "search?q=img"]
        for view in views:
            page.goto(f"{visit.url}/app/{view}")
            up_to_date(page)
            expect(page.get_by_text(HOSTILE).first).to_be_visible()
        page.goto(f"{visit.url}/app/task/{task['id']}")
        expect(page.get_by_label("Title")).to_have_value(HOSTILE)
        page.keyboard.press("Escape")
        page.get_by_label("Add a task").fill(f"{HOSTILE} tomorrow")
        page.keyboard.press("Control+k")
        choose(page, "<img")
        assert page.locator("#app img, #app b").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") == 1280


def command(url: str, *arguments: str) -> None:
    """In a thread: beside the browser this one can run no event loop."""
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(done, url, *arguments).result()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ServerProcess]:
    with server_process(tmp_path) as server:
        yield server


class TestServerOfItsOwn:
    @pytest.fixture
    def visit(self, browser: Browser, own: ServerProcess) -> Iterator[Visitor]:
        visitor = Visitor(browser, own.url)
        visitor.tolerated = [NO_CONNECTION, "503"]
        yield visitor
        visitor.close()

    def test_one_that_is_killed_and_comes_back_loses_nothing(
        self, visit: Visitor, own: ServerProcess
    ) -> None:
        page = visit.synced()
        add(page, "Before")
        up_to_date(page)
        own.stop(SIGKILL)
        add(page, "Meanwhile")
        expect(page.locator("#sidebar .status")).to_have_text("Offline · 1 waiting")
        own.start()
        own.wait_until_up()
        up_to_date(page)
        assert visit.titles() == ["Before", "Meanwhile"]

    def test_a_restored_backup_is_shown_under_an_open_page(
        self, visit: Visitor, own: ServerProcess, tmp_path: Path
    ) -> None:
        visit.tolerated.append("410")
        page = visit.synced()
        add(page, "In the backup")
        up_to_date(page)
        url = f"sqlite:///{tmp_path}/taskwell.db"
        command(url, "backup", str(tmp_path / "tasks.bak"))
        add(page, "After the backup")
        up_to_date(page)
        own.stop()
        for file in tmp_path.glob("taskwell.db*"):
            file.unlink()
        command(url, "restore", str(tmp_path / "tasks.bak"))
        add(page, "While it was away")
        own.start()
        own.wait_until_up()
        up_to_date(page)
        expect(page.locator("#rows .title")).to_have_text(["In the backup", "While it was away"])
        assert visit.titles() == ["In the backup", "While it was away"]


class TestWhere:
    def test_without_https_all_but_the_offline_start_works(self, visit: Visitor) -> None:
        address = visit.url.replace("127.0.0.1", "tasks.internal")
        page = visit.context().new_page()
        page.goto(f"{address}/app/inbox")
        up_to_date(page)
        assert page.evaluate("[isSecureContext, 'serviceWorker' in navigator]") == [False, False]
        add(page, "Buy milk")
        up_to_date(page)
        assert visit.titles() == ["Buy milk"]

    def test_below_a_path(self, browser: Browser, tmp_path: Path) -> None:
        with server_process(tmp_path, TASKWELL_ROOT_PATH="/my/tasks") as server:
            visit = Visitor(browser, f"{server.url}/my/tasks")
            page = visit.synced()
            add(page, "Buy milk")
            up_to_date(page)
            page.evaluate("navigator.serviceWorker.ready.then(() => true)")
            page.wait_for_timeout(600)  # for the copy to be written
            visit.tolerated = [NO_CONNECTION]
            page.context.set_offline(True)
            page.reload()
            expect(row(page, "Buy milk")).to_be_visible()
            assert page.url.endswith("/my/tasks/app/inbox")
            assert {url.split("/my/tasks/")[0] for url in visit.requested} == {server.url}
            visit.close()
