"""Conditional requests (RFC 9110, 13) on versions."""

import re
from collections.abc import Set
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from taskwell.core.errors import Invalid, PreconditionRequired, Violation

_TAG = re.compile(r'\s*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')
_NUMBER = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_MAX_LENGTH = 8_192

# The content codings that a proxy appends to a tag when it compresses an answer or unpacks it.
_CODINGS = "(x-)?(gzip|compress|bzip2)|gunzip|br|zstd|deflate|identity|dcb|dcz"
# A tag of this server, of a task (`17`) or of a list (`17-5c0a6cc4d6c4`), with such endings.
_CODED_TAG = re.compile(
    rf"(?P<tag>[0-9]+(-[0-9a-f]{{12}})?)((--?|[;:+._])({_CODINGS}))+", re.ASCII | re.IGNORECASE
)

# For the OpenAPI document.
_A_TAG = '(W/)?"[!#-~]*"'
_ANY_OR_TAGS = rf"\*|{_A_TAG}(, *{_A_TAG})*"
_TAGS: dict[str, Any] = {"maxLength": _MAX_LENGTH, "pattern": f"^({_ANY_OR_TAGS})$"}
_NO_TAGS: dict[str, Any] = {"maxLength": _MAX_LENGTH, "pattern": f"^({_ANY_OR_TAGS})?$"}
_ONLY_ANY: dict[str, Any] = {"pattern": r"^\*$"}


def parse_tags(header: str, name: str) -> Set[str]:
    """What stands between the quotes of the entity tags in a header, as this server sent them.

    A proxy that compresses an answer makes `"5"` into `W/"5"`, `"5-gzip"`, `"5;br"` and the like, and a
    client sends that back. It is taken for `"5"`, in `If-Match` too. RFC 9110 compares strongly there because
    a weak tag may stand for several contents. Here the number in a tag names exactly one, which compression
    does not change, so nothing can be overwritten that the client has not seen.

    Raises:
        Invalid: it is no list of entity tags.
    """
    tags, place = set(), 0
    while found := _TAG.match(header, place):
        coded = _CODED_TAG.fullmatch(found[1])
        tags.add(coded["tag"] if coded else found[1])
        place = found.end()
        if place == len(header) and len(header) <= _MAX_LENGTH:
            return tags
        if header[place : place + 1] != ",":
            break
        place += 1
    detail = 'must be * or a list of entity tags, such as "17"'
    raise Invalid(Violation("header", name, "malformed", detail))


async def guard_of_request(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(
            description="Change the task only if this is its ETag; `*`: whatever it is.",
            examples=['"17"'],
            json_schema_extra=_TAGS,
        ),
    ] = None,
) -> frozenset[int] | None:
    """The versions that will do; None if any will. Tags of another kind of thing match no version.

    Raises:
        Invalid: the header is malformed, or there is `If-None-Match` too.
        PreconditionRequired: the header is missing, and the server is set to require it.
    """
    if "if-none-match" in request.headers:  # to leave a condition out of account would be to break it
        detail = "has no meaning here beside `*` in a PUT that creates; a change is guarded by If-Match"
        raise Invalid(Violation("header", "If-None-Match", "not_allowed", detail))
    header = ", ".join(request.headers.getlist("if-match")) if if_match is not None else None
    if header is None:
        if request.app.state.settings.require_if_match:
            raise PreconditionRequired
        return None
    if header.strip() == "*":
        return None
    tags = parse_tags(header, "If-Match")
    return frozenset(int(tag) for tag in tags if _NUMBER.fullmatch(tag))


def is_unchanged(request: Request, etag: str) -> bool:
    """Whether the client has what `etag` stands for."""
    return matches(request.headers.getlist("if-none-match"), etag)


def matches(if_none_match: list[str], etag: str) -> bool:
    """Whether the lines of `If-None-Match` name an ETag (weak comparison).

    Raises:
        Invalid: the header is malformed.
    """
    header = ", ".join(if_none_match)
    if not header:
        return False
    if header.strip() == "*" or header == etag:
        return True
    return etag.strip('"') in parse_tags(header, "If-None-Match")


def creates(request: Request) -> bool:
    """Whether a PUT is to make the task: `If-None-Match: *`."""
    return request.headers.get("if-none-match", "").strip() == "*"


async def guard_unless_new(
    request: Request,
    if_match: Annotated[str | None, Header(description="As with PATCH.", json_schema_extra=_TAGS)] = None,
) -> frozenset[int] | None:
    """As `guard_of_request`; a task that is to be created has no version yet.

    Raises:
        Invalid: the task is to exist and not to exist.
    """
    if not creates(request):
        return await guard_of_request(request, if_match)
    if if_match is not None:
        raise Invalid(Violation("header", "If-Match", "contradiction", "contradicts If-None-Match"))
    return None


IfMatch = Annotated[frozenset[int] | None, Depends(guard_of_request)]
IfMatchUnlessNew = Annotated[frozenset[int] | None, Depends(guard_unless_new)]


async def if_none_match(
    if_none_match: Annotated[
        str | None,
        Header(
            description="Answer 304, without a body, if this is still the ETag.",
            examples=['"17"'],
            json_schema_extra=_NO_TAGS,
        ),
    ] = None,
) -> None:
    """Shows the header in the OpenAPI document."""


async def if_none_match_any(
    if_none_match: Annotated[
        str | None,
        Header(
            description="`*`: create the task with the id in the path.",
            examples=["*"],
            json_schema_extra=_ONLY_ANY,
        ),
    ] = None,
) -> None:
    """Shows the header in the OpenAPI document."""
