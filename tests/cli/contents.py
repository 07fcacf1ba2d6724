"""A database with something of everything in it, and all that it holds."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import httpx2

from harness.responses import create
from harness.servers import local_server
from harness.side_effects import execute, instant, purge_expired, scribble
from taskwell.admin import copy
from taskwell.admin.copy import Progress, Summary
from taskwell.core.clock import utc_now
from taskwell.core.settings import Settings
from taskwell.database import migrate
from tests.cli.commands import done

USERS = ("ada", "bob", "cid")
TEXT = "Ærøskøbing ☃ 買い物 \U0001f9c0 'quoted' \"twice\" \\ % line\nend\ttab"


def fill(url: str) -> None:
    """Tasks alive, in the trash and purged, of three users; lists, a label, keys, a token, an erased user."""
    settings = Settings(database_url=url)
    with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
        for seed, user in enumerate(USERS, start=1):
            scribble(client, f"/api/{user}/tasks", seed, 40)
            create(client, f"/api/{user}/tasks", title=TEXT[:30], description=TEXT)
        client.post("/api/users", json={"id": "eve", "email": "eve@example.com"})
        client.post("/api/ada/tasks", json={"title": "Once"}, headers={"Idempotency-Key": "a key"})
        for name in ("Home", TEXT[:30]):
            made = client.post("/api/ada/lists", json={"name": name, "color": "#2e7d32"}).json()
            create(client, "/api/ada/tasks", list_id=made["id"])
        client.delete(f"/api/ada/lists/{made['id']}").raise_for_status()
        create(client, "/api/ada/tasks", due="2099-11-20T09:00:00Z", reminders=[{"trigger": "-PT15M"}])
        hook = {"url": "https://hooks.invalid/", "events": ["task.created"], "since": 0}
        made = client.post("/api/cid/webhooks", json=hook).raise_for_status().json()
        client.post(f"/api/cid/webhooks/{made['id']}/ping").raise_for_status()
        # An active one would be switched off in a copy.
        client.patch(f"/api/cid/webhooks/{made['id']}", json={"active": False}).raise_for_status()
        create(client, "/api/gone/tasks")
        client.delete("/api/users/gone")
        client.delete(f"/api/bob/tasks/{create(client, '/api/bob/tasks', title='Doomed')['id']}")
    long_ago = instant(settings, utc_now() - timedelta(days=100))
    execute(settings, f"UPDATE tasks SET deleted_at = {long_ago} WHERE title = 'Doomed'")
    label = "('ada', 'büro', 'Büro', 'a0', 1)"
    execute(settings, f"INSERT INTO labels (user_id, key, name, position, version) VALUES {label}")
    purge_expired(settings)
    done(url, "tokens", "create", "cron", "--user", "ada", "--rate", "60/minute")


def empty(url: str) -> None:
    """The schema, and nothing in it."""
    asyncio.run(migrate.upgrade(Settings(database_url=url)))


def contents(url: str) -> Mapping[str, Summary]:
    """How many rows each table has, and a digest of them."""

    async def work() -> Mapping[str, Summary]:
        async with copy.reading(Settings(database_url=url)) as transaction:
            return await copy.summarize(transaction, Progress())

    return asyncio.run(work())
