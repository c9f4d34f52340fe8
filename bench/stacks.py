"""The stack that is measured: the local one, durable, on free ports, in a folder that is thrown away."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import httpx

from bench.notebook import Notebook
from stack.local import LocalStack, running_stack
from stack.ports import Ports
from stack.state import State

GENEROUS = MappingProxyType(
    {
        "WITHDRAWALS_CODES_AN_HOUR": "10000000",
        "WITHDRAWALS_CALLS_PER_SECOND": "100000",
        "WITHDRAWALS_CALLS_BURST": "1000000",
        # Too much at once is slow here, and not an answer of 503.
        "WITHDRAWALS_ENGINE_TIMEOUT_S": "30",
        # Twice in a benchmark it would be in somebody's round and not in the other's.
        "WITHDRAWALS_SWEEP_EVERY_S": "3600",
    }
)
"""The limits that a benchmark would run into, and nothing that makes anything less safe."""


@contextlib.contextmanager
def measured_stack(notebook: Notebook, extra: Mapping[str, str] = MappingProxyType({})) -> Iterator[LocalStack]:
    """A bank that settles at once, PostgreSQL with fsync; everything ends with the block."""
    with contextlib.ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        folder.chmod(0o711)
        state = parts.enter_context(State.locked(folder / "state"))
        notebook.tell("starting a stack")
        stack = parts.enter_context(running_stack(state, Ports.free(), extra={**GENEROUS, **extra}))
        answer = httpx.put(f"{stack.sandbox_url}/_sandbox/settings", json={"settle_after_s": 0}, trust_env=False)
        answer.raise_for_status()
        yield stack
