"""The HTML of the page, its Content-Security-Policy, and its service worker."""

import json
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from html import escape
from urllib.parse import urlsplit

from taskwell.core.settings import Settings
from taskwell.web.files import File, files, version

_HTML = "text/html; charset=utf-8"
_JAVASCRIPT = "text/javascript; charset=utf-8"
_PAGE = """<!doctype html>
<html lang="en"{data}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="description" content="Your tasks, on your own server.">
<meta name="theme-color" content="#f6f6f4" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#161719" media="(prefers-color-scheme: dark)">
<title>taskwell</title>
<link rel="icon" href="{files}/icon.svg" type="image/svg+xml">
<link rel="apple-touch-icon" href="{files}/icon-192.png">
<link rel="manifest" href="{files}/app.webmanifest">
<link rel="stylesheet" href="{files}/app.css">
{preloads}
<script type="module" src="{files}/main.js"></script>
</head>
<body>
<div id="app"></div>
<noscript><p>This page needs JavaScript. The API is at <a href="{root}/docs">/docs</a>.</p></noscript>
</body>
</html>
"""
_IMPORT = re.compile(r"^import .*?from '\./(.*?)'", re.MULTILINE)


def policy(settings: Settings) -> str:
    """Scripts come from this server alone, and text never becomes HTML (Trusted Types)."""
    reached = " ".join(dict.fromkeys(filter(None, map(_origin, _sign_in_urls(settings)))))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'{' ' if reached else ''}{reached}; manifest-src 'self'; worker-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types lit-html taskwell"
    )


# Fetches what it caches by its own policy, not by that of the page.
WORKER_POLICY = "default-src 'none'; connect-src 'self'"


def _sign_in_urls(settings: Settings) -> tuple[str, ...]:
    issuer = settings.jwt_issuer[0] if settings.app_oidc_client_id and settings.jwt_issuer else ""
    return issuer, settings.app_token_url


def _origin(url: str) -> str | None:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else None


def page(root: str, settings: Settings) -> File:
    """The HTML for clients that reach this application under the root path."""
    return _page(root, tuple(_configuration(settings).items()))


def _configuration(settings: Settings) -> Mapping[str, str]:
    """What the page's scripts know of the settings; nothing of it is secret."""
    issuer, token_url = _sign_in_urls(settings)
    return {
        "version": version(),
        "auth": settings.auth,
        "issuer": issuer,
        "client": settings.app_oidc_client_id,
        "scope": settings.app_oidc_scope if issuer else "",
        "audience": settings.jwt_audience[0] if issuer and settings.jwt_audience else "",
        "token-url": token_url,
    }


@cache
def first_modules() -> tuple[str, ...]:
    """The modules of the first load: what main.js imports, by whichever way, but not later by itself."""
    found = {"main.js": None}
    waiting = ["main.js"]
    while waiting:
        for name in _IMPORT.findall(files()[waiting.pop()].content.decode()):
            if name not in found:
                found[name] = None
                waiting.append(name)
    return tuple(sorted(found))


@lru_cache(64)
def _page(root: str, configuration: tuple[tuple[str, str], ...]) -> File:
    pairs = (("root", root), *configuration)
    folder = escape(f"{root}/app-files/{version()}")
    text = _PAGE.format(
        data="".join(f' data-{name}="{escape(value)}"' for name, value in pairs if value),
        files=folder,
        root=escape(root),
        preloads="\n".join(f'<link rel="modulepreload" href="{folder}/{name}">' for name in first_modules()),
    )
    return File.of(text.encode(), _HTML)


def worker(root: str, settings: Settings) -> File:
    """The service worker. Its text names what it caches, so that browsers notice a new version."""
    return _worker(root, page(root, settings).digest)


@lru_cache(64)
def _worker(root: str, page_digest: str) -> File:
    names = [f"{root}/app-files/{version()}/{name}" for name in files() if name != "sw.js"]
    given = {"root": root, "version": page_digest, "files": names}
    text = files()["sw.js"].content.decode()
    return File.of(f"const GIVEN = {json.dumps(given)}\n{text}".encode(), _JAVASCRIPT)
