"""The files of the page: read once, compressed once, and served under a path that names their content."""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
# Comments are a quarter of the scripts. A comment's lines stay, so that the browser names the right ones.
_BLOCK = {".js": re.compile(r"/\*\*.*?\*/ ?", re.DOTALL), ".css": re.compile(r"/\*.*?\*/", re.DOTALL)}
# A line that is a comment, its end if that can be nothing else, and its indentation.
_LINE = re.compile(r"^[ \t]*//.*$| +// [^'\"`/\n]*$|^ +", re.MULTILINE)
_IMMUTABLE = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"


@dataclass(frozen=True, slots=True)
class File:
    """`zipped`: its content compressed by gzip, or None where that saves nothing."""

    content: bytes
    zipped: bytes | None
    media_type: str
    digest: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> "File":
        zipped = gzip.compress(content, mtime=0)
        digest = hashlib.sha256(content).hexdigest()[:16]
        return cls(content, zipped if len(zipped) < len(content) else None, media_type, digest)


@cache
def files() -> Mapping[str, File]:
    """The files by their path below the folder."""
    return {
        path.relative_to(FOLDER).as_posix(): File.of(_served(path), _MEDIA_TYPES[path.suffix])
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in _MEDIA_TYPES
    }


def _served(path: Path) -> bytes:
    """The content without its comments; libraries are small already."""
    if path.suffix not in _BLOCK or path.parent != FOLDER:
        return path.read_bytes()
    text = path.read_text(encoding="utf-8")
    text = _BLOCK[path.suffix].sub(lambda comment: "\n" * comment[0].count("\n"), text)
    return _LINE.sub("", text).encode()


@cache
def version() -> str:
    """Names the content of all files."""
    whole = "".join(f"{name} {file.digest}\n" for name, file in files().items())
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def response(
    request: Request, file: File, *, immutable: bool, headers: Mapping[str, str] | None = None
) -> Response:
    """The file, compressed if the client accepts that, or 304 if the client has it."""
    zipped = file.zipped if _accepts_gzip(request) else None
    tag = f'"{file.digest}{"-gzip" if zipped else ""}"'
    common = {
        **(headers or {}),
        "Cache-Control": _IMMUTABLE if immutable else _REVALIDATE,
        "ETag": tag,
        "Vary": "Accept-Encoding",
    }
    known = {
        known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")
    }
    if tag in known or "*" in known:
        return Response(status_code=304, headers=common)
    if zipped:
        common["Content-Encoding"] = "gzip"
    return Response(zipped or file.content, headers=common, media_type=file.media_type)


def _accepts_gzip(request: Request) -> bool:
    codings = (item.partition(";") for item in request.headers.get("accept-encoding", "").lower().split(","))
    weights = {coding.strip(): parameter.replace(" ", "") for coding, _, parameter in codings}
    weight = weights.get("gzip", weights.get("*"))
    return weight is not None and weight.rstrip("0.") != "q="
