"""Extracts a database URL from pasted text: quotes, a command or a variable's name may surround it."""

import re

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError


class BadDatabaseUrl(ValueError):
    """The URL cannot be used. The message names the faulty part, never the password."""


_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}
# Prefixes, removed repeatedly: `psql`, `export DATABASE_URL=`, `$env:DATABASE_URL =`, `jdbc:`.
_PREFIX = re.compile(
    r"(?:psql\s+|(?:export\s+|set\s+|\$env:)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*(?=.*://|[$%{])|jdbc:)", re.DOTALL
)
_VARIABLE = re.compile(r"\$\w+|\$\{.*|\$\(.*|%\w+%|\{\{.*", re.DOTALL)
_VARIABLE_INSIDE = re.compile(r"\$\{\w+[^}]*\}|\{\{[^}]*\}\}")
# Square brackets also enclose an IPv6 address, which has only the letters a to f, and colons.
_PLACEHOLDER = re.compile(
    r"\[(?=[^\]]*[A-Z])[A-Z][A-Z _-]{3,}\]|<[A-Za-z][\w -]{3,}>|(?<=:)(?:YOUR[_-]?PASSWORD|\*{3,})(?=@)",
    re.IGNORECASE,
)
_PAIR = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)")
_NOT_A_URL = "it is not a database URL; try sqlite:///taskwell.db"
_ENCODED = "it is not a database URL: in the user and the password, : / ? # [ ] @ must be percent-encoded"


def pasted_url(text: str) -> URL:
    """Parse pasted text into a URL with all its parameters.

    Raises:
        BadDatabaseUrl: the text holds no URL, or one with a placeholder.
    """
    text = _unwrapped(text)
    if _VARIABLE.fullmatch(text) or _VARIABLE_INSIDE.search(text):
        raise BadDatabaseUrl("it has a variable that was not replaced by its value: write the value itself")
    if "://" not in text and re.match(r"\w+\s*=", text):
        return _of_pairs(text)
    if text.startswith("-"):
        raise BadDatabaseUrl(
            "options of psql are not supported: write postgresql://user:password@host/database"
        )
    if _PLACEHOLDER.search(text):
        raise BadDatabaseUrl("it has a placeholder: put the password, or the missing value, in its place")
    if re.search(r"\s", text) and not text.startswith("sqlite"):
        raise BadDatabaseUrl(
            "it has a space or a line break in it: join the lines, and encode a space as %20"
        )
    return _of_url(text)


def _unwrapped(text: str) -> str:
    before = None
    while text != before:
        before = text
        text = text.strip().strip(_INVISIBLE).rstrip(";").strip()
        if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
            text = text[1:-1]
        if found := _PREFIX.match(text):
            text = text[found.end() :]
    return text


def _of_url(text: str) -> URL:
    scheme, _, rest = text.partition("://")
    if re.match(r"[^/?]*,", rest.rpartition("@")[2]):
        raise BadDatabaseUrl("it names several hosts: name the one that takes changes")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise BadDatabaseUrl(_ENCODED if scheme.startswith("postgres") else _NOT_A_URL) from None
    if "?" in text and not url.query:
        url = url.set(query={"": ""})  # make_url drops a malformed query: keep a mark, so that it is refused
    return url


def _of_pairs(text: str) -> URL:
    """Parse libpq's other form: `host=… port=… dbname=… user=… password=…`."""
    pairs: dict[str, str] = {}
    end = 0
    while end < len(text):
        found = _PAIR.match(text, end)
        if found is None:
            raise BadDatabaseUrl("it is neither a database URL nor a list of name=value")
        name, quoted, plain = found.groups()
        pairs[name] = re.sub(r"\\(.)", r"\1", plain if quoted is None else quoted)
        end = found.end()
    database = pairs.pop("dbname", None)
    return URL.create("postgresql", database=database, query=pairs)
