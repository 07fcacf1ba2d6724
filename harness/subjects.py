"""What a program outside the tests runs on: an empty database of either kind, and a folder."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.postgres import postgres_server

DATABASES = ("sqlite", "postgresql")


@contextmanager
def subject(database: str) -> Iterator[tuple[str, Path]]:
    """The URL of an empty database, and a folder for its server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskwell-stress-")))
        if database == "sqlite":
            yield f"sqlite:///{folder}/stress.db", folder
        else:
            yield stack.enter_context(postgres_server()).url, folder
