"""A server on each database that may send to this machine, and a receiver."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from harness.databases import migrated_database
from harness.receiver import Receiver, running_receiver
from harness.servers import LocalServer, local_server, wait_for
from taskwell.core.settings import Settings


@pytest.fixture(scope="session")
def sending(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with (
        migrated_database(database_kind, tmp_path_factory.mktemp("sending")) as url,
        local_server(Settings(database_url=url, webhook_allow="127.0.0.0/8")) as server,  # type: ignore[arg-type]
    ):
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


class Home:
    """A user's paths, with a webhook to the receiver."""

    def __init__(self, server: LocalServer, client: httpx2.Client, user: str, receiver: Receiver) -> None:
        self.server = server
        self.client = client
        self.user = user
        self.receiver = receiver
        self.tasks = f"/api/{user}/tasks"
        self.hooks = f"/api/{user}/webhooks"
        self.hook: dict[str, Any] = {}

    def subscribe(self, **members: Any) -> dict[str, Any]:
        body = {"url": self.receiver.url, "events": ["*"], **members}
        answer = self.client.post(self.hooks, json=body)
        assert answer.status_code == 201, answer.text
        self.hook = answer.json()
        return self.hook

    @property
    def path(self) -> str:
        return f"{self.hooks}/{self.hook['id']}"

    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.client.get(self.path).raise_for_status().json()
        return shown

    def log(self, **query: Any) -> list[dict[str, Any]]:
        answer = self.client.get(f"{self.path}/deliveries", params=query)
        log: list[dict[str, Any]] = answer.raise_for_status().json()
        return log

    def create(self, title: str = "Buy milk", **members: Any) -> dict[str, Any]:
        answer = self.client.post(self.tasks, json={"title": title, **members})
        task: dict[str, Any] = answer.raise_for_status().json()
        return task

    def wait_for(self, count: int) -> None:
        wait_for(lambda: len(self.receiver.got) >= count)

    def settled(self) -> None:
        """Until everything is done with."""
        last = self.client.get(f"/api/{self.user}/history?limit=1").json()[0]["version"]
        wait_for(lambda: self.shown()["cursor"] >= last)

    def retry(self) -> None:
        """Without waiting for the pause to end."""
        self.client.patch(self.path, json={"active": True}).raise_for_status()


@pytest.fixture
def home(sending: LocalServer, user: str, receiver: Receiver) -> Iterator[Home]:
    with httpx2.Client(base_url=sending.url, timeout=30) as client:
        home = Home(sending, client, user, receiver)
        yield home
        client.delete(f"/api/users/{user}")
