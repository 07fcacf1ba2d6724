"""A lock that processes share: who holds it on a file, which has no other use, keeps the others out."""

import os
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


class FileLock:
    """It is asked for and never waited for. Its file stays open: to open it takes longer than a write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Whether it is held from now on.

        Raises:
            OSError: there can be no such file.
        """
        while True:
            if self._file is None:
                self._file = os.open(self._path, _FLAGS, 0o644)
            if not lock_descriptor(self._file, blocking=False):
                return False
            if self._is_where_others_look():
                return True
            self.close()

    def _is_where_others_look(self) -> bool:
        """What was removed or replaced keeps nobody out any more."""
        assert self._file is not None
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        if self._file is not None:
            unlock_descriptor(self._file)

    def touch(self) -> None:
        """Tell who holds it that it is wanted."""
        if self._file is not None:
            os.utime(self._path)

    def touched(self) -> int:
        """When it was wanted last, in nanoseconds; 0 if that cannot be known."""
        return 0 if self._file is None else os.fstat(self._file).st_mtime_ns

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
