"""The operations on tasks, at both mounts and on both databases."""

import httpx2


class TestCreateTask:
    def test_answers_the_whole_task(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.post(tasks, json={"title": "Buy milk"})
        assert answer.status_code == 201
