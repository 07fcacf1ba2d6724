"""Every statement names the user whose rows it is about, and every key and index has the user in it.

So the rows of a user can be kept together on one node of a PostgreSQL that is spread over several. What is
not so is listed here, each with its reason, and told in docs/scaling.md.
"""

import asyncio
import json
import re
from collections.abc import Iterator

import httpx2
import pytest

from harness.databases import execute
from harness.issuer import Issuer, bearer, running_issuer
from harness.postgres import PostgresServer, postgres_server
from harness.servers import local_server
from harness.side_effects import at_once, beside, purge_expired, scribble
from security import matrix
from taskwell.core.clock import utc_now
from taskwell.core.principal import as_user
from taskwell.core.settings import Settings
from taskwell.database import row_security
from taskwell.database.database import Database
from taskwell.schemas.task import TaskCreate
from taskwell.services import deliveries, reminders, webhooks, zone_changes
from taskwell.services.task_statements import TaskKey, get_tasks, insert_tasks, new_task, toggle_tasks
from tests.security.conftest import settings_for

# What a table calls the user.
TENANT = {
    "tasks": "user_id", "lists": "user_id", "labels": "user_id", "idempotency_keys": "user_id",
    "task_history": "user_id", "reminders": "user_id", "api_tokens": "user_id", "users": "id",
    "webhooks": "user_id", "webhook_deliveries": "user_id",
}  # fmt: skip

# Statements about nobody in particular, by what is in them and in no other.
ACROSS_USERS = {
    "a token is looked up by its digest: whose it is is what is asked": (
        r"FROM api_tokens\b.* WHERE api_tokens\.digest ="
    ),
    "housekeeping looks for whose trash is to be emptied": (
        r"^SELECT (tasks|lists|labels)\.user_id FROM \1 WHERE \1\.deleted_at <"
    ),
    "housekeeping looks for whose history is to be shortened": (
        r"^SELECT users\.id FROM users WHERE \(SELECT task_history\.at FROM task_history "
        r"WHERE task_history\.user_id = users\.id "
    ),
    "housekeeping looks for old keys to forget": (
        r"^DELETE FROM idempotency_keys WHERE .* IN \(SELECT .* WHERE idempotency_keys\.created_at <"
    ),
    "housekeeping looks for whose times follow a change of the time zones": (
        r"^SELECT tasks\.user_id FROM tasks WHERE tasks\.user_id >"
    ),
    "reminders look for whose time has come": (
        r"^SELECT reminders\.(user_id, reminders\.id|at) FROM reminders WHERE reminders\.fired_at IS NULL "
    ),
    "webhooks look for the users who have some": (
        r"^SELECT DISTINCT webhooks\.user_id FROM webhooks WHERE webhooks\.active$"
    ),
    "webhooks look for what is due": (
        r"^SELECT webhooks\.user_id, webhooks\.id, webhooks\.url, .* FROM webhooks JOIN users "
    ),
    "webhooks count those that fail": r"^SELECT count\(\*\) .* FROM webhooks WHERE webhooks\.failing_since ",
    "webhooks look for old deliveries to forget": (
        r"^SELECT webhook_deliveries\.user_id, webhook_deliveries\.id FROM webhook_deliveries "
        r"WHERE webhook_deliveries\.at <"
    ),
    "an e-mail address is one user's only": r"^UPDATE users SET email=.* FROM users WHERE users\.email =",
}
NOBODYS = "01890a5d-ac96-774b-bcce-b302099a8057"  # the id of nothing
# Statements about several users, who are all named: those who asked at once.
SEVERAL = re.compile(r"WITH ORDINALITY AS \w+ ?\( ?user_id\b")
# Only the address of a user is theirs alone among all users.
WITHOUT_THE_USER = {"uq_users_email"}
# What somebody of whom nothing is known yet is found by, and what housekeeping finds its rows by.
USER_NOT_FIRST = {
    "uq_api_tokens_digest",
    "ix_tasks_deleted_at_user_id",
    "ix_lists_deleted_at_user_id",
    "ix_labels_deleted_at_user_id",
    "ix_idempotency_keys_created_at_user_id",
    "ix_reminders_at_user_id",
    "ix_webhook_deliveries_at_user_id",
}


