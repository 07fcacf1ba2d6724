"""Under a path: behind a proxy, by a server's own option, and mounted in another application."""

import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx2
import jwt
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.routing import Mount, compile_path

from harness.issuer import SECRET
from harness.servers import local_server, serving
from taskwell.app import PREFIXES, create_app
from taskwell.core.settings import Settings
from taskwell.http.admission import Admission
from taskwell.http.prefixes import Prefixes
from taskwell.http.root_path import enter, public

PREFIX_TABLE = Prefixes(PREFIXES)
NEW = {"title": "Buy milk"}


class Site:
    """What a client sees. `root` is in every path of its; `kept` is what of it reaches the server."""

    def __init__(self, http: httpx2.Client, root: str, kept: str) -> None:
        self.http = http
        self.root = root
        self.kept = kept

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """`path`: below the root."""
        return self.http.request(method, f"{self.kept}{path}", **options)

    def follow(self, link: str) -> httpx2.Response:
        """A link as the client got it."""
        assert link.startswith(f"{self.root}/"), link
        return self.ask("GET", link.removeprefix(self.root))


def forwarded(prefix: str) -> dict[str, str]:
    return {"X-Forwarded-Prefix": prefix} if prefix else {}


Way = Callable[[Settings], AbstractContextManager[Site]]


@contextmanager
def configured(settings: Settings, root: str, kept: str, prefix: str = "") -> Iterator[Site]:
    """`taskwell serve` behind a proxy."""
    with (
        local_server(settings.model_copy(update={"root_path": root})) as server,
        httpx2.Client(base_url=server.url, headers=forwarded(prefix)) as http,
    ):
        yield Site(http, root or prefix.rstrip("/"), kept)


@contextmanager
def by_option(settings: Settings, option: str, root: str, kept: str) -> Iterator[Site]:
    """`uvicorn --root-path`."""
    with (
        serving(create_app(settings), root_path=option) as url,
        httpx2.Client(base_url=url) as http,
    ):
        yield Site(http, root, kept)


def with_lifespan_of(app: FastAPI) -> Any:
    @asynccontextmanager
    async def lifespan(_parent: Any) -> AsyncGenerator[None]:
        async with app.router.lifespan_context(app):
            yield

    return lifespan


def fastapi_parent(app: FastAPI, path: str) -> FastAPI:
    parent = FastAPI(lifespan=with_lifespan_of(app))
    parent.mount(path, app)
    return parent


def starlette_parent(app: FastAPI, outer: str, inner: str) -> Starlette:
    routes = [Mount(outer, routes=[Mount(inner, app=app)])]
    return Starlette(routes=routes, lifespan=with_lifespan_of(app))


@contextmanager
def mounted(
    settings: Settings,
    parent: Callable[[FastAPI], Any],
    root: str,
    option: str = "",
    kept: str | None = None,
    prefix: str = "",
) -> Iterator[Site]:
    with (
        serving(parent(create_app(settings)), root_path=option) as url,
        httpx2.Client(base_url=url, headers=forwarded(prefix)) as http,
    ):
        yield Site(http, root, root if kept is None else kept)


WAYS: dict[str, Way] = {
    "a proxy that takes the path off": partial(configured, root="/tasks", kept=""),
    "a proxy that leaves it there": partial(configured, root="/tasks", kept="/tasks"),
    "of several segments": partial(configured, root="/a/b.c/~d", kept="/a/b.c/~d"),
    "like the API's own, taken off": partial(configured, root="/api", kept=""),
    "like the API's own, left there": partial(configured, root="/api", kept="/api"),
    "X-Forwarded-Prefix": partial(configured, root="", kept="", prefix="/tasks"),
    "X-Forwarded-Prefix with a slash": partial(configured, root="", kept="", prefix="/a/tasks/"),
    "X-Forwarded-Prefix and the setting": partial(configured, root="/tasks", kept="", prefix="/other"),
    "uvicorn's option": partial(by_option, option="/tasks", root="/tasks", kept=""),
    "uvicorn's option with a slash": partial(by_option, option="/tasks/", root="/tasks", kept=""),
    "uvicorn's option, the path left there": partial(
        by_option, option="/tasks", root="/tasks", kept="/tasks"
    ),
    "mounted in FastAPI": partial(
        mounted, parent=partial(fastapi_parent, path="/tasks-api"), root="/tasks-api"
    ),
    "mounted in Starlette, twice": partial(
        mounted, parent=partial(starlette_parent, outer="/a", inner="/b"), root="/a/b"
    ),
    "mounted at a name of the API": partial(
        mounted, parent=partial(fastapi_parent, path="/api"), root="/api"
    ),
    "mounted at another alphabet's path": partial(
        mounted, parent=partial(fastapi_parent, path="/größe"), root=quote("/größe")
    ),
    "mounted below a parameter": partial(
        mounted, parent=partial(fastapi_parent, path="/{user_id}/of/{id}"), root="/somebody/of/x"
    ),
    "mounted, and uvicorn's option": partial(
        mounted,
        parent=partial(fastapi_parent, path="/tasks-api"),
        root="/site/tasks-api",
        option="/site",
        kept="/tasks-api",
    ),
    "mounted, and X-Forwarded-Prefix": partial(
        mounted,
        parent=partial(fastapi_parent, path="/tasks-api"),
        root="/site/tasks-api",
        kept="/tasks-api",
        prefix="/site",
    ),
}


