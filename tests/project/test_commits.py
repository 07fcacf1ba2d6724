"""The rule for commit messages, and the hooks of git that `make hooks` installs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.check_commits import LIMIT, check_file, check_history, mistakes

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


class TestRule:
    @pytest.mark.parametrize(
        "message",
        [
            "fix(rest): a page of one task has no next page",
            "feat(auth)!: tokens end after a year\n\nA breach of one is found late.\n",
            f"docs(api): {'a' * (LIMIT - 11)}",
        ],
    )
    def test_what_it_allows(self, message: str) -> None:
        assert list(mistakes(message)) == []

    @pytest.mark.parametrize(
        ("message", "mistake"),
        [
            ("Fix a page", "type(scope)"),
            ("fix: a page of one task", "type(scope)"),
            ("mend(rest): a page of one task", "type(scope)"),
            ("fix(rest): a page of one task.", "full stop"),
            ("fix(rest): ", "type(scope)"),
            ("", "type(scope)"),
            (f"docs(api): {'a' * (LIMIT - 10)}", f"{LIMIT + 1} characters"),
            ("fix(rest): a page of one task\nhas no next page", "not blank"),
        ],
    )
    def test_what_it_refuses(self, message: str, mistake: str) -> None:
        (found,) = mistakes(message)
        assert mistake in found

    @pytest.mark.parametrize(
        "text",
        [
            "fix(rest): a page\n# Please enter the commit message for your changes.\n",
            "fix(rest): a page\n# ------------------------ >8 ------------------------\ndiff --git a/x b/x\n",
            "Merge branch 'pages'\n",
            "fixup! fix(rest): a page of one task has no next page, and one of none has none either\n",
        ],
    )
    def test_what_git_writes_is_no_mistake(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "message").write_text(text)
        assert check_file(tmp_path / "message") == []


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a repository that has the hooks, and the environment of these tests."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name in ("scripts", ".githooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent, target_is_directory=True)
    (tmp_path / ".venv" / ".ready").touch()

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run("git", "init", "--quiet").returncode == 0
    done = run("make", "--assume-old", ".venv/.ready", "hooks")
    assert done.returncode == 0, done.stderr
    return run


def commit(run: Run, message: str) -> subprocess.CompletedProcess[str]:
    return run("git", "commit", "--allow-empty", "--message", message)


@pytest.mark.skipif(sys.platform == "win32", reason="the hooks are shell scripts")
class TestHooks:
    def test_the_message_is_checked(self, run: Run) -> None:
        refused = commit(run, "Fix a page")
        assert refused.returncode != 0
        assert "type(scope)" in refused.stderr
        done = commit(run, "fix(rest): a page of one task has no next page")
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize(
        ("text", "said"), [("x=1\n", "make fmt"), ('"""A module."""\n\nimport os\n', "F401")]
    )
    def test_format_and_lint_of_what_is_staged_are_checked(
        self, text: str, said: str, run: Run, tmp_path: Path
    ) -> None:
        (tmp_path / "module.py").write_text(text)
        assert commit(run, "feat(core): nothing is staged").returncode == 0
        run("git", "add", "module.py")
        refused = commit(run, "feat(core): a module")
        assert refused.returncode != 0
        assert said in refused.stdout + refused.stderr


class TestHistory:
    def test_is_checked_from_a_commit_on(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("git", "config", "core.hooksPath", "/nowhere")
        for message in ("Begin", "feat(core): begin", "Go on", "fix(core): go on\n\nBody."):
            assert commit(run, message).returncode == 0
        monkeypatch.chdir(tmp_path)
        (found,) = check_history("HEAD~3")
        assert "type(scope)" in found
        assert check_history("HEAD~1") == []

    def test_a_clone_without_the_beginning_is_told(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert commit(run, "feat(core): begin").returncode == 0
        monkeypatch.chdir(tmp_path)
        (found,) = check_history("0" * 39 + "1")
        assert "whole clone" in found
