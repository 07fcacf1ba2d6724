"""What a process or a port has (Linux, proc(5))."""

from pathlib import Path


def resident_kib(pid: int) -> int:
    """The memory that it has now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.removesuffix("kB"))
    raise LookupError


def connections_to(port: int) -> int:
    """Those of a server on loopback that it has not closed."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] in {"01", "08"} for row in rows)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
