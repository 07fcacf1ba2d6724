"""The proxies: how each is started, as it comes and as docs/deployment/proxies.md says."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from harness.packages import install_node
from harness.postgres import die_with_parent, free_ports

NODE = Path(__file__).parent / "node"
PAGES = Path(__file__).parents[1] / "docs" / "deployment"
# Debian has some of them where an ordinary user's PATH does not lead.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
_START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Ports:
    """`front`: for HTTP/1.1. `http2`: for HTTP/2 without TLS. `server`: what is asked by the proxy."""

    front: int
    http2: int
    server: int


@dataclass(frozen=True, slots=True)
class Proxy:
    """`prepare` writes the files of a configuration to a folder and returns the command.

    `http2`: the name of the port of `Ports` at which it speaks HTTP/2; None: it does not.
    `prefix`: the path under which it shows the server.
    `forwarded`: whether it passes X-Forwarded-For on, adds its client's address, or writes it anew.
    """

    name: str
    program: str
    package: str
    prepare: Callable[[Path, Ports], list[str]]
    http2: str | None = None
    forwarded: str = "adds"
    prefix: str = ""

    def missing(self) -> str | None:
        """Why it cannot be run here."""
        programs = ("node", "npm") if self.program == "node" else (self.program,)
        found = (missing_program(program, self.package) for program in programs)
        return next((reason for reason in found if reason is not None), None)


def missing_program(program: str, package: str) -> str | None:
    if find(program):
        return None
    return f"needs {program} (Debian: apt-get install {package})"


def find(program: str) -> str | None:
    return shutil.which(program, path=_PATH)


def printed(language: str, page: str = "proxies.md") -> str:
    """The configuration that a page prints in its block of this language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", (PAGES / page).read_text(), flags=re.DOTALL)
    return str(block)


def with_ports(configuration: str, ports: Ports, front: Mapping[str, str]) -> str:
    """The configuration with the ports of a test. `front`: what stands for port 80, and what in its place."""
    for before, after in {**front, "127.0.0.1:8000": f"127.0.0.1:{ports.server}"}.items():
        assert before in configuration, before
        configuration = configuration.replace(before, after)
    return configuration


# nginx

_NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
{user}
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""
_NGINX_AS_IT_COMES = """
server {
    listen 80;
    listen 81 http2;
    gzip on;
    gzip_types *;
    location / {
        proxy_pass http://127.0.0.1:8000;
    }
}
"""


def _nginx(configuration: Callable[[], str], **more: str) -> Callable[[Path, Ports], list[str]]:
    def prepare(folder: Path, ports: Ports) -> list[str]:
        front = {"listen 80;": f"listen 127.0.0.1:{ports.front};"}
        front |= {before: after.format(http2=ports.http2) for before, after in more.items()}
        (folder / "site.conf").write_text(with_ports(configuration(), ports, front))
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, user=user))
        return ["-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]

    return prepare


# Caddy

_CADDY = """{
    admin off
    default_bind 127.0.0.1
    servers {
        protocols h1 h2c
    }
}
"""
_CADDY_AS_IT_COMES = """
:80 {
    reverse_proxy 127.0.0.1:8000
}
"""


def _caddy(configuration: Callable[[], str]) -> Callable[[Path, Ports], list[str]]:
    def prepare(folder: Path, ports: Ports) -> list[str]:
        site = with_ports(configuration(), ports, {":80 {": f":{ports.front} {{"})
        (folder / "Caddyfile").write_text(_CADDY + site)
        return ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]

    return prepare


# HAProxy

_HAPROXY_AS_IT_COMES = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 10s
frontend clients
    bind :80
    bind :81 proto h2
    option forwardfor
    compression algo gzip
    default_backend servers
backend servers
    option httpchk
    server s1 127.0.0.1:8000 check
"""


def _haproxy(configuration: Callable[[], str], **more: str) -> Callable[[Path, Ports], list[str]]:
    def prepare(folder: Path, ports: Ports) -> list[str]:
        front = {"bind :80": f"bind 127.0.0.1:{ports.front}"}
        front |= {before: after.format(http2=ports.http2) for before, after in more.items()}
        (folder / "haproxy.cfg").write_text(with_ports(configuration(), ports, front))
        return ["-db", "-f", str(folder / "haproxy.cfg")]

    return prepare


# Apache

_APACHE_MODULES = Path("/usr/lib/apache2/modules")
_APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
User {user}
Group {group}
{modules}
Listen 127.0.0.1:{port}
Protocols h2c http/1.1
Include {folder}/site.conf
"""
_APACHE_AS_IT_COMES = """
<VirtualHost *:80>
    SetOutputFilter DEFLATE
    ProxyPass / http://127.0.0.1:8000/
    ProxyPassReverse / http://127.0.0.1:8000/
</VirtualHost>
"""


def _apache(configuration: Callable[[], str]) -> Callable[[Path, Ports], list[str]]:
    def prepare(folder: Path, ports: Ports) -> list[str]:
        site = with_ports(configuration(), ports, {"<VirtualHost *:80>": f"<VirtualHost *:{ports.front}>"})
        (folder / "site.conf").write_text(site)
        names = ("mpm_event", "authz_core", "proxy", "proxy_http", "headers", "filter", "deflate", "http2")
        modules = [f"LoadModule {name}_module {_APACHE_MODULES}/mod_{name}.so" for name in names]
        text = _APACHE.format(
            folder=folder, port=ports.front, modules="\n".join(modules), user="nobody", group="nogroup"
        )
        (folder / "apache.conf").write_text(text)
        return ["-DFOREGROUND", "-f", str(folder / "apache.conf")]

    return prepare


