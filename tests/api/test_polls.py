"""Polls of a list that was sent before: answered before routing, and as after it."""

import httpx2
import pytest

from taskwell.api.callers import OF_A_USER, Caller
from taskwell.api.polls import KnownList, KnownLists
from tests.answers import problem


def etag_of(client: httpx2.Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    etag: str = answer.headers["etag"]
    return etag


QUERIES = ["", "?limit=2", "?completed=false&sort=-title", "?q=milk", "?deleted=true", "?unknown=1"]


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
        assert client.post(tasks, json={"title": "x"}, headers={"If-None-Match": etag}).status_code == 201


def scope(query: bytes) -> dict[str, object]:
    caller = Caller("alice", OF_A_USER)
    return {"raw_path": b"/api/tasks", "query_string": query, "taskwell.caller": caller}


class TestKnownLists:
    def test_forgets_rather_than_grows(self) -> None:
        lists = KnownLists()
        for n in range(25_000):
            lists.remember(scope(b"limit=%d" % n), KnownList("alice", str(n)))
        assert len(lists._lists) <= 10_000
        assert lists.find(scope(b"limit=24999")) == KnownList("alice", "24999")
        assert lists.find(scope(b"limit=1")) is None

    def test_keeps_nothing_that_is_long(self) -> None:
        lists = KnownLists()
        long = scope(b"q=" + b"a" * 600)
        lists.remember(long, KnownList("alice", "tag"))
        assert lists.find(long) is None
