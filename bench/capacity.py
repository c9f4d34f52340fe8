"""What one paid withdrawal takes: rows, bytes, history, actions.

    make capacity STATE=… PORT_OFFSET=… ARGS=200

drives that many withdrawals to paid through the HTTP API of a stack that is up, and divides. Nobody else should use the
stack meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
from psycopg import sql
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHistory
from temporalio.envconfig import ClientConfig

AT_ONCE = 8
NAME = "云上科技（上海）有限公司"
WITHIN_S = 60

TABLES = """
    SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables
    WHERE relname NOT IN ('alembic_version', 'working_calendar') ORDER BY relname"""

ACTIONS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: "workflow started",
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: "activity",
    EventType.EVENT_TYPE_TIMER_STARTED: "timer",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: "signal",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: "update",
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: "search attributes",
}
"""What Temporal Cloud counts, one each; local activities count once for each workflow task that recorded some."""


@dataclass
class Driver:
    """Customers who withdraw once each."""

    api: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    run: int = field(default_factory=lambda: int(time.time()))

    async def bearer(self, scope: str, **claims: str) -> dict[str, str]:
        issued = await self.sandbox.post("/_sandbox/token", json={"scope": scope, "sub": f"bench-{scope}", **claims})
        return {"Authorization": f"Bearer {issued.json()['access_token']}"}

    async def withdraw(self, number: int) -> str:
        """Registers, tops up, applies, verifies, and waits until it is paid; returns the id."""
        account, phone = f"bench_{self.run}_{number}", f"13{(self.run * 1000 + number) % 10**9:09d}"
        billing = await self.bearer("billing")
        registration = {
            "subject_type": "company", "subject_name": NAME, "verified": True, "phone": phone,
            "suspended": False, "pay_as_you_use": False,
        }  # fmt: skip
        (await self.api.put(f"/v1/accounts/{account}", json=registration, headers=billing)).raise_for_status()
        top_up = {"reference": "first", "amount": "1000.00"}
        (await self.api.post(f"/v1/accounts/{account}/top-ups", json=top_up, headers=billing)).raise_for_status()
        customer = await self.bearer("withdrawals", account_id=account)
        card = {
            "account_name": NAME, "bank_name": "招商银行", "branch_name": "上海分行张江支行",
            "card_number": f"62284800{number:011d}",
        }  # fmt: skip
        form = {"account_id": account, "amount": "500.00", "bank_card": card}
        applied = await self.api.post("/v1/withdrawals", json=form, headers=customer | {"Idempotency-Key": account})
        applied.raise_for_status()
        path = f"/v1/withdrawals/{applied.json()['id']}"
        inbox = await self._until(lambda: self._read(self.sandbox, f"/_sandbox/messages?phone={phone}", {}))
        code = {"code": inbox[0]["code"]}
        (await self.api.post(f"{path}/verification", json=code, headers=customer)).raise_for_status()

        async def paid() -> object:
            return (await self._read(self.api, path, customer))["status"] == "paid"

        await self._until(paid)
        return str(applied.json()["id"])

    async def _read(self, client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> Any:
        answer = await client.get(path, headers=headers)
        answer.raise_for_status()
        return answer.json()

    async def _until(self, look: Callable[[], Awaitable[Any]]) -> Any:
        deadline = time.monotonic() + WITHIN_S
        while not (seen := await look()):
            if time.monotonic() > deadline:
                raise TimeoutError("it did not come to that")
            await asyncio.sleep(0.2)
        return seen


def sizes(url: str) -> dict[str, tuple[int, int]]:
    """Rows and bytes of each table, its indexes included."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = {}
        for name, size in connection.execute(TABLES).fetchall():
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
            [rows] = connection.execute(count).fetchone() or (0,)
            found[name] = (rows, size)
        return found


def actions(history: WorkflowHistory) -> Counter[str]:
    """What of a history is billed."""
    counted: Counter[str] = Counter()
    tasks_with_local_steps = set()
    for event in history.events:
        if event.event_type in ACTIONS:
            counted[ACTIONS[event.event_type]] += 1
        if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
            tasks_with_local_steps.add(event.marker_recorded_event_attributes.workflow_task_completed_event_id)
    counted["local activities"] = len(tasks_with_local_steps)
    return counted


async def main() -> None:
    """Measures and prints Markdown."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    sandbox_url, database_url = os.environ["WITHDRAWALS_BANK_URL"], os.environ["WITHDRAWALS_DATABASE_URL"]
    api_url = os.environ["SANDBOX_NOTIFY_URL"].removesuffix("/v1/bank-notifications")
    database_url = database_url.replace("+psycopg", "")
    before = sizes(database_url)
    began = time.monotonic()
    async with (
        httpx.AsyncClient(base_url=api_url, timeout=30, trust_env=False) as api,
        httpx.AsyncClient(base_url=sandbox_url, timeout=30, trust_env=False) as sandbox,
    ):
        driver, turns = Driver(api, sandbox), asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> str:
            async with turns:
                return await driver.withdraw(number)

        ids = await asyncio.gather(*(one(number) for number in range(count)))
    took = time.monotonic() - began
    await asyncio.sleep(2)
    after = sizes(database_url)
    print(f"{count} withdrawals, {AT_ONCE} at once, paid in {took:.0f} s\n")
    print("| table | rows | bytes |\n|---|---:|---:|")
    total = [0.0, 0.0]
    for name, (rows, size) in after.items():
        grown = [(rows - before[name][0]) / count, (size - before[name][1]) / count]
        total = [total[0] + grown[0], total[1] + grown[1]]
        if any(grown):
            print(f"| {name} | {grown[0]:.1f} | {grown[1]:,.0f} |")
    print(f"| **together** | {total[0]:.1f} | {total[1]:,.0f} |\n")
    client = await Client.connect(**ClientConfig.load_client_connect_config())
    events, size, counted = 0, 0, Counter[str]()
    sample = ids[:: max(1, count // 20)]
    for withdrawal_id in sample:
        handle = client.get_workflow_handle(f"withdrawal-{withdrawal_id}")
        history = await handle.fetch_history()
        described = await handle.describe()
        events += len(history.events)
        size += described.raw_description.workflow_execution_info.history_size_bytes
        counted += actions(history)
    print(f"history: {events / len(sample):.1f} events, {size / len(sample):,.0f} bytes")
    print(f"actions: {sum(counted.values()) / len(sample):.1f}")
    for what, number in counted.most_common():
        print(f"  {what}: {number / len(sample):.1f}")


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # Temporal's client has threads that may still be at work when the interpreter goes.
