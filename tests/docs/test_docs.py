"""The pages say what is so, and their examples work as printed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.issuers import FOLDER
from harness.servers import ServerProcess, server_process
from taskwell.core.settings import Settings
from taskwell.http.problems import PROBLEM_TYPES
from tests.docs import PAGES, ROOT, name

# What a shell cannot run beside a server that is up, and what is run by CI or another test.
NOT_RUN = re.compile(
    r"make |taskwell serve$|uvicorn |hypercorn |taskwell move|DATABASE_URL=|npm init|python3 -m venv|"
    r"\.venv/bin/pip"
)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_has_made_can_be_made(page: Path) -> None:
    named = set(re.findall(r"`make ([a-z-]+)", page.read_text()))
    named |= set(re.findall(r"^make ([a-z-]+)", page.read_text(), flags=re.MULTILINE))
    assert named <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def commands(page: Path) -> str:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL)
    lines = "".join(blocks).splitlines()
    return "\n".join(line for line in lines if not NOT_RUN.search(line))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server_process(tmp_path_factory.mktemp("docs")) as server:
        yield server


@pytest.mark.timeout(400)  # every command is a process of its own
@pytest.mark.plan("A11")
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_the_examples_of_a_page_work_as_printed(page: Path, live: ServerProcess, tmp_path: Path) -> None:
    """An error status counts as a failure of the command that got it."""
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    (tmp_path / "config.json").write_text('{"default_options": ["--check-status", "--ignore-stdin"]}')
    script = commands(page).replace(":8000", f":{live.port}")
    if shutil.which("curl") is None:
        stand_in = f"curl() {{ '{sys.executable}' '{Path(__file__).with_name('curl.py')}' \"$@\"; }}\n"
        script = stand_in + script
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=live.folder,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CURL_HOME": str(tmp_path),
            "HTTPIE_CONFIG_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_problem_type_has_its_heading() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == list(PROBLEM_TYPES)
    for problem in PROBLEM_TYPES.values():
        assert f"Status {problem.status}. {problem.meaning}\n\n{problem.remedy}\n" in text


def anchors(page: Path) -> set[str]:
    """The places of a page, as the site and others name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = {f"TASKWELL_{name.upper()}" for name in Settings.model_fields} | {"TASKWELL_URL"}  # a frontend's
    assert set(re.findall(r"TASKWELL_[A-Z_]+[A-Z]", page.read_text())) <= known


def test_the_snippet_for_a_frontend_is_the_one_that_is_run() -> None:
    """`tests/security/test_issuers.py` runs it."""
    page = (ROOT / "docs" / "authentication.md").read_text()
    (snippet,) = re.findall(r"```js\n(.*?)```", page, flags=re.DOTALL)
    assert (FOLDER / "frontend.mjs").read_text().endswith(f"*/\n\n{snippet}")
