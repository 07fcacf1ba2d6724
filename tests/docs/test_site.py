"""The pages as a site: it builds strictly, is whole, and fetches nothing from elsewhere."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
# Every address that a page once had, with the page that took its place.
MOVED = {
    "guards": "concurrency",
    "retries": "idempotency",
    "lists": "filters-and-pagination",
    "events": "live-updates",
    "sync": "offline-sync",
    "backups": "backup-and-restore",
    "threats": "threat-model",
    "decisions/0003-lists-in-stretches": "decisions/0003-chunked-lists",
    "decisions/0004-cursors-without-a-secret": "decisions/0004-unsigned-cursors",
    "decisions/0006-counting-requests-ourselves": "decisions/0006-in-process-rate-limiter",
    "decisions/0007-plain-requests": "decisions/0007-direct-dispatch",
    "decisions/0008-one-form-for-backups": "decisions/0008-backup-format-and-epochs",
    "decisions/0009-asked-for-together": "decisions/0009-request-coalescing",
    "decisions/0010-who-is-let-in": "decisions/0010-admission-control",
    "decisions/0011-answers-on-the-spot": "decisions/0011-fast-path",
}


class Page(HTMLParser):
    """Where a page leads, what it fetches, and which places it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.places = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value is not None}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        if "src" in found:
            self.fetched.add(found["src"])
        if tag == "link" and found.get("rel") != "canonical":
            self.fetched.add(found["href"])


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def copy(folder: Path) -> Path:
    shutil.copy(ROOT / "zensical.toml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy(tmp_path_factory.mktemp("site"))
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout + done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


def test_every_link_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin at the root of a host
            continue
        for link in page.links | page.fetched:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_relative_to(site.resolve()), (path, link)
            if target.is_dir():
                target /= "index.html"
            assert target.exists(), (path, link)
            if target in pages:
                assert unquote(parts.fragment) in pages[target].places, (path, link)


def test_nothing_is_fetched_from_elsewhere(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for link in page.fetched:
            assert not urlsplit(link).netloc, (path, link)


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_an_old_address_leads_to_the_page_that_took_its_place(old: str, new: str, site: Path) -> None:
    stub, target = site / old / "index.html", site / new / "index.html"
    (link,) = Page(stub.read_text()).links
    assert (stub.parent / link / "index.html").resolve() == target.resolve()
    assert f'content="0; url={link}"' in stub.read_text()
    assert target.exists()
    assert not (ROOT / "docs" / f"{old}.md").exists()


@pytest.mark.parametrize("slip", ["[nothing](nothing.md)", "[nowhere](api.md#nowhere)"])
def test_a_link_that_leads_nowhere_is_noticed(slip: str, tmp_path: Path) -> None:
    folder = copy(tmp_path)
    with (folder / "docs" / "index.md").open("a") as page:
        page.write(f"\n{slip}\n")
    assert build(folder).returncode != 0


def navigation() -> dict[str, str]:
    """The title of every page in the navigation, by its file."""
    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]

    def entries(nav: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
        for entry in nav:
            for title, target in entry.items():
                yield from [(target, title)] if isinstance(target, str) else entries(target)

    return dict(entries(project["nav"]))


def test_every_page_is_in_the_navigation() -> None:
    docs = ROOT / "docs"
    assert sorted(navigation()) == sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))


def test_a_page_begins_with_its_title_in_the_navigation() -> None:
    for page, title in navigation().items():
        if page != "reliability.md":  # a program writes it
            first = (ROOT / "docs" / page).read_text().partition("\n")[0]
            assert first.startswith(f"# {title}"), page


def test_readers_find_what_they_search_for() -> None:
    """The words that a reader types, each in the title of a page."""
    titles = " ".join(navigation().values()).lower()
    searched = (
        "quickstart tutorial install authentication sync live updates migrating backup restore deploy"
        " troubleshooting errors filters pagination concurrency etag idempotency batch trash rate limits"
        " settings command line metrics glossary architecture comparison threat model scaling performance"
        " fast path coalescing admission"
    )
    assert [word for word in searched.split() if word not in titles] == []
