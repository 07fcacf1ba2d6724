"""PostgreSQL itself keeps users apart, also where a statement of ours forgets to."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import httpx2
import jwt
import pytest
from sqlalchemy import bindparam, event, make_url, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from harness.databases import admin_url, execute, new_postgres_database
from harness.lists import list_sql, list_tasks
from harness.responses import create, problem
from harness.servers import local_server
from taskwell.core.clock import utc_now
from taskwell.core.errors import Forbidden, NotFound, OutcomeUnknown
from taskwell.core.principal import ALL_USERS, as_user
from taskwell.core.settings import Settings
from taskwell.database import migrate, startup
from taskwell.database.database import Database, ReadTransaction, Transaction
from taskwell.database.postgres import PostgresBackend
from taskwell.database.prepared import PreparedStatement
from taskwell.database.startup import StartupError
from taskwell.models import Label, Reminder, TaskList, User
from taskwell.models.base import table_of
from taskwell.schemas.batch import Batch
from taskwell.schemas.change import TaskGone
from taskwell.schemas.query import TaskFilter, TaskQuery
from taskwell.schemas.task import TaskCreate, TaskRead, TaskToggle, TaskUpdate
from taskwell.schemas.token import TokenCreate
from taskwell.schemas.types import USER_ID_PATTERN
from taskwell.schemas.user import UserCreate
from taskwell.schemas.webhook import WebhookCreate
from taskwell.services import changes, deliveries, idempotency, tasks, tokens, trash, users, webhooks
from taskwell.services.batch import RunBatch
from taskwell.services.deliveries import Attempt
from taskwell.services.housekeeping import purge_expired
from taskwell.services.operations import Operations
from taskwell.services.sequence import last_number
from taskwell.services.task_query import count_tasks
from taskwell.services.task_statements import TaskKey, get_tasks, toggle_tasks

pytestmark = pytest.mark.slow

T = TypeVar("T")

OWNERS = {
    "users": "id",
    "tasks": "user_id",
    "lists": "user_id",
    "labels": "user_id",
    "task_history": "user_id",
    "reminders": "user_id",
    "idempotency_keys": "user_id",
    "api_tokens": "user_id",
    "webhooks": "user_id",
    "webhook_deliveries": "user_id",
}
_YEARS_AHEAD = datetime(2040, 1, 1, tzinfo=UTC)
SECRET = "known to these tests alone, 32 bytes or more"


@dataclass(frozen=True)
class Place:
    """A database by three roles: the administrator, the tables' owner, and one that was granted their use."""

    admin: str
    owner: str
    granted: str

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in execute(self.admin, statement)]

    def empty(self) -> None:
        """No rows, so that numbers begin at 1."""
        self.sql(f"TRUNCATE erased_users, {', '.join(OWNERS)}")

    def secured(self) -> set[tuple[Any, ...]]:
        """Whether row security is enabled and forced, on any of the tables."""
        names = ", ".join(f"'{name}'" for name in OWNERS)
        return set(
            self.sql(f"SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname IN ({names})")
        )


ON, OFF = {(True, True)}, {(False, False)}


