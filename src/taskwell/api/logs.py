"""What is logged of requests: never a body, a query, a header or a token, since they hold what is private."""

import logging
import sys
from contextvars import ContextVar

from taskwell.core.config import Settings

access = logging.getLogger("taskwell.access")
request_id: ContextVar[str] = ContextVar("taskwell_request_id", default="-")

_FORMAT = "%(asctime)s %(levelname)s %(request_id)s %(name)s: %(message)s"


def install(settings: Settings) -> None:
    """Have every line of this process bear the id of the request that it belongs to."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(_with_request_id)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    # At the level of debug these tell of every statement with its values, and of every URL.
    for name in ("sqlalchemy", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It greets whoever only asks where the schema stands.
    logging.getLogger("alembic.runtime.migration").addFilter(_is_a_step)


def _is_a_step(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or record.msg.startswith("Running")


def _with_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True