def keyset_of(table: str) -> re.Pattern[str]:
    """Where a statement reads or changes a table."""
    return re.compile(rf"(?<!DISTINCT )\b(?:FROM|JOIN|UPDATE|INTO) {table}\b(?! SET DATA)")


def names_the_user(sql: str, table: str) -> bool:
    """As often as it is read or changed."""
    column = TENANT[table]
    inserted = len(re.findall(rf"\bINTO {table} \(\s*{column}\b", sql))
    aliases = re.findall(rf"\b{table} AS (\w+)", sql)
    named = sum(
        table == "users" or name in aliases or re.fullmatch(rf"{table}(?:_\d+)?", name) is not None
        for name in re.findall(rf"(?:\b(\w+)\.)?\b{column} (?:=|IN)", sql)
    )
    return inserted + named >= len(keyset_of(table).findall(sql))


pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer("EdDSA") as issuer:
        yield issuer


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """It writes down all that it is asked."""
    logging = {"logging_collector": "on", "log_destination": "jsonlog", "log_directory": "log"}
    with postgres_server(None, log_statement="all", **logging) as server:
        yield server


@pytest.fixture(scope="module")
def statements(postgres: PostgresServer, issuer: Issuer) -> list[str]:
    return written_down(postgres, issuer, settings_for(issuer, database_url=postgres.url))


@pytest.fixture(scope="module")
def statements_kept_apart(postgres: PostgresServer, issuer: Issuer) -> list[str]:
    """With row-level security, which does not hold for the role that the other statements are of."""
    execute(postgres.url, "CREATE ROLE apart LOGIN PASSWORD 'secret'")
    execute(postgres.url, "CREATE DATABASE apart OWNER apart")
    url = f"postgresql://apart:secret@127.0.0.1:{postgres.port}/apart"
    return written_down(postgres, issuer, settings_for(issuer, database_url=url))


def written_down(postgres: PostgresServer, issuer: Issuer, settings: Settings) -> list[str]:
    """What every operation sends, and what goes on beside them; each once."""
    with local_server(settings) as server:
        prepared = len(log_of(postgres))
        owner = matrix.Owner(server.url, issuer)
        owner.everything()
        owner.client.close()
        assert use_everything(server.url, issuer) >= 30
        headers = bearer(issuer.token("ada", email="ada@example.com"))
        with httpx2.Client(base_url=server.url, headers=headers) as client:
            use_a_token(client)
            with client.stream("GET", "/api/events") as stream:
                lines = stream.iter_lines()
                next(lines)
                scribble(client, "/api/tasks", 1, 60)
                assert "event: task" in lines
            # Where a task has been changed twice, a number is missing, which a reminder may have.
            with client.stream("GET", "/api/events?since=0") as stream:
                assert "event: task" in stream.iter_lines()
        at_once(6, lambda number: of_a_user(server.url, issuer, number))
        asyncio.run(together(settings))
        purge_expired(settings)
        asyncio.run(look_beside(settings))
    texts = [json.loads(line)["message"] for line in log_of(postgres)[prepared:]]
    found = [re.match(r"(?:statement|execute [^:]*): (.*)", text, re.DOTALL) for text in texts]
    return sorted({re.sub(r"\s+", " ", match[1]).strip() for match in found if match})


def use_everything(url: str, issuer: Issuer) -> int:
    """Every operation with its example, plain and guarded, as a user of their own. Returns how many."""
    found = matrix.operations(httpx2.get(f"{url}/openapi.json").json())
    operations = sorted(found, key=lambda one: (one.method, one.path) == ("DELETE", "/api/users/{id}"))
    holes = {"user_id": "eve", "id": "eve", "claim": "1"}
    with httpx2.Client(base_url=url, headers=bearer(issuer.token("eve"))) as client:
        for number, operation in enumerate(operations):
            path = re.sub(r"{(\w+)}", lambda hole: holes.get(hole[1], NOBODYS), operation.path)
            for guard in ({}, {"If-Match": "*"}, {"If-Match": '"1"'}, {"Idempotency-Key": f"key-{number}"}):
                answer = client.request(operation.method, path, json=operation.body, headers=guard)
                assert answer.status_code < 500, (operation, answer.text)
    return len(operations)


async def look_beside(settings: Settings) -> None:
    """As is done now and then: which instants, reminders and webhooks are due, and how many of these fail."""
    async with beside(settings) as database:
        await zone_changes.recompute_instants(database)  # unless the server has done it by now
        await reminders.send_due(database)
        await database.read(deliveries.list_due, utc_now())
        await database.read(webhooks.count_failing)


