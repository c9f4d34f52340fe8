"""Waiting for what other processes bring about, and doing things at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], what: str, *, seconds: float = 30) -> T:
    """The first true thing that is seen; fails loudly if it doesn't come about."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s, but {seen!r}"
        time.sleep(0.05)
    return seen


def at_once(*calls: Callable[[], T]) -> list[T]:
    """The answers to calls made in parallel, in the order of the calls."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [answer.result() for answer in [threads.submit(call) for call in calls]]