# Varnish

_VARNISH_AS_IT_COMES = """
vcl 4.1;
backend default {
    .host = "127.0.0.1";
    .port = "8000";
}
"""


def _varnish(configuration: Callable[[], str]) -> Callable[[Path, Ports], list[str]]:
    def prepare(folder: Path, ports: Ports) -> list[str]:
        vcl = configuration()
        assert '"8000"' in vcl
        (folder / "default.vcl").write_text(vcl.replace('"8000"', f'"{ports.server}"'))
        parameters = ["-p", "feature=+http2", "-p", "backend_idle_timeout=4"]
        place = ["-j", "none", "-n", str(folder / "run"), "-a", f"127.0.0.1:{ports.front}", "-F"]
        return [*place, *parameters, "-s", "malloc,32m", "-f", str(folder / "default.vcl")]

    return prepare


# Node


def _express(_folder: Path, ports: Ports) -> list[str]:
    install_node(NODE)
    return [str(NODE / "express.mjs"), str(ports.front), f"http://127.0.0.1:{ports.server}"]


def _vite(folder: Path, ports: Ports) -> list[str]:
    install_node(NODE)
    configuration = folder / "vite.config.js"
    configuration.write_text(with_ports(printed("js"), ports, {}))
    (folder / "index.html").write_text("<title>taskwell</title>")
    vite = NODE / "node_modules" / "vite" / "bin" / "vite.js"
    place = ["--host", "127.0.0.1", "--port", str(ports.front), "--strictPort"]
    return [str(vite), str(folder), "--config", str(configuration), "--configLoader", "native", *place]


def _under_a_path(form: str, language: str) -> Callable[[], str]:
    """What the page prints for a path, in a site of its own."""
    return lambda: form.replace("PRINTED", printed(language, "under-a-path.md"))


def _of_the_page(language: str) -> Callable[[], str]:
    return lambda: printed(language)


_H2_AT_81 = {"listen 81 http2;": "listen 127.0.0.1:{http2} http2;"}
_BIND_81 = {"bind :81 proto h2": "bind 127.0.0.1:{http2} proto h2"}
PROXIES = {
    proxy.name: proxy
    for proxy in (
        Proxy(
            "nginx as it comes", "nginx", "nginx", _nginx(lambda: _NGINX_AS_IT_COMES, **_H2_AT_81),
            http2="http2", forwarded="passes",
        ),
        Proxy("nginx", "nginx", "nginx", _nginx(_of_the_page("nginx"))),
        Proxy(
            "caddy as it comes", "caddy", "caddy", _caddy(lambda: _CADDY_AS_IT_COMES),
            http2="front", forwarded="writes",
        ),
        Proxy(
            "caddy", "caddy", "caddy", _caddy(_of_the_page("caddyfile")), http2="front", forwarded="writes"
        ),
        Proxy(
            "haproxy as it comes", "haproxy", "haproxy", _haproxy(lambda: _HAPROXY_AS_IT_COMES, **_BIND_81),
            http2="http2",
        ),
        Proxy("haproxy", "haproxy", "haproxy", _haproxy(_of_the_page("haproxy"))),
        Proxy(
            "apache as it comes", "apache2", "apache2", _apache(lambda: _APACHE_AS_IT_COMES), http2="front"
        ),
        Proxy("apache", "apache2", "apache2", _apache(_of_the_page("apache")), http2="front"),
        Proxy(
            "varnish as it comes", "varnishd", "varnish", _varnish(lambda: _VARNISH_AS_IT_COMES),
            http2="front",
        ),
        Proxy("varnish", "varnishd", "varnish", _varnish(_of_the_page("vcl")), http2="front"),
        Proxy(
            "nginx under a path", "nginx", "nginx",
            _nginx(_under_a_path("server { listen 80; client_max_body_size 0; PRINTED }", "nginx")),
            prefix="/tasks", forwarded="writes",
        ),
        Proxy(
            "caddy under a path", "caddy", "caddy", _caddy(_under_a_path(":80 {\nPRINTED}\n", "caddy")),
            http2="front", prefix="/tasks", forwarded="writes",
        ),
        Proxy(
            "apache under a path", "apache2", "apache2",
            _apache(_under_a_path("<VirtualHost *:80>\nPRINTED</VirtualHost>\n", "apache")),
            http2="front", prefix="/tasks",
        ),
        Proxy("express", "node", "nodejs npm", _express),
        Proxy("vite", "node", "nodejs npm", _vite, forwarded="passes"),
    )
}  # fmt: skip


@contextmanager
def running(proxy: Proxy, folder: Path, server: int) -> Iterator[Ports]:
    """The proxy in front of the server at this port."""
    front, http2 = free_ports(2)
    ports = Ports(front, http2, server)
    arguments = proxy.prepare(folder, ports)
    home = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(find(proxy.program)), *arguments],
            cwd=folder,
            env={**os.environ, **home},
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (no lock is taken)
        )
    try:
        _wait_until_up(process, f"http://127.0.0.1:{ports.front}{proxy.prefix}", folder / "log")
        yield ports
    finally:
        _stop(process)


def _wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until an answer of the server comes through, whatever it is."""
    deadline = time.monotonic() + _START_SECONDS
    last: object = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            last = httpx2.get(f"{url}/api/tasks?limit=1", trust_env=False, verify=False)
            if "x-request-id" in last.headers:
                return
        except httpx2.TransportError as error:
            last = error
        time.sleep(0.05)
    raise RuntimeError(f"the proxy does not pass requests on: {last!r} {log.read_text()[-2_000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # children that it left behind, too
    process.wait()