def log_of(postgres: PostgresServer) -> list[str]:
    files = sorted((postgres.data / "log").glob("*.json"))
    return [line for file in files for line in file.read_text().splitlines()]


def use_a_token(client: httpx2.Client) -> None:
    made = client.post("/api/users/me/tokens", json={"name": "a program", "scopes": ["tasks:read"]}).json()
    answer = httpx2.get(client.base_url.join("/api/tasks"), headers=bearer(made["token"]))
    assert answer.status_code == 200


def of_a_user(url: str, issuer: Issuer, number: int) -> None:
    with httpx2.Client(base_url=url, headers=bearer(issuer.token(f"user-{number}"))) as client:
        scribble(client, "/api/tasks", number, 20)


async def together(settings: Settings) -> None:
    """Two users want the same in the same moment."""
    async with beside(settings) as database:
        await row_security.arrange(settings, database, may_alter=False)
        await asyncio.gather(*(in_turn(database, user) for user in ("user-1", "user-2")))


async def in_turn(database: Database, user: str) -> None:
    with as_user(user):
        task = new_task(user, TaskCreate(title="Buy milk"))
        key = TaskKey(user, str(task.id))
        await database.write_coalesced(insert_tasks, task)
        await database.write_coalesced(toggle_tasks, key)
        await database.read_coalesced(get_tasks, key)


def about(statements: list[str]) -> list[tuple[str, str]]:
    """Each with every table of users' rows that it is about."""
    return [(sql, table) for sql in statements for table in TENANT if keyset_of(table).search(sql)]


@pytest.mark.parametrize("recorded", ["statements", "statements_kept_apart"])
def test_every_statement_names_its_user(recorded: str, request: pytest.FixtureRequest) -> None:
    statements: list[str] = request.getfixturevalue(recorded)
    assert len(statements) >= 40
    assert {table for _, table in about(statements)} == TENANT.keys()
    nameless = {sql for sql, table in about(statements) if not names_the_user(sql, table)}
    allowed = {sql for sql in statements for what in ACROSS_USERS.values() if re.search(what, sql)}
    assert nameless <= allowed


def test_every_exception_is_one(statements: list[str]) -> None:
    for reason, what in ACROSS_USERS.items():
        found = [sql for sql in statements if re.search(what, sql)]
        assert found, reason
        assert not all(names_the_user(sql, table) for sql, table in about(found)), reason


def test_several_users_are_named_where_they_are_asked_for_together(statements: list[str]) -> None:
    together = [sql for sql in statements if SEVERAL.search(sql)]
    assert len(together) >= 3
    for sql, table in about(together):
        assert names_the_user(sql, table), sql


def test_with_row_level_security_nothing_is_asked_for_several_users(statements_kept_apart: list[str]) -> None:
    assert not [sql for sql in statements_kept_apart if SEVERAL.search(sql)]


def test_every_key_and_index_has_the_user_in_it(postgres: PostgresServer, statements: list[str]) -> None:
    rows = execute(
        postgres.url,
        """
        SELECT t.relname AS table, i.relname AS name, indisunique AS is_unique,
               ARRAY(SELECT pg_get_indexdef(i.oid, n, true) FROM generate_series(1, indnkeyatts) n) AS columns
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = 'public'
        """,
    )
    ours = [row for row in rows if row["table"] in TENANT]
    assert {row["table"] for row in ours} == TENANT.keys()
    without = {row["name"] for row in ours if TENANT[row["table"]] not in row["columns"]}
    assert without == WITHOUT_THE_USER
    not_first = {row["name"] for row in ours if TENANT[row["table"]] != row["columns"][0]}
    assert not_first - without == USER_NOT_FIRST


def test_what_refers_to_a_row_refers_to_its_user(postgres: PostgresServer, statements: list[str]) -> None:
    rows = execute(
        postgres.url,
        """
        SELECT conrelid::regclass::text AS table, pg_get_constraintdef(oid) AS says
        FROM pg_constraint WHERE contype = 'f'
        """,
    )
    assert rows
    for row in rows:
        own = r"FOREIGN KEY \(user_id(, \w+)*\) REFERENCES (users\(id\)|\w+\(user_id, )"
        assert re.match(own, row["says"]), row
