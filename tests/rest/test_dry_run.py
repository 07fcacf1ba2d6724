"""A dry run: the answer of the real call, and not a byte of the database is another one.

The operations come from the OpenAPI document, so a new one is tried out without anybody thinking of it; it
needs an example here.
"""

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest

from harness.databases import migrated_database
from harness.responses import create, problem, unknown_id, violation
from harness.servers import LocalServer, local_server
from harness.side_effects import at_once
from taskwell.core.settings import Settings

DOCUMENT = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())
# The answer would show a secret that does not exist, or a message would be sent: they cannot be a dry run.
REFUSED = {
    "create_token", "create_webhook", "rotate_webhook", "ping_webhook", "redeliver", "user_create_webhook",
    "user_rotate_webhook", "user_ping_webhook", "user_redeliver",
}  # fmt: skip
DRY = {"dry_run": "true"}
# What two answers to the same request have each for itself.
_OWN = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z"
    r"|\b[0-9a-f]{32}\b"  # the id of a request
    r'|(?<="position":")[iR][0-9A-Za-z]{9,}(?=")'  # made of the clock
)
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What only a stored thing has depends on its ETag, and so does whether a cache may keep it.
_OWN_HEADERS = {
    "date",
    "content-length",
    "x-request-id",
    "etag",
    "location",
    "cache-control",
    "dry-run",
    "completion",
}


@dataclass(frozen=True, slots=True)
class Write:
    method: str
    path: str
    name: str


