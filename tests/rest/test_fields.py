"""`fields`: less of each task, in lists and alone."""

import json

import httpx2
import pytest

from harness.responses import create, violation
from taskwell.schemas.task import FIELD_NAMES

RICH = {"due": "2026-11-20T09:00", "time_zone": "Europe/Berlin", "labels": ["a"], "extra": {"x": [1.5, None]}}


def some(task: dict[str, object], *names: str) -> dict[str, object]:
    return {name: task[name] for name in names}


class TestLists:
    @pytest.mark.parametrize("name", FIELD_NAMES)
    def test_each_field_alone(self, client: httpx2.Client, tasks: str, name: str) -> None:
        made = [create(client, tasks, title="plain"), create(client, tasks, title="rich", **RICH)]
        whole = client.get(tasks).json()
        assert client.get(tasks, params={"fields": name}).json() == [some(task, name) for task in whole]
        alone = client.get(f"{tasks}/{made[1]['id']}", params={"fields": name})
        assert alone.json() == some(whole[0], name)

    def test_they_come_in_the_order_of_a_task(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks, title="rich", **RICH)
        (task,) = client.get(tasks, params={"fields": "version,due, title,id,due"}).json()
        assert list(task) == ["id", "title", "due", "version"]

    def test_the_bytes_are_those_of_the_whole_task(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks, title='"\\ %s', **RICH)
        whole = client.get(tasks)
        every = client.get(tasks, params={"fields": ",".join(FIELD_NAMES)})
        assert every.content == whole.content
        assert every.headers["etag"] != whole.headers["etag"]

    @pytest.mark.parametrize("sort", ["-created_at", "title", "-due,title", "position"])
    def test_pages_go_on_by_fields_that_are_not_shown(
        self, client: httpx2.Client, tasks: str, sort: str
    ) -> None:
        for n in range(7):
            create(client, tasks, title=f"{n % 3}", due=f"2026-11-2{n % 4}" if n % 2 else None)
        expected = [some(task, "id", "completed") for task in client.get(tasks, params={"sort": sort}).json()]
        found, path = [], f"{tasks}?sort={sort}&limit=2&fields=completed,id"
        for _ in range(9):
            answer = client.get(path)
            found += answer.json()
            if "next" not in answer.links:
                break
            path = answer.links["next"]["url"]
        assert found == expected

    def test_a_whole_list_of_several_chunks(self, client: httpx2.Client, tasks: str) -> None:
        body = {"operations": [{"op": "create", "task": {"title": f"{n}"}} for n in range(1_000)]}
        for _ in range(2):
            assert client.post(f"{tasks}/batch", json=body).status_code == 200
        create(client, tasks, title="last")
        found = client.get(tasks, params={"fields": "title"}).json()
        assert found[0] == {"title": "last"}
        assert len(found) == 2_001
        assert found[1:] == [some(task, "title") for task in client.get(tasks).json()[1:]]

    def test_in_the_trash(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        client.delete(f"{tasks}/{task['id']}")
        assert client.get(f"{tasks}?deleted=true&fields=id").json() == [{"id": task["id"]}]

    def test_the_fast_path_too(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        for _ in range(4):
            answer = client.get(f"{tasks}?limit=5&fields=id")
            assert json.loads(answer.content) == [{"id": task["id"]}]


@pytest.mark.parametrize("sent", ["nothing", "id,", "id;title", "ID", "deleted_at", "title_key", "id,id2"])
def test_unknown_names_are_refused(client: httpx2.Client, tasks: str, sent: str) -> None:
    path = f"{tasks}/{create(client, tasks)['id']}"
    for answer in (client.get(tasks, params={"fields": sent}), client.get(path, params={"fields": sent})):
        found = violation(answer)
        assert (found["parameter"], found["code"]) == ("fields", "unknown_field")
