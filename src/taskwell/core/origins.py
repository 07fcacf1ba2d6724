"""Web origins (RFC 6454): parses what operators write into the form that browsers send in `Origin`."""

import ipaddress
import re
from urllib.parse import urlsplit

import idna

_USUAL_PORTS = {"https": 443, "http": 80}
_NO_ORIGIN = frozenset({"about", "blob", "data", "file", "ftp", "javascript", "ws", "wss"})
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_LABEL = "[a-z0-9_-]{1,63}"
# Names that cannot be registered, so a wildcard below one matches only the operator's hosts.
_PRIVATE = frozenset({"localhost", "local", "internal", "test"})

_FORM = "must be origins like https://app.example.com: scheme and host, without a path"
_NULL = "null is the origin of every sandboxed page and file: name the origin of your page"
_WILDCARD = (
    "a * must be the whole first label of a host, as in https://*.example.com, below a domain of yours; "
    "alone it means every origin"
)
_ALL_AND_SOME = "* means every origin: remove it or the others"


def parse_origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Parse and deduplicate origins, in the form that browsers send.

    Raises:
        ValueError: one cannot be a page's origin, or * makes the others redundant.
    """
    origins = tuple(dict.fromkeys(map(_parse, texts)))
    if "*" in origins and len(origins) > 1:
        raise ValueError(_ALL_AND_SOME)
    return origins


def pattern_of(origins: tuple[str, ...]) -> str | None:
    """A regular expression for the origins with a wildcard, which matches one label of a host."""
    patterns = [re.escape(origin).replace(r"\*", _LABEL) for origin in origins if "*." in origin]
    return "|".join(patterns) or None


def _parse(text: str) -> str:
    if text == "*":
        return text
    if text.lower() == "null":
        raise ValueError(_NULL)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(_FORM) from None
    whole = parts.path in {"", "/"} and not parts.query and not parts.fragment and "@" not in parts.netloc
    known = parts.scheme not in _NO_ORIGIN and not text.endswith(("?", "#", ":", ":/")) and port != 0
    if not (whole and known and parts.scheme and parts.hostname) or re.search(r"\s", text):
        raise ValueError(_FORM)
    host = _host(parts.hostname, bracketed="[" in parts.netloc)
    usual = port is None or port == _USUAL_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{port}"


def _host(text: str, *, bracketed: bool) -> str:
    if bracketed:
        return f"[{_address(text, ipaddress.IPv6Address)}]"
    wildcard, name = text.startswith("*."), text.removeprefix("*.")
    if "*" in name:
        raise ValueError(_WILDCARD)
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError:
            raise ValueError(_FORM) from None
    if not _NAME.fullmatch(name):
        raise ValueError(_FORM)
    last = name.rpartition(".")[2]
    if last.isdecimal():  # browsers parse a host that ends in a number as an address
        name = _address(name, ipaddress.IPv4Address)
    if wildcard and (last.isdecimal() or (last == name and name not in _PRIVATE)):
        raise ValueError(_WILDCARD)
    return f"*.{name}" if wildcard else name


def _address(text: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> str:
    try:
        address = kind(text)
    except ValueError:
        raise ValueError(_FORM) from None
    if "%" in text:
        raise ValueError(_FORM)
    return address.compressed