WRITES = [
    Write(method.upper(), path, operation["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if method != "get"
]
DRY_WRITES = [write for write in WRITES if write.name not in REFUSED]
WRITES_AT_FIRST_MOUNT = [write for write in WRITES if not write.name.startswith("user_")]
AT_FIRST_MOUNT = [write for write in WRITES_AT_FIRST_MOUNT if write.name not in REFUSED]


@dataclass(frozen=True, slots=True)
class Example:
    """A request that succeeds. `on`: the thing in the path. `$name` in the body is the id of a thing."""

    body: Any = None
    on: str = ""
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


_NEW = {"If-None-Match": "*"}
_SHOW = {"Prefer": "return=representation"}
_TITLED = {"title": "Buy milk"}
_EVERYTHING = [
    {"op": "create", "task": {"title": "New", "list_id": "$list", "labels": ["new"]}},
    {"op": "update", "id": "$task", "task": {"title": "Other"}},
    {"op": "toggle", "id": "$other"},
    {"op": "skip", "id": "$recurring"},
    {"op": "delete", "id": "$other"},
    {"op": "restore", "id": "$other"},
    {"op": "move", "id": "$task", "after": None},
    {"op": "create", "kind": "list", "list": {"name": "New"}},
    {"op": "update", "kind": "list", "id": "$list", "list": {"name": "Other"}},
    {"op": "move", "kind": "list", "id": "$list", "after": None},
    {"op": "archive", "kind": "list", "id": "$list"},
    {"op": "unarchive", "kind": "list", "id": "$list"},
    {"op": "delete", "kind": "list", "id": "$list"},
    {"op": "restore", "kind": "list", "id": "$list"},
]
_THINGS = [
    *(
        {"op": "create", "kind": "list", "id": f"${name}", "list": {"name": name}}
        for name in ("list", "archived", "trashed_list")
    ),
    *(
        {
            "op": "create",
            "id": f"${name}",
            "task": {**_TITLED, "labels": ["home", "work"], "description": name},
        }
        for name in ("task", "other", "trashed")
    ),
    {"op": "create", "id": "$claimed", "task": _TITLED},
    {
        "op": "create",
        "id": "$recurring",
        "task": {**_TITLED, "due": "2099-11-20", "recurrence": "FREQ=DAILY"},
    },
    {"op": "create", "task": {**_TITLED, "parent_id": "$recurring", "completed": True}},
    {"op": "create", "task": {**_TITLED, "parent_id": "$task"}},
    {"op": "create", "task": {**_TITLED, "list_id": "$list"}},
    {"op": "create", "task": {**_TITLED, "list_id": "$trashed_list"}},
    {"op": "delete", "id": "$trashed"},
    {"op": "delete", "kind": "list", "id": "$trashed_list"},
    {"op": "archive", "kind": "list", "id": "$archived"},
]
# By the operation, at both mounts.
EXAMPLES: dict[str, list[Example]] = {
    "revoke_token": [Example()],
    "create_user": [Example({"id": "$new", "email": "$new@example.com"})],
    "update_me": [Example({"time_zone": "Europe/Berlin"}), Example({"time_zone": "Asia/Tokyo"}, on="nobody")],
    "delete_user": [Example()],
    "create_task": [
        Example({"title": "Buy milk"}),
        Example({"title": "Buy milk", "list_id": "$list", "due": "2026-11-20", "labels": ["x"]}),
        Example({"title": "Buy milk", "due": "2026-11-20T09:00:00Z"}, query={"tz": "Asia/Tokyo"}),
        Example({"title": "Buy milk"}, on="nobody"),
        Example({"title": "Buy milk"}, headers={"If-Match": "*"}),
    ],
    "quick_add": [Example({"text": "Buy milk #list @shop !1"}), Example({"text": "Buy milk"}, on="nobody")],
    "delete_tasks": [Example(), Example(query={"q": "milk"})],
    "run_batch": [
        Example({"operations": _EVERYTHING}),
        Example({"operations": _EVERYTHING[:1]}, headers={"If-Match": "*"}),
        Example({"operations": [{"op": "create", "task": {"title": "First"}}]}, on="nobody"),
    ],
    "update_task": [
        Example({"title": "Buy bread"}),
        Example({"list_id": "$list", "priority": 1, "labels_add": ["x"]}),
        Example({}),
        Example({"completed": True}, headers={"If-Match": "*", "Prefer": "handling=strict"}),
    ],
    "put_task": [
        Example({"title": "Buy bread"}),
        Example({"title": "Buy bread"}, on="new", headers=_NEW),
        Example({"title": "Buy bread"}, on="nobody", headers=_NEW),
    ],
    "delete_task": [Example(), Example(headers=_SHOW)],
    "restore_task": [Example(on="trashed"), Example()],
    "move_task": [Example({"after": "$other"}), Example({"after": None, "list_id": "$list"})],
    "toggle_task": [Example(), Example({"completed": True}), Example({"completed": False})],
    "complete_task": [Example(), Example(on="recurring")],
    "skip_occurrence": [Example(on="recurring")],
    "create_list": [Example({"name": "New"}), Example({"name": "New"}, on="nobody")],
    "update_list": [Example({"name": "Other", "color": "#ff0000"}), Example({})],
    "put_list": [Example({"name": "Other"}), Example({"name": "New"}, on="new", headers=_NEW)],
    "delete_list": [Example(), Example(headers=_SHOW), Example(query={"tasks": "keep"})],
    "restore_list": [Example(on="trashed_list"), Example()],
    "archive_list": [Example()],
    "unarchive_list": [Example(on="archived"), Example()],
    "move_list": [Example({"before": None}), Example({"after": "$archived"})],
    "claim_next_tasks": [Example({"count": 2}), Example({"filter": {"label": ["home"]}, "sort": "title"})],
    "claim_task": [Example({"seconds": 60, "note": "worktree 3"}), Example()],
    "renew_claim": [Example({"seconds": 60}, on="claimed")],
    "release_claim": [Example(on="claimed")],
    "release_task": [Example(on="claimed"), Example()],
    "undo": [Example({"client": "agent", "since": 0}), Example({"versions": [1]})],
    "put_label": [Example({"color": "#ff0000"}), Example({"color": None}, on="nobody")],
    "put_label_by_name": [Example({"color": "#ff0000"})],
    "update_label": [Example({"name": "house"}), Example({"name": "work"})],
    "update_label_by_name": [Example({"name": "house"})],
    "delete_label": [Example()],
    "delete_label_by_name": [Example()],
    "update_webhook": [Example({"events": ["task.*"], "active": False}), Example({"cursor": "now"})],
    "delete_webhook": [Example()],
}


# What is no `true` and no `false`, and its code.
ODD = {
    "dry_run": "blank",
    "dry_run=": "blank",
    "dry_run=%20": "blank",
    "dryRun=": "blank",
    "dry-run=": "blank",
    "dryrun=x": "invalid_flag",
    "dryRun=All": "invalid_flag",
    "dry_run=1x": "invalid_flag",
    "dry_run=tru": "invalid_flag",
    "dry_run=true%20": "invalid_flag",
    "dry_run=null": "invalid_flag",
    "dry_run=true,false": "invalid_flag",
    "dry_run=true%00": "malformed",
    "dry_run=true&dry_run=true": "repeated",
    "dry_run=false&dry_run=true": "repeated",
    "dry_run=false&dryRun=true": "repeated",
    "dry_run=false&dry_run=": "blank",
}


def examples(write: Write) -> list[Example]:
    return EXAMPLES[write.name.removeprefix("user_")]


@dataclass
class Owner:
    """A user with something to lose. `things`: ids by name. `new`: of what is not there yet."""

    client: httpx2.Client
    user_id: str
    things: dict[str, str] = field(default_factory=dict)
    new: str = field(default_factory=unknown_id)
    claim: int = 1

    def fill(self) -> None:
        client, home = self.client, f"/api/{self.user_id}"
        things = self.things
        for name in ("list", "archived", "trashed_list", "task", "other", "trashed", "claimed", "recurring"):
            things[name] = unknown_id()
        client.post(f"{home}/tasks/batch", json={"operations": self._filled(_THINGS)}).raise_for_status()
        answer = client.post(f"{home}/tasks/{things['claimed']}/claim").raise_for_status()
        self.claim = answer.json()["claim"]
        agent = {"Taskwell-Agent": "agent"}
        task = f"{home}/tasks/{things['task']}"
        client.patch(task, json={"title": "Agent"}, headers=agent).raise_for_status()
        client.put(f"{home}/labels/home", json={"color": "#00ff00"}).raise_for_status()
        hook = client.post(f"{home}/webhooks", json={"url": "https://hooks.invalid/", "events": ["*"]})
        things["webhook"] = hook.raise_for_status().json()["id"]
        key = {"Idempotency-Key": self.user_id}
        client.post(f"{home}/tasks", json={"title": "Kept"}, headers=key).raise_for_status()

    def request(self, write: Write, example: Example, **query: str) -> httpx2.Request:
        in_path = example.on if example.on != "nobody" else ""
        values = {
            "user_id": self.user_id,
            "id": self.user_id,
            "task_id": self.things.get(in_path or "task", self.new),
            "list_id": self.things.get(in_path or "list", self.new),
            "token_id": self.things.get("token", self.new),
            "webhook_id": self.things.get(in_path or "webhook", self.new),
            "name": "home",
            "claim": self.claim,
        }
        named = {"name": "home"} if write.name.endswith("_by_name") else {}
        return self.client.build_request(
            write.method,
            write.path.format_map(values),
            params={**named, **example.query, **query},
            headers=example.headers,
            json=self._filled(example.body),
        )

    def _filled(self, value: Any) -> Any:
        match value:
            case dict():
                return {name: self._filled(member) for name, member in value.items()}
            case list():
                return [self._filled(item) for item in value]
            case str() if value.startswith("$"):
                name, at, rest = value[1:].partition("@")
                return self.things.get(name, self.new) + at + rest
        return value

    def send(self, write: Write, example: Example, **query: str) -> httpx2.Response:
        return self.client.send(self.request(write, example, **query))

    def shown(self, answer: httpx2.Response) -> tuple[int, dict[str, str], str]:
        """An answer without what is made anew each time."""
        known = {self.new, *self.things.values()}
        text = _ID.sub(lambda found: found[0] if found[0] in known else "<id>", answer.text)
        headers = {name: answer.headers[name] for name in answer.headers if name not in _OWN_HEADERS}
        # The answer of a quick add without effect shows words, and no new task.
        shows = answer.status_code == 201 and answer.request.url.path.endswith("/quick")
        return 200 if shows else answer.status_code, headers, _OWN.sub("<own>", text)


@pytest.fixture(scope="module")
def alone(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server to whose database nobody else writes."""
    with (
        migrated_database(database_kind, tmp_path_factory.mktemp("dry")) as url,
        local_server(Settings(database_url=url, rate_limit="none", webhooks=False)) as server,
    ):
        yield server
        while _connections:
            _RUNNER.run(_connections.popitem()[1].close())


@pytest.fixture
def client(alone: LocalServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=alone.url) as client:
        yield client
        for user in _made:  # so that the dumps stay short
            client.delete(f"/api/users/{user}")
        _made.clear()


_made: set[str] = set()


def names_its_user(write: Write) -> bool:
    return "{user_id}" in write.path or "{id}" in write.path


def owner_of(client: httpx2.Client, write: Write, *, exists: bool = True) -> Owner:
    """The user in the path, or the caller, whose data is made anew; or one who is unknown."""
    owner = Owner(client, f"user-{uuid4().hex}" if names_its_user(write) else "default")
    client.delete(f"/api/users/{owner.user_id}")
    _made.add(owner.user_id)
    if exists:
        owner.fill()
        if not names_its_user(write):
            token = client.post("/api/users/me/tokens", json={"name": "x", "scopes": ["tasks:read"]})
            owner.things["token"] = token.raise_for_status().json()["id"]
    return owner


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'housekeeping'"
_POSTGRES_TABLES = (
    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'housekeeping'"
)


def dump(server: LocalServer) -> list[tuple[str, list[str]]]:
    """Every row of every table but the server's notes for itself."""
    settings = server.settings
    if not settings.database.is_sqlite:
        return _RUNNER.run(_dump(settings.database_url.get_secret_value()))
    with closing(sqlite3.connect(settings.database.path)) as connection:
        tables = [name for (name,) in connection.execute(_TABLES)]
        return [(name, sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"')))) for name in tables]


async def _dump(url: str) -> list[tuple[str, list[str]]]:
    connection = _connections.get(url)
    if connection is None:
        connection = _connections[url] = await asyncpg.connect(url)
    tables = [name for (name,) in await connection.fetch(_POSTGRES_TABLES)]
    return [
        (name, [row[0] for row in await connection.fetch(f'SELECT t::text FROM "{name}" t ORDER BY 1')])
        for name in tables
    ]


# Connecting takes longer than a dump.
_RUNNER = asyncio.Runner()
_connections: dict[str, asyncpg.Connection] = {}


def try_out(server: LocalServer, owner: Owner, write: Write, example: Example) -> httpx2.Response:
    """The real answer, before which a dry run gives the same and changes nothing."""
    before = dump(server)
    dry = owner.send(write, example, **DRY)
    assert dump(server) == before
    real = owner.send(write, example)
    assert owner.shown(dry) == owner.shown(real)
    assert "dry-run" not in real.headers
    if real.is_success:
        assert dry.headers["dry-run"] == "true"
        assert not {"etag", "location"} & set(dry.headers)
    else:
        assert dump(server) == before
    return real


def name(write: Write) -> str:
    return write.name


def unchanged_owners(
    server: LocalServer, client: httpx2.Client, writes: list[Write]
) -> Iterator[tuple[Write, Owner]]:
    """Each operation with a user; what is then asked of it may change nothing."""
    for in_path in (False, True):
        some = [write for write in writes if names_its_user(write) is in_path]
        owner = owner_of(client, some[0])
        for write in some:
            before = dump(server)
            yield write, owner
            assert dump(server) == before, write.name


class TestEveryWrite:
    def test_has_an_example(self) -> None:
        assert {write.name.removeprefix("user_") for write in DRY_WRITES} == EXAMPLES.keys()

    @pytest.mark.parametrize("write", DRY_WRITES, ids=name)
    def test_answers_as_the_real_one_and_writes_nothing(
        self, alone: LocalServer, client: httpx2.Client, write: Write
    ) -> None:
        changed = 0
        for example in examples(write):
            owner = owner_of(client, write, exists=example.on != "nobody")
            before = dump(alone)
            real = try_out(alone, owner, write, example)
            assert real.is_success, (example, real.text)
            changed += dump(alone) != before
        assert changed

    @pytest.mark.parametrize("write", AT_FIRST_MOUNT, ids=name)
    def test_fails_as_the_real_one(self, alone: LocalServer, client: httpx2.Client, write: Write) -> None:
        """Of what is not there, in another version, in a state that the rule refuses, or malformed."""
        good = examples(write)[0]
        owner = owner_of(client, write)
        bodies: list[Any] = [[], {"unknown": 1}, {"title": ""}, {"name": 1}, {"after": "$task"}]
        conditions: list[dict[str, str]] = [{"If-Match": '"999999999"'}, {"If-Match": "x"}, _NEW]
        failing = [
            *(Example(good.body, on, headers=good.headers) for on in ("missing", "trashed", "trashed_list")),
            *(Example(good.body, headers=headers) for headers in conditions),
            *(Example(body) for body in bodies),
            Example({"operations": [*_EVERYTHING, {"op": "delete", "id": unknown_id()}]}),
        ]
        statuses = {try_out(alone, owner, write, example).status_code for example in failing}
        assert any(status >= 400 for status in statuses)
        nobody = owner_of(client, write, exists=False)
        try_out(alone, nobody, write, Example(good.body))

    def test_does_nothing_if_the_parameter_is_not_understood(
        self, alone: LocalServer, client: httpx2.Client, subtests: pytest.Subtests
    ) -> None:
        # Of all operations that cannot be a dry run.
        body = {
            "name": "x", "scopes": ["tasks:read"], "url": "https://hooks.invalid", "events": ["*"], "since": 1
        }  # fmt: skip
        for write, owner in unchanged_owners(alone, client, WRITES_AT_FIRST_MOUNT):
            example = Example(body) if write.name in REFUSED else examples(write)[0]
            for text, code in ODD.items():
                with subtests.test(write=write.name, text=text):
                    request = owner.request(write, example)
                    request.url = httpx2.URL(f"{request.url}{'&' if request.url.query else '?'}{text}")
                    assert violation(client.send(request))["code"] == code

    @pytest.mark.parametrize("write", AT_FIRST_MOUNT, ids=name)
    def test_has_no_idempotency_key(self, alone: LocalServer, client: httpx2.Client, write: Write) -> None:
        good = examples(write)[0]
        keyed = Example(good.body, good.on, good.query, {**good.headers, "Idempotency-Key": uuid4().hex})
        owner = owner_of(client, write)
        before = dump(alone)
        refused = violation(owner.send(write, keyed, **DRY))
        assert (refused["parameter"], refused["code"]) == ("Idempotency-Key", "contradiction")
        assert dump(alone) == before
        assert owner.send(write, keyed, dry_run="false").is_success


class TestParameter:
    @pytest.mark.parametrize("word", ["true", "1", "yes", "on", "TRUE"])
    @pytest.mark.parametrize(
        "name", ["dry_run", "dryRun", "dryrun", "dry-run", "Dry_Run", "DRY-RUN", "DryRun"]
    )
    def test_is_true_in_every_form_of_a_flag(self, client: httpx2.Client, name: str, word: str) -> None:
        tasks = f"/api/user-{uuid4().hex}/tasks"
        answer = client.post(f"{tasks}?{name}={word}", json={"title": "x"})
        assert (answer.status_code, answer.headers["dry-run"]) == (201, "true")
        assert client.get(tasks).json() == []

    @pytest.mark.parametrize("word", ["false", "0", "no", "off", "False"])
    def test_false_writes(self, client: httpx2.Client, word: str) -> None:
        tasks = f"/api/user-{uuid4().hex}/tasks"
        answer = client.post(f"{tasks}?dry_run={word}", json={"title": "x"})
        assert answer.headers["location"] == f"{tasks}/{answer.json()['id']}"
        assert "dry-run" not in answer.headers
        assert client.get(tasks).json() == [answer.json()]

    def test_false_takes_a_key(self, client: httpx2.Client) -> None:
        tasks, key = f"/api/user-{uuid4().hex}/tasks", {"Idempotency-Key": "a"}
        for _ in range(2):
            answer = client.post(f"{tasks}?dry_run=false", json={"title": "x"}, headers=key)
            assert answer.status_code == 201
        assert client.get(tasks).json() == [answer.json()]

    def test_is_unknown_to_a_read(self, client: httpx2.Client) -> None:
        for path in ("/api/tasks", "/api/lists", "/api/changes", "/api/users/me"):
            assert client.get(f"{path}?dry_run=").status_code == 200
            answer = client.get(f"{path}?dry_run=true", headers={"Prefer": "handling=strict"})
            assert violation(answer)["code"] == "unknown_parameter"

    def test_is_known_in_strict_handling(self, client: httpx2.Client) -> None:
        strict = {"Prefer": "handling=strict"}
        answer = client.post("/api/tasks?dry_run=true", json={"title": "x"}, headers=strict)
        assert (answer.status_code, answer.headers["dry-run"]) == (201, "true")

    def test_no_token_is_made(self, client: httpx2.Client) -> None:
        path = "/api/users/me/tokens"
        before = client.get(path).json()
        new = {"name": "x", "scopes": ["tasks:read"]}
        refused = violation(client.post(f"{path}?dry_run=true", json=new))
        assert (refused["parameter"], refused["code"]) == ("dry_run", "not_allowed")
        assert client.get(path).json() == before
        assert client.post(f"{path}?dry_run=false", json=new).status_code == 201

    def test_a_page_of_another_origin_can_read_the_header(self, client: httpx2.Client) -> None:
        origin = {"Origin": "http://localhost:3000"}
        answer = client.post("/api/tasks?dry_run=true", json={"title": "x"}, headers=origin)
        assert "Dry-Run" in answer.headers["access-control-expose-headers"]


class TestFastPath:
    @pytest.mark.parametrize("way", ["", "/toggle"])
    @pytest.mark.parametrize("mount", ["/api/tasks", "/api/{}/tasks"])
    def test_leaves_a_dry_run_to_the_slow_path(
        self, alone: LocalServer, client: httpx2.Client, taken: list[bool], mount: str, way: str
    ) -> None:
        tasks = mount.format(f"user-{uuid4().hex}")
        path = f"{tasks}/{create(client, tasks)['id']}{way}" if way else tasks
        body: Any = None if way else {"title": "x"}
        for _ in range(3):
            client.post(path, json=body).raise_for_status()
        assert taken[-1]
        before = dump(alone)
        for query, status in (("dry_run=true", 200 if way else 201), ("dry_run=", 400), ("dry_run=1x", 400)):
            answer = client.post(f"{path}?{query}", json=body)
            assert (answer.status_code, taken[-1]) == (status, False)
            assert answer.headers.get("dry-run") == ("true" if status < 400 else None)
        assert dump(alone) == before
        client.post(path, json=body).raise_for_status()
        assert taken[-1]


class TestConcurrency:
    def test_beside_real_writes_none_of_which_is_lost(self, client: httpx2.Client) -> None:
        """On SQLite they share a transaction, of which only the dry ones are undone."""
        tasks = f"/api/user-{uuid4().hex}/tasks"
        create(client, tasks, title="first")

        def write(number: int) -> httpx2.Response:
            dry = DRY if number % 2 else {}
            return client.post(tasks, json={"title": str(number), "priority": 1}, params=dry)

        answers = at_once(24, write)
        assert [answer.status_code for answer in answers] == [201] * 24
        assert sorted(task["title"] for task in client.get(tasks).json()) == sorted(
            ["first", *(str(number) for number in range(0, 24, 2))]
        )
        versions = [task["version"] for task in client.get(tasks).json()]
        assert sorted(versions) == list(range(min(versions), min(versions) + 13))


def test_needs_if_match_where_the_server_demands_it(database_url: str) -> None:
    strict = Settings(database_url=database_url, require_if_match=True)
    with local_server(strict) as server, httpx2.Client(base_url=server.url) as client:
        path = f"/api/tasks/{create(client, '/api/tasks')['id']}"
        problem(client.delete(f"{path}?dry_run=true"), 428, "precondition_required")
        answer = client.delete(f"{path}?dry_run=true", headers={"If-Match": "*"})
        assert answer.status_code == 204
        assert client.get(path).status_code == 200
