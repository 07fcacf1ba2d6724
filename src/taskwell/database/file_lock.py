"""An advisory lock between processes, on a file without other use."""

import os
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


class FileLock:
    """A non-blocking file lock. The file stays open, since opening it takes longer than a write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Try to take the lock. Returns whether it is held now.

        Raises:
            OSError: the lock file cannot be opened.
        """
        while True:
            if self._file is None:
                self._file = os.open(self._path, _FLAGS, 0o644)
            if not lock_descriptor(self._file, blocking=False):
                return False
            if self._is_at_path():
                return True
            self.close()

    def _is_at_path(self) -> bool:
        """Whether the open file is still at the path: a removed or replaced one excludes no process."""
        assert self._file is not None
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        if self._file is not None:
            unlock_descriptor(self._file)

    def touch(self) -> None:
        """Signal the holder that another process waits for the lock."""
        if self._file is not None:
            os.utime(self._path)

    def touched(self) -> int:
        """The time of the last `touch`, in nanoseconds; 0 if unknown."""
        return 0 if self._file is None else os.fstat(self._file).st_mtime_ns

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
