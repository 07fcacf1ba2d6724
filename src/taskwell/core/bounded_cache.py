"""A cache with a bounded size. Any entry may be dropped at any time."""

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(dict[K, V]):
    """Clears itself rather than grow beyond `max_size` entries."""

    def __init__(self, max_size: int = 10_000) -> None:
        super().__init__()
        self._max_size = max_size

    def __setitem__(self, key: K, value: V) -> None:
        if len(self) >= self._max_size:
            self.clear()
        super().__setitem__(key, value)
