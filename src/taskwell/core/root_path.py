"""Parses the root path: the path under which clients find the application, set by a setting or a proxy."""

import re

_SEGMENT = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+"
_ROOT_PATH = re.compile(rf"(?:/{_SEGMENT})*/?")
_LONGEST = 200


def parse_root_path(text: str) -> str:
    """Return the path without a trailing slash; empty at the root.

    Links contain it, so it must be a plain path: no host (`//…`), no scheme, no escape, no `..`.

    Raises:
        ValueError: it is not such a path.
    """
    if len(text) > _LONGEST or not _ROOT_PATH.fullmatch(text):
        raise ValueError(
            "must be a path like /tasks: it begins with a slash and has letters, digits, and - . _ ~"
        )
    return text.rstrip("/")
