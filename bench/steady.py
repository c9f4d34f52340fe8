"""A rate that lasts: so many at a time, one after the other, counted once everything that follows has set in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

AT_ONCE = 32


@dataclass(frozen=True)
class Pace:
    """Seconds: what happens in the first is not counted.

    A workflow task leaves time-outs behind which the server looks at ten seconds later. Counted from a cold start to
    the last answer, whoever is quick would leave that to whoever comes next, and both would have the slow beginning
    and end in their figures.
    """

    lead_in: float
    counted: float

    @property
    def whole(self) -> float:
        return self.lead_in + self.counted


async def rate(
    pace: Pace,
    one: Callable[[], Awaitable[object]],
    *,
    begins: Callable[[], object] = lambda: None,
    ended: Callable[[int], object] = lambda _: None,
) -> float:
    """How many a second are finished; ``begins`` and ``ended``, with their number, hear where the counting does."""
    done, over = 0, asyncio.Event()

    async def again() -> None:
        nonlocal done
        while not over.is_set():
            await one()
            done += 1

    async def count() -> float:
        await asyncio.sleep(pace.lead_in)
        begins()
        before, began = done, time.monotonic()
        await asyncio.sleep(pace.counted)
        finished, took = done - before, time.monotonic() - began
        ended(finished)
        over.set()
        return finished / took

    async with asyncio.TaskGroup() as group:
        counted = group.create_task(count())
        for _ in range(AT_ONCE):
            group.create_task(again())
    return counted.result()
