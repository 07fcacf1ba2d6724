"""How the page is served: addresses, headers, compression, and what is switched off."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest
from pydantic import ValidationError

from harness.issuer import SECRET
from harness.servers import local_server
from taskwell.core.settings import Settings
from taskwell.core.settings_warnings import remarks
from taskwell.web.files import FOLDER, files

# Written by `make vendor` from the versions in package.json; a change of either is a decision.
LIT = "3.3.3"
LIT_DIGEST = "f541752648ff361184757afe1a299e2dfb2c8828b5518ee71a5e6bf4e92def6a"
MODULES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js"))
HTML = {"Accept": "text/html,application/xhtml+xml"}


def settings(folder: Path, **others: object) -> Settings:
    return Settings.model_validate({"database_url": f"sqlite:///{folder}/page.db", **others})


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with (
        local_server(settings(tmp_path_factory.mktemp("page"))) as server,
        httpx2.Client(base_url=server.url) as http,
    ):
        yield http


def addresses(html: str) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]+)"', html)


STATIC = r"^(?:import|export) .*?from '(\..*?)'"
ANY = rf"{STATIC}|import\('(\..*?)'\)"


def imports(name: str, pattern: str = ANY) -> list[str]:
    text = re.sub(r"/\*\*.*?\*/", "", (FOLDER / name).read_text(), flags=re.DOTALL)
    found = re.finditer(pattern, text, flags=re.MULTILINE)
    return [urljoin(name, next(filter(None, match.groups()))) for match in found]


def reached(name: str, pattern: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting += [other for other in imports(name, pattern) if other not in found]
    return found


class TestPage:
    def test_every_address_below_it_shows_it(self, http: httpx2.Client) -> None:
        page = http.get("/app")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        for path in ("/app/", "/app/today", "/app/list/3", "/app/label/a%20b", "/app/search?q=x"):
            assert http.get(path).text == page.text

    def test_its_policy_lets_in_no_script_but_its_own(self, http: httpx2.Client) -> None:
        policy = http.get("/app").headers["content-security-policy"]
        assert policy == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types lit-html taskwell"
        )

    def test_it_has_no_inline_script_or_style(self, http: httpx2.Client) -> None:
        html = http.get("/app").text
        assert re.findall(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", html) == []

    def test_it_preloads_what_the_first_rows_need(self, http: httpx2.Client) -> None:
        preloaded = re.findall(r'modulepreload" href="/app-files/\w+/([^"]+)"', http.get("/app").text)
        assert preloaded == sorted(reached("main.js", STATIC))
        assert "parts.js" not in preloaded

    def test_a_client_that_has_it_gets_304(self, http: httpx2.Client) -> None:
        page = http.get("/app")
        again = http.get("/app", headers={"If-None-Match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["content-security-policy"] == page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-cache"

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_it_is_only_read(self, http: httpx2.Client, method: str) -> None:
        refused = http.request(method, "/app")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


class TestFiles:
    def test_all_that_the_page_names_is_there(self, http: httpx2.Client) -> None:
        for address in addresses(http.get("/app").text):
            assert http.get(address).status_code == 200, address

    def test_they_are_compressed_and_kept_for_ever(self, http: httpx2.Client) -> None:
        css = next(address for address in addresses(http.get("/app").text) if address.endswith(".css"))
        raw = http.get(css, headers={"Accept-Encoding": "identity"})
        with http.stream("GET", css, headers={"Accept-Encoding": "gzip"}) as answer:
            zipped = b"".join(answer.iter_raw())
        assert gzip.decompress(zipped) == raw.content == files()["app.css"].content
        assert raw.content.count(b"\n") == (FOLDER / "app.css").read_bytes().count(b"\n")
        assert raw.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert raw.headers["etag"] != answer.headers["etag"]
        assert raw.headers["vary"] == "Accept-Encoding"
        assert raw.headers["content-type"] == "text/css; charset=utf-8"

    @pytest.mark.parametrize("accept", ["gzip;q=0", "identity, gzip; q=0.0", "br", "*;q=0"])
    def test_who_refuses_gzip_gets_none(self, http: httpx2.Client, accept: str) -> None:
        answer = http.get("/app", headers={"Accept-Encoding": accept})
        assert "content-encoding" not in answer.headers

    @pytest.mark.parametrize(
        "name", ["types.d.ts", "vendor/lit.d.ts", "vendor/LICENSE-lit-html", "../page.py", "x"]
    )
    def test_nothing_else_is_served(self, http: httpx2.Client, name: str) -> None:
        folder = addresses(http.get("/app").text)[0].rpartition("/")[0]
        assert http.get(f"{folder}/{name}").status_code in {400, 404}

    def test_another_version_has_no_files(self, http: httpx2.Client) -> None:
        assert http.get("/app-files/000000000000/app.css").status_code == 404

    def test_the_manifest_leads_back(self, http: httpx2.Client) -> None:
        address = next(address for address in addresses(http.get("/app").text) if "webmanifest" in address)
        manifest = json.loads(http.get(address).text)
        assert urljoin(address, manifest["start_url"]) == "/app/today"
        assert urljoin(address, manifest["scope"]) == "/app"
        for each in manifest["icons"]:
            assert http.get(urljoin(address, each["src"])).headers["content-type"] == "image/png"


class TestWorker:
    def test_it_may_fetch_what_it_keeps_and_serve_the_page(self, http: httpx2.Client) -> None:
        worker = http.get("/app/sw.js")
        assert worker.headers["content-security-policy"] == "default-src 'none'; connect-src 'self'"
        assert worker.headers["service-worker-allowed"] == "/app"
        assert worker.headers["cache-control"] == "no-cache"
        given = json.loads(worker.text.partition("\n")[0].removeprefix("const GIVEN = "))
        assert len(given["files"]) == len(files()) - 1
        assert all(http.get(path).status_code == 200 for path in given["files"])


class TestWhere:
    def test_browsers_are_led_to_it_and_programs_to_the_docs(self, http: httpx2.Client) -> None:
        assert http.get("/", headers=HTML).headers["location"] == "/app"
        assert http.get("/").headers["location"] == "/docs"

    @pytest.mark.parametrize("way", ["setting", "header"])
    def test_below_a_path_every_address_has_it(self, tmp_path: Path, way: str) -> None:
        root = {"root_path": "/tasks"} if way == "setting" else {}
        headers = {} if way == "setting" else {"X-Forwarded-Prefix": "/tasks"}
        with (
            local_server(settings(tmp_path, **root)) as server,
            httpx2.Client(base_url=server.url, headers=headers) as http,
        ):
            html = http.get("/app").text
            assert 'data-root="/tasks"' in html
            assert [address for address in addresses(html) if not address.startswith("/tasks/")] == []
            assert http.get(addresses(html)[0].removeprefix("/tasks")).status_code == 200
            assert http.get("/app/sw.js").headers["service-worker-allowed"] == "/tasks/app"
            assert http.get("/", headers=HTML).headers["location"] == "/tasks/app"

    def test_off_is_off(self, tmp_path: Path) -> None:
        with (
            local_server(settings(tmp_path, app="off")) as server,
            httpx2.Client(base_url=server.url) as http,
        ):
            assert http.get("/app").status_code == http.get("/app/sw.js").status_code == 404
            assert http.get("/", headers=HTML).headers["location"] == "/docs"


JWT = {"auth": "jwt", "jwt_issuer": "https://id.example/realm", "jwt_audience": "https://tasks.example"}


class TestSignIn:
    def test_the_page_may_reach_the_issuer_and_knows_what_to_say(self, tmp_path: Path) -> None:
        given = {"app_oidc_client_id": 'page"<&', "app_token_url": "https://app.example/api/auth/token"}
        with (
            local_server(settings(tmp_path, **JWT, **given)) as server,
            httpx2.Client(base_url=server.url) as http,
        ):
            page = http.get("/app")
        policy = page.headers["content-security-policy"]
        assert "connect-src 'self' https://id.example https://app.example;" in policy
        assert 'data-client="page&quot;&lt;&amp;"' in page.text
        assert 'data-issuer="https://id.example/realm"' in page.text
        assert 'data-audience="https://tasks.example"' in page.text
        assert 'data-scope="openid offline_access"' in page.text

    def test_without_a_client_id_the_issuer_is_not_named(self, tmp_path: Path) -> None:
        with (
            local_server(settings(tmp_path, **JWT)) as server,
            httpx2.Client(base_url=server.url) as http,
        ):
            page = http.get("/app")
        assert "id.example" not in page.text + page.headers["content-security-policy"]

    @pytest.mark.parametrize(
        "given",
        [
            {"app_oidc_client_id": "a b"},
            {"app_oidc_client_id": "page", "auth": "jwt", "jwt_secret": SECRET},
            {"app_token_url": "http://app.example/token"},
            {"app_token_url": "//app.example/token"},
            {"app_token_url": "https://app.example/token; script-src *"},
            {"app_token_url": "javascript:alert(1)"},
        ],
    )
    def test_what_cannot_work_is_refused(self, given: dict[str, str]) -> None:
        with pytest.raises(ValidationError):
            Settings.model_validate(given)

    @pytest.mark.parametrize(
        "url", ["/api/auth/token", "https://app.example/token", "http://localhost:3000/token"]
    )
    def test_token_urls(self, url: str) -> None:
        assert Settings.model_validate({"app_token_url": url}).app_token_url == url

    def test_without_authentication_they_have_no_effect(self) -> None:
        told = "\n".join(remarks(Settings.model_validate({"app_token_url": "/api/auth/token"})))
        assert "TASKWELL_APP_TOKEN_URL has no effect while TASKWELL_AUTH is stub" in told


class TestModules:
    def test_imports_go_one_way_and_never_to_main(self) -> None:
        def depth(name: str, above: tuple[str, ...] = ()) -> int:
            assert name not in above, f"a circle: {above} {name}"
            return 1 + max((depth(other, (*above, name)) for other in imports(name)), default=0)

        assert depth("main.js") >= 4
        assert [name for name in MODULES if "main.js" in imports(name)] == []

    def test_each_is_reached_from_main(self) -> None:
        assert reached("main.js", ANY) == {*MODULES} - {"sw.js"}

    def test_the_store_knows_no_document(self) -> None:
        text = "".join((FOLDER / name).read_text() for name in ("store.js", "api.js", "dates.js", "views.js"))
        assert re.findall(r"\b(?:document|window|localStorage)\.", text) == []

    def test_the_library_is_the_one_that_was_recorded(self) -> None:
        wanted = json.loads((Path(__file__).parent / "package.json").read_text())["devDependencies"]
        digest = hashlib.sha256((FOLDER / "vendor" / "lit.js").read_bytes()).hexdigest()
        assert (wanted["lit-html"], digest) == (LIT, LIT_DIGEST)
        assert "BSD 3-Clause" in (FOLDER / "vendor" / "LICENSE-lit-html").read_text()
