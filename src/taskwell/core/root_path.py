"""The path under which clients find the application, as a setting or a proxy names it."""

import re

_SEGMENT = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+"
_ROOT_PATH = re.compile(rf"(?:/{_SEGMENT})*/?")
_LONGEST = 200


def parse_root_path(text: str) -> str:
    """Without the slash at its end; empty at the root.

    Whatever is taken here is put into links, so it can be nothing but a path: no host (`//…`), no scheme, no
    escape, no `..`.

    Raises:
        ValueError: it is no such path.
    """
    if len(text) > _LONGEST or not _ROOT_PATH.fullmatch(text):
        raise ValueError(
            "must be a path like /tasks: it begins with a slash and has letters, digits, and - . _ ~"
        )
    return text.rstrip("/")
