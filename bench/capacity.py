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
from functools import partial

import psycopg
from psycopg import sql
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHistory
from temporalio.envconfig import ClientConfig

from bench.customers import Customer, Desk, at_once

AT_ONCE = 8
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


def sizes(url: str) -> dict[str, tuple[int, int]]:
    """Rows and bytes of each table, its indexes included."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = {}
        for name, size in connection.execute(TABLES).fetchall():
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
            [rows] = connection.execute(count).fetchone() or (0,)
            found[name] = (rows, size)
        return found


def billed(history: WorkflowHistory) -> Counter[str]:
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


async def withdraw(desk: Desk, customer: Customer) -> str:
    """From the application to paid; returns the id."""
    withdrawal_id = await desk.withdraw(customer)
    deadline = time.monotonic() + WITHIN_S
    while (await desk.read(customer, f"/v1/withdrawals/{withdrawal_id}"))["status"] != "paid":
        if time.monotonic() > deadline:
            raise TimeoutError(f"{withdrawal_id} is not paid")
        await asyncio.sleep(0.2)
    return str(withdrawal_id)


async def main() -> None:
    """Measures and prints Markdown."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    sandbox_url, database_url = os.environ["WITHDRAWALS_BANK_URL"], os.environ["WITHDRAWALS_DATABASE_URL"]
    api_url = os.environ["SANDBOX_NOTIFY_URL"].removesuffix("/v1/bank-notifications")
    database_url = database_url.replace("+psycopg", "")
    before = sizes(database_url)
    began = time.monotonic()
    async with Desk.opened(api_url, sandbox_url) as desk:
        customers = await desk.register_many(count)
        ids = await at_once(AT_ONCE, [partial(withdraw, desk, customer) for customer in customers])
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
        counted += billed(history)
    print(f"history: {events / len(sample):.1f} events, {size / len(sample):,.0f} bytes")
    print(f"actions: {sum(counted.values()) / len(sample):.1f}")
    for what, number in counted.most_common():
        print(f"  {what}: {number / len(sample):.1f}")


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # Temporal's client has threads that may still be at work when the interpreter goes.
