"""The issuer's keys: fetched seldom, never waited for once they are known, kept while the issuer is away."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness.issuer import ALGORITHMS, AUDIENCE, Issuer, SigningKey, bearer, running_issuer
from harness.responses import problem
from harness.servers import LocalServer, local_server, wait_for
from taskwell.auth import jwks
from taskwell.auth.jwks import KeySet, KeysUnavailable
from tests.security.conftest import settings_for


@pytest.fixture
def alone() -> Iterator[Issuer]:
    """An issuer for the test alone."""
    with running_issuer("EdDSA") as issuer:
        yield issuer


@pytest.fixture
def server(alone: Issuer, tmp_path: Path) -> Iterator[LocalServer]:
    settings = settings_for(alone, database_url=f"sqlite:///{tmp_path}/test.db", jwt_secret=None)
    with local_server(settings) as server:
        yield server


def me(server: LocalServer, token: str) -> httpx2.Response:
    return httpx2.get(f"{server.url}/api/users/me", headers=bearer(token))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class TestFetches:
    def test_one_at_the_start_serves_everybody(self, server: LocalServer, alone: Issuer) -> None:
        for n in range(20):
            assert me(server, alone.token(f"user-{n}")).status_code == 200
        assert alone.fetches == 1

    def test_unknown_keys_cause_two_in_30_seconds_at_most(self, server: LocalServer, alone: Issuer) -> None:
        tokens = [alone.token("alice", key=SigningKey.new(f"unknown-{n}", "EdDSA")) for n in range(200)]
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda token: me(server, token), tokens))
        assert {answer.status_code for answer in answers} == {401}
        assert alone.fetches <= 2
        assert me(server, alone.token("alice")).status_code == 200

    def test_a_new_key_is_found_by_its_first_token(self, server: LocalServer, alone: Issuer) -> None:
        assert me(server, alone.token("alice")).status_code == 200
        alone.keys.insert(0, SigningKey.new("key-2", "EdDSA"))
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda n: me(server, alone.token(f"user-{n}")), range(32)))
        assert {answer.status_code for answer in answers} == {200}
        assert alone.fetches == 2
        assert me(server, alone.token("alice", key=alone.keys[1])).status_code == 200

    def test_after_half_a_minute_unknown_keys_may_cause_two_again(self, alone: Issuer) -> None:
        clock = Clock()

        async def work() -> list[int]:
            keys, seen = KeySet(alone.url, alone.jwks_url, now=clock), []
            for _ in range(5):
                for n in range(10):
                    assert await keys.find(f"unknown-{n}", "EdDSA") is None
                seen.append(alone.fetches)
                clock.now += 10.0
            return seen

        assert asyncio.run(work()) == [2, 2, 2, 4, 4]


class TestOutage:
    def test_of_an_hour_refuses_no_user(self, server: LocalServer, alone: Issuer) -> None:
        assert me(server, alone.token("alice")).status_code == 200
        alone.instead = (503, {}, b"")
        clock = Clock()
        (keys,) = self.key_sets(server)
        keys._now = clock
        for _ in range(60):
            clock.now += 60.0
            assert me(server, alone.token("alice")).status_code == 200
            problem(
                me(server, alone.token("alice", key=SigningKey.new("unknown", "EdDSA"))), 401, "unauthorized"
            )
        assert alone.fetches <= 1 + 2 * 60 * 2

    def test_a_known_key_is_not_waited_for(self, server: LocalServer, alone: Issuer) -> None:
        assert me(server, alone.token("alice")).status_code == 200
        clock = Clock()
        (keys,) = self.key_sets(server)
        keys._now, keys._fetched_at = clock, clock.now - 301
        alone.delay = 2.5
        start = time.monotonic()
        assert me(server, alone.token("bob")).status_code == 200
        assert time.monotonic() - start < 2
        wait_for(lambda: alone.fetches == 2)

    def test_before_any_key_was_seen_nobody_can_be_told_from_anybody(
        self, tmp_path: Path, alone: Issuer
    ) -> None:
        alone.instead = (503, {}, b"")
        settings = settings_for(alone, database_url=f"sqlite:///{tmp_path}/test.db", jwt_secret=None)
        with local_server(settings) as server:
            wait_for(lambda: alone.fetches == 1)
            answer = me(server, alone.token("alice"))
            problem(answer, 503, "database_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert httpx2.get(f"{server.url}/health/live").status_code == 200
            alone.instead = None
            (keys,) = self.key_sets(server)
            keys._attempts.clear()
            assert me(server, alone.token("alice")).status_code == 200

    @staticmethod
    def key_sets(server: LocalServer) -> list[KeySet]:
        return list(server.app.state.verifier.key_sets.values())


BAD_ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "an error": (500, {}, b"{}"),
    "a redirect": (302, {"Location": "http://127.0.0.1:9/jwks"}, b""),
    "no JSON": (200, {}, b"<html>"),
    "an array": (200, {}, b"[]"),
    "no keys": (200, {}, b"{}"),
    "keys of another type": (200, {}, b'{"keys": {}}'),
    "too much": (200, {}, b'{"keys": [' + b" " * 70_000 + b"]}"),
    "compressed": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
}


class TestBadAnswers:
    @pytest.mark.parametrize("name", BAD_ANSWERS)
    def test_leave_the_keys_as_they_are(self, alone: Issuer, name: str) -> None:
        async def work() -> None:
            keys = KeySet(alone.url, alone.jwks_url)
            await keys.refresh()
            alone.instead = BAD_ANSWERS[name]
            await keys.refresh()
            assert await keys.find("key-EdDSA", "EdDSA") is not None
            with pytest.raises(KeysUnavailable):
                await KeySet(alone.url, alone.jwks_url).find("key-EdDSA", "EdDSA")

        asyncio.run(work())

    def test_one_that_does_not_come_is_given_up(self, alone: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jwks, "_TIMEOUT_SECONDS", 0.2)
        alone.delay = 1.0

        async def work() -> None:
            with pytest.raises(KeysUnavailable):
                await KeySet(alone.url, alone.jwks_url).find("key-EdDSA", "EdDSA")

        asyncio.run(work())


def jwk(**changes: Any) -> dict[str, Any]:
    entry = {**SigningKey.new("key", "EdDSA").jwk(), **changes}
    return {name: value for name, value in entry.items() if value is not None}


RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})

SMALL_RSA = {"kty": "RSA", "n": "u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0g", "e": "AQAB", "kid": "key"}


class TestKeys:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"use": None},
            {"alg": None},
            {"alg": "Ed25519"},
            {"key_ops": ["verify"]},
            {"key_ops": ["sign", "verify"]},
        ],
    )
    def test_that_verify_are_taken(self, changes: dict[str, Any]) -> None:
        key = jwks._key_of(jwk(**changes))
        assert key is not None
        assert key.algorithms == {"EdDSA", "Ed25519"}

    @pytest.mark.parametrize(
        "entry",
        [
            None, 1, "key", [], {}, {"kty": "oct", "k": "c2VjcmV0", "kid": "key"}, {"kty": "EC"},
            {"kty": []}, SMALL_RSA, jwk(use="enc"), jwk(key_ops=["sign"]), jwk(key_ops="verify"),
            jwk(kid=1), jwk(alg="none"), jwk(alg="HS256"), jwk(alg="RS256"), jwk(alg=["EdDSA"]),
            jwk(crv="Ed448"), jwk(crv="X25519"), jwk(x="AA"), jwk(x=1), jwk(kty="RSA"),
        ],
    )  # fmt: skip
    def test_of_no_use_are_left_out(self, entry: object) -> None:
        assert jwks._key_of(entry) is None

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_are_bound_to_what_they_are_for(self, algorithm: str) -> None:
        entry = SigningKey.new("key", algorithm).jwk()
        named = jwks._key_of(entry)
        unnamed = jwks._key_of({**entry, "alg": None, "use": None, "key_ops": None})
        assert named is not None
        assert unnamed is not None
        if algorithm in RSA:
            assert named.algorithms == {algorithm}
            assert unnamed.algorithms == RSA
        else:
            own = {"EdDSA", "Ed25519"} if algorithm.startswith("Ed") else {algorithm}
            assert named.algorithms == unnamed.algorithms == own
        for other in {*ALGORITHMS, "HS256", "HS384", "HS512", "ES256K", "none"} - unnamed.algorithms:
            assert jwks._key_of({**entry, "alg": other}) is None

    def test_of_one_name_are_told_apart_by_their_kind(self, alone: Issuer) -> None:
        """A name may be that of several keys (RFC 7517, 4.5), and some have none."""

        async def work() -> None:
            alone.keys = [SigningKey.new("same", name) for name in ALGORITHMS[1:]]
            alone.unusable = [None, {"kty": "AKP", "kid": "same"}, {"kty": "oct", "k": "c2VjcmV0"}, SMALL_RSA]
            keys = KeySet(alone.url, alone.jwks_url)
            for key in alone.keys:
                found = await keys.find("same", key.algorithm)
                assert found is not None
                assert found.public == key.private.public_key()
            assert await keys.find("other", "RS256") is None

        asyncio.run(work())

    def test_without_a_name_the_only_one_of_its_kind_will_do(self, alone: Issuer) -> None:
        async def work() -> tuple[bool, bool]:
            keys = KeySet(alone.url, alone.jwks_url)
            one = await keys.find(None, "EdDSA")
            alone.keys.append(SigningKey.new("second", "EdDSA"))
            await keys.refresh()
            return one is not None, await keys.find(None, "EdDSA") is None

        assert asyncio.run(work()) == (True, True)


class TestDiscovery:
    def test_finds_the_keys_from_the_issuers_name_alone(self, alone: Issuer, tmp_path: Path) -> None:
        settings = settings_for(
            alone, database_url=f"sqlite:///{tmp_path}/test.db", jwt_secret=None, jwt_jwks_url=""
        )
        with local_server(settings) as server:
            assert me(server, alone.token("alice")).status_code == 200
            problem(me(server, alone.token("alice", iss="https://other.example")), 401, "unauthorized")

    def test_a_document_of_another_issuer_is_none(self, alone: Issuer) -> None:
        async def work() -> None:
            with pytest.raises(KeysUnavailable):
                await KeySet(f"{alone.url}/", None).find("key-EdDSA", "EdDSA")

        asyncio.run(work())


class TestSeveralIssuers:
    def test_each_vouches_for_its_own_tokens_alone(
        self, alone: Issuer, issuer: Issuer, tmp_path: Path
    ) -> None:
        settings = settings_for(
            alone,
            database_url=f"sqlite:///{tmp_path}/test.db",
            jwt_secret=None,
            jwt_issuer=f"{alone.url},{issuer.url}",
            jwt_jwks_url=f"{alone.jwks_url},{issuer.jwks_url}",
            jwt_audience=f"{AUDIENCE}, https://other.example",
        )
        with local_server(settings) as server:
            assert me(server, alone.token("alice")).status_code == 200
            assert me(server, issuer.token("bob", aud="https://other.example")).status_code == 200
            for one, other in ((alone, issuer), (issuer, alone)):
                problem(me(server, one.token("alice", iss=other.url)), 401, "unauthorized")
