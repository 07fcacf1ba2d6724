"""`taskwell users` as an operator runs it."""

import json
from pathlib import Path

import httpx2
import pytest

from harness.postgres import free_port
from harness.responses import create
from harness.servers import local_server
from taskwell.cli import users
from taskwell.core.settings import Settings
from tests.cli.commands import done, refused, taskwell


def ids(url: str) -> list[str]:
    return [json.loads(line)["id"] for line in done(url, "users", "list", "--json").splitlines()]


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_are_created_shown_and_deleted(database_url: str, option: list[str]) -> None:
    made = done(database_url, "users", "create", "ada", "--email", "ada@example.com", *option)
    assert "ada" in made
    shown = done(database_url, "users", "show", "ada", *option)
    assert "ada@example.com" in shown
    if option:
        assert json.loads(shown) == json.loads(made) | {"tasks": 0, "tasks_in_trash": 0}
        assert json.loads(made).keys() == {"id", "email", "time_zone", "created_at"}
    assert done(database_url, "users", "delete", "ada", "--yes", *option)
    assert refused(database_url, "users", "show", "ada", *option) == "There is no such user."


def test_are_listed_by_their_ids_however_many(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "_PAGE", 2)
    for user in ("cid", "ada", "eve", "bob", "dan"):
        done(database_url, "users", "create", user)
    assert ids(database_url) == ["ada", "bob", "cid", "dan", "eve"]
    lines = done(database_url, "users", "list").splitlines()
    assert lines[0].split()[:3] == ["ada", "-", "since"]


def test_without_an_id_one_is_made(database_url: str) -> None:
    made = done(database_url, "users", "create").strip()
    assert ids(database_url) == [made]


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    for command in (["users", "list"], ["users", "show", "ada"], ["tokens", "list", "--user", "ada"]):
        assert (
            refused(f"sqlite:///{tmp_path}/tasks.db", *command)
            == f"there is no database {tmp_path}/tasks.db: check the URL"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_token_makes_its_user_only_where_users_may_be_made(database_url: str) -> None:
    make = ("tokens", "create", "backup", "--user", "ada")
    assert refused(database_url, *make, TASKWELL_CREATE_USERS="false") == "There is no such user."
    done(database_url, *make)
    assert done(database_url, "users", "list").startswith("ada ")


@pytest.mark.parametrize("user", ["=a=2Fb", "a+b@example.com", "q83v+g=="])
def test_an_id_may_be_any_that_a_sign_in_gives(database_url: str, user: str) -> None:
    assert done(database_url, "users", "create", user) == f"{user}\n"
    assert done(database_url, "users", "show", user).startswith(f"{user}  ")
    done(database_url, "tokens", "create", "backup", "--user", user)
    assert "backup" in done(database_url, "tokens", "list", "--user", user)
    done(database_url, "users", "delete", user, "--yes")
    assert ids(database_url) == []


def test_a_database_that_is_away_is_told_as_that() -> None:
    told = refused(f"postgresql://user:S3cr3t@127.0.0.1:{free_port()}/app", "users", "list")
    assert told.startswith("the database cannot be used yet: postgresql://user:***@127.0.0.1:")


def test_what_cannot_be_is_refused(database_url: str) -> None:
    assert refused(database_url, "users", "create", "tasks") == "is a reserved word"
    assert refused(database_url, "users", "create", "search") == "is a reserved word"
    assert refused(database_url, "users", "create", "v1").startswith("is reserved: ")
    done(database_url, "users", "create", "ada")
    assert (
        refused(database_url, "users", "create", "ada")
        == "The id or the e-mail address is taken: choose another."
    )
    for command in ("show", "delete"):
        assert refused(database_url, "users", command, "bob") == "There is no such user."


class TestDeletion:
    @pytest.fixture
    def filled(self, database_url: str) -> str:
        settings = Settings(database_url=database_url)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            tasks = [create(client, "/api/ada/tasks")["id"] for _ in range(3)]
            client.delete(f"/api/ada/tasks/{tasks[0]}")
            create(client, "/api/bob/tasks")
        return database_url

    def test_asks_first(self, filled: str) -> None:
        result = taskwell(filled, "users", "delete", "ada", answer="n\n")
        assert result.exit_code == 1
        assert "Delete ada, 2 tasks and 1 in the trash permanently?" in result.stderr
        assert ids(filled) == ["ada", "bob"]

    def test_takes_all_that_is_theirs_and_nothing_else(self, filled: str) -> None:
        result = taskwell(filled, "users", "delete", "ada", answer="y\n")
        assert result.stdout.endswith("Deleted ada, 2 tasks and 1 in the trash.\n")
        assert ids(filled) == ["bob"]
        assert json.loads(done(filled, "users", "show", "bob", "--json"))["tasks"] == 1
