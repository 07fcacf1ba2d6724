"""Where webhooks may connect to: public addresses, and what the operator allows (SSRF).

A name is resolved once for each connection, every address is checked, and the connection goes to one that
was: a name that resolves to another address later is checked later.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpcore2

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_RESOLVE_SECONDS = 3.0
_PROTOCOL_ASSIGNMENTS = ipaddress.ip_network("192.0.0.0/24")
_UNICAST = ipaddress.ip_network("2000::/3")
# Parts of it that lead to IPv4 addresses, or are not for the internet. `is_global` is true for some of them.
_NOT_UNICAST = tuple(map(ipaddress.ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
# Where clouds keep the credentials of their machines: a wider network does not include them.
_METADATA: tuple[Network, ...] = tuple(map(ipaddress.ip_network, ("169.254.0.0/16", "fd00:ec2::/32")))
# Threads of their own: a resolver that does not answer must not keep those that others wait for.
_RESOLVERS = ThreadPoolExecutor(20, thread_name_prefix="taskwell-resolver")


class NotAllowed(httpcore2.ConnectError):
    """The operator does not allow the address."""


class NotResolved(httpcore2.ConnectError):
    """The name has no address now."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, or of any form of an address that the system knows, such as 127.1."""
    query = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, query)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet. `ipaddress` alone takes some private ones for such."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and address not in _PROTOCOL_ASSIGNMENTS
    return address in _UNICAST and not any(address in network for network in _NOT_UNICAST)


class Guard:
    """`allow`: names and networks that may be reached beside public addresses, and by http."""

    def __init__(self, allow: Iterable[str] = (), resolve: Resolve = resolve) -> None:
        self._names = set()
        self._networks: list[Network] = []
        for entry in allow:
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                self._names.add(entry)
        self._resolve = resolve

    async def addresses(self, host: str, port: int, *, encrypted: bool) -> list[Address]:
        """The addresses of a host.

        Raises:
            NotResolved: it has none now.
            NotAllowed: one of them must not be reached; or any, by http.
        """
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                found = [_address(text) for text in await self._resolve(host, port)]
        except (OSError, TimeoutError, UnicodeError):
            raise NotResolved from None
        if not found:
            raise NotResolved
        named = host.lower().removesuffix(".") in self._names
        if not all(self._allows(address, named=named, encrypted=encrypted) for address in found):
            raise NotAllowed
        return found

    def _allows(self, address: Address, *, named: bool, encrypted: bool) -> bool:
        metadata = [network for network in _METADATA if address in network]
        allowing = [network for network in self._networks if address in network]
        if metadata:
            return any(_is_within(network, one) for network in allowing for one in metadata)
        return named or bool(allowing) or (encrypted and is_public(address))


def _address(text: str) -> Address:
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _is_within(network: Network, other: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return network.subnet_of(other)
    if isinstance(network, ipaddress.IPv6Network) and isinstance(other, ipaddress.IPv6Network):
        return network.subnet_of(other)
    return False


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that the guard has checked. Host and TLS name stay those of the URL."""

    def __init__(self, guard: Guard, *, encrypted: bool) -> None:
        self._guard = guard
        self._encrypted = encrypted
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (of the interface)
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        end = time.monotonic() + (timeout or _RESOLVE_SECONDS)
        found = await self._guard.addresses(host, port, encrypted=self._encrypted)
        for left in range(len(found), 0, -1):
            # A part of the time for each, so that one that does not answer leaves some for the others.
            seconds = max((end - time.monotonic()) / left, 0.1)
            try:
                return await self._backend.connect_tcp(
                    str(found[-left]), port, seconds, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if left == 1:
                    raise
        raise AssertionError  # there is an address

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        raise NotAllowed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
