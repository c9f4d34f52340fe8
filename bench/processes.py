"""What processes of the stack have used: CPU and memory, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from stack.local import LocalStack

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """CPU of a process, of its children, and of those of them that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS + sum(map(cpu_seconds, _children(pid)))


def resident_bytes(pid: int) -> int:
    """Memory of one process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def cpu_of(stack: LocalStack) -> dict[str, float]:
    """CPU seconds of each room so far; ``benchmark`` is this process."""
    rooms = {
        "Temporal": stack.temporal.process,
        "PostgreSQL": stack.postgres.process,
        "worker": stack.worker,
        "API": stack.api,
        "sandbox": stack.sandbox,
    }
    used = {name: cpu_seconds(process.pid) for name, process in rooms.items()}
    times = os.times()
    return used | {"benchmark": times.user + times.system}


def since(before: Mapping[str, float], after: Mapping[str, float], *, count: int) -> dict[str, float]:
    """Milliseconds of CPU for each of ``count``, room by room."""
    return {room: 1_000 * (after[room] - before[room]) / count for room in before}


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
