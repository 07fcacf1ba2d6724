"""The programs of `python -m stress` in their short form: what they promise is kept."""

import os
from pathlib import Path

import pytest

from harness.databases import new_postgres_database
from harness.figures import SHORT, Figures, Form, table
from stress import parity
from stress.programs import missing, run

FORM = Form(SHORT, seed=1)


@pytest.fixture
def measured(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Figures:
    """What the program of the test's parameter found."""
    return run(request.param, database_url, tmp_path, FORM)


def of(program: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("measured", [program], indirect=True)


class TestStress:
    @of("guards")
    def test_no_guarded_edit_is_lost_and_every_loser_is_told(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["guarded edits answered 200"] == 100
        assert measured.values["losers answered 412"] > 0

    @of("keys")
    def test_a_keyed_request_happens_once_however_often_it_is_sent(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["tasks in the end"] == measured.values["keys"] == 100
        assert measured.values["replays"] > 0
        assert measured.values["connections cut"] > 0

    @of("feed")
    def test_the_feed_misses_repeats_and_disorders_nothing(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["changes acknowledged"] >= 1_000
        assert measured.values["requests aborted"] > 0

    @of("model")
    def test_the_server_does_what_a_dict_would(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["runs"] >= 20
        assert {"answered 200", "answered 201", "answered 412", "answered 422"} <= measured.values.keys()
        assert measured.values["occurrences completed"] > 0

    @of("events")
    def test_every_stream_hears_of_every_change_soon(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["events received"] == 500

    @of("polling")
    def test_polls_of_an_unchanged_list_are_answered_304(self, measured: Figures) -> None:
        """How long they take is told by the full form: a test does not race."""
        assert measured.values["tasks"] == 1_000

    @of("backups")
    def test_a_backup_has_what_was_acknowledged_before(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["backups, each of them restored"] == 1
        assert measured.values["writes acknowledged meanwhile"] > 0

    @of("trees")
    def test_tasks_stay_trees_whoever_moves_them(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["answered 200"] >= 100
        assert measured.values["refused as a ring"] > 0
        assert measured.values["put or left below another"] > 0

    @of("claims")
    def test_each_task_is_done_once_by_who_holds_it(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["tasks"] == 60
        assert measured.values["workers killed"] > 0
        assert measured.values["workers late"] > 0
        assert measured.values["tasks that two or more have held"] > 0

    @of("history")
    def test_every_change_is_in_the_history_once(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["kills"] >= 2
        assert measured.values["records"] >= 600
        assert measured.values["of which undone"] > 0

    @of("recurrence")
    def test_an_occurrence_is_completed_once_whoever_repeats_it(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["occurrences"] == 48
        assert measured.values["connections cut"] > 0
        assert measured.values["answered 412"] > 0

    @of("undo")
    def test_undoing_one_of_two_takes_nothing_from_the_other(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["runs"] == 20
        assert measured.values["tasks and lists changed back"] > 50
        assert measured.values["left: changed_since"] > 0

    @of("webhooks")
    def test_every_event_comes_in_order_whoever_is_killed(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["events expected"] == 240
        assert measured.values["deliveries a second, in all"] > 0

    @of("reminders")
    def test_each_reminder_is_sent_once_whoever_is_killed(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["reminders that were due at once"] == 300
        assert measured.values["reminders to a client that listens"] == 40

    @of("kills")
    def test_what_was_acknowledged_outlives_a_killed_server(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["kills"] == 10
        assert measured.values["writes acknowledged"] > 100
        assert measured.values["writes cut"] > 0

    @of("hostile")
    def test_hostile_values_in_any_slot_get_a_short_problem(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["slots"] >= 350
        assert measured.values["answered 4xx"] >= 1_000

    @of("migrations")
    def test_servers_that_start_at_once_migrate_once(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["rounds"] == 1

    @of("move")
    def test_a_move_is_whole_or_has_not_been(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["tasks moved there and back"] == 1_000

    @of("overload")
    def test_an_overloaded_server_goes_on_and_tells_the_others(self, measured: Figures) -> None:
        """How fast is told by the full form: a test does not race."""
        assert measured.values["cut, or answered otherwise"] == 0
        assert measured.values["refused with 503 and Retry-After"] > 0
        assert measured.values["answered a second at four times as many"] > 0

    @of("slow")
    def test_slow_clients_are_cut(self, measured: Figures) -> None:
        assert measured.values["seconds until the last was cut (goal < 15)"] < 15
        assert measured.values["seconds until all were cut (goal < 15)"] < 15
        assert measured.values["others' requests that failed"] == 0

    @of("restarts")
    def test_a_rolling_restart_fails_no_request(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["processes replaced"] == 2
        assert measured.values["requests answered meanwhile"] > 0

    @of("bodies")
    def test_bodies_without_end_take_no_memory(self, measured: Figures) -> None:
        assert measured.broken == []
        assert measured.values["bodies refused with 413"] > 0

    @of("cut")
    def test_requests_that_are_cut_leave_nothing_behind(self, measured: Figures) -> None:
        assert measured.values["requests cut"] == 96
        assert measured.values["connections to the database in use"] == 0
        assert measured.values["connections that were left open"] == 0


class TestPowerCuts:
    @pytest.mark.skipif(
        missing("powercuts") is not None and "CI" not in os.environ, reason=str(missing("powercuts"))
    )
    def test_what_was_acknowledged_outlives_a_power_cut(self, tmp_path: Path) -> None:
        """And a server that syncs nothing, or tells before it syncs, is found out."""
        figures = run("powercuts", f"sqlite:///{tmp_path}/test.db", tmp_path, FORM)
        assert figures.broken == []
        assert figures.values["states after a cut"] == 200
        assert figures.values["corrupt or with changes lost"] > 0
        assert figures.values["with changes lost"] > 0


class TestOutages:
    def test_what_was_acknowledged_outlives_a_postgresql_that_is_killed(self, tmp_path: Path) -> None:
        """How soon there is a write again is told by the full form: a test does not race."""
        with new_postgres_database() as url:
            figures = run("outages", url, tmp_path, FORM)
        assert [promise for promise in figures.broken if not promise.startswith("s to a write")] == []
        assert figures.values["outages"] == 4
        assert figures.values["writes acknowledged"] > 0


class TestParity:
    def test_both_databases_answer_alike(self, tmp_path: Path) -> None:
        one, other = tmp_path / "sqlite", tmp_path / "postgresql"
        for folder in (one, other):
            folder.mkdir()
        with new_postgres_database() as url:
            figures = parity.measure((f"sqlite:///{one}/test.db", one), (url, other), FORM)
        assert figures.broken == []
        assert figures.values["requests"] == 200


class TestFigures:
    def test_a_broken_promise_is_told_and_a_kept_one_only_shown(self) -> None:
        figures = Figures()
        figures.promise("missed", 3, kept=False)
        figures.promise("repeated", 0, kept=True)
        assert figures.broken == ["missed: 3"]
        assert table("feed", {"sqlite": figures}).splitlines() == [
            f"{'feed':<42}{'sqlite':>14}",
            f"{'missed':<42}{3:>14}",
            f"{'repeated':<42}{0:>14}",
        ]
