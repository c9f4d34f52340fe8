"""What a withdrawal is held against: the shape of Temporal's money-transfer template, and a workflow of nothing.

Three plain activities one after the other that do nothing, in a worker of their own with the SDK's defaults.
``python -m bench.three_steps ADDRESS`` is that worker.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

TASK_QUEUE = "three-steps"


@activity.defn
async def withdraw() -> str:
    """The first step of three."""
    return "withdrawn"


@activity.defn
async def deposit() -> str:
    """The second step."""
    return "deposited"


@activity.defn
async def confirm() -> str:
    """The third step."""
    return "confirmed"


@workflow.defn
class ThreeSteps:
    """A transfer by its shape alone."""

    @workflow.run
    async def run(self) -> str:
        """One step after the other."""
        for step in (withdraw, deposit, confirm):
            await workflow.execute_activity(step, start_to_close_timeout=timedelta(seconds=10))
        return "done"


@workflow.defn
class Nothing:
    """A workflow that ends as soon as it begins: the least that a round trip takes."""

    @workflow.run
    async def run(self) -> str:
        """Ends."""
        return "done"


async def main(address: str) -> None:
    """Works until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(address)
    async with Worker(
        client, task_queue=TASK_QUEUE, workflows=[ThreeSteps, Nothing], activities=[withdraw, deposit, confirm]
    ):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
    os._exit(0)
