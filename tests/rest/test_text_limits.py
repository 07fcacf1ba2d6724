"""The limits of texts are settings; what is stored already is never refused."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from harness.responses import create, violation
from harness.servers import local_server
from harness.side_effects import execute
from taskwell.core.settings import Settings


@pytest.fixture
def short(database_url: str) -> Iterator[httpx2.Client]:
    settings = Settings(database_url=database_url, title_max_length=10, description_max_length=0)
    with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
        client.settings = settings  # type: ignore[attr-defined]
        yield client


TASKS = "/api/ada/tasks"


class TestSettings:
    def test_a_server_has_limits_of_its_own(self, short: httpx2.Client) -> None:
        assert create(short, TASKS, title="x" * 10)["title"] == "x" * 10
        for _ in range(4):  # the fast path too
            found = violation(short.post(TASKS, json={"title": "x" * 11}))
            assert (found["pointer"], found["code"]) == ("/title", "too_long")
            assert found["detail"] == "must have 1 to 10 characters"
        found = violation(short.post(TASKS, json={"title": "x", "description": "y"}))
        assert found["detail"] == "must have 0 to 0 characters"
        assert len(short.get(TASKS).json()) == 1

    def test_they_may_be_as_long_as_the_table_allows(self, database_url: str) -> None:
        settings = Settings(database_url=database_url, title_max_length=1_000, description_max_length=65_536)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            body = {"title": "ä" * 1_000, "description": "\U0001f600" * 65_536}
            for _ in range(3):
                assert create(client, TASKS, **body).items() >= body.items()
            assert client.post(TASKS, json={"title": "x" * 1_001}).status_code == 400

    def test_pages_by_title_go_on_behind_long_titles(self, database_url: str) -> None:
        """A cursor has the beginning of a title only: no address of a page is too long for a proxy."""
        settings = Settings(database_url=database_url, title_max_length=1_000)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            for end in "cab":
                for letter in ("\U0001f600", "\u0390", "z"):
                    create(client, TASKS, title=letter * 999 + end)
            whole = [task["id"] for task in client.get(f"{TASKS}?sort=title").json()]
            found, path = [], f"{TASKS}?sort=title&limit=1"
            while path:
                answer = client.get(path)
                found += [task["id"] for task in answer.json()]
                path = answer.links.get("next", {}).get("url", "")
                assert len(path) < 4_400
            assert found == whole

    def test_the_document_says_them(self, short: httpx2.Client) -> None:
        schemas = short.get("/openapi.json").json()["components"]["schemas"]
        assert schemas["TaskCreate"]["properties"]["title"]["maxLength"] == 10
        assert schemas["TaskUpdate"]["properties"]["title"]["maxLength"] == 10

    @pytest.mark.parametrize("name", ["title_max_length", "description_max_length"])
    @pytest.mark.parametrize("value", [-1, 65_537])
    def test_beyond_the_table_is_refused(self, name: str, value: int, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=name):
            Settings(database_url=f"sqlite:///{tmp_path}/x.db", **{name: value})  # type: ignore[arg-type]


class TestStoredTexts:
    """As an import or another protocol stores them."""

    def test_what_is_repeated_is_not_refused(self, short: httpx2.Client) -> None:
        task = create(short, TASKS, title="short")
        path = f"{TASKS}/{task['id']}"
        long = {"title": "t" * 300, "description": "d" * 5_000}
        sets = f"title = '{long['title']}', description = '{long['description']}'"
        execute(short.settings, f"UPDATE tasks SET {sets} WHERE user_id = 'ada'")  # type: ignore[attr-defined]
        whole = short.get(path).json()
        answer = short.patch(path, json={**whole, "completed": True})
        assert answer.status_code == 200, answer.text
        assert answer.json().items() >= {**long, "completed": True}.items()
        assert short.put(path, json=long).status_code == 200
        step = {"op": "update", "id": task["id"], "task": {**long, "completed": False}}
        batch = short.post(f"{TASKS}/batch", json={"operations": [step]})
        assert batch.json()["results"][0]["task"].items() >= {**long, "completed": False}.items()

    @pytest.mark.parametrize("title", ["", " ", " " * 1_001])
    def test_a_blank_title_is_and_the_limit_is_the_servers(self, title: str, short: httpx2.Client) -> None:
        path = f"{TASKS}/{create(short, TASKS, title='short')['id']}"
        found = violation(short.patch(path, json={"title": title}))
        assert found["detail"] == "must have 1 to 10 characters"
        assert short.get(path).json()["title"] == "short"

    def test_another_long_text_is(self, short: httpx2.Client) -> None:
        path = f"{TASKS}/{create(short, TASKS, title='short')['id']}"
        found = violation(short.patch(path, json={"title": "u" * 300, "completed": True}))
        assert found == {"pointer": "/title", "code": "too_long", "detail": "must have 1 to 10 characters"}
        step = {"op": "update", "id": path.rpartition("/")[2], "task": {"title": "u" * 300}}
        batch = short.post(f"{TASKS}/batch", json={"operations": [step]})
        assert violation(batch)["pointer"] == "/operations/0/task/title"
        new = short.put(f"{TASKS}/01900000-0000-7000-8000-000000000001", json={"title": "u" * 300},
                        headers={"If-None-Match": "*"})  # fmt: skip
        assert violation(new)["code"] == "too_long"
        assert short.get(path).json()["title"] == "short"