@pytest.fixture(params=WAYS)
def site(request: pytest.FixtureRequest, database_url: str) -> Iterator[Site]:
    with WAYS[request.param](Settings(database_url=database_url)) as site:
        yield site


def link_of(answer: httpx2.Response, relation: str) -> str:
    found = re.fullmatch(rf'<([^>]*)>; rel="{relation}"', answer.headers["link"])
    assert found, answer.headers["link"]
    return found[1]


@pytest.mark.slow
class TestEverything:
    def test_is_right(self, site: Site) -> None:
        """One test, since each way is a server of its own."""
        for tasks in ("/api/tasks", "/api/somebody-else/tasks"):
            self.tasks_are_where_they_are_said_to_be(site, tasks)
        self.problems_lead_to_their_page(site)
        self.the_pages_find_all_that_they_show(site)
        self.a_repeat_is_known_wherever_it_comes_from(site)

    def tasks_are_where_they_are_said_to_be(self, site: Site, tasks: str) -> None:
        for _ in range(3):  # the second and the third are answered on the spot, where that is done
            made = site.ask("POST", tasks, json=NEW)
            assert made.status_code == 201, made.text
            assert made.headers["location"] == f"{site.root}{tasks}/{made.json()['id']}"
            assert site.follow(made.headers["location"]).json() == made.json()
        assert len(site.ask("GET", tasks).json()) == 3
        for _ in range(3):
            page = site.ask("GET", f"{tasks}?limit=1")
            following = site.follow(link_of(page, "next"))
            assert len(page.json()) == len(following.json()) == 1
            assert page.json() != following.json()
        path = f"{tasks}/01890000-0000-7000-8000-0000000000{len(tasks):02}"
        put = site.ask("PUT", path, json=NEW, headers={"If-None-Match": "*"})
        assert put.headers["location"] == f"{site.root}{path}"
        assert site.ask("POST", f"{path}/toggle").json()["completed"] is True
        assert site.ask("DELETE", f"{path}/").status_code == 204

    def problems_lead_to_their_page(self, site: Site) -> None:
        for method, path, status in (
            ("GET", "/health/nothing", 404),
            ("GET", "/api/nothing", 404),
            ("GET", "/api/tasks/x", 400),
            ("GET", "/api/a%00/tasks", 400),
            ("POST", "/health/live", 405),
            ("POST", "/api/tasks", 400),
        ):
            for accept, kind in (("*/*", "application/json"), ("text/html", "text/html")):
                answer = site.ask(method, path, json={} if method == "POST" else None)
                assert answer.status_code == status, answer.text
                assert answer.json()["instance"] == f"{site.root}{path}"
                page = site.ask(
                    "GET",
                    link_of(answer, "describedby").removeprefix(site.root),
                    headers={"Accept": accept},
                )
                assert link_of(answer, "describedby").startswith(f"{site.root}/problems/")
                assert page.status_code == 200
                assert page.headers["content-type"].startswith(kind)
        self.the_links_of_a_page_lead_somewhere(site, page)

    def the_pages_find_all_that_they_show(self, site: Site) -> None:
        start = site.ask("GET", "/")
        assert start.status_code == 307
        docs = site.follow(start.headers["location"])
        links = self.the_links_of_a_page_lead_somewhere(site, docs)
        assert {f"{site.root}/openapi.json", f"{site.root}/assets/docs.js"} <= links
        problems = site.ask("GET", "/problems", headers={"Accept": "text/html"})
        assert len(self.the_links_of_a_page_lead_somewhere(site, problems)) > 10
        document = site.ask("GET", "/openapi.json").json()
        assert document["servers"] == [{"url": site.root}]
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert site.ask("GET", path).status_code == 200
        assert 'route="/api/{user_id}/tasks"' in site.ask("GET", "/metrics").text

    def the_links_of_a_page_lead_somewhere(self, site: Site, page: httpx2.Response) -> set[str]:
        assert page.status_code == 200
        links = set(re.findall(r'(?:href|src|data-openapi)="([^"]*)"', page.text))
        assert links
        for link in links:
            assert site.follow(link).status_code == 200
        return links

    def a_repeat_is_known_wherever_it_comes_from(self, site: Site) -> None:
        first, second = (
            site.ask("POST", "/api/tasks", json=NEW, headers={"Idempotency-Key": "k"}) for _ in range(2)
        )
        assert first.json() == second.json()
        assert first.headers["location"] == second.headers["location"]


