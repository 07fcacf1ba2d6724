"""The scorecard: a row for each program, and none that claims what was not run."""

from pathlib import Path

import pytest

from harness.figures import Figures
from stress import reliability
from stress.programs import PROGRAMS
from stress.reliability import GOALS, Row, page


def row(*, kept: bool) -> Row:
    figures = Figures()
    figures.note("seed", 7)
    figures.promise("lost", 0 if kept else 3, kept=kept)
    return Row("2026-11-21, in full", {"sqlite": figures}, broken=not kept)


class TestPage:
    def test_what_was_measured_is_shown_with_its_goal_and_its_command(self) -> None:
        lines = page({"kills": row(kept=True)}).splitlines()
        goal = GOALS["kills"]
        assert (
            f"| [kills](#kills) | {goal} | kept | 2026-11-21, in full | `make stress NAME=kills` |" in lines
        )
        assert "| lost | 0 |" in lines
        assert "| seed | 7 |" in lines

    def test_a_broken_promise_is_told(self) -> None:
        text = page({"kills": row(kept=False)})
        assert "| **broken** |" in text
        assert "Broken on SQLite: lost: 3" in text

    def test_what_was_not_run_says_so(self) -> None:
        text = page({"kills": Row(reason="needs strace")})
        assert f"| kills | {GOALS['kills']} | not run: needs strace |  | `make stress NAME=kills` |" in text
        assert "## kills" not in text

    def test_what_did_not_come_to_its_end_says_why(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def timed(*_: object) -> Figures:
            raise AssertionError("the server does not start")

        monkeypatch.setattr("sys.argv", ["reliability", "guards", "--page", str(tmp_path / "page.md")])
        monkeypatch.setattr(reliability, "timed", timed)
        assert reliability.main() == 1
        assert "| **not measured**: the server does not start |" in (tmp_path / "page.md").read_text()


class TestRows:
    @pytest.mark.parametrize("name", PROGRAMS)
    def test_every_program_has_a_goal(self, name: str) -> None:
        """`tests/project` tries the command."""
        assert GOALS.keys() >= {name}

    def test_a_row_that_is_run_again_leaves_the_others_as_they_were_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "reliability.md"
        for name, kept, share in (("guards", True, "1"), ("keys", False, "0.5"), ("keys", True, "0.25")):
            monkeypatch.setattr("sys.argv", ["reliability", name, "--page", str(file), "--share", share])
            monkeypatch.setattr(reliability, "timed", lambda *_, kept=kept: row(kept=kept).columns["sqlite"])
            assert reliability.main() == (0 if kept else 1)
        text = file.read_text()
        assert "| [guards](#guards) |" in text
        assert ", in full | `make stress NAME=guards`" in text
        assert ", 25% | `make stress NAME=keys`" in text
        assert "50%" not in text
        assert "broken" not in text

    def test_a_run_writes_the_page_and_leaves_the_other_rows_as_not_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "reliability.md"
        monkeypatch.setattr("sys.argv", ["reliability", "guards", "--page", str(file)])
        monkeypatch.setattr(reliability, "timed", lambda *_: row(kept=True).columns["sqlite"])
        assert reliability.main() == 0
        text = file.read_text()
        assert "| [guards](#guards) |" in text
        assert text.count("not run: not in this run") == len(PROGRAMS) - 1 + len(reliability.COMMANDS)
