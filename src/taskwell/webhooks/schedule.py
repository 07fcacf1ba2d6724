"""What follows from an attempt: the next event, a repetition later, or the end."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 60, 300, 1_800, 7_200, 18_000, 36_000))
_JITTER = 0.2
_LONGEST_RETRY_AFTER = timedelta(hours=10)
DISABLED_AFTER = timedelta(days=5)
DISABLED_AFTER_ATTEMPTS = 10
SKIPPED_AFTER = timedelta(hours=1)
SKIPPED_AFTER_ATTEMPTS = 5
GONE = 410
# Client errors that say something of the receiver as a whole, not of one event.
OF_THE_RECEIVER: Sequence[int] = (401, 403, 404, 408, 425, 429)


def is_success(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def is_refusal(status: int | None) -> bool:
    """Whether the receiver refuses this event, and may take the next."""
    return status is not None and 400 <= status < 500 and status not in OF_THE_RECEIVER


def pause(failed_before: int, retry_after: str | None, now: datetime) -> timedelta:
    """How long to wait after a failure. `failed_before`: how often the event had failed already.

    Not less than the receiver asks for, if that is 10 hours at most.
    """
    usual = _PAUSES[min(failed_before, len(_PAUSES) - 1)]
    usual *= random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 (jitter, no secret)
    return max(usual, min(_asked(retry_after, now), _LONGEST_RETRY_AFTER))


def _asked(retry_after: str | None, now: datetime) -> timedelta:
    """The pause of a `Retry-After` (RFC 9110, 10.2.3): seconds, or an instant."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdecimal():
        return timedelta(seconds=int(text[:9]))
    try:
        instant = parsedate_to_datetime(text)
    except ValueError:
        return timedelta()
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return max(instant - now, timedelta())
