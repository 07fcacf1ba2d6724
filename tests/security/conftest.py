"""A server on each database that asks for tokens, and an issuer whose tokens it believes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from harness.databases import migrated_database
from harness.issuer import ALGORITHMS, AUDIENCE, SECRET, Issuer, bearer, running_issuer
from harness.servers import LocalServer, local_server
from taskwell.core.settings import Settings

As = Callable[..., httpx2.Client]


def settings_for(issuer: Issuer, **others: object) -> Settings:
    trusted = {
        "auth": "jwt",
        "jwt_issuer": issuer.url,
        "jwt_jwks_url": issuer.jwks_url,
        "jwt_audience": AUDIENCE,
        "jwt_secret": SECRET,
        "rate_limit": "none",
    }
    return Settings(**{**trusted, **others})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    with running_issuer(*ALGORITHMS) as issuer:
        yield issuer


@pytest.fixture(scope="session")
def guarded(
    database_kind: str, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    with (
        migrated_database(database_kind, tmp_path_factory.mktemp("guarded")) as url,
        local_server(settings_for(issuer, database_url=url)) as server,
    ):
        yield server


@pytest.fixture
def as_user(guarded: LocalServer, issuer: Issuer) -> Iterator[As]:
    """A client with the token of a user, whose claims may be given."""
    with ExitStack() as stack:

        def client_of(user_id: str, **claims: Any) -> httpx2.Client:
            headers = bearer(issuer.token(user_id, **claims))
            return stack.enter_context(httpx2.Client(base_url=guarded.url, headers=headers))

        yield client_of


@pytest.fixture
def anonymous(guarded: LocalServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=guarded.url) as client:
        yield client
