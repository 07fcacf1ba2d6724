"""Conditional requests (RFC 9110, 13): ETags are versions."""

import re
from collections.abc import Set
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from taskwell.core.errors import Invalid, PreconditionRequired, Violation
from taskwell.http.app_state import app_state
from taskwell.http.headers import lines

_TAG = re.compile(r'\s*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')
_NUMBER = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_MAX_LENGTH = 8_192
_MAX_LENGTH_OF_READ = (
    4_096  # a read may have If-None-Match too, and both must fit into the limit of all headers
)

# The content codings that a proxy appends to a tag when it compresses or unpacks a response.
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
_ONLY_ANY: dict[str, Any] = {"pattern": r"^\*?$"}

_NO_IF_MATCH = "is not evaluated here, since this has no ETag: leave it out"
_NO_IF_NONE_MATCH = "has no meaning here beside `*` in a PUT that creates; a change is guarded by If-Match"
_NO_CONDITION = "is not evaluated here: leave it out"
_NO_ANY = "`*` is not evaluated here, since this has no ETag: leave it out"
_NO_DATE = "is not evaluated, since nothing has a Last-Modified: send the ETag as If-Match instead"


def parse_tags(header: str, name: str) -> Set[str]:
    """The opaque values of the entity tags in a header, as this server sent them.

    A proxy that compresses a response turns `"5"` into `W/"5"`, `"5-gzip"`, `"5;br"` and the like, and
    clients send that back. It is read as `"5"`, in `If-Match` too. RFC 9110 demands the strong comparison
    there, since a weak tag may stand for several contents. Here the number in a tag names exactly one, which
    compression does not change, so a client cannot overwrite what it has not seen.

    Raises:
        Invalid: the header is not a list of entity tags.
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
    raise _malformed(name)


def _malformed(name: str) -> Invalid:
    detail = 'must be * or a list of entity tags, such as "17"'
    return Invalid(Violation("header", name, "malformed", detail))


def _header(request: Request, name: str) -> str | None:
    """A header, joined if it has several lines; None if it is missing."""
    values = request.headers.getlist(name)
    return ", ".join(values) if values else None


def _if_match(request: Request) -> Set[str] | None:
    header = _header(request, "if-match")
    if header is None or header.strip() == "*":
        return None
    return parse_tags(header, "If-Match")


async def expected_of_request(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(
            description="Change the task only if this is its ETag; `*` matches any.",
            examples=['"17"'],
            json_schema_extra=_TAGS,
        ),
    ] = None,
) -> frozenset[int] | None:
    """The expected versions; None if every version is accepted. Tags of other resources match no version.

    Raises:
        Invalid: the header is malformed.
        PreconditionRequired: the header is missing, and the server is set to require it.
    """
    if if_match is None and app_state(request.scope).settings.require_if_match:
        raise PreconditionRequired
    tags = _if_match(request)
    return None if tags is None else frozenset(int(tag) for tag in tags if _NUMBER.fullmatch(tag))


async def expected_unless_new(
    request: Request,
    if_match: Annotated[str | None, Header(description="As with PATCH.", json_schema_extra=_TAGS)] = None,
) -> frozenset[int] | None:
    """Like `expected_of_request`; a task that is to be created has no version yet.

    Raises:
        Invalid: the conditions contradict each other.
    """
    if not creates(request):
        if _header(request, "if-none-match"):
            raise _refusal("If-None-Match", _NO_IF_NONE_MATCH)
        return await expected_of_request(request, if_match)
    if if_match is not None:
        raise Invalid(Violation("header", "If-Match", "contradiction", "contradicts If-None-Match"))
    return None


async def expected_of_list(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(
            description="Write only if this is the ETag of the list, from `GET` at the path of the tasks "
            "with the same filters. Every change of the user's tasks changes it. `*` matches any.",
            examples=['"17-5c0a6cc4d6c4"'],
            json_schema_extra=_TAGS,
        ),
    ] = None,
) -> Set[str] | None:
    """The expected tags; None if every tag is accepted."""
    return None if if_match is None else _if_match(request)


def is_unchanged(request: Request, etag: str) -> bool:
    """Whether the client already has the representation of `etag`.

    Raises:
        Invalid: `If-None-Match` is malformed.
    """
    header = _header(request, "if-none-match")
    if not header:
        return False
    if header.strip() == "*" or header == etag:
        return True
    return etag.strip('"') in parse_tags(header, "If-None-Match")


def is_expected(request: Request, tag: str) -> bool:
    """Whether the representation that is read matches `If-Match`.

    Raises:
        Invalid: `If-Match` is malformed.
    """
    if b"if-match" not in lines(request.scope):
        return True
    if len(_header(request, "if-match") or "") > _MAX_LENGTH_OF_READ:
        raise _malformed("If-Match")
    expected = _if_match(request)
    return expected is None or tag in expected


def creates(request: Request) -> bool:
    """Whether a PUT creates the task: `If-None-Match: *`."""
    return (_header(request, "if-none-match") or "").strip() == "*"


def refuse_unknown_conditions(request: Request, evaluated: Set[str]) -> None:
    """Refuse a condition that the operation does not evaluate, since ignoring it would break it.

    `evaluated`: names of headers. A resource without an ETag matches no tag, so a read ignores
    `If-None-Match`: some caches assign tags of their own and send them. A read ignores dates, too. RFC 9110
    (13.1.4) has `If-Unmodified-Since` ignored where there is no date; but a client that relies on it would
    overwrite changes.

    Raises:
        Invalid: the request has such a condition.
    """
    sent = lines(request.scope)
    reads = request.method in {"GET", "HEAD"}
    if b"if-match" in sent:
        if "if-match" not in evaluated:
            raise _refusal("If-Match", _NO_IF_MATCH)
    elif b"if-unmodified-since" in sent and not reads:
        raise _refusal("If-Unmodified-Since", _NO_DATE if "if-match" in evaluated else _NO_CONDITION)
    # An empty list of tags matches nothing (RFC 9110, 13.1.2), so the request goes on.
    if _header(request, "if-none-match") and "if-none-match" not in evaluated:
        if not reads:
            raise _refusal("If-None-Match", _NO_IF_NONE_MATCH if "if-match" in evaluated else _NO_CONDITION)
        if creates(request):
            raise _refusal("If-None-Match", _NO_ANY)


def _refusal(name: str, detail: str) -> Invalid:
    return Invalid(Violation("header", name, "not_allowed", detail))


IfMatch = Annotated[frozenset[int] | None, Depends(expected_of_request)]
IfMatchUnlessNew = Annotated[frozenset[int] | None, Depends(expected_unless_new)]
IfMatchOfList = Annotated[Set[str] | None, Depends(expected_of_list)]


async def if_match_of_read(
    if_match: Annotated[
        str | None,
        Header(
            description="Answer 412 unless this is the current ETag; `*` matches any.",
            examples=['"17"'],
            json_schema_extra={**_TAGS, "maxLength": _MAX_LENGTH_OF_READ},
        ),
    ] = None,
) -> None:
    """Shows the header in the OpenAPI document."""


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
