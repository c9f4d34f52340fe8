"""Signs of life: a killed worker's activity is taken over in seconds, not after its whole time-out."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

BEAT_S = 1.0
"""Far below the time-out of a heartbeat: one that is late must not make a living worker look dead."""


class HeartbeatInterceptor(Interceptor):
    """Every activity that is scheduled with a heartbeat time-out beats for as long as it runs."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Beating(next)


class _Beating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        if activity.info().heartbeat_timeout is None:
            return await self.next.execute_activity(input)
        beating = asyncio.create_task(_beat())
        try:
            return await self.next.execute_activity(input)
        finally:
            beating.cancel()


async def _beat() -> None:
    while True:  # A step that ends within the first second was never in doubt, and costs the server no beat.
        await asyncio.sleep(BEAT_S)
        activity.heartbeat()
