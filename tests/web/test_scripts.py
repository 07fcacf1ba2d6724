"""The scripts: their types, their size, the store without a page, and what axe finds in each view."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from clients import make
from harness.node import install, program
from harness.servers import LocalServer
from taskwell.web.files import FOLDER, files
from tests.web.conftest import Visitor, up_to_date

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
FIRST_KIB = 35
WHOLE_KIB = 61
VIEWS = (
    "today",
    "upcoming",
    "inbox",
    "list/{list}",
    "label/home",
    "done",
    "trash",
    "unsaved",
    "search?q=a",
    "task/{task}",
)

WCAG = json.dumps({"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})


@pytest.fixture(scope="module")
def folder() -> Path:
    install(HERE)
    return HERE


def run(*command: str | Path, cwd: Path = HERE) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_their_types_are_right(folder: Path) -> None:
    make.typescript()  # which has the types of the API
    run(program("node"), folder / "node_modules" / "typescript" / "bin" / "tsc", "--project", ".")


def test_what_is_served_without_comments_is_still_right(tmp_path: Path) -> None:
    for name, file in files().items():
        if name.endswith(".js"):
            served = tmp_path / name.replace("/", "-").replace(".js", ".mjs")
            served.write_bytes(file.content)
            run(program("node"), "--check", served)
            assert file.content.count(b"\n") == (FOLDER / name).read_bytes().count(b"\n")


def test_the_library_is_made_of_what_package_json_says(folder: Path, tmp_path: Path) -> None:
    script = json.loads((folder / "package.json").read_text())["scripts"]["vendor"]
    made = tmp_path / "lit.js"
    arguments = [word for word in script.split()[1:] if not word.startswith("--outfile")]
    run(folder / "node_modules" / ".bin" / "esbuild", *arguments, f"--outfile={made}")
    assert made.read_bytes() == (FOLDER / "vendor" / "lit.js").read_bytes()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_store_holds_without_a_page(servers: Callable[[str], LocalServer], kind: str) -> None:
    told = run(program("node"), HERE / "store.mjs", FOLDER, servers(kind).url)
    assert told.splitlines() == [
        "creates, changes, deletes and restores",
        "sends what was written offline, once and in order",
        "keeps what others wrote to other fields",
        "asks where both have changed the title",
        "folds what was to be changed into what could not be created",
        "moves to where the server says",
    ]


def test_a_recurrence_has_words_that_are_read_back() -> None:
    told = run(program("node"), HERE / "rules.mjs", FOLDER).splitlines()
    assert told == ["every day", "every day once", "every Monday once", "every 2 days for 5 times"]


def test_reminders_have_words() -> None:
    (told,) = run(program("node"), HERE / "reminders.mjs", FOLDER).splitlines()
    assert told == "9:00 that day, 18:00 the day before, 9:00 the day before, 9:00 7 days before"


def test_the_first_load_is_small_and_comes_from_here_alone(visit: Visitor) -> None:
    visit.task("Buy milk")
    page = visit.context(service_workers="block").new_page()
    visit.tolerated = ["Service Worker registration blocked"]
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: _length(answer)}))
    page.goto(f"{visit.url}/app/inbox")
    up_to_date(page)
    assert [url for url in sizes if not url.startswith(visit.url)] == []
    loaded = {url: size for url, size in sizes.items() if url.endswith((".js", ".css", "/app/inbox"))}
    html = page.content()
    first = [
        size for url, size in loaded.items() if url.removeprefix(visit.url) in html or url.endswith("inbox")
    ]
    assert 10 < len(first) < len(loaded)
    assert sum(first) / 1_024 <= FIRST_KIB
    assert sum(loaded.values()) / 1_024 <= WHOLE_KIB


def _length(answer: Response) -> int:
    return int(answer.headers.get("content-length", "0"))


@pytest.fixture(scope="module")
def axe(folder: Path) -> str:
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate(f"axe.run(document, {WCAG})")
    assert len(found["passes"]) > 15
    return [f"{each['id']}: {node['html'][:200]}" for each in found["violations"] for node in each["nodes"]]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_axe_finds_nothing_in_any_view(visit: Visitor, axe: str, scheme: str, width: int) -> None:
    made = visit.http.post("/api/lists", json={"name": "Home", "color": "#2e7d32"}).json()["id"]
    for days in (-1, 0, 1):
        due = (datetime.now(UTC) + timedelta(days)).date().isoformat()
        task = visit.task("A task", due=due, labels=["home"], priority=1, list_id=made, description="Notes")
    visit.task("In the inbox", parent_id=visit.task("Whole")["id"])
    visit.http.post(f"/api/tasks/{visit.task('Done')['id']}/toggle")
    visit.http.delete(f"/api/tasks/{visit.task('Gone')['id']}")
    page = visit.synced(color_scheme=scheme, viewport={"width": width, "height": 740})
    found = {}
    for view in VIEWS:
        page.goto(f"{visit.url}/app/{view.format(list=made, task=task['id'])}")
        up_to_date(page)
        found[view] = violations(page, axe)
    for key, name in {"?": "Keys", "Control+k": "Go to"}.items():
        page.goto(f"{visit.url}/app/inbox")
        up_to_date(page)
        page.keyboard.press(key)
        expect(page.get_by_role("dialog", name=name)).to_be_visible()
        found[name] = violations(page, axe)
    assert {view: lines for view, lines in found.items() if lines} == {}
