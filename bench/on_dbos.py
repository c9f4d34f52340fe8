"""The same three steps on DBOS, on the same PostgreSQL, in a process of its own.

``python -m bench.on_dbos URL COUNT AT_ONCE`` runs so many and prints how many a second it did, for each line it reads.
"""

from __future__ import annotations

import asyncio
import sys
import time
from uuid import uuid4

from dbos import DBOS, DBOSConfig


@DBOS.step()
async def withdraw() -> str:
    """The first step of three."""
    return "withdrawn"


@DBOS.step()
async def deposit() -> str:
    """The second step."""
    return "deposited"


@DBOS.step()
async def confirm() -> str:
    """The third step."""
    return "confirmed"


@DBOS.workflow()
async def three_steps(reference: str) -> str:
    """One step after the other."""
    for step in (withdraw, deposit, confirm):
        await step()
    return reference


async def main(url: str, count: int, at_once: int) -> None:
    """A round for each line on standard input, until there is none."""
    config: DBOSConfig = {
        "name": "three-steps",
        "system_database_url": url,
        "run_admin_server": False,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()
    turns = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with turns:
            handle = await DBOS.start_workflow_async(three_steps, str(uuid4()))
            await handle.get_result()

    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        began = time.monotonic()
        await asyncio.gather(*(one() for _ in range(count)))
        print(count / (time.monotonic() - began), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
