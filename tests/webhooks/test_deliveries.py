"""What happens to a task comes to its subscribers: signed, in order, at least once."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from harness import node
from harness.receiver import Received, Reply
from harness.servers import local_server, server_process, wait_for
from harness.side_effects import execute, instant
from taskwell.core.settings import Settings
from taskwell.database.database import Database
from taskwell.services import deliveries, housekeeping
from taskwell.services.deliveries import Attempt, Subscription
from taskwell.webhooks import schedule
from tests.webhooks.conftest import Home

NODE = Path(__file__).parent / "node"


def ago(home: Home, **since: float) -> str:
    return instant(home.server.settings, datetime.now(UTC) - timedelta(**since))


def sql(home: Home, *statements: str) -> None:
    execute(home.server.settings, *statements)


def of_hook(home: Home) -> str:
    column = home.hook["id"].replace("-", "") if home.server.settings.database.is_sqlite else home.hook["id"]
    return f"user_id = '{home.user}' AND {{}} = '{column}'"


class TestMessages:
    def test_tell_what_happened_and_how_the_task_is_now(self, home: Home) -> None:
        hook = home.subscribe()
        task = home.create()
        headers = {"Taskwell-Agent": "tester"}
        home.client.post(f"{home.tasks}/{task['id']}/toggle", headers=headers).raise_for_status()
        home.wait_for(2)
        created, completed = home.receiver.got
        assert completed.message == {
            "type": "task.completed",
            "timestamp": completed.message["timestamp"],
            "data": {
                "version": 2,
                "user_id": home.user,
                "task_id": task["id"],
                "task": home.client.get(f"{home.tasks}/{task['id']}").json(),
                "changes": completed.message["data"]["changes"],
                "by": {"user": home.user, "token": None, "client": "tester", "via": "api"},
                "occurrence": None,
            },
        }
        assert completed.message["data"]["changes"]["completed"] == [False, True]
        assert created.message["type"] == "task.created"
        assert completed.headers["content-type"] == "application/json"
        assert completed.headers["user-agent"].startswith("taskwell/")
        assert completed.id == f"whk_{UUID(hook['id']).hex}_2"

    def test_of_deleted_tasks_have_none_and_thin_ones_have_ids_alone(self, home: Home) -> None:
        home.subscribe(payload="thin")
        task = home.create()
        home.wait_for(1)
        home.client.patch(home.path, json={"payload": "full"}).raise_for_status()
        home.client.delete(f"{home.tasks}/{task['id']}").raise_for_status()
        home.wait_for(2)
        thin, full = [one.message["data"] for one in home.receiver.got]
        assert thin == {"version": 1, "user_id": home.user, "task_id": task["id"]}
        assert (full["task"], full["task_id"]) == (None, task["id"])
        assert full["changes"]["deleted"] == [False, True]

    def test_are_those_that_were_asked_for(self, home: Home) -> None:
        home.subscribe(events=["task.completed", "task.deleted"])
        task = home.create()
        home.client.post(f"/api/{home.user}/lists", json={"name": "Home"}).raise_for_status()
        home.client.post(f"{home.tasks}/{task['id']}/toggle").raise_for_status()
        home.client.patch(f"{home.tasks}/{task['id']}", json={"title": "x"}).raise_for_status()
        home.settled()
        assert home.receiver.types() == ["task.completed"]

    def test_of_lists_come_among_those_of_tasks(self, home: Home) -> None:
        home.subscribe(events=["*"])
        lists, headers = f"/api/{home.user}/lists", {"Taskwell-Agent": "tester"}
        made = home.client.post(lists, json={"name": "Home"}, headers=headers).raise_for_status().json()
        path = f"{lists}/{made['id']}"
        home.create("a", list_id=made["id"])
        changes: list[tuple[str, str, Any]] = [
            ("PATCH", "", {"name": "House"}), ("POST", "/archive", None), ("POST", "/unarchive", None),
            ("DELETE", "", None), ("POST", "/restore", None),
        ]  # fmt: skip
        for method, end, body in changes:
            home.client.request(method, path + end, json=body).raise_for_status()
        home.client.post(f"/api/{home.user}/undo", json={"versions": [3]}).raise_for_status()
        home.client.put(f"/api/{home.user}/labels/x", json={"color": "#2e7d32"}).raise_for_status()
        home.settled()
        assert home.receiver.types() == [
            "list.created", "task.created", "list.updated", "list.updated", "list.updated", "task.deleted",
            "list.deleted", "list.restored", "task.restored", "list.undone",
        ]  # fmt: skip
        assert home.receiver.versions() == list(range(1, 11))
        first, renamed, deleted, last = (home.receiver.got[n].message["data"] for n in (0, 2, 6, 9))
        assert first.keys() == {"version", "user_id", "list_id", "list", "changes", "by"}
        assert (first["list_id"], first["user_id"]) == (made["id"], home.user)
        assert first["by"] == {"user": home.user, "token": None, "client": "tester", "via": "api"}
        assert renamed["changes"] == {"name": ["Home", "House"]}
        assert deleted["changes"]["deleted"] == [False, True]
        assert last["list"] == home.client.get(path).json()

    def test_of_deleted_lists_have_none_and_thin_ones_have_ids_alone(self, home: Home) -> None:
        home.subscribe(events=["list.deleted", "list.created"], payload="thin")
        lists = f"/api/{home.user}/lists"
        made = home.client.post(lists, json={"name": "Home"}).raise_for_status().json()
        home.wait_for(1)
        home.client.patch(home.path, json={"payload": "full"}).raise_for_status()
        home.client.delete(f"{lists}/{made['id']}").raise_for_status()
        home.settled()
        thin, full = (one.message["data"] for one in home.receiver.got)
        assert thin == {"version": 1, "user_id": home.user, "list_id": made["id"]}
        assert (full["list_id"], full["list"]) == (made["id"], None)
        again = home.client.post(f"{home.path}/redeliver", json={"version": 1}).raise_for_status().json()
        assert again["delivery"]["type"] == "list.created"

    @pytest.mark.parametrize(
        ("events", "types"),
        [(["task.*"], ["task.created"]), (["list.*"], ["list.created", "list.updated"]),
         (["list.updated", "task.created"], ["list.updated", "task.created"])],
    )  # fmt: skip
    def test_of_a_kind_are_a_pattern(self, home: Home, events: list[str], types: list[str]) -> None:
        home.subscribe(events=events)
        lists = f"/api/{home.user}/lists"
        made = home.client.post(lists, json={"name": "Home"}).raise_for_status().json()
        home.client.patch(f"{lists}/{made['id']}", json={"name": "House"}).raise_for_status()
        home.create()
        home.settled()
        assert home.receiver.types() == types

    def test_begin_after_a_version(self, home: Home) -> None:
        for n in range(3):
            home.create(f"{n}")
        home.subscribe(since=1)
        home.settled()
        assert home.receiver.versions() == [2, 3]

    def test_come_in_order_whatever_is_written_at_once(self, home: Home) -> None:
        home.subscribe()
        new = [{"op": "create", "task": {"title": f"{n}"}} for n in range(120)]
        home.client.post(f"{home.tasks}/batch", json={"operations": new}).raise_for_status()
        home.settled()
        assert home.receiver.versions() == list(range(1, 121))


class TestSignatures:
    def test_are_right_at_every_attempt(self, home: Home) -> None:
        hook = home.subscribe()
        home.receiver.answer(503)
        home.create()
        home.wait_for(1)
        home.receiver.answer(200)
        home.retry()
        home.wait_for(2)
        home.settled()
        home.client.post(f"{home.path}/redeliver", json={"version": 1}).raise_for_status()
        first, second, again = home.receiver.got
        assert first.id == second.id == again.id
        for got in (first, second, again):
            assert Webhook(hook["secret"]).verify(got.body, got.headers) == got.message
        with pytest.raises(WebhookVerificationError):
            Webhook(hook["secret"]).verify(first.body.replace(b"milk", b"silk"), first.headers)

    def test_are_by_both_secrets_while_they_overlap(self, home: Home) -> None:
        old = home.subscribe()["secret"]
        new = home.client.post(f"{home.path}/rotate", json={"overlap_hours": 1}).raise_for_status().json()
        home.client.post(f"{home.path}/ping").raise_for_status()
        last = home.client.post(f"{home.path}/rotate", json={"overlap_hours": 0}).raise_for_status().json()
        home.client.post(f"{home.path}/ping").raise_for_status()
        both, one = home.receiver.got
        for secret in (old, new["secret"]):
            Webhook(secret).verify(both.body, both.headers)
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(one.body, one.headers)
        Webhook(last["secret"]).verify(one.body, one.headers)

    def test_are_right_to_another_implementation(self, home: Home) -> None:
        node.install(NODE)
        hook = home.subscribe()
        home.create("Ærøskøbing ☃")
        home.wait_for(1)
        (got,) = home.receiver.got
        given = {"secret": hook["secret"], "body": got.body.decode(), "headers": got.headers}
        done = subprocess.run(
            [node.program("node"), "verify.mjs"],
            cwd=NODE,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout.strip()) == (0, "task.created"), done.stderr


class TestFailures:
    @pytest.mark.parametrize("status", [500, 503, 408, 425, 429, 401, 403, 404, 302])
    def test_of_the_receiver_keep_the_order(self, home: Home, status: int) -> None:
        home.subscribe()
        home.receiver.answer(status)
        home.create()
        home.create()
        wait_for(lambda: bool(home.log()))
        shown = home.shown()
        assert shown["failing_since"] is not None
        assert (shown["active"], shown["cursor"]) == (True, 0)
        (entry,) = home.log()
        assert (entry["status"], entry["outcome"], entry["attempt"]) == (status, "retry", 1)
        assert entry["next_attempt_at"] == shown["next_attempt_at"]
        home.receiver.answer(200)
        home.retry()
        home.settled()
        assert home.receiver.versions() == [1, 1, 2]
        assert home.shown()["failing_since"] is None

    def test_are_repeated_by_themselves(self, home: Home) -> None:
        home.subscribe()
        replies = [Reply(503), Reply(200)]
        home.receiver.answering = lambda _: replies.pop(0)
        home.create()
        home.settled()
        assert home.receiver.versions() == [1, 1]
        assert [entry["attempt"] for entry in home.log()] == [2, 1]

    def test_of_one_event_skip_it_after_five_refusals_in_an_hour(self, home: Home) -> None:
        home.subscribe()
        home.receiver.answering = lambda got: Reply(422 if got.version == 1 else 200)
        home.create()
        home.create()
        for n in range(1, 6):
            wait_for(lambda n=n: len(home.log()) == n)  # type: ignore[misc]
            assert home.shown()["cursor"] == 0
            if n == 5:  # the first was more than an hour ago
                sql(home, f"UPDATE webhook_deliveries SET at = {ago(home, hours=2)} "
                          f"WHERE {of_hook(home).format('webhook_id')} AND attempt = 1")  # fmt: skip
            home.retry()
        home.settled()
        assert [entry["outcome"] for entry in home.log()] == ["delivered", "skipped", *["retry"] * 5]
        assert home.receiver.versions() == [1] * 6 + [2]

    def test_for_days_switch_it_off_and_drop_nothing(self, home: Home) -> None:
        home.subscribe()
        home.receiver.answer(500)
        home.create()
        wait_for(lambda: bool(home.log()))
        long_ago = f"failing_since = {ago(home, days=6)}, next_at = {ago(home, days=1)}"
        failing = f"UPDATE webhooks SET {long_ago} WHERE {of_hook(home).format('id')}"
        for n in range(2, 11):
            sql(home, failing)
            home.create()
            wait_for(lambda n=n: len(home.log()) >= n)  # type: ignore[misc]
        shown = home.shown()
        assert (shown["active"], shown["disabled_reason"], shown["cursor"]) == (False, "failing", 0)
        assert home.log()[0]["outcome"] == "disabled"
        home.receiver.got.clear()
        home.receiver.answer(200)
        home.client.patch(home.path, json={"active": True}).raise_for_status()
        home.settled()
        assert home.receiver.versions() == list(range(1, 11))
        assert home.shown()["disabled_reason"] is None

    def test_410_switches_it_off_at_once(self, home: Home) -> None:
        home.subscribe()
        home.receiver.answer(410)
        home.create()
        wait_for(lambda: not home.shown()["active"])
        assert home.shown()["disabled_reason"] == "gone"
        home.create()
        shown = home.client.patch(home.path, json={"active": True, "cursor": "now"}).json()
        assert (shown["active"], shown["cursor"]) == (True, 2)

    def test_a_receiver_may_ask_for_a_longer_pause(self, home: Home) -> None:
        home.subscribe()
        home.receiver.answer(429, retry_after="3600")
        home.create()
        wait_for(lambda: bool(home.log()))
        (entry,) = home.log()
        pause = datetime.fromisoformat(entry["next_attempt_at"]) - datetime.fromisoformat(entry["at"])
        assert timedelta(minutes=59) < pause < timedelta(minutes=61)

    def test_pauses_grow_and_vary(self) -> None:
        now = datetime.now(UTC)
        for failed, usual in enumerate([5, 60, 300, 1_800, 7_200, 18_000, 36_000, 36_000]):
            seconds = [schedule.pause(failed, None, now).total_seconds() for _ in range(50)]
            assert usual * 0.8 <= min(seconds) < max(seconds) <= usual * 1.2
        hour = "Sun, 06 Nov 2094 08:49:37 GMT"
        assert schedule.pause(0, hour, now) == timedelta(hours=10)
        for odd in ("", "-1", "soon", "Sun, 06 Nov 1994 08:49:37 GMT", "9" * 400):
            assert schedule.pause(0, odd, now) <= timedelta(hours=10)


class TestGaps:
    def test_are_told_before_what_follows(self, home: Home) -> None:
        home.subscribe(events=["task.created"])
        home.receiver.answer(500)
        home.create()
        home.create()
        home.create()
        wait_for(lambda: bool(home.log()))
        sql(
            home,
            f"DELETE FROM task_history WHERE user_id = '{home.user}' AND version <= 2",
            f"UPDATE users SET history_seq = 2 WHERE id = '{home.user}'",
        )
        home.receiver.got.clear()
        home.receiver.answer(200)
        home.retry()
        home.settled()
        assert home.receiver.types() == ["webhook.gap", "task.created"]
        gap, event = home.receiver.got
        assert (gap.message["data"]["after"], gap.message["data"]["until"]) == (0, 2)
        assert event.version == 3
        assert home.shown()["gap"] is True
        answer = home.client.post(f"{home.path}/redeliver", json={"since": 2})
        assert answer.status_code == 410


class TestLeases:
    def test_who_has_lost_it_writes_nothing(self, home: Home) -> None:
        """As a process that was suspended while another took over."""
        home.subscribe(url="https://hooks.invalid/")
        settings = home.server.settings
        other = Attempt(1, "task.created", 1, datetime.now(UTC), 9, 200, None, "", "delivered")

        async def work() -> None:
            database = Database(settings)
            database.ready = True
            first = await take(database)
            assert await database.write(deliveries.take_lease, home.user, UUID(home.hook["id"])) is None
            ended = f"UPDATE webhooks SET leased_until = {ago(home, seconds=1)}"
            await asyncio.to_thread(sql, home, f"{ended} WHERE {of_hook(home).format('id')}")
            second = await take(database)
            assert second.lease > first.lease
            noted = deliveries.note_delivered
            assert not await database.write(noted, first, 7, other, keeps=True)
            assert not await database.write(deliveries.note_failed, first, other)
            await database.write(deliveries.end_lease, first)
            assert await database.write(noted, second, 9, other, keeps=False)
            await database.close()

        async def take(database: Database) -> Subscription:
            taken = await database.write(deliveries.take_lease, home.user, UUID(home.hook["id"]))
            assert taken is not None
            return taken

        asyncio.run(work())
        assert home.shown()["cursor"] == 9
        assert len(home.log()) == 1

    def test_are_given_back_when_a_server_ends(self, database_url: str, home: Home) -> None:
        """The next one need not wait for their end, and delivers what is left at its first use."""
        settings = Settings(database_url=database_url, webhook_allow="127.0.0.0/8")  # type: ignore[arg-type]
        new = [{"op": "create", "task": {"title": f"{n}"}} for n in range(30)]
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            hook = {"url": home.receiver.url, "events": ["*"]}
            client.post("/api/webhooks", json=hook).raise_for_status()
            client.post("/api/tasks/batch", json={"operations": new}).raise_for_status()
            home.wait_for(1)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            client.get("/api/lists").raise_for_status()
            wait_for(lambda: len({got.id for got in home.receiver.got}) == 30, seconds=10)
        assert home.receiver.versions() == sorted(home.receiver.versions())


class TestProcesses:
    def test_one_may_deliver_for_those_that_do_not(
        self, database_url: str, home: Home, tmp_path: Path
    ) -> None:
        environment = {
            "DATABASE_URL": database_url,
            "TASKWELL_WEBHOOKS": "off",
            "TASKWELL_WEBHOOK_ALLOW": "127.0.0.1",
        }
        with server_process(tmp_path, **environment) as server, httpx2.Client(base_url=server.url) as client:
            hook = client.post("/api/webhooks", json={"url": home.receiver.url, "events": ["*"]}).json()
            client.post("/api/tasks", json={"title": "x"}).raise_for_status()
            answer = client.post(f"/api/webhooks/{hook['id']}/ping")
            assert (answer.status_code, home.receiver.got) == (409, [])
            with subprocess.Popen(
                [sys.executable, "-m", "taskwell", "deliver", "--every", "0.2"],
                env=os.environ | environment,
                cwd=tmp_path,
                stderr=subprocess.PIPE,
            ) as process:
                try:
                    home.wait_for(1)
                finally:
                    process.terminate()
                assert process.wait(timeout=20) == 0
        assert home.receiver.types() == ["task.created"]


class TestLog:
    def test_is_paged_and_filtered(self, home: Home) -> None:
        home.subscribe()
        for n in range(5):
            home.create(f"{n}")
        home.settled()
        home.client.post(f"{home.path}/ping").raise_for_status()
        answer = home.client.get(f"{home.path}/deliveries?limit=4")
        seen = answer.json()
        answer = home.client.get(answer.links["next"]["url"])
        assert [one["version"] for one in seen + answer.json()] == [None, 5, 4, 3, 2, 1]
        assert "next" not in answer.links
        assert [one["outcome"] for one in home.log(outcome="ping")] == ["ping"]

    def test_keeps_the_latest(self, home: Home) -> None:
        home.subscribe()
        new = [{"op": "create", "task": {"title": f"{n}"}} for n in range(210)]
        home.client.post(f"{home.tasks}/batch", json={"operations": new}).raise_for_status()
        home.settled()
        wait_for(lambda: len(home.log(limit=1_000)) == 200)
        assert home.log(limit=1)[0]["version"] == 210

    def test_is_purged_after_a_week(self, home: Home) -> None:
        home.subscribe()
        home.client.post(f"{home.path}/ping").raise_for_status()
        home.client.post(f"{home.path}/ping").raise_for_status()
        first = home.log()[1]["id"].replace("-", "" if home.server.settings.database.is_sqlite else "-")
        sql(home, f"UPDATE webhook_deliveries SET at = {ago(home, days=8)} WHERE id = '{first}'")

        async def work() -> None:
            database = Database(home.server.settings)
            database.ready = True
            await housekeeping.purge_expired(database, 30, 90)
            await database.close()

        asyncio.run(work())
        assert len(home.log()) == 1


class TestSecrecy:
    def test_urls_and_secrets_are_in_no_log(self, home: Home, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG")
        hook = home.subscribe(url=home.receiver.url + "/id-that-is-a-secret")
        home.receiver.answer(410)
        home.create()
        wait_for(lambda: not home.shown()["active"])
        assert "was switched off" in caplog.text
        for secret in ("id-that-is-a-secret", hook["secret"]):
            assert secret not in caplog.text


class TestMetrics:
    def test_count_by_outcome(self, home: Home) -> None:
        home.subscribe()
        home.client.post(f"{home.path}/ping").raise_for_status()
        page = home.client.get("/metrics").text
        (line,) = [
            one
            for one in page.splitlines()
            if one.startswith('taskwell_webhook_deliveries_total{outcome="ping"}')
        ]
        assert float(line.split()[-1]) >= 1
        assert "taskwell_webhooks_failing " in page


class TestOrder:
    def test_holds_for_any_sequence_of_answers(self, home: Home) -> None:
        """What was delivered is a prefix in order, but for skipped ones, which the log names."""
        home.subscribe()
        answers = iter([503, 200, 404, 500, 200, 429, 200, 302, 200, 200])

        def reply(_: Received) -> Reply:
            return Reply(next(answers, 200))

        home.receiver.answering = reply
        for n in range(6):
            home.create(f"{n}")
        for _ in range(8):
            home.retry()
            if home.shown()["cursor"] == 6:
                break
            wait_for(lambda: home.shown()["failing_since"] is not None or home.shown()["cursor"] == 6)
        home.retry()
        home.settled()
        delivered = [entry["version"] for entry in home.log(outcome="delivered")]
        assert sorted(set(delivered)) == [1, 2, 3, 4, 5, 6]
