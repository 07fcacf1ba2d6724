"""The machine's cores: the last for what measures, if there are several, and all others for what is measured.

A client that sends as much as it can would else take from the server just when that is to be measured.
"""

import os
from collections.abc import Iterator, Set
from contextlib import AbstractContextManager, contextmanager

_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
_LAST = {max(_CORES)} if len(_CORES) > 1 else set()


def all_but_the_last() -> AbstractContextManager[None]:
    """What is started within stays there."""
    return _on(_CORES - _LAST)


def the_last() -> AbstractContextManager[None]:
    return _on(_LAST)


@contextmanager
def _on(cores: Set[int]) -> Iterator[None]:
    if not _LAST:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
