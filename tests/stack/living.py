"""Which processes live, for tests that end some."""

from __future__ import annotations

import time
from pathlib import Path


def lives(pid: int) -> bool:
    """A zombie that nobody has waited for yet lives no more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def descendants(pid: int) -> set[int]:
    """The processes a process started, and those they started."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text("utf-8").rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def wait_until_dead(pids: set[int], seconds: float = 10) -> set[int]:
    """Those still alive when the time is over: none, if all is well."""
    deadline = time.monotonic() + seconds
    while (alive := {pid for pid in pids if lives(pid)}) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive
