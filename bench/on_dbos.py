"""The same three steps on DBOS, on the same PostgreSQL, in a process of its own.

``python -m bench.on_dbos URL LEAD_IN COUNTED`` prints how many a second it finishes, for each line it reads.
"""

from __future__ import annotations

import asyncio
import sys
from uuid import uuid4

from dbos import DBOS, DBOSConfig

from bench.steady import Pace, rate


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


async def main(url: str, pace: Pace) -> None:
    """A round for each line on standard input, until there is none."""
    config: DBOSConfig = {
        "name": "three-steps",
        "system_database_url": url,
        "run_admin_server": False,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()

    async def one() -> None:
        handle = await DBOS.start_workflow_async(three_steps, str(uuid4()))
        await handle.get_result()

    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(await rate(pace, one), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Pace(float(sys.argv[2]), float(sys.argv[3]))))
