"""What a process takes (Linux, proc(5))."""

from pathlib import Path


def resident_kib(pid: int) -> int:
    """The memory that it has now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.removesuffix("kB"))
    raise LookupError


def open_files(pid: int) -> int:
    """Files and connections."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