class TestShortcuts:
    @pytest.mark.parametrize(
        "way", ["a proxy that takes the path off", "a proxy that leaves it there", "X-Forwarded-Prefix"]
    )
    def test_are_taken(self, way: str, database_url: str, taken: list[bool]) -> None:
        with WAYS[way](Settings(database_url=database_url)) as site:
            long, short = (site.ask("POST", "/api/tasks", json=NEW) for _ in range(2))
            assert taken == [False, True]
            assert long.headers.keys() == short.headers.keys()
            del taken[:]
            for _ in range(2):  # the second is found to be missing on the spot, and told the long way
                missing = site.ask("GET", "/api/tasks/01890000-0000-7000-8000-000000000000")
                assert missing.json()["instance"].startswith(f"{site.root}/api/tasks/")


@pytest.mark.slow
class TestOverload:
    @pytest.mark.parametrize(
        "way",
        [
            "a proxy that takes the path off",
            "a proxy that leaves it there",
            "like the API's own, left there",
            "X-Forwarded-Prefix",
        ],
    )
    def test_is_told_under_the_path(
        self, way: str, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with WAYS[way](Settings(database_url=database_url)) as site:
            monkeypatch.setattr(Admission, "is_full", lambda _self, _now: True)
            for path in ("/api/tasks", "/api/%41/tasks", "/"):
                refused = site.ask("GET", f"{path}?limit=1")
                assert refused.status_code == 503
                assert link_of(refused, "describedby") == f"{site.root}/problems/overloaded"
                assert refused.json()["instance"] == f"{site.root}{path}"
            assert site.ask("GET", "/health/live").status_code == 200


class TestForwardedPrefix:
    """Whatever is said there, no link leads anywhere else."""

    NOT_BELIEVED = (
        "//evil.example", "https://evil.example", "javascript:alert(1)", "/a/../b", "/..", "/.", "/a//b",
        "evil.example", "tasks", "", "/", "/%2e%2e", "/%2F%2Fevil.example", "/a,/b", "/a, /b", "/a b",
        "/a?b", "/a#b", "/a\\b", "\\\\evil.example", '/a"b', "/<b>", "/a;b", "/a@b", "/a\tb", "/\xe9",
        "/" + "a" * 300, "///",
    )  # fmt: skip

    def test_of_which_nothing_is_believed(self, client: httpx2.Client, subtests: pytest.Subtests) -> None:
        for value in self.NOT_BELIEVED:
            with subtests.test(value=value):
                headers = {b"X-Forwarded-Prefix": value.encode("latin-1")}
                made = client.post("/api/tasks", json=NEW, headers=headers)
                assert made.headers["location"] == f"/api/tasks/{made.json()['id']}"
                lost = client.get("/nothing", headers=headers)
                assert link_of(lost, "describedby") == "/problems/not_found"
                assert lost.json()["instance"] == "/nothing"
                assert client.get("/", headers=headers).headers["location"] == "/docs"
                assert client.get("/openapi.json", headers=headers).json()["servers"] == [{"url": "/"}]

    def test_said_twice_is_not_believed(self, client: httpx2.Client) -> None:
        answer = client.get("/", headers=[("X-Forwarded-Prefix", "/a"), ("X-Forwarded-Prefix", "/a")])
        assert answer.headers["location"] == "/docs"

    def test_of_a_stranger_is_not_believed(self, database_url: str) -> None:
        settings = Settings(database_url=database_url, forwarded_allow_ips="10.9.9.9")
        with local_server(settings) as server:
            answer = httpx2.get(f"{server.url}/", headers={"X-Forwarded-Prefix": "/a"})
            assert answer.headers["location"] == "/docs"
            assert "X-Forwarded-Prefix" not in answer.headers.get("vary", "")

    def test_opens_no_second_way_to_a_path(self, client: httpx2.Client) -> None:
        """A proxy may let only some paths through, and pass on what a client says of prefixes."""
        answer = client.get("/x/metrics", headers={"X-Forwarded-Prefix": "/x"})
        assert answer.status_code == 404

    def test_is_named_to_caches(self, client: httpx2.Client) -> None:
        answer = client.get("/docs", headers={"X-Forwarded-Prefix": "/tasks"})
        assert "X-Forwarded-Prefix" in answer.headers["vary"]
        assert "X-Forwarded-Prefix" not in client.get("/docs").headers["vary"]

    def test_is_believed_where_uvicorn_has_believed_the_proxy(self, database_url: str) -> None:
        """Its own layer, which is there by default, has put the client in the place of the proxy."""
        headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Prefix": "/tasks"}
        with serving(create_app(Settings(database_url=database_url))) as url:
            assert httpx2.get(f"{url}/", headers=headers).headers["location"] == "/tasks/docs"


class TestSetting:
    @pytest.mark.parametrize(("text", "path"), [("", ""), ("/", ""), ("/a", "/a"), ("/a/b/", "/a/b")])
    def test_is_a_path(self, text: str, path: str) -> None:
        assert Settings(root_path=text).root_path == path

    @pytest.mark.parametrize(
        "text",
        ["a", "//a", "/a//b", "https://a.example/b", "/..", "/a/../b", "/a?b", "/a b", "/%61", "/ä", "/a\nb"],
    )
    def test_that_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(ValidationError, match="must be a path like /tasks"):
            Settings(root_path=text)


@pytest.mark.slow
class TestAccess:
    """No spelling of a path gets by the layer that asks for a token."""

    @pytest.mark.parametrize(
        "way",
        [
            "a proxy that takes the path off",
            "a proxy that leaves it there",
            "like the API's own, left there",
            "uvicorn's option",
            "mounted in FastAPI",
            "mounted at a name of the API",
            "mounted below a parameter",
            "X-Forwarded-Prefix",
        ],
    )
    def test_needs_a_token_under_every_path(self, way: str, database_url: str) -> None:
        settings = Settings(database_url=database_url, auth="jwt", jwt_secret=SECRET)  # type: ignore[arg-type]
        with WAYS[way](settings) as site:
            token = jwt.encode({"sub": "somebody", "exp": 4_000_000_000}, SECRET)
            own = {"Authorization": f"Bearer {token}"}
            assert site.ask("POST", "/api/tasks", json=NEW, headers=own).status_code == 201
            for root in (site.kept, f"{site.kept}{site.kept}", f"{site.kept}/", site.root, site.root * 2):
                for path in (
                    "/api/tasks", "//api/tasks", "/api//tasks", "/./api/tasks", "/x/../api/tasks",
                    "/API/tasks", "/%61pi/tasks", "/api%2Ftasks", "/api/tasks/", "/api/tasks;x",
                    "/api/somebody/tasks", "/assets/../api/tasks", "/health/../api/tasks",
                    "/api/users/me",
                ):  # fmt: skip
                    answer = site.http.get(f"{root}{path}")
                    assert answer.status_code in {307, 400, 401, 404}, (root, path)
                    assert "Buy milk" not in answer.text
            assert site.ask("GET", "/api/tasks").status_code == 401
            assert site.ask("GET", "/api/somebody-else/tasks", headers=own).status_code == 403


class TestOwnPaths:
    def test_are_all_known(self) -> None:
        """Else a root path that is named like one would hide it."""
        app = create_app(Settings(database_url="sqlite:///unused.db"))
        paths = [path for route in app.routes if (path := getattr(route, "path", None)) is not None]
        document = app.openapi()["paths"]
        for path in (*paths, *document):
            assert PREFIX_TABLE.is_own(path or "/"), path
        assert compile_path("/api/tasks")[0].match("/api/tasks")


class TestPaths:
    """Of servers that give no raw path, or leave the path as it came."""

    @pytest.mark.parametrize(
        ("scope", "inner", "raw", "outer"),
        [
            ({"path": "/api/tasks"}, "/api/tasks", None, "/api/tasks"),
            ({"path": "/t/api/tasks", "root_path": "/t"}, "/api/tasks", b"/api/tasks", "/t/api/tasks"),
            ({"path": "/t", "root_path": "/t"}, "/", b"/", "/t/"),
            ({"path": "/t2/api", "root_path": "/t"}, "/t2/api", None, "/t/t2/api"),
            ({"path": "/t/ü", "root_path": "/t"}, "/ü", b"/%C3%BC", "/t/%C3%BC"),
            ({"path": "/t/ü", "raw_path": b"/%74/%c3%bc", "root_path": "/t"}, "/ü", b"/%c3%bc", "/t/%c3%bc"),
            ({"path": "/t/a/b", "raw_path": b"/t/a%2Fb", "root_path": "/t"}, "/a/b", b"/t/a%2Fb", None),
            ({"path": "//evil/x", "root_path": "//evil"}, "/x", b"/x", "/evil/x"),
            ({"path": "t/x", "root_path": "t"}, "/x", b"/x", "/t/x"),
            ({"path": "/t/t/x", "root_path": "/t"}, "/x", b"/x", "/t/x"),
            ({"path": "/m/x", "root_path": "/t/m", "app_root_path": "/t"}, "/x", b"/x", "/t/m/x"),
        ],
    )
    def test_begin_at_the_root_inside_and_below_it_outside(
        self, scope: dict[str, Any], inner: str, raw: bytes | None, outer: str | None
    ) -> None:
        enter(scope, "", PREFIX_TABLE)
        assert (scope["path"], scope.get("raw_path")) == (inner, raw)
        if outer is not None:
            assert public(scope, (raw or inner.encode()).decode()) == outer
        again = dict(scope)
        enter(again, "", PREFIX_TABLE)
        assert again == scope


class TestPublicUrl:
    """`TASKWELL_PUBLIC_URL`: links that begin with scheme and host, for clients that follow no others."""

    @pytest.mark.parametrize(
        "url", ["https://example.com", "https://Example.com:443/", "http://[::1]:8080/a/b"]
    )
    def test_links_are_absolute(self, database_url: str, user: str, url: str) -> None:
        public_url = Settings(public_url=url).public_url
        path = public_url.partition("://")[2].partition("/")[2]
        tasks = f"/api/{user}/tasks"
        with (
            local_server(Settings(database_url=database_url, public_url=url)) as server,
            httpx2.Client(base_url=server.url) as http,
        ):
            for _ in range(4):  # by the short way too, once the client is known
                made = http.post(tasks, json=NEW)
                assert made.headers["location"] == f"{public_url}{tasks}/{made.json()['id']}"
            for _ in range(3):
                link = http.get(f"{tasks}?limit=1").links["next"]["url"]
                assert link.startswith(f"{public_url}{tasks}?limit=1&cursor=")
            error = http.get(f"{tasks}/x")
            assert error.links["describedby"]["url"] == f"{public_url}/problems/validation_error"
            assert error.json()["instance"] == f"{'/' * bool(path)}{path}{tasks}/x"
            assert http.post("/api/users", json={"id": f"{user}-2"}).headers["location"] == (
                f"{public_url}/api/users/{user}-2"
            )
            assert http.get("/openapi.json").json()["servers"] == [{"url": public_url}]

    @pytest.mark.parametrize(
        "url",
        ["example.com", "ftp://example.com", "https://", "https://a@example.com", "https://example.com?x",
         "/tasks", "https://*.example.com", "https://example.com/a//b", "https://example.com/%2e", "https://example.com#x"],
    )  # fmt: skip
    def test_what_is_no_address_is_refused(self, url: str) -> None:
        with pytest.raises(ValidationError):
            Settings(public_url=url)

    def test_contradicts_another_root_path(self) -> None:
        with pytest.raises(ValidationError, match="TASKWELL_ROOT_PATH"):
            Settings(public_url="https://example.com/a", root_path="/b")
        assert Settings(public_url="https://example.com/a", root_path="/a").served_path == "/a"


def test_a_new_user_is_found_under_the_path(database_url: str, user: str) -> None:
    with configured(Settings(database_url=database_url), "/tasks", "/tasks") as site:
        made = site.ask("POST", "/api/users", json={"id": user})
        assert site.follow(made.headers["location"]).json()["id"] == user
