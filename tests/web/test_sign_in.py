"""Who is asking: an API token, OpenID Connect, the cookie of another sign-in; and signing out."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from harness.issuer import SECRET, bearer, sign
from harness.issuers import oidc_provider
from harness.servers import ServerProcess, server_process
from tests.web.conftest import Visitor, add, row, up_to_date

pytestmark = pytest.mark.slow

AUDIENCE = "https://taskwell.example"
DATABASES = "indexedDB.databases().then((all) => all.map((one) => one.name))"


def jwt(user: str) -> str:
    claims = {"sub": user, "exp": int(time.time()) + 3_600}
    return sign({"alg": "HS256", "typ": "JWT"}, claims, SECRET.encode(), "HS256")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {
        "TASKWELL_AUTH": "jwt",
        "TASKWELL_JWT_SECRET": SECRET,
        "TASKWELL_APP_TOKEN_URL": "/sign-in/token",
        "TASKWELL_RATE_LIMIT": "none",
    }
    with server_process(tmp_path_factory.mktemp("signed-in"), **settings) as server:
        yield server


@pytest.fixture
def visit(browser: Browser, server: ServerProcess, user: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, server.url, **bearer(jwt(user)))
    visitor.tolerated = ["401"]
    yield visitor
    visitor.close()


def api_token(visit: Visitor) -> tuple[str, str]:
    """Its id, and the token."""
    made = visit.http.post(
        "/api/users/me/tokens", json={"name": "page", "scopes": ["tasks:read", "tasks:write"]}
    )
    return made.raise_for_status().json()["id"], made.json()["token"]


def enter(page: Page, token: str, *, keep: bool = False) -> None:
    page.get_by_label("API token").fill(token)
    page.get_by_label("Keep me signed in").set_checked(keep)
    page.get_by_role("button", name="Use the token").click()


class TestToken:
    def test_a_wrong_one_is_refused_and_a_right_one_enters(self, visit: Visitor) -> None:
        _, token = api_token(visit)
        page = visit.open("inbox")
        enter(page, "tw_wrong")
        expect(page.get_by_role("alert")).to_be_visible()
        enter(page, token)
        up_to_date(page)
        add(page, "Buy milk")
        up_to_date(page)
        assert visit.titles() == ["Buy milk"]
        page.reload()
        expect(row(page, "Buy milk")).to_be_visible()
        assert page.evaluate("[document.cookie, JSON.stringify(localStorage).includes('tw_')]") == ["", False]

    def test_one_that_is_revoked_in_the_middle_keeps_what_was_written(self, visit: Visitor) -> None:
        token_id, token = api_token(visit)
        page = visit.open("inbox")
        enter(page, token)
        up_to_date(page)
        visit.http.delete(f"/api/users/me/tokens/{token_id}").raise_for_status()
        add(page, "Written without a token")
        expect(page.get_by_text("One change waits and is kept.")).to_be_visible()
        assert visit.tasks() == []
        enter(page, api_token(visit)[1])
        expect(row(page, "Written without a token")).to_be_visible()
        up_to_date(page)
        assert visit.titles() == ["Written without a token"]

    def test_signing_out_forgets_everything(self, visit: Visitor) -> None:
        page = visit.open("inbox")
        enter(page, api_token(visit)[1], keep=True)
        up_to_date(page)
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        add(page, "A secret")
        up_to_date(page)
        page.get_by_role("button", name="Settings").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API token")).to_be_visible()
        kept = page.evaluate(
            "Promise.all([sessionStorage.length, localStorage.length, indexedDB.databases(), "
            "caches.keys().then((names) => names.length < 2)])"
        )
        assert kept == [0, 0, [], True]

    def test_another_user_sees_nothing_of_the_first(self, visit: Visitor, server: ServerProcess) -> None:
        page = visit.open("inbox")
        enter(page, jwt("first"))
        up_to_date(page)
        add(page, "Of the first")
        up_to_date(page)
        page.evaluate("sessionStorage.clear()")
        page.reload()
        enter(page, jwt("second"))
        up_to_date(page)
        expect(page.get_by_text("Your inbox is empty")).to_be_visible()
        httpx2.delete(f"{server.url}/api/users/first", headers=bearer(jwt("first")))


class TestCookie:
    def test_the_sign_in_of_an_app_beside_it_enters_and_renews(self, visit: Visitor, user: str) -> None:
        page = visit.open("inbox")
        given: list[str] = []

        def answer(route: Any) -> None:
            given.append(jwt(user))
            route.fulfill(json={"token": given[-1]})

        page.context.route(re.compile("/sign-in/token"), answer)
        page.get_by_role("button", name="Continue as signed in").click()
        up_to_date(page)
        add(page, "Buy milk")
        up_to_date(page)
        assert visit.titles() == ["Buy milk"]
        page.reload()
        expect(row(page, "Buy milk")).to_be_visible()
        assert len(given) == 2
        assert given[0] not in page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")


class TestOpenIDConnect:
    def test_a_provider_signs_in_and_renews(self, browser: Browser, tmp_path: Path) -> None:
        server = ServerProcess(tmp_path)
        with oidc_provider(page=f"{server.url}/app") as provider:
            server.environment = {
                "TASKWELL_AUTH": "jwt",
                "TASKWELL_JWT_ISSUER": provider.issuer,
                "TASKWELL_JWT_AUDIENCE": AUDIENCE,
                "TASKWELL_APP_OIDC_CLIENT_ID": "page",
            }
            server.start()
            try:
                server.wait_until_up()
                self.sign_in(Visitor(browser, server.url), provider.issuer)
            finally:
                server.stop()

    def sign_in(self, visit: Visitor, issuer: str) -> None:
        page = visit.open("list/some?x=1")
        page.get_by_role("button", name="Sign in", exact=True).click()
        up_to_date(page)
        assert page.url.endswith("/app/list/some?x=1")
        page.get_by_role("link", name="Inbox").click()
        add(page, "Buy milk")
        up_to_date(page)
        visit.requested.clear()
        page.reload()
        expect(row(page, "Buy milk")).to_be_visible()
        up_to_date(page)
        assert visit.requested.count(f"{issuer}/token") == 1
        stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        assert "eyJ" not in stored  # no access token
        page.get_by_role("button", name="Settings").click()
        expect(page.get_by_role("dialog")).to_contain_text("alice")
        visit.close()
