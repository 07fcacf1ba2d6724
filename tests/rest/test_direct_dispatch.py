"""Simple requests, answered before routing: as they are after it."""

from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import task_bodies
from harness.databases import new_database
from harness.figures import Form
from harness.responses import problem, violation
from harness.servers import LocalServer, local_server
from stress import parity
from stress.client import Client, Request
from stress.parity import Side
from taskwell.core.settings import Settings
from taskwell.schemas.query import QueryCache, TaskQuery
from tests.conftest import share_of

# The fast path reads the mounts by itself.
pytestmark = pytest.mark.both_mounts


def etag_of(client: httpx2.Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    etag: str = answer.headers["etag"]
    return etag


QUERIES = [
    "", "?limit=2", "?completed=false&sort=-title", "?q=milk", "?deleted=true", "?unknown=1",
    "?due=2026-11-20,none", "?due=none,today&tz=Asia/Tokyo",
]  # fmt: skip


class TestPolls:
    @pytest.mark.parametrize("query", QUERIES)
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_an_unchanged_list_is_a_304_until_the_next_write(
        self, client: httpx2.Client, tasks: str, query: str, slash: str
    ) -> None:
        client.post(tasks, json={"title": "Buy milk"})
        path = f"{tasks}{slash}{query}"
        etag = etag_of(client, path)
        for _ in range(2):
            answer = client.get(path, headers={"If-None-Match": etag})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == etag
            assert answer.headers["x-request-id"]
        client.post(tasks, json={"title": "Buy milk too"})
        answer = client.get(path, headers={"If-None-Match": etag})
        assert answer.status_code == 200
        assert answer.headers["etag"] == etag_of(client, path) != etag

    def test_the_tag_of_another_list_is_none_of_this_one(self, client: httpx2.Client, tasks: str) -> None:
        client.post(tasks, json={"title": "Buy milk"})
        other = etag_of(client, f"{tasks}?limit=1")
        etag_of(client, tasks)
        assert client.get(tasks, headers={"If-None-Match": other}).status_code == 200

    def test_every_other_way_to_ask_is_answered_as_ever(self, client: httpx2.Client, tasks: str) -> None:
        etag = etag_of(client, tasks)
        headers = {"If-None-Match": f'"x", W/{etag}'}
        assert client.get(tasks, headers=headers).status_code == 304
        assert client.head(tasks, headers=headers).status_code == 304
        headers = {"If-None-Match": etag, "Prefer": "handling=strict"}
        answer = client.get(tasks, headers=headers)
        assert (answer.status_code, answer.headers["preference-applied"]) == (304, "handling=strict")
        answer = client.get(f"{tasks}?unknown=1")
        assert answer.status_code == 200
        headers["If-None-Match"] = answer.headers["etag"]
        problem(client.get(f"{tasks}?unknown=1", headers=headers), 400, "validation_error")
        problem(client.get(tasks, headers={"If-None-Match": "1"}), 400, "validation_error")
        answer = client.post(tasks, json={"title": "x"}, headers={"If-None-Match": etag})
        assert violation(answer)["code"] == "not_allowed"


class TestQueryCache:
    def test_forget_rather_than_grow(self) -> None:
        queries = QueryCache()
        for n in range(25_000):
            queries.remember(b"limit=%d" % n, TaskQuery(), n)
        assert len(queries._queries) <= 10_000
        assert queries.find(b"limit=24999") == (TaskQuery(), 24_999)
        assert queries.find(b"limit=1") is None

    def test_keep_nothing_that_is_long(self) -> None:
        queries = QueryCache()
        queries.remember(b"q=" + b"a" * 600, TaskQuery(), None)
        assert queries.find(b"q=" + b"a" * 600) is None


_BODIES = task_bodies.bodies(task_bodies.anything, task_bodies.REQUIRED)
_STATES = st.none() | st.fixed_dictionaries({}, optional={"completed": st.booleans()})
_MOVES = st.sampled_from(
    [None, {"after": None}, {"before": None}, {}, {"after": None, "before": None}, {"after": "x"},
     {"after": "01900000-0000-7000-8000-000000000000"}, {"after": None, "parent_id": None, "x": 1}]
)  # fmt: skip
_CONDITIONS = st.dictionaries(
    st.sampled_from(["If-None-Match", "If-Match", "Prefer", "Idempotency-Key", "Accept"]),
    st.sampled_from(['"1"', '"2"', "*", "x", "handling=strict"]),
    max_size=1,
)
_TASKS = st.sampled_from(["/{0}", "/{1}", "/{2}", "/01900000-0000-7000-8000-000000000000", "/x"])
_LISTS = st.sampled_from(
    [
        "",
        "/",
        "?limit=1",
        "?limit=2",
        "?limit=0",
        "?status=completed",
        "?q=b",
        "?sort=title",
        "?x=1",
        "?deleted=true",
        "?due=none",
        "?due_after=2026-11-20",
        "?due=2026-11-20&tz=Asia/Tokyo&limit=1",
    ]
)
_FIRST = Request("POST", "", {"title": "Buy milk"})
_STEPS = st.one_of(
    st.builds(lambda body, headers: Request("POST", "", body, headers), _BODIES, _CONDITIONS),
    st.builds(lambda path, headers: Request("GET", path, None, headers), _TASKS, _CONDITIONS),
    st.builds(lambda path, headers: Request("GET", path, None, headers), _LISTS, _CONDITIONS),
    st.builds(
        lambda path, body, headers: Request("POST", f"{path}/toggle", body, headers),
        _TASKS, _STATES, _CONDITIONS,
    ),
    st.builds(
        lambda path, body, headers: Request("POST", f"{path}/move", body, headers),
        _TASKS, _MOVES, _CONDITIONS,
    ),
    st.builds(lambda path: Request("DELETE", path), _TASKS),
)  # fmt: skip


@pytest.mark.slow
class TestEquality:
    """The same requests at a server that takes the fast path and at one that does not."""

    def test_no_answer_tells_which_way_it_came(self, database_kind: str, tmp_path: Path) -> None:
        with ExitStack() as stack:
            one, other = (self.server(stack, database_kind, tmp_path / way) for way in ("short", "usual"))
            figures = parity.compare(one.port, other.port, Form(share_of(2_100) / 20_000, seed=5))
        assert figures.broken == []
        assert figures.values["requests"] == share_of(2_100)

    def test_no_answer_to_what_hypothesis_thinks_of_tells_which_way_it_came(
        self, database_kind: str, tmp_path: Path
    ) -> None:
        users = count()
        with ExitStack() as stack:
            one, other = (
                stack.enter_context(Client(self.server(stack, database_kind, tmp_path / way).port))
                for way in ("short", "usual")
            )

            @settings(max_examples=share_of(150), deadline=None)
            @given(st.lists(_STEPS, min_size=1, max_size=12))
            def compare(steps: list[Request]) -> None:
                here, there = Side(one), Side(other)
                user = f"/api/user-{next(users)}/tasks"
                for step in (_FIRST, *steps):
                    request = replace(step, path=f"{user}{step.path}")
                    assert here.send(request) == there.send(request)

            compare()

    def server(self, stack: ExitStack, kind: str, folder: Path) -> LocalServer:
        folder.mkdir()
        url = stack.enter_context(new_database(kind, folder))
        fast_path = folder.name == "short"
        return stack.enter_context(local_server(Settings(database_url=url), fast_path=fast_path))