@contextmanager
def role(attributes: str = "NOSUPERUSER NOBYPASSRLS") -> Iterator[str]:
    name = f"role_{uuid4().hex}"
    execute(admin_url(), f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {attributes}")
    try:
        yield name
    finally:
        execute(admin_url(), f"DROP ROLE {name}")


def by(url: str, name: str) -> str:
    return make_url(url).set(username=name, password="secret").render_as_string(hide_password=False)


@contextmanager
def new_place() -> Iterator[Place]:
    with role() as owner, role() as granted, new_postgres_database() as url:
        execute(url, f'ALTER DATABASE "{make_url(url).database}" OWNER TO {owner}')
        use = "SELECT, INSERT, UPDATE, DELETE ON TABLES"
        execute(url, f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT {use} TO {granted}")
        yield Place(url, by(url, owner), by(url, granted))


@pytest.fixture
def place() -> Iterator[Place]:
    """A new database, for the test alone."""
    with new_place() as place:
        yield place


@pytest.fixture(scope="module")
def shared() -> Iterator[Place]:
    """A database whose row security is on."""
    with new_place() as place:
        opened(settings_of(place, row_level_security="on"), is_active)
        yield place


@pytest.fixture(scope="module")
def unsecured() -> Iterator[Place]:
    """A database whose row security is off."""
    with new_place() as place:
        opened(settings_of(place, row_level_security="off"), listed)
        yield place


@pytest.fixture(params=["owner", "granted", "pooled"])
def settings(request: pytest.FixtureRequest, shared: Place) -> Settings:
    """A server as the tables' owner, as another role, and behind a pooler; there are no rows yet."""
    shared.empty()
    return settings_of(
        shared,
        database_url=shared.owner if request.param == "owner" else shared.granted,
        db_pooler="transaction" if request.param == "pooled" else "none",
    )


def settings_of(place: Place, **others: Any) -> Settings:
    return Settings(**{"database_url": place.granted, "migration_database_url": place.owner, **others})


def opened(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    """Work with a database as a server does: prepared before, closed after."""

    async def main() -> T:
        database = Database(settings)
        try:
            (await startup.start(settings, database)).cancel()
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(main())


def backend_of(database: Database) -> PostgresBackend:
    assert isinstance(database.backend, PostgresBackend)
    return database.backend


@dataclass(frozen=True)
class People:
    """What ada and bob have: two tasks each, one of them in the trash, a list, a label, a key and a token."""

    tasks: Mapping[str, UUID]
    trash: Mapping[str, UUID]


async def settled(database: Database) -> People:
    kept, deleted = {}, {}

    async def settle(transaction: Transaction, user: str) -> None:
        for title in ("Buy milk", "Call mum"):
            task = await tasks.create_task(transaction, user, TaskCreate(title=title), create_user=True)
            kept[user] = task.id
        deleted[user] = (await tasks.delete_task(transaction, user, task.id)).id
        kept[user] = (await list_tasks(transaction, user, TaskQuery(), limit=1))[0].id
        await idempotency.reserve(transaction, user, "key", b"")
        new = TokenCreate(name="backup", scopes=["tasks:read"])
        await tokens.create_token(transaction, user, new, create_user=False)
        hook = await webhooks.create_webhook(
            transaction, user, WebhookCreate(url="https://192.0.2.1/", events=["*"]), create_user=False
        )
        tried = Attempt(1, "task.created", 1, utc_now(), 9, 200, None, "", "delivered")
        await deliveries.add_to_log(transaction, user, hook.id, tried)
        list_ = TaskList(user_id=user, id=uuid4(), name="Home", position="a0", version=1)
        await transaction.insert_rows(table_of(TaskList), [list_.model_dump()])
        label = Label(user_id=user, key="home", name="Home", version=1)
        await transaction.insert_rows(table_of(Label), [label.model_dump()])
        reminder = Reminder(user_id=user, id=uuid4(), task_id=kept[user], kind="due", at=_YEARS_AHEAD)
        await transaction.insert_rows(table_of(Reminder), [reminder.model_dump()])

    for user in ("ada", "bob"):
        with as_user(ALL_USERS):
            await database.write(settle, user)
    return People(kept, deleted)


async def owners(transaction: ReadTransaction, table: str) -> list[str]:
    """Of all rows that are there for the statement, which has no WHERE."""
    statement = text(f"SELECT {OWNERS[table]} FROM {table}").columns()
    return sorted(row[0] for row in await transaction.all(statement))


async def all_owners(database: Database) -> dict[str, list[str]]:
    return {table: await database.read(owners, table) for table in OWNERS}


async def written(transaction: Transaction, statement: str) -> int:
    """How many rows a statement wrote."""
    return len(await transaction.all(text(f"{statement} RETURNING 1")))


HAVE = {
    "users": 1, "tasks": 2, "lists": 1, "labels": 1, "task_history": 3, "reminders": 1,
    "idempotency_keys": 1, "api_tokens": 1, "webhooks": 1, "webhook_deliveries": 1,
}  # fmt: skip


class TestRows:
    def test_nobody_sees_any(self, settings: Settings) -> None:
        async def work(database: Database) -> None:
            await settled(database)
            assert await all_owners(database) == {table: [] for table in OWNERS}

        opened(settings, work)

    def test_a_user_sees_their_own(self, settings: Settings) -> None:
        async def work(database: Database) -> None:
            await settled(database)
            with as_user("ada"):
                assert await all_owners(database) == {table: ["ada"] * n for table, n in HAVE.items()}

        opened(settings, work)

    def test_everybody_sees_all(self, settings: Settings) -> None:
        async def work(database: Database) -> None:
            await settled(database)
            with as_user(ALL_USERS):
                both = {table: ["ada"] * n + ["bob"] * n for table, n in HAVE.items()}
                assert await all_owners(database) == both

        opened(settings, work)

    def test_a_look_up_finds_no_others(self, settings: Settings) -> None:
        async def work(database: Database) -> None:
            await settled(database)
            with as_user("ada"):
                assert await database.read(last_number, "ada") == 3
                assert await database.read(last_number, "bob") == 0
            assert await database.read(last_number, "ada") == 0

        opened(settings, work)

    def test_a_look_up_that_begins_a_write_finds_its_own(self, settings: Settings) -> None:
        statement = PreparedStatement(select(col(User.last_seq)).where(col(User.id) == bindparam("id")))

        async def look(transaction: Transaction) -> Any:
            return await transaction.fetch_prepared(statement, id="ada")

        async def work(database: Database) -> None:
            await settled(database)
            with as_user("ada"):
                (row,) = await database.write(look)
                assert tuple(row) == (3,)

        opened(settings, work)

    def test_rows_of_others_are_not_written(self, settings: Settings) -> None:
        async def attack(database: Database, table: str, owner: str) -> None:
            with as_user("ada"):
                theirs = f"{table} SET {owner} = {owner} WHERE {owner} = 'bob'"
                assert await database.write(written, f"UPDATE {theirs}") == 0
                assert await database.write(written, f"UPDATE {table} SET {owner} = {owner}") == HAVE[table]
                assert await database.write(written, f"DELETE FROM {table} WHERE {owner} = 'bob'") == 0
            with as_user(ALL_USERS):
                assert await database.read(owners, table) == ["ada"] * HAVE[table] + ["bob"] * HAVE[table]

        async def work(database: Database) -> None:
            await settled(database)
            for table, owner in OWNERS.items():
                await attack(database, table, owner)

        opened(settings, work)

    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO users VALUES ('eve', NULL, now(), 0)",
            "INSERT INTO idempotency_keys VALUES ('bob', 'another', '', now())",
            "UPDATE tasks SET user_id = 'bob'",
            "INSERT INTO users VALUES ('bob', NULL, now(), 0) ON CONFLICT (id) DO UPDATE SET last_seq = 99",
        ],
        ids=["user", "key", "gift", "upsert"],
    )
    def test_none_is_made_anothers(
        self, settings: Settings, statement: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work(database: Database) -> None:
            await settled(database)
            with as_user(ALL_USERS):
                before = await all_owners(database)
            with as_user("ada"), pytest.raises(Forbidden):
                await database.write(written, statement)
            with as_user(ALL_USERS):
                assert await all_owners(database) == before

        opened(settings, work)
        assert "row-level security refused a statement" in caplog.text

    def test_a_user_goes_with_all_that_is_theirs(self, settings: Settings) -> None:
        async def work(database: Database) -> None:
            await settled(database)
            with as_user("ada"):
                with pytest.raises(NotFound):
                    await database.write(users.delete_user, "bob")
                await database.write(users.delete_user, "ada")
            with as_user(ALL_USERS):
                assert await all_owners(database) == {table: ["bob"] * n for table, n in HAVE.items()}

        opened(settings, work)

    def test_what_is_taken_unseen_is_taken(self, settings: Settings) -> None:
        """An address or an id that belongs to somebody else is a conflict, as it is without."""
        address = "ada@example.com"

        async def work(database: Database) -> None:
            with as_user(ALL_USERS):
                await database.write(users.create_user, UserCreate(id="ada", email=address))
            for new in (UserCreate(id="bob", email=address), UserCreate(id="ada")):
                assert new.id is not None
                with as_user(new.id), pytest.raises(users.UserTaken):
                    await database.write(users.create_user, new)

        opened(settings, work)

    def test_a_name_is_nothing_but_a_name(self, settings: Settings) -> None:
        characters = re.sub(r"[A-Za-z0-9]-?", "", USER_ID_PATTERN.strip("^$+")[1:-1])
        assert "'" not in characters

        async def work(database: Database) -> None:
            for name in ("a'; SET LOCAL taskwell.user_id = '*", "a\\", "a\n", "\0"):
                with as_user(name), pytest.raises(ValueError, match="not a user's id"):
                    await database.read(owners, "users")
            with as_user(f"aZ9{characters}"):
                assert await database.read(owners, "users") == []

        opened(settings, work)


async def idle_session(database: Database) -> tuple[int, str | None, int]:
    """The session that the pool hands out next: its process, who acts in it, and how many users it sees."""
    async with backend_of(database)._autocommit.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        assert not driver.is_in_transaction()
        acting = "current_setting('taskwell.user_id', true)"
        row = await driver.fetchrow(f"SELECT pg_backend_pid(), {acting}, count(*) FROM users")
        return row[0], row[1], row[2]


async def listed(database: Database, user: str = "ada") -> int:
    return len(await database.read(list_tasks, user, TaskQuery(), limit=10))


async def succeed(transaction: ReadTransaction) -> None:
    assert await owners(transaction, "users") == ["ada"]


async def look(transaction: ReadTransaction) -> None:
    await owners(transaction, "tasks")


async def fail(transaction: ReadTransaction) -> None:
    raise Failure


async def fail_in_sql(transaction: ReadTransaction) -> None:
    await transaction.all(text("SELECT 1 / (SELECT 0)"))


async def swallow(transaction: ReadTransaction) -> None:
    with pytest.raises(Exception, match="division by zero"):
        await fail_in_sql(transaction)


async def add(transaction: Transaction, user: str = "ada") -> None:
    await tasks.create_task(transaction, user, TaskCreate(title="Buy milk"), create_user=True)


class Failure(LookupError):
    pass


class TestTransactions:
    """Nobody acts in a session once its transaction has ended, however it has ended."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """With one connection, which the next one gets."""
        return settings.model_copy(update={"db_pool_size": 1, "db_max_overflow": 0})

    @pytest.mark.parametrize("how", ["read", "write"])
    def test_the_next_one_finds_nobody(self, settings: Settings, how: str) -> None:
        async def work(database: Database) -> None:
            await settled(database)
            process, *_ = await idle_session(database)
            for function in (succeed, fail, fail_in_sql, swallow):
                with as_user("ada"), suppress(Failure, DBAPIError):
                    await getattr(database, how)(function)
                assert await idle_session(database) == (process, "", 0), function
                with as_user("bob"):
                    assert await database.read(owners, "users") == ["bob"]

        opened(settings, work)

    def test_the_next_one_finds_no_user_after_a_refusal(self, settings: Settings) -> None:
        async def work(database: Database) -> None:
            await settled(database)
            process, *_ = await idle_session(database)
            with as_user("ada"), pytest.raises(Forbidden):
                await database.write(add, "bob")
            assert await idle_session(database) == (process, "", 0)

        opened(settings, work)

    def test_the_next_one_finds_no_user_when_the_caller_is_gone(self, settings: Settings) -> None:
        """At any moment of a read and of a write, which are carried to their end."""

        async def work(database: Database) -> None:
            begins: list[Callable[[], Awaitable[None]]]
            begins = [lambda: database.write(add), lambda: database.read(look)]
            for moment in range(1, 31):
                for begin in begins:
                    with as_user("ada"):
                        caller = asyncio.ensure_future(begin())
                    for _ in range(moment):
                        await asyncio.sleep(0)
                    caller.cancel()
                    await asyncio.wait([caller])
            while database._pending:
                await asyncio.wait(database._pending)
            assert (await idle_session(database))[1:] == ("", 0)
            with as_user("ada"):
                assert await database.read(owners, "tasks") == ["ada"] * 30

        opened(settings, work)

    def test_the_next_one_finds_no_user_after_a_cancelled_one(self, settings: Settings) -> None:
        """Beneath what shields it: at any moment of beginning, working, committing and ending."""

        async def write(backend: PostgresBackend) -> None:
            async with backend.writing() as connection:
                await connection.execute(text("INSERT INTO users VALUES ('ada', NULL, now(), 0)"))
                await backend.commit(connection)

        async def read(backend: PostgresBackend) -> None:
            async with backend.reading() as connection:
                await connection.execute(text("SELECT id FROM users"))

        async def work(database: Database) -> None:
            backend = backend_of(database)
            for moment in range(1, 41):
                for transaction in (read, write):
                    with as_user("ada"):
                        task = asyncio.create_task(transaction(backend))
                    for _ in range(moment):
                        await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.wait([task])
                    assert (await idle_session(database))[1:] in {("", 0), (None, 0)}
                    with as_user(ALL_USERS):
                        await database.write(written, "DELETE FROM users")

        opened(settings, work)

    def test_a_session_that_ended_is_replaced(self, shared: Place, settings: Settings) -> None:
        async def end_session(transaction: ReadTransaction) -> None:
            row = await transaction.first(text("SELECT pg_backend_pid()"))
            assert row is not None
            await asyncio.to_thread(shared.sql, f"SELECT pg_terminate_backend({row[0]}, 5000)")

        runs = []

        async def add_and_lose(transaction: Transaction) -> None:
            runs.append(transaction)
            await add(transaction)
            if len(runs) == 1:
                await end_session(transaction)
                await transaction.first(text("SELECT 1"))

        async def work(database: Database) -> None:
            with as_user("ada"):
                await database.read(end_session)
                assert await listed(database) == 0
                await database.read(end_session)
                await database.write(add_and_lose)
                assert await listed(database) == 1

        opened(settings, work)
        assert len(runs) == 2

    def test_many_sessions_that_ended_at_once_are_replaced(self, shared: Place, settings: Settings) -> None:
        sessions = 8
        together = asyncio.Barrier(sessions)

        async def wait_for_others(_transaction: ReadTransaction) -> None:
            await together.wait()

        async def work(database: Database) -> None:
            await asyncio.gather(*(database.read(wait_for_others) for _ in range(sessions)))
            ended = await asyncio.to_thread(shared.sql, END_SESSIONS)
            assert len(ended) >= sessions
            with as_user("ada"):
                await asyncio.gather(*(database.write(add) for _ in range(sessions)))
                assert await listed(database) == sessions

        opened(settings.model_copy(update={"db_pool_size": sessions}), work)

    def test_a_session_that_ends_at_commit_leaves_the_outcome_open(self, place: Place) -> None:
        async def work(database: Database) -> None:
            for statement in END_SESSION_AT_COMMIT:
                await asyncio.to_thread(place.sql, statement)
            with as_user("ada"), pytest.raises(OutcomeUnknown):
                await database.write(add)

        opened(settings_of(place, row_level_security="on"), work)


END_SESSIONS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    """
END_SESSION_AT_COMMIT = (
    """
    CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER end_session AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION end_session()
    """,
)


class TestSettings:
    def test_without_sign_in_it_is_left_as_it_is(self, place: Place) -> None:
        opened(settings_of(place), is_inactive)
        assert place.secured() == OFF

    @pytest.mark.parametrize("serving", ["owner", "granted"])
    @pytest.mark.parametrize("asked", [{"auth": "jwt", "jwt_secret": SECRET}, {"row_level_security": "on"}])
    def test_with_sign_in_or_told_so_it_is_on(
        self, place: Place, serving: str, asked: dict[str, str]
    ) -> None:
        opened(settings_of(place, database_url=getattr(place, serving), **asked), is_active)
        assert place.secured() == ON

    def test_off_it_is_taken_back(self, place: Place) -> None:
        opened(settings_of(place, row_level_security="on"), is_active)
        opened(settings_of(place, row_level_security="off"), is_inactive)
        assert place.secured() == OFF

    @pytest.mark.parametrize("attributes", ["SUPERUSER", "BYPASSRLS"])
    def test_a_role_that_bypasses_it(
        self, place: Place, attributes: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "taskwell")
        with role(attributes) as name:
            place.sql(f"GRANT {make_url(place.owner).username} TO {name}")
            url = by(place.admin, name)
            with pytest.raises(StartupError, match="serve with a role without SUPERUSER and BYPASSRLS"):
                opened(settings_of(place, database_url=url, row_level_security="on"), is_inactive)
            opened(settings_of(place, database_url=url, auth="jwt", jwt_secret=SECRET), is_inactive)
            assert caplog.text.count("row-level security has no effect") == 1
            assert place.secured() == OFF

    def test_a_role_that_may_not_alter(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "taskwell")
        opened(settings_of(place), is_inactive)
        alone: dict[str, Any] = {"migration_database_url": None}
        refusal = "does not own the tables: set MIGRATION_DATABASE_URL with a role"
        with pytest.raises(StartupError, match=refusal):
            opened(settings_of(place, **alone, row_level_security="on"), is_active)
        opened(settings_of(place, **alone, auth="jwt", jwt_secret=SECRET), is_inactive)
        assert caplog.text.count("does not own the tables") == 1
        assert place.secured() == OFF
        asyncio.run(startup.upgrade(settings_of(place, row_level_security="on")))
        opened(settings_of(place, **alone, row_level_security="on"), is_active)
        opened(settings_of(place, **alone, row_level_security="off"), is_active)
        assert place.secured() == ON

    def test_the_log_says_that_it_is_on(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "taskwell"):
            opened(settings_of(place, row_level_security="on"), is_active)
        assert caplog.messages[-1].endswith(", with row-level security")

    def test_a_server_that_does_not_migrate(self, place: Place) -> None:
        asked = settings_of(place, row_level_security="on")
        waiting = settings_of(place, row_level_security="on", migrate_at_start=False)
        opened(settings_of(place), is_inactive)
        with pytest.raises(StartupError, match="run `taskwell db upgrade`"):
            opened(waiting, is_active)
        asyncio.run(startup.upgrade(asked))
        opened(waiting, is_active)

    def test_where_it_is_on_already_nothing_is_locked(self, place: Place) -> None:
        settings = settings_of(place, row_level_security="on")

        async def work(database: Database) -> None:
            async with backend_of(database).writing() as connection:
                await connection.execute(text("LOCK TABLE tasks IN ROW EXCLUSIVE MODE"))
                another = Database(settings)
                async with asyncio.timeout(4):
                    (await startup.start(settings, another)).cancel()
                assert another.ready
                await another.close()

        opened(settings, is_active)
        opened(settings, work)


async def is_active(database: Database) -> None:
    assert database.ready
    assert backend_of(database).row_security
    assert await database.read(owners, "users") == []


async def is_inactive(database: Database) -> None:
    assert database.ready
    assert not backend_of(database).row_security
    assert await database.read(owners, "users") == []


class TestMigrations:
    def test_to_the_policies_and_back(self, place: Place) -> None:
        settings = settings_of(place, row_level_security="on")
        policies = "SELECT tablename FROM pg_policies WHERE policyname = 'taskwell_owner'"

        async def back_and_forth() -> None:
            await migrate.downgrade(settings, "0004")
            assert await asyncio.to_thread(place.sql, policies) == []
            assert await asyncio.to_thread(place.secured) == OFF
            await migrate.upgrade(settings)

        opened(settings, settled)
        asyncio.run(back_and_forth())
        assert {name for (name,) in place.sql(policies)} == set(OWNERS)
        assert place.sql("SELECT count(*) FROM tasks") == [(4,)]

    def test_the_models_are_as_the_database(self, place: Place) -> None:
        settings = settings_of(place, row_level_security="on")
        opened(settings, is_active)
        assert asyncio.run(migrate.check(settings)) is None

    @pytest.mark.parametrize("pooler", ["none", "transaction"])
    def test_a_migration_sees_all_rows(self, place: Place, pooler: str) -> None:
        alone = {"database_url": place.owner, "migration_database_url": None, "db_pooler": pooler}
        settings = settings_of(place, row_level_security="on", **alone)
        opened(settings, settled)
        count = text("SELECT count(*) FROM tasks")
        assert asyncio.run(migrate.migrating(settings, lambda sync: sync.execute(count).scalar())) == 4


class TestServers:
    def test_one_without_sign_in_serves_where_it_is_on(self, place: Place) -> None:
        opened(settings_of(place, row_level_security="on"), is_active)
        for pooler in ("none", "transaction"):
            with (
                local_server(settings_of(place, db_pooler=pooler)) as server,
                client_of(server.url) as client,
            ):
                assert backend_of(server.database).row_security
                mine, theirs = create(client, "/api/tasks"), create(client, "/api/bob/tasks")
                assert client.get("/api/tasks").json() == [mine]
                assert client.get(f"/api/bob/tasks/{theirs['id']}").json() == theirs
                assert client.delete("/api/users/bob").status_code == 204
                assert client.delete("/api/users/default").status_code == 204

    def test_one_goes_on_when_another_turns_it_on(self, place: Place) -> None:
        with local_server(settings_of(place)) as server, client_of(server.url) as client:
            before = create(client, "/api/tasks")
            opened(settings_of(place, row_level_security="on"), is_active)
            after = create(client, "/api/tasks")
            assert client.get("/api/tasks").json() == [after, before]

    def test_one_with_sign_in_keeps_users_apart(self, place: Place) -> None:
        settings = settings_of(place, auth="jwt", jwt_secret=SECRET)
        with (
            local_server(settings) as server,
            client_of(server.url, "ada") as ada,
            client_of(server.url, "bob") as bob,
            ada.stream("GET", "/api/events?since=0") as events,
        ):
            assert backend_of(server.database).row_security
            hers, his = create(ada, "/api/tasks"), create(bob, "/api/tasks")
            for client, own in ((ada, hers), (bob, his)):
                answer = client.get("/api/tasks")
                assert answer.json() == [own]
                known = {"If-None-Match": answer.headers["etag"]}
                assert client.get("/api/tasks", headers=known).status_code == 304
            assert (
                next(line for line in events.iter_lines() if line.startswith('data: {"id"')).count(hers["id"])
                == 1
            )
            problem(ada.get(f"/api/tasks/{his['id']}"), 404, "not_found")

    def test_an_admin_is_let_at_the_users(self, place: Place) -> None:
        settings = settings_of(place, auth="jwt", jwt_secret=SECRET)

        async def admit(database: Database) -> str:
            new = TokenCreate(name="admin", scopes=["admin"])
            with as_user(ALL_USERS):
                return (await database.write(tokens.create_token, "root", new, create_user=True)).token

        token = opened(settings, admit)
        with local_server(settings) as server, client_of(server.url, token=token) as client:
            user = client.post("/api/users", json={"id": "ada", "email": "ada@example.com"})
            assert user.status_code == 201
            assert client.get("/api/users/ada").json() == user.json()
            taken = client.post("/api/users", json={"id": "bob", "email": "ada@example.com"})
            problem(taken, 409, "conflict")
            assert client.delete("/api/users/ada").status_code == 204

    def test_the_house_is_kept_for_everybody(self, settings: Settings) -> None:
        async def work(database: Database) -> None:
            await settled(database)
            with as_user(ALL_USERS):
                for table in ("tasks SET deleted_at", "idempotency_keys SET created_at"):
                    await database.write(written, f"UPDATE {table} = now() - interval '40 days'")
                await purge_expired(database, trash_days=30, history_days=90)
                assert await database.read(owners, "tasks") == []
                assert await database.read(owners, "idempotency_keys") == []

        opened(settings, work)


def client_of(url: str, user: str | None = None, *, token: str | None = None) -> httpx2.Client:
    if user is not None:
        token = jwt.encode({"sub": user, "exp": int(time.time()) + 600}, SECRET, algorithm="HS256")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.Client(base_url=url, headers=headers, timeout=30)


_FILTER = re.compile(r"\b(?:tasks\.user_id|users\.id) = \$\d+(?:::\w+)?")


@contextmanager
def forgetful(database: Database) -> Iterator[None]:
    """Whoever's tasks or whichever user a statement means, it means all."""

    def forgotten(sql: str, values: Any) -> tuple[str, Any]:
        whose = r"\b(?:tasks\.user_id|users\.id) = (?:\$\d+(?:::\w+)?|\w+\.user_id)"
        return re.sub(whose, r"(\g<0> OR true)", sql), values

    def forget(_connection: Any, _cursor: Any, sql: str, values: Any, *_: Any) -> tuple[str, Any]:
        return forgotten(sql, values)

    compiled = PreparedStatement.compiled
    engine = backend_of(database)._engine.sync_engine
    event.listen(engine, "before_cursor_execute", forget, retval=True)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PreparedStatement, "compiled", lambda *given: forgotten(*compiled(*given)))
            yield
    finally:
        event.remove(engine, "before_cursor_execute", forget)


# As SQLAlchemy says it, and as the driver does of a prepared statement.
SAME_KEY = IntegrityError, asyncpg.UniqueViolationError

Attack = Callable[[Database, UUID, UUID], Awaitable[Any]]
ATTACKS: dict[str, Attack] = {
    "get": lambda database, task, _: database.read(tasks.get_task, "ada", task),
    "update": lambda database, task, _: database.write(
        tasks.update_task, "ada", task, TaskUpdate(title="Hers now")
    ),
    "update nothing": lambda database, task, _: database.write(tasks.update_task, "ada", task, TaskUpdate()),
    "guarded update": lambda database, task, _: database.write(
        tasks.update_task, "ada", task, TaskUpdate(title="Hers now"), expected=frozenset({1, 2, 3})
    ),
    "toggle": lambda database, task, _: database.write(tasks.toggle_task, "ada", task, TaskToggle()),
    "get together": lambda database, task, _: database.read_coalesced(get_tasks, TaskKey("ada", str(task))),
    "toggle together": lambda database, task, _: database.write_coalesced(
        toggle_tasks, TaskKey("ada", str(task))
    ),
    "delete": lambda database, task, _: database.write(tasks.delete_task, "ada", task),
    "restore": lambda database, _, deleted: database.write(tasks.restore_task, "ada", deleted),
    "batch": lambda database, task, _: Operations(database).execute(
        RunBatch(
            "ada",
            Batch.model_validate({"operations": [{"op": "delete", "id": str(task)}]}).operations,
            create_user=True,
            require_versions=False,
        )
    ),
}


class TestForgottenFilters:
    """The services' own filters taken away: what is left is the database's."""

    def test_anothers_task_is_not_found(self, settings: Settings) -> None:
        async def work(database: Database) -> None:
            people = await settled(database)
            before = await everything(database)
            found = []
            for name, attack in ATTACKS.items():
                with forgetful(database), as_user("ada"), suppress(NotFound):
                    await attack(database, people.tasks["bob"], people.trash["bob"])
                    found.append(name)
                assert await everything(database) == before, name
            assert found == []

        opened(settings, work)

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_without_row_level_security_it_is(self, unsecured: Place, attack: str) -> None:
        async def work(database: Database) -> None:
            people = await settled(database)
            # Without their filters, two users' records of one write can have the same key.
            with forgetful(database), as_user("ada"), suppress(*SAME_KEY):
                await ATTACKS[attack](database, people.tasks["bob"], people.trash["bob"])

        unsecured.empty()
        opened(settings_of(unsecured, row_level_security="off"), work)

    def test_lists_and_changes_are_ones_own(self, settings: Settings) -> None:
        async def work(database: Database) -> None:
            people = await settled(database)
            with forgetful(database), as_user("ada"):
                own = people.tasks["ada"]
                found = await database.read(list_tasks, "ada", TaskQuery(), limit=10)
                assert [task.id for task in found] == [own]
                found = await database.read(
                    list_tasks, "ada", TaskQuery(filter=TaskFilter(q="milk")), limit=10
                )
                assert [task.id for task in found] == [own]
                deleted = TaskQuery(filter=TaskFilter(deleted=True))
                found = await database.read(list_tasks, "ada", deleted, limit=10)
                assert [task.id for task in found] == [people.trash["ada"]]
                assert await database.read(count_tasks, "ada", TaskFilter()) == 1
                feed = await database.read(changes.list_changes, "ada", None, limit=10)
                seen = {change.id for change in feed.changes if isinstance(change, TaskRead | TaskGone)}
                assert seen == {own, people.trash["ada"]}

        opened(settings, work)

    def test_ones_own_are_all_that_is_written(self, settings: Settings) -> None:
        async def work(database: Database) -> None:
            people = await settled(database)
            before = [row for row in await everything(database) if row[0] == "bob"]
            with forgetful(database), as_user("ada"):
                await database.write(add)
                own = people.tasks["ada"]
                await database.write(tasks.update_task, "ada", own, TaskUpdate(title="Buy bread"))
                assert await database.write(trash.delete_tasks, "ada", TaskFilter()) == 2
                assert await database.write(trash.purge, utc_now() + timedelta(days=1)) == 3
            after = await everything(database)
            assert [row for row in after if row[0] == "bob"] == before
            assert {row[0] for row in after} == {"bob"}

        opened(settings, work)


async def everything(database: Database) -> list[tuple[Any, ...]]:
    """All tasks, with the numbers of their owners."""
    statement = "SELECT tasks.*, users.last_seq, users.purged_seq FROM tasks JOIN users ON users.id = user_id"

    async def read(transaction: ReadTransaction) -> list[tuple[Any, ...]]:
        return sorted(tuple(row) for row in await transaction.all(text(statement)))

    with as_user(ALL_USERS):
        return await database.read(read)


class TestPlans:
    def test_the_list_is_still_read_from_its_index_in_its_order(self, place: Place) -> None:
        """In a table of some size, of which the planner knows what is in it."""
        settings = settings_of(place, row_level_security="on")

        async def plan(database: Database) -> str:
            await asyncio.to_thread(place.sql, MANY_USERS)
            await asyncio.to_thread(place.sql, MANY_TASKS)
            await asyncio.to_thread(place.sql, "ANALYZE tasks")
            with as_user("user-1"):
                async with backend_of(database).reading() as connection:
                    return await explained(connection)

        found = opened(settings, plan)
        assert "ix_tasks_user_id_created_at_id" in found
        assert "Sort" not in found


MANY_USERS = "INSERT INTO users SELECT 'user-' || n, NULL, now(), 0 FROM generate_series(0, 19) n"
MANY_TASKS = """
    INSERT INTO tasks (user_id, id, title, completed, created_at, updated_at, version)
    SELECT 'user-' || n % 20, gen_random_uuid(), 'Buy milk', false, now() - n * interval '1 s', now(), n
    FROM generate_series(1, 20000) n
    """


async def explained(connection: AsyncConnection) -> str:
    """How the database would run the statement of the list."""
    statement, values = list_sql(connection.dialect, "user-1", TaskQuery(), limit=100)
    query = f"EXPLAIN {statement}"
    rows = await connection.run_sync(lambda sync: sync.exec_driver_sql(query, values).all())
    return "\n".join(str(row) for row in rows)
