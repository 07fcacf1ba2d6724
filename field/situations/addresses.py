"""Whom the proxy speaks for. It shows in whose guesses of tokens are counted: by public address."""

from collections.abc import Iterable
from uuid import uuid4

import httpx2

from field.matrix import NotHere, Site, situation


def _guesses(site: Site, addresses: Iterable[str], local: str) -> list[int]:
    """The statuses of guesses by a client at `local` which says that it is at these."""
    transport = httpx2.HTTPTransport(local_address=local, verify=False)
    wrong = {"Authorization": f"Bearer {uuid4().hex}"}
    with httpx2.Client(base_url=site.url, transport=transport, timeout=30, verify=False) as client:
        return [
            client.get("/api/tasks", headers={**wrong, "X-Forwarded-For": address}).status_code
            for address in addresses
        ]


def _public() -> str:
    """An address that nobody has guessed from."""
    return f"8.{uuid4().bytes[0]}.{uuid4().bytes[1]}.{uuid4().bytes[2]}"


@situation("X-Forwarded-For is believed if it comes from a trusted address", server="signed in")
def believed(site: Site) -> None:
    """From 127.0.0.1: through the proxy, that of a proxy before it."""
    if site.proxy is not None and site.proxy.forwarded == "writes":
        raise NotHere("it believes nobody else's")
    address = _public()
    statuses = _guesses(site, [address] * 25, "127.0.0.1")
    assert statuses[0] == 401, statuses
    assert statuses[-1] == 429, statuses


@situation("X-Forwarded-For that a stranger writes is not believed", server="signed in")
def not_believed(site: Site) -> None:
    """A stranger to the server is at 127.0.0.2 here, an address that is not counted. The proxy adds it."""
    if site.proxy is not None and site.proxy.forwarded == "passes":
        raise NotHere("it does not add the address of its client")
    address = _public()
    assert set(_guesses(site, [address] * 25, "127.0.0.2")) == {401}
