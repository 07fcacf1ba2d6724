"""One TLS context for all clients of a process. Each new one reads the authorities of the machine: 26 ms."""

import os
import ssl
from functools import lru_cache

import httpcore2

_new_context = httpcore2.default_ssl_context


def share_tls_contexts() -> None:
    """Let httpx2 make one context for each set of authorities; nothing here changes a context."""
    httpcore2.default_ssl_context = _shared_context


def _shared_context(*, _trust_env: bool = True) -> ssl.SSLContext:
    variables = ("SSL_CERT_FILE", "SSL_CERT_DIR") if _trust_env else ()
    return _context(_trust_env, *map(os.environ.get, variables))


@lru_cache
def _context(trust_env: bool, *_authorities: str | None) -> ssl.SSLContext:
    return _new_context(_trust_env=trust_env)
