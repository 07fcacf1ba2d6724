"""Who is answered, what browsers are told, and how often one may ask."""

import asyncio
import importlib.util
import logging
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from pydantic import SecretStr
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.postgres import free_port
from harness.responses import problem, violation
from harness.servers import local_server, wait_for
from taskwell.app import PREFIXES
from taskwell.auth.authorization import Caller
from taskwell.core.principal import SERVER, Actor
from taskwell.core.rates import Quota, Rate
from taskwell.core.settings import Settings
from taskwell.database.startup import StartupError
from taskwell.http.metrics import Metrics
from taskwell.http.middleware import RequestId
from taskwell.http.prefixes import Prefixes
from taskwell.http.rate_limit import (
    AuthFailureLimit,
    LocalCounter,
    RateLimit,
    Redis,
    SharedCounter,
)
from taskwell.http.request_state import request_state
from taskwell.http.security import SecurityHeaders, TrustedHosts

TABLE = Prefixes(PREFIXES)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


def called_by(user_id: str, app: ASGIApp, actor: Actor = SERVER, rate: Rate | None = None) -> ASGIApp:
    """The place that authentication has."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        request_state(scope).caller = Caller(user_id, frozenset(), actor=actor, rate=rate)
        await app(scope, receive, send)

    return call


async def ask(
    app: ASGIApp,
    path: str = "/api/tasks",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    server: str = "http://127.0.0.1:8000",
    client: str = "8.8.8.8",
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=RequestId(app, Metrics()), client=(client, 50_000))
    async with httpx2.AsyncClient(transport=transport, base_url=server) as http:
        return await http.request(method, path, headers=headers)


def answer_of(app: ASGIApp, path: str = "/api/tasks", **options: Any) -> httpx2.Response:
    return asyncio.run(ask(app, path, **options))


PRIVATE = (
    "127.0.0.1", "127.0.0.1:8000", "192.168.1.17:8000", "8.8.8.8", "[::1]:8000", "[fd00::17]",
    "[::ffff:127.0.0.1]:8", "localhost", "LOCALHOST:8000", "app.localhost", "taskwell", "taskwell:8000",
    "nas.local", "host.docker.internal:8000", "server.home.arpa",
)  # fmt: skip
FOREIGN = (
    "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example",
    "evillocalhost.example", "a.local.example", "1.2.3.4.5x", "evil.example.", "localhost.",
    "127.0.0.1.nip.io", "xn--lcalhost-54a.com",
)  # fmt: skip


class TestTrustedHosts:
    @pytest.mark.parametrize("host", PRIVATE)
    def test_without_credentials_a_name_that_no_foreign_page_can_have_will_do(self, host: str) -> None:
        app = TrustedHosts(hello, TABLE, (), stub=True)
        assert answer_of(app, headers={"Host": host}).text == "hello"

    @pytest.mark.parametrize("host", FOREIGN)
    def test_without_credentials_any_other_name_is_refused(self, host: str) -> None:
        answer = answer_of(TrustedHosts(hello, TABLE, (), stub=True), headers={"Host": host})
        found = violation(answer)
        assert (found["parameter"], found["code"]) == ("Host", "not_allowed")
        assert "TASKWELL_ALLOWED_HOSTS" in found["detail"]
        assert host not in answer.text

    @pytest.mark.parametrize("host", [*PRIVATE, *FOREIGN])
    def test_with_tokens_every_name_will_do(self, host: str) -> None:
        app = TrustedHosts(hello, TABLE, (), stub=False)
        assert answer_of(app, headers={"Host": host}).text == "hello"

    @pytest.mark.parametrize("stub", [True, False])
    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("api.example.com", 200),
            ("API.Example.com:8443", 200),
            ("a.example.org", 200),
            ("a.b.example.org:80", 200),
            ("[::1]:8000", 200),
            ("example.org", 400),
            ("badexample.org", 400),
            ("api.example.com.evil.example", 400),
            ("example.com", 400),
            ("127.0.0.1", 400),
            ("localhost", 400),
        ],
    )
    def test_a_list_is_the_whole_of_it(self, stub: bool, host: str, status: int) -> None:
        app = TrustedHosts(hello, TABLE, ("Api.example.com", "*.example.org", "[::1]"), stub=stub)
        assert answer_of(app, headers={"Host": host}).status_code == status

    def test_a_star_is_every_name(self) -> None:
        app = TrustedHosts(hello, TABLE, ("api.example.com", "*"), stub=True)
        assert answer_of(app, headers={"Host": "evil.example"}).text == "hello"

    @pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/metrics"])
    def test_a_health_check_may_come_by_any_address(self, path: str) -> None:
        app = TrustedHosts(hello, TABLE, ("api.example.com",), stub=False)
        assert answer_of(app, path, headers={"Host": "10.1.2.3:8000"}).text == "hello"

    def test_what_only_looks_like_one_may_not(self) -> None:
        app = TrustedHosts(hello, TABLE, ("api.example.com",), stub=False)
        answer = answer_of(app, "/api/health/live", headers={"Host": "10.1.2.3:8000"})
        assert answer.status_code == 400

    def test_http_1_0_without_a_host_is_answered(self) -> None:
        app = TrustedHosts(hello, TABLE, (), stub=True)

        async def without_host(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "http_version": "1.0", "headers": []}, receive, send)

        assert answer_of(without_host).text == "hello"


def answering(**headers: str) -> ASGIApp:
    names = {name.replace("_", "-"): value for name, value in headers.items()}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("hello", headers=names)(scope, receive, send)

    return SecurityHeaders(app, TABLE)


class TestSecurityHeaders:
    @pytest.mark.parametrize("path", ["/api/tasks", "/", "/problems", "/health/live", "/nothing"])
    def test_every_answer_forbids_what_it_is_not_for(self, path: str) -> None:
        headers = answer_of(answering(), path).headers
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "strict-transport-security" not in headers

    def test_a_page_has_a_policy_of_its_own(self) -> None:
        headers = answer_of(answering(Content_Security_Policy="default-src 'self'"), "/docs").headers
        assert headers.get_list("content-security-policy") == ["default-src 'self'"]
        assert headers["referrer-policy"] == "no-referrer"

    def test_a_reader_may_keep_what_has_an_etag_to_ask_about_it(self) -> None:
        headers = answer_of(answering(ETag='"1"')).headers
        assert headers["cache-control"] == "private, no-cache"

    @pytest.mark.parametrize("path", ["/api/tasks", "/api/", "/api", "/health", "/health/live"])
    def test_nobody_may_keep_anything_else_of_the_api(self, path: str) -> None:
        assert answer_of(answering(), path).headers["cache-control"] == "no-store"

    def test_what_an_answer_says_of_it_counts(self) -> None:
        headers = answer_of(answering(ETag='"1"', Cache_Control="no-store")).headers
        assert headers.get_list("cache-control") == ["no-store"]

    @pytest.mark.parametrize("path", ["/assets/docs.js", "/docs", "/apiary", "/problems/api/"])
    def test_what_is_public_may_be_kept_as_ever(self, path: str) -> None:
        assert "cache-control" not in answer_of(answering(), path).headers

    @pytest.mark.parametrize("host", ["api.example.com", "api.example.com:8443"])
    def test_a_public_name_reached_by_https_stays_with_it(self, host: str) -> None:
        answer = answer_of(answering(), server=f"https://{host}")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"

    @pytest.mark.parametrize("host", ["localhost:8443", "nas", "nas.local", "192.168.1.17"])
    def test_a_name_only_known_here_does_not_bind_its_other_ports(self, host: str) -> None:
        answer = answer_of(answering(), server=f"https://{host}")
        assert "strict-transport-security" not in answer.headers

    def test_the_headers_of_a_response_that_is_sent_again_do_not_grow(self) -> None:
        response = PlainTextResponse("hello")
        app = SecurityHeaders(response, TABLE)
        first, second = (answer_of(app, headers={"X-Request-Id": "x"}) for _ in range(2))
        assert first.headers.multi_items() == second.headers.multi_items()


def standing_of(answer: httpx2.Response) -> tuple[int, int]:
    """`r` and `t`."""
    match = re.fullmatch(r'"caller";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert match
    return int(match[1]), int(match[2])


def check_refusal(answer: httpx2.Response) -> int:
    """How long to wait."""
    assert problem(answer, 429, "rate_limited")["detail"] == "Too many requests. Try again later."
    wait = int(answer.headers["retry-after"])
    assert wait >= 1
    return wait


class TestRate:
    @pytest.mark.parametrize(
        ("text", "rate"),
        [("1/second", (1, 1)), ("1200/minute", (1200, 60)), ("5/hour", (5, 3600)), ("7/day", (7, 86400))],
    )
    def test_it_is_read_from_the_settings(self, text: str, rate: tuple[int, int]) -> None:
        assert Rate.parse(text) == rate
        assert Settings(rate_limit=text).rate_limit == text

    def test_after_the_wait_one_is_allowed_and_not_more_than_a_second_before(
        self, subtests: pytest.Subtests
    ) -> None:
        for before in [0, 1, 7, 9, 10]:
            for count in [0, 1, 5, 9, 10]:
                for rest in [60.0, 59.99, 30.5, 6.0, 0.01]:
                    with subtests.test(before=before, count=count, rest=rest):
                        rate = Rate(10, 60)
                        quota = rate.quota(False, before, count, rest)
                        assert quota.left == 0
                        assert 1 <= quota.seconds <= 61
                        if rate.used(before, count, rest) < rate.amount:
                            continue
                        assert self.used_after(quota.seconds, rate, before, count, rest) < rate.amount
                        if quota.seconds > 1:
                            early = self.used_after(quota.seconds - 1.001, rate, before, count, rest)
                            assert early >= rate.amount - 1e-9

    @staticmethod
    def used_after(seconds: float, rate: Rate, before: int, count: int, rest: float) -> float:
        if seconds < rest:
            return rate.used(before, count, rest - seconds)
        return rate.used(count, 0, rest + rate.seconds - seconds)


class TestLocalCounter:
    def test_it_counts_down_and_then_says_how_long_to_wait(self) -> None:
        counter = LocalCounter(Rate(3, 3_600))
        seen = [self.hit(counter) for _ in range(4)]
        assert [(quota.allowed, quota.left) for quota in seen] == [
            (True, 2), (True, 1), (True, 0), (False, 0),
        ]  # fmt: skip
        assert seen[0].seconds == seen[1].seconds == 3_600
        assert 3_590 <= seen[3].seconds <= seen[2].seconds <= 3_600

    def test_what_is_left_is_what_is_allowed(self) -> None:
        counter = LocalCounter(Rate(50, 3_600))
        for _ in range(30):
            self.hit(counter)
        self.pass_time(counter, 3_600 + 1_234)
        left = self.hit(counter).left
        assert 20 < left < 50
        assert [self.hit(counter).allowed for _ in range(left + 1)] == [True] * left + [False]

    def test_what_is_used_fades_out_over_the_next_stretch(self) -> None:
        counter = LocalCounter(Rate(100, 3_600))
        for _ in range(100):
            self.hit(counter)
        assert not self.hit(counter).allowed
        self.pass_time(counter, 3_600 * 1.5)
        assert self.hit(counter).left == pytest.approx(49, abs=1)
        self.pass_time(counter, 3_600)
        assert self.hit(counter).left >= 98

    def test_after_the_wait_that_was_told_there_is_one(self) -> None:
        counter = LocalCounter(Rate(20, 3_600))
        for _ in range(200):
            quota = self.hit(counter)
            if not quota.allowed:
                self.pass_time(counter, quota.seconds)
                assert self.hit(counter).allowed

    def test_never_more_than_the_rate_in_any_stretch_that_it_counts(self) -> None:
        counter = LocalCounter(Rate(20, 100))
        passed, moments = 0.0, []
        for step in range(4_000):
            if self.hit(counter).allowed:
                moments.append(passed)
            self.pass_time(counter, pause := (step * 7 % 10) / 10)
            passed += pause
        most = max(sum(at <= other < at + 100 for other in moments) for at in moments)
        assert 20 <= most <= 30  # the fading takes it that the requests before came evenly

    def test_nobody_waits_for_another(self) -> None:
        counter = LocalCounter(Rate(1, 3_600))
        assert self.hit(counter, "alice").allowed
        assert not self.hit(counter, "alice").allowed
        assert self.hit(counter, "bob").allowed

    def test_a_long_silence_forgets_everything(self) -> None:
        counter = LocalCounter(Rate(2, 60))
        self.hit(counter)
        self.pass_time(counter, 600)
        assert self.hit(counter).left == 1
        assert not counter._before
        assert 0 < counter._ends - time.monotonic() <= 60

    def test_memory_is_bounded_however_many_they_are(self) -> None:
        async def work() -> None:
            for n in range(250_000):
                await counter.hit(f"somebody-{n}")
                most.append(len(counter._before) + len(counter._counts))

        most: list[int] = []
        counter = LocalCounter(Rate(1_200, 86_400))
        asyncio.run(work())
        assert max(most) <= 200_000
        assert asyncio.run(counter.hit("somebody-1")).left == 1_199  # what came long before is forgotten

    def test_many_callers_make_no_request_dearer(self) -> None:
        """One look at them all would take several milliseconds."""

        async def slowest() -> float:
            worst = 0.0
            for n in range(120_000):
                before = time.thread_time()
                await counter.hit(f"{n}")
                worst = max(worst, time.thread_time() - before)
            return worst

        counter = LocalCounter(Rate(10, 86_400))
        assert asyncio.run(slowest()) < 0.03

    @staticmethod
    def hit(counter: LocalCounter, key: str = "alice") -> Quota:
        return asyncio.run(counter.hit(key))

    @staticmethod
    def pass_time(counter: LocalCounter, seconds: float) -> None:
        counter._ends -= seconds


class TestRateLimit:
    def test_every_answer_to_a_caller_says_the_policy_and_what_is_left(self) -> None:
        app = called_by("alice", RateLimit(hello, TABLE, "1200/minute", "memory://"))
        answer = answer_of(app)
        assert answer.headers["ratelimit-policy"] == '"caller";q=1200;w=60'
        assert answer.headers["ratelimit"] == '"caller";r=1199;t=60'
        assert "retry-after" not in answer.headers

    def test_one_too_many_is_a_429_that_says_when_to_come_again(self) -> None:
        app = called_by("alice", RateLimit(hello, TABLE, "2/hour", "memory://"))
        assert [answer_of(app).status_code for _ in range(2)] == [200, 200]
        answer = answer_of(app)
        wait = check_refusal(answer)
        assert standing_of(answer) == (0, wait)
        assert 3_500 < wait <= 3_600
        assert answer.headers["ratelimit-policy"] == '"caller";q=2;w=3600'

    def test_who_waits_as_told_is_served(self) -> None:
        app = called_by("alice", RateLimit(hello, TABLE, "2/second", "memory://"))
        answers = [answer_of(app) for _ in range(20)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        time.sleep(check_refusal(refused[-1]))
        assert answer_of(app).status_code == 200

    def test_a_refused_request_does_not_count(self) -> None:
        limit = RateLimit(hello, TABLE, "1/hour", "memory://")
        app = called_by("alice", limit)
        for _ in range(10):
            answer_of(app)
        assert isinstance(limit.counter, LocalCounter)
        assert limit.counter._counts == {"alice": 1}

    def test_what_its_user_may_not_send_does_not_count_for_a_token(self) -> None:
        limit = RateLimit(hello, TABLE, "2/hour", "memory://")
        token = Actor("api", token_id=uuid4())
        app = called_by("alice", limit, token, Rate(3, 60))
        assert [answer_of(app).status_code for _ in range(5)] == [200, 200, 429, 429, 429]
        (counter,) = limit._of_tokens.values()
        assert isinstance(counter, LocalCounter)
        assert counter._counts == {f"token/{token.token_id}": 2}

    def test_rates_of_tokens_that_nobody_else_has_do_not_forget_users(self) -> None:
        limit = RateLimit(hello, TABLE, "1/hour", "memory://")
        answer_of(called_by("alice", limit))
        for n in range(1, 2_002):
            limit._counter_of_tokens(Rate(n, 60))
            assert len(limit._of_tokens) <= 1_000
        assert answer_of(called_by("alice", limit)).status_code == 429

    def test_a_refused_request_goes_no_further(self) -> None:
        asked = 0

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal asked
            asked += 1
            await hello(scope, receive, send)

        limited = called_by("alice", RateLimit(app, TABLE, "2/hour", "memory://"))
        for _ in range(5):
            answer_of(limited)
        assert asked == 2

    def test_each_caller_has_their_own(self) -> None:
        limit = RateLimit(hello, TABLE, "1/hour", "memory://")
        assert answer_of(called_by("alice", limit)).status_code == 200
        assert answer_of(called_by("alice", limit)).status_code == 429
        assert answer_of(called_by("bob", limit)).status_code == 200

    @pytest.mark.parametrize("path", ["/health/live", "/docs", "/api/tasks"])
    def test_nobody_in_particular_is_not_counted(self, path: str) -> None:
        limit = RateLimit(hello, TABLE, "1/hour", "memory://")
        for _ in range(3):
            answer = answer_of(limit, path)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers

    def test_a_stream_counts_once(self) -> None:
        async def stream(scope: Scope, receive: Receive, send: Send) -> None:
            await StreamingResponse(iter([b"x"] * 50))(scope, receive, send)

        limit = RateLimit(stream, TABLE, "10/hour", "memory://")
        answer = answer_of(called_by("alice", limit))
        assert answer.content == b"x" * 50
        assert answer.headers.get_list("ratelimit") == ['"caller";r=9;t=3600']
        assert standing_of(answer_of(called_by("alice", limit), method="HEAD"))[0] == 8

    def test_the_lifespan_passes(self) -> None:
        seen: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["type"])

        layers = TrustedHosts(app, TABLE, (), stub=True)
        whole = SecurityHeaders(
            AuthFailureLimit(RateLimit(layers, TABLE, "1/hour", "memory://"), TABLE, "1/hour"), TABLE
        )

        async def nothing(*_: Message) -> Any:
            raise AssertionError

        async def begin() -> None:
            await whole({"type": "lifespan"}, nothing, nothing)

        asyncio.run(begin())
        assert seen == ["lifespan"]


async def stranger(scope: Scope, receive: Receive, send: Send) -> None:
    known = (b"authorization", b"Bearer good") in scope["headers"]
    await PlainTextResponse("", 200 if known else 401)(scope, receive, send)


GOOD = {"Authorization": "Bearer good"}


class TestGuesses:
    def test_an_address_that_goes_on_guessing_is_refused_before_its_guess_is_read(self) -> None:
        app = AuthFailureLimit(stranger, TABLE, "3/hour")
        assert [answer_of(app).status_code for _ in range(4)] == [401, 401, 401, 429]
        answer = answer_of(app, headers=GOOD)
        assert 3_500 < check_refusal(answer) <= 3_600
        assert "ratelimit" not in answer.headers

    def test_who_is_known_is_not_counted(self) -> None:
        app = AuthFailureLimit(stranger, TABLE, "3/hour")
        assert {answer_of(app, headers=GOOD).status_code for _ in range(10)} == {200}

    def test_who_waits_as_told_may_try_again(self) -> None:
        app = AuthFailureLimit(stranger, TABLE, "1/second")
        answers = [answer_of(app) for _ in range(10)]
        refused = [answer for answer in answers if answer.status_code == 429]
        time.sleep(check_refusal(refused[-1]))
        assert answer_of(app).status_code == 401

    def test_other_addresses_and_what_is_public_are_still_served(self) -> None:
        app = AuthFailureLimit(stranger, TABLE, "1/hour")
        answer_of(app)
        assert answer_of(app, headers=GOOD).status_code == 429
        assert answer_of(app, headers=GOOD, client="1.1.1.1").status_code == 200
        assert answer_of(app, "/health/live", headers=GOOD).status_code == 200
        assert answer_of(app, "/docs", headers=GOOD).status_code == 200

    @pytest.mark.parametrize(
        "others", [("2606:4700::1", "2606:4700::ffff:1"), ("8.8.8.8", "::ffff:8.8.8.8")], ids=str
    )
    def test_a_network_of_ones_own_is_one_address(self, others: tuple[str, str]) -> None:
        app = AuthFailureLimit(stranger, TABLE, "1/hour")
        answers = [answer_of(app, client=address) for address in others]
        assert [answer.status_code for answer in answers] == [401, 429]

    @pytest.mark.parametrize(
        ("one", "other"), [("2606:4700::1", "2606:4700:0:1::1"), ("::ffff:8.8.8.8", "::ffff:1.1.1.1")]
    )
    def test_another_network_is_another(self, one: str, other: str) -> None:
        app = AuthFailureLimit(stranger, TABLE, "1/hour")
        answers = [answer_of(app, client=address) for address in (one, other)]
        assert [answer.status_code for answer in answers] == [401, 401]

    @pytest.mark.parametrize(
        "address", ["127.0.0.1", "172.18.0.2", "100.64.0.1", "::1", "fd00::1", "fe80::1%eth0", "unknown", ""]
    )
    def test_what_may_be_a_proxy_locks_out_nobody(self, address: str) -> None:
        app = AuthFailureLimit(stranger, TABLE, "1/hour")
        assert {answer_of(app, client=address).status_code for _ in range(5)} == {401}


REDIS = shutil.which("redis-server") or shutil.which("valkey-server")
needs_redis = pytest.mark.skipif(
    REDIS is None or importlib.util.find_spec("redis") is None,
    reason="needs redis-server (Debian: apt-get install redis-server) and taskwell[redis]",
)


@dataclass
class RedisServer:
    folder: Path
    port: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:secret@127.0.0.1:{self.port}"

    def start(self) -> None:
        assert REDIS is not None
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "requirepass": "secret"}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self._process = subprocess.Popen([REDIS, *arguments], cwd=self.folder, stdout=subprocess.DEVNULL)
        wait_for(self._is_up)

    def _is_up(self) -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{self.port}").status_code > 0
        except httpx2.RemoteProtocolError:
            return True  # it listens, and takes HTTP for an attack
        except httpx2.TransportError:
            return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait(timeout=30)
            self._process = None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


def with_redis(url: str, rate: str, work: Callable[[ASGIApp, Redis], Awaitable[None]]) -> None:
    """In one event loop: a client of Redis belongs to one."""

    async def run() -> None:
        limit = RateLimit(hello, TABLE, rate, url)
        assert isinstance(limit.counter, SharedCounter)
        try:
            await work(called_by("alice", limit), limit.counter.redis)
        finally:
            await storage_of(limit.counter.redis).aclose()

    asyncio.run(run())


def storage_of(redis: Redis) -> Any:
    bridge: Any = redis._storage.bridge
    return bridge.storage


@pytest.mark.slow
@needs_redis
class TestSharedCounter:
    def test_it_counts_like_the_local_one(self, redis: RedisServer) -> None:
        async def work(app: ASGIApp, counts: Redis) -> None:
            answers = [await ask(app) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert [standing_of(answer)[0] for answer in answers] == [2, 1, 0, 0]
            assert standing_of(answers[0]) == (2, 3_600)
            wait = check_refusal(answers[3])
            assert 3_500 < wait <= 3_600
            assert standing_of(answers[3]) == (0, wait)
            assert answers[3].headers["ratelimit-policy"] == '"caller";q=3;w=3600'

        with_redis(redis.url, "3/hour", work)

    def test_all_processes_count_together(self, redis: RedisServer) -> None:
        async def twice(app: ASGIApp, counts: Redis) -> None:
            seen.extend([(await ask(app)).status_code for _ in range(2)])

        seen: list[int] = []
        with_redis(redis.url, "3/hour", twice)
        with_redis(redis.url, "3/hour", twice)
        assert seen == [200, 200, 200, 429]

    def test_it_counts_a_token_by_itself_and_with_its_user(self, redis: RedisServer) -> None:
        async def run() -> None:
            limit = RateLimit(hello, TABLE, "4/hour", redis.url)
            assert isinstance(limit.counter, SharedCounter)
            try:
                one, other = (
                    called_by("alice", limit, Actor("api", token_id=uuid4()), Rate(3, 3_600))
                    for _ in range(2)
                )
                statuses = [(await ask(one)).status_code for _ in range(4)]
                statuses += [(await ask(other)).status_code for _ in range(3)]
                assert statuses == [200, 200, 200, 429, 200, 429, 429]
                last = await ask(other)
                assert standing_of(last)[0] == 0
                assert last.headers["ratelimit-policy"] == '"caller";q=4;w=3600, "token";q=3;w=3600'
                keys = [key async for key in storage_of(limit.counter.redis).scan_iter(match="*token*")]
                counts = [int(await storage_of(limit.counter.redis).get(key)) for key in keys]
                assert sorted(counts) == [1, 3]
            finally:
                await storage_of(limit.counter.redis).aclose()

        asyncio.run(run())

    def test_not_one_too_many_passes_at_once(self, redis: RedisServer) -> None:
        async def work(app: ASGIApp, counts: Redis) -> None:
            counts._PATIENCE_SECONDS = 10
            answers = await asyncio.gather(*(ask(app) for _ in range(100)))
            assert sorted(answer.status_code for answer in answers) == [200] * 30 + [429] * 70

        with_redis(redis.url, "30/hour", work)

    def test_who_waits_as_told_is_served(self, redis: RedisServer) -> None:
        async def work(app: ASGIApp, counts: Redis) -> None:
            for _ in range(3):
                answers = [await ask(app) for _ in range(8)]
                refused = [answer for answer in answers if answer.status_code == 429]
                await asyncio.sleep(check_refusal(refused[-1]))
                assert (await ask(app)).status_code == 200

        with_redis(redis.url, "4/second", work)

    def test_what_is_counted_is_forgotten(self, redis: RedisServer) -> None:
        async def work(app: ASGIApp, counts: Redis) -> None:
            await ask(app)
            storage = storage_of(counts)
            assert await storage.dbsize() >= 1
            await asyncio.sleep(2.2)
            assert await storage.dbsize() == 0

        with_redis(redis.url, "4/second", work)

    @pytest.mark.parametrize("how", ["gone", "hanging"])
    def test_while_it_is_away_everybody_is_served_and_one_warning_says_so(
        self, redis: RedisServer, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work(app: ASGIApp, counts: Redis) -> None:
            assert (await ask(app)).status_code == 200
            if how == "gone":
                redis.stop()
            else:
                redis.signal(signal.SIGSTOP)
            for _ in range(3):
                began = time.monotonic()
                answers = await asyncio.gather(*(ask(app) for _ in range(20)))
                assert {answer.status_code for answer in answers} == {200}
                assert not any("ratelimit" in answer.headers for answer in answers)
                assert time.monotonic() - began < 2
                assert counts._pause_ends > time.monotonic() + 3
                counts._pause_ends = time.monotonic()
            if how == "gone":
                redis.start()
            else:
                redis.signal(signal.SIGCONT)
            assert "ratelimit" in (await ask(app)).headers

        with caplog.at_level(logging.WARNING, logger="taskwell"):
            with_redis(redis.url, "1000/hour", work)
        (record,) = [record for record in caplog.records if record.name == "taskwell"]
        assert record.message.startswith("requests cannot be counted, so no limit applies: ")
        assert "alice" not in caplog.text
        assert "secret" not in caplog.text

    def test_it_is_left_alone_for_a_while_then(self, redis: RedisServer) -> None:
        async def work(app: ASGIApp, counts: Redis) -> None:
            redis.signal(signal.SIGSTOP)
            await ask(app)
            began = time.monotonic()
            for _ in range(20):
                assert (await ask(app)).status_code == 200
            assert time.monotonic() - began < 1

        with_redis(redis.url, "1000/hour", work)

    def test_a_wrong_password_serves_everybody_and_is_not_told(
        self, redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work(app: ASGIApp, counts: Redis) -> None:
            assert (await ask(app)).status_code == 200

        with_redis(redis.url.replace("secret", "hidden"), "1/hour", work)
        assert "so no limit applies" in caplog.text
        assert "hidden" not in caplog.text


class TestStorage:
    @pytest.mark.parametrize("missing", ["limits.aio.storage", "redis"])
    def test_without_its_client_the_server_says_what_to_install(
        self, missing: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(StartupError, match=r"pip install 'taskwell\[redis\]'"):
            RateLimit(hello, TABLE, "1/hour", "redis://127.0.0.1")

    @pytest.mark.skipif(importlib.util.find_spec("redis") is None, reason="needs taskwell[redis]")
    @pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:secret", "redis://[secret", "secret://x"])
    def test_what_is_no_url_of_it_is_refused_without_repeating_it(self, url: str) -> None:
        with pytest.raises(StartupError, match="TASKWELL_RATE_LIMIT_STORAGE") as caught:
            RateLimit(hello, TABLE, "1/hour", url)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


SECRET = "a-secret-that-is-long-enough-for-hs256"


def as_user(user_id: str) -> dict[str, str]:
    token = jwt.encode({"sub": user_id, "exp": 4_000_000_000}, SECRET)
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(
        database_url=f"sqlite:///{tmp_path_factory.mktemp('edge')}/test.db",
        auth="jwt",
        jwt_secret=SecretStr(SECRET),
        rate_limit="20/hour",
        allowed_hosts=("127.0.0.1", "api.example.com"),
    )
    with local_server(settings) as server:
        yield server.url


class TestServer:
    """The layers in their places."""

    def test_a_foreign_name_gets_nothing_where_nobody_is_asked_who_it_is(self, client: httpx2.Client) -> None:
        answer = client.get("/api/tasks", headers={"Host": "evil.example"})
        assert violation(answer)["code"] == "not_allowed"
        assert client.get("/health/ready", headers={"Host": "evil.example"}).status_code == 200

    def test_the_pages_keep_their_policy(self, client: httpx2.Client) -> None:
        for path in ("/docs", "/problems"):
            answer = client.get(path, headers={"Accept": "text/html"})
            (policy,) = answer.headers.get_list("content-security-policy")
            assert "'self'" in policy
            assert answer.headers["referrer-policy"] == "no-referrer"

    @pytest.mark.parametrize("path", ["/api/tasks", "/nothing", "/api/tasks/x", "/assets/docs.js", "/%ff"])
    def test_every_answer_is_marked(self, client: httpx2.Client, path: str) -> None:
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cross-origin-resource-policy"] == "same-origin"

    def test_a_list_can_be_polled_by_a_browser(self, client: httpx2.Client) -> None:
        first = client.get("/api/tasks")
        again = client.get("/api/tasks", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
        for answer in (first, again):
            assert answer.headers["cache-control"] == "private, no-cache"

    def test_a_proxy_that_speaks_https_is_believed_on_this_machine(self, limited: str) -> None:
        headers = {"Host": "api.example.com", "X-Forwarded-Proto": "https"}
        answer = httpx2.get(f"{limited}/docs", headers=headers)
        assert answer.headers["strict-transport-security"] == "max-age=31536000"

    def test_a_caller_is_limited_and_nobody_else(self, limited: str) -> None:
        seen = [httpx2.get(f"{limited}/api/tasks", headers=as_user("alice")) for _ in range(21)]
        assert [answer.status_code for answer in seen] == [200] * 20 + [429]
        assert standing_of(seen[0]) == (19, 3_600)
        wait = check_refusal(seen[20])
        assert standing_of(seen[20]) == (0, wait)
        assert httpx2.get(f"{limited}/api/tasks", headers=as_user("bob")).status_code == 200
        assert httpx2.get(f"{limited}/health/live").status_code == 200

    def test_nobody_is_told_by_the_browser_what_another_has(self, limited: str) -> None:
        """It sends the ETag that it has of the address, whoever signed in since."""
        carol, dave = as_user("carol"), as_user("dave")
        for user in (carol, dave):
            httpx2.post(f"{limited}/api/tasks", json={"title": "Secret"}, headers=user)
        etag = httpx2.get(f"{limited}/api/tasks", headers=carol).headers["etag"]
        answer = httpx2.get(f"{limited}/api/tasks", headers=dave | {"If-None-Match": etag})
        assert answer.status_code == 200

    def test_guesses_from_one_address_are_limited(self, limited: str) -> None:
        from_there = {"X-Forwarded-For": "8.8.4.4", "Authorization": "Bearer nonsense"}
        seen = [httpx2.get(f"{limited}/api/tasks", headers=from_there) for _ in range(21)]
        assert [answer.status_code for answer in seen] == [401] * 20 + [429]
        check_refusal(seen[20])

    def test_pages_of_other_origins_can_read_how_many_are_left(self, client: httpx2.Client) -> None:
        answer = client.get("/api/tasks", headers={"Origin": "http://localhost:3000"})
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)
