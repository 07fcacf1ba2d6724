"""Issuers whose access tokens have no `aud`, and hints at settings that refuse every token."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness.issuer import AUDIENCE, SECRET, Issuer, bearer, running_issuer, sign
from harness.responses import problem
from harness.servers import local_server
from tests.security.conftest import settings_for

Ask = Callable[..., httpx2.Response]
Serve = Callable[..., Ask]


@pytest.fixture
def serve(issuer: Issuer, tmp_path: Path) -> Iterator[Serve]:
    """A server with some settings, and what it says to a token with some claims."""
    with ExitStack() as stack:

        def started(**others: Any) -> Ask:
            settings = settings_for(issuer, database_url=f"sqlite:///{tmp_path}/test.db", **others)
            server = stack.enter_context(local_server(settings))

            def ask(**claims: Any) -> httpx2.Response:
                return httpx2.get(
                    f"{server.url}/api/users/me", headers=bearer(issuer.token("alice", **claims))
                )

            return ask

        yield started


def hints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "was refused" in record.getMessage()]


class TestAudienceClaim:
    @pytest.mark.parametrize("claim", ["client_id", "azp"])
    def test_is_taken_for_an_aud_that_is_not_there(self, serve: Serve, claim: str) -> None:
        ask = serve(jwt_audience_claim=claim)
        assert ask(aud=None, **{claim: AUDIENCE}).json()["id"] == "alice"
        wrongs: tuple[Any, ...] = ("other", "", 1, True, {"a": 1}, [[AUDIENCE]], None)
        for wrong in wrongs:
            problem(ask(aud=None, **{claim: wrong}), 401, "unauthorized")

    @pytest.mark.parametrize("claim", ["client_id", "azp"])
    def test_does_not_make_up_for_an_aud_that_is_wrong(self, serve: Serve, claim: str) -> None:
        ask = serve(jwt_audience_claim=claim)
        assert ask(**{claim: "other"}).json()["id"] == "alice"
        wrongs: tuple[Any, ...] = ("https://other.example", [], "", 1)
        for wrong in wrongs:
            problem(ask(aud=wrong, **{claim: AUDIENCE}), 401, "unauthorized")

    def test_is_not_looked_at_unless_it_is_set(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        ask = serve()
        for _ in range(2):
            answer = ask(aud=None, client_id=AUDIENCE, azp=AUDIENCE)
            assert "(aud)" in problem(answer, 401, "unauthorized")["detail"]
        assert sorted(hints(caplog)) == [
            f"a token was refused: it has no aud, but {name}: see TASKWELL_JWT_AUDIENCE_CLAIM"
            for name in ("azp", "client_id")
        ]
        assert AUDIENCE not in caplog.text


class TestHints:
    @pytest.mark.parametrize("others", [{}, {"jwt_jwks_url": ""}], ids=["keys", "secret"])
    def test_at_an_issuer_that_differs_by_a_slash(
        self, serve: Serve, issuer: Issuer, caplog: pytest.LogCaptureFixture, others: dict[str, str]
    ) -> None:
        ask = serve(**others)
        for _ in range(2):
            problem(ask(iss=f"{issuer.url}/"), 401, "unauthorized")
        (hint,) = hints(caplog)
        assert "differ by a slash at the end" in hint

    def test_none_at_one_that_is_quite_another(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        ask = serve()
        wrongs: tuple[Any, ...] = ("https://other.example/", "", 1, None, [])
        for wrong in wrongs:
            problem(ask(iss=wrong), 401, "unauthorized")
        assert hints(caplog) == []

    def test_at_a_secret_that_is_too_short(
        self, issuer: Issuer, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        token = sign({"alg": "HS512"}, issuer.claims("alice"), SECRET.encode(), "HS512")
        with local_server(settings_for(issuer, database_url=f"sqlite:///{tmp_path}/test.db")) as server:
            answer = httpx2.get(f"{server.url}/api/users/me", headers=bearer(token))
        assert "secret" not in problem(answer, 401, "unauthorized")["detail"].lower()
        assert hints(caplog) == ["a token was refused: HS512 needs a TASKWELL_JWT_SECRET of 64 bytes"]

    def test_at_a_discovery_document_of_another_name(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with running_issuer("EdDSA") as alone:
            settings = settings_for(
                alone, database_url=f"sqlite:///{tmp_path}/test.db", jwt_secret=None, jwt_jwks_url="",
                jwt_issuer=f"{alone.url}/",
            )  # fmt: skip
            with local_server(settings) as server, caplog.at_level(logging.WARNING):
                answer = httpx2.get(
                    f"{server.url}/api/tasks", headers=bearer(alone.token("a", iss=f"{alone.url}/"))
                )
        problem(answer, 503, "database_unavailable")
        assert "its own name differs by a slash at the end" in caplog.text
