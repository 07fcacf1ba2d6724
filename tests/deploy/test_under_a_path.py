"""What docs/deployment/under-a-path.md shows works behind the real proxies, and as an application."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness.postgres import free_port
from harness.servers import local_server, serving, wait_for
from taskwell.core.settings import Settings
from tests.deploy.test_pages import block

PAGE = "under-a-path.md"
NGINX = """\
daemon off; pid {folder}/pid; error_log stderr; events {{}}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
    fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; {block} }}
}}
"""
CADDY = "{{\n auto_https off\n admin off\n}}\nhttp://127.0.0.1:{port} {{\n{block}}}\n"
APACHE = """\
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/error.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
{block}
"""
PROXIES = {
    "nginx": ("nginx", NGINX, ("-c",)),
    "caddy": ("caddy", CADDY, ("run", "--adapter", "caddyfile", "--config")),
    "apache": ("apache2", APACHE, ("-D", "FOREGROUND", "-f")),
}


@contextmanager
def proxy(name: str, folder: Path, server_port: int) -> Iterator[str]:
    program, template, arguments = PROXIES[name]
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    port = free_port()
    shown = block(PAGE, name).replace("127.0.0.1:8000", f"127.0.0.1:{server_port}")
    config = folder / "proxy.conf"
    config.write_text(
        template.format(folder=folder, port=port, block=shown, modules="/usr/lib/apache2/modules")
    )
    process = subprocess.Popen([found, *arguments, str(config)], cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(url))
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/tasks/health/live").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.parametrize("root_path", ["", "/tasks"])
@pytest.mark.parametrize("name", PROXIES)
def test_the_links_are_right_behind_it(name: str, root_path: str, tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/test.db", root_path=root_path)
    with local_server(settings) as server, proxy(name, tmp_path, server.port) as url:
        for _ in range(2):
            made = httpx2.post(f"{url}/tasks/api/tasks", json={"title": "Buy milk"})
            assert made.headers["location"] == f"/tasks/api/tasks/{made.json()['id']}"
            assert httpx2.get(f"{url}{made.headers['location']}").json() == made.json()
        docs = httpx2.get(f"{url}/tasks/", follow_redirects=True)
        assert docs.url.path == "/tasks/docs"
        for link in re.findall(r'(?:href|src|data-openapi)="([^"]*)"', docs.text):
            assert httpx2.get(f"{url}{link}").status_code == 200
        assert httpx2.get(f"{url}/tasks/api/nothing").json()["instance"] == "/tasks/api/nothing"


def test_the_application_that_mounts_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/test.db")
    names: dict[str, Any] = {}
    exec(block(PAGE, "python"), names)
    with serving(names["app"]) as url:
        assert httpx2.get(f"{url}/tasks-api/api/tasks").json() == []
