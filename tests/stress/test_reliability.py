"""The scorecard: a row for each program, and none that claims what was not run."""

from pathlib import Path

import pytest

from stress import reliability
from stress.figures import Figures, Form
from stress.programs import PROGRAMS
from stress.reliability import GOALS, Row, page

FORM = Form(1.0, seed=7)
MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()


def row(*, kept: bool) -> Row:
    figures = Figures()
    figures.note("seed", 7)
    figures.promise("lost", 0 if kept else 3, kept=kept)
    return Row("none lost", "make stress-kills", {"sqlite": figures}, broken=not kept)


class TestPage:
    def test_what_was_measured_is_shown_with_its_goal_and_its_command(self) -> None:
        lines = page({"kills": row(kept=True)}, FORM).splitlines()
        assert "| [kills](#kills) | none lost | kept | `make stress-kills` |" in lines
        assert "| lost | 0 |" in lines
        assert "| seed | 7 |" in lines

    def test_a_broken_promise_is_told(self) -> None:
        text = page({"kills": row(kept=False)}, FORM)
        assert "| **broken** |" in text
        assert "Broken on SQLite: lost: 3" in text

    def test_what_was_not_run_says_so(self) -> None:
        text = page({"kills": Row("none lost", "make stress-kills", reason="needs strace")}, FORM)
        assert "| kills | none lost | not run: needs strace | `make stress-kills` |" in text
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
    def test_every_program_has_a_goal_and_a_command(self, name: str) -> None:
        assert GOALS.keys() >= {name}
        assert f"\nstress-{name}:" in MAKEFILE

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
