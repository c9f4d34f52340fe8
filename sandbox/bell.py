"""Sandbox: there is something to do, and whoever does it need not wait for the next look."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Bell:
    """Rung in the event loop's thread; rings that nobody has heard yet are one."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Whoever waits goes on, and whoever waits next does not wait."""
        self._rung.set()

    async def heard(self, *, within_s: float) -> None:
        """Returns at the next ring, or when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._rung.wait()
        self._rung.clear()
