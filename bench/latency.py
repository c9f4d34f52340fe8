"""What a call takes when nobody else is there: applications and codes by an empty workflow, reads by their SQL."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
from temporalio.client import Client

from bench.customers import Customer, Desk
from bench.finished import copy_withdrawal
from bench.notebook import Notebook, Race, Ratio, Target
from bench.stacks import measured_stack
from bench.three_steps import TASK_QUEUE, Nothing
from bench.whole import desk_of, three_steps_worker
from stack.local import LocalStack
from stack.postgres import SUPERUSER

AS_SLOW_AS = 1.5
PAUSE_S = 0.1
"""After each of the calls that are held against an empty workflow: a code is followed by the bank's part, and
a machine that has just been busy answers sooner than one that rests, so all three of them get the same."""
WITHOUT_REST = "without a rest"
READS_AT_MOST = 3.0


def measure(notebook: Notebook, *, short: bool) -> None:
    """Calls one after the other, in turn with empty workflows; then reads, in turn with the same SQL."""
    count = 15 if short else 60
    with measured_stack(notebook, {"WITHDRAWALS_CODES_A_DAY": "1000"}) as stack, three_steps_worker(stack):
        paid = asyncio.run(_calls(notebook, stack, count))
        rows = 20_000 if short else 1_000_000
        notebook.tell(f"filling the record with {rows:,} withdrawals")
        with psycopg.connect(stack.postgres.url(SUPERUSER).replace("+psycopg", ""), autocommit=True) as connection:
            copy_withdrawal(connection, paid, rows, series="read")
        asyncio.run(_reads(notebook, stack, 50 if short else 200))


async def _calls(notebook: Notebook, stack: LocalStack, count: int) -> UUID:
    """Returns one that is paid."""
    client = await Client.connect(stack.temporal.address)
    async with desk_of(stack) as desk:
        customers = iter(await desk.register_many(5 + 2 * count * notebook.rounds))
        paid = [await desk.withdraw(next(customers)) for _ in range(5)]
        applied: list[tuple[Customer, UUID]] = []

        async def empty() -> None:
            await client.execute_workflow(Nothing.run, id=str(uuid4()), task_queue=TASK_QUEUE)

        async def apply() -> None:
            customer = next(customers)
            applied.append((customer, await desk.apply(customer)))

        async def verify(customer: Customer, withdrawal_id: UUID, code: str) -> None:
            await desk.verify(customer, withdrawal_id, code)

        rounds: dict[str, list[float]] = {name: [] for name in ("empty workflow", "application", "verification")}
        rounds |= {f"{name}, {WITHOUT_REST}": [] for name in ("empty workflow", "application")}
        for _ in range(notebook.rounds):
            rounds["empty workflow"].append(await _median_ms([empty] * count, PAUSE_S))
            rounds["application"].append(await _median_ms([apply] * count, PAUSE_S))
            codes: list[Call] = [partial(verify, customer, one, await desk.code(customer)) for customer, one in applied]
            applied.clear()
            await asyncio.sleep(1)
            rounds["verification"].append(await _median_ms(codes, PAUSE_S))
            await asyncio.sleep(1)
            rounds[f"empty workflow, {WITHOUT_REST}"].append(await _median_ms([empty] * count, 0))
            rounds[f"application, {WITHOUT_REST}"].append(await _median_ms([apply] * count, 0))
            applied.clear()
    notebook.race(
        Race(
            "latency alone",
            "ms",
            {name: iter(values).__next__ for name, values in rounds.items()},
            [
                Ratio(f"{name} call by empty workflow", name, "empty workflow", Target(at_most=AS_SLOW_AS))
                for name in ("application", "verification")
            ]
            + [
                Ratio(
                    f"application call by empty workflow, {WITHOUT_REST}",
                    f"application, {WITHOUT_REST}",
                    f"empty workflow, {WITHOUT_REST}",
                    Target(),
                )
            ],
        )
    )
    return paid[0]


Call = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Read:
    """A read by the API, and the SQL that it comes down to."""

    name: str
    path: str
    sql: str
    words: tuple[Any, ...]


async def _reads(notebook: Notebook, stack: LocalStack, count: int) -> None:
    async with desk_of(stack) as desk:
        customer, withdrawal_id = await _busy(desk)
        account = customer.account_id
        reads = [
            Read(
                "account",
                f"/v1/accounts/{account}",
                "SELECT * FROM accounts JOIN balances USING (account_id) WHERE account_id = %s",
                (account,),
            ),
            Read(
                "withdrawal",
                f"/v1/withdrawals/{withdrawal_id}",
                "SELECT * FROM withdrawals JOIN verifications ON withdrawal_id = id WHERE id = %s",
                (withdrawal_id,),
            ),
            Read(
                "record page of 20",
                f"/v1/withdrawals?account_id={account}&limit=20",
                "SELECT * FROM withdrawals JOIN verifications ON withdrawal_id = id WHERE account_id = %s"
                " ORDER BY created_at DESC, id DESC LIMIT 21",
                (account,),
            ),
        ]
        url = stack.postgres.url().replace("+psycopg", "")
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for read in reads:
                await _read(notebook, desk, customer, connection, read, count)


async def _busy(desk: Desk) -> tuple[Customer, UUID]:
    """A customer with more than a page of withdrawals, and the newest of them."""
    [customer] = await desk.register_many(1)
    newest = await desk.apply(customer)
    for number in range(21):
        await desk.cancel(customer, newest)
        newest = await desk.apply(customer, key=f"{customer.account_id}-{number}")
    return customer, newest


async def _read(
    notebook: Notebook,
    desk: Desk,
    customer: Customer,
    connection: psycopg.AsyncConnection[Any],
    read: Read,
    count: int,
) -> None:
    async def through_api() -> None:
        await desk.read(customer, read.path)

    async def through_psycopg() -> None:
        await (await connection.execute(read.sql, read.words)).fetchall()

    rounds: dict[str, list[float]] = {"API": [], "psycopg": []}
    for _ in range(notebook.rounds):
        rounds["API"].append(await _p95_ms([through_api] * count))
        rounds["psycopg"].append(await _p95_ms([through_psycopg] * count))
    notebook.race(
        Race(
            f"reading the {read.name}, p95",
            "ms",
            {name: iter(values).__next__ for name, values in rounds.items()},
            [Ratio(f"{read.name} by psycopg, p95", "API", "psycopg", Target(at_most=READS_AT_MOST))],
        )
    )


async def _timed_ms(calls: Sequence[Call], pause_s: float = 0) -> list[float]:
    took = []
    for call in calls:
        began = time.perf_counter()
        await call()
        took.append(1_000 * (time.perf_counter() - began))
        if pause_s:
            await asyncio.sleep(pause_s)
    return took


async def _median_ms(calls: Sequence[Call], pause_s: float) -> float:
    return statistics.median(await _timed_ms(calls, pause_s))


async def _p95_ms(calls: Sequence[Call]) -> float:
    return statistics.quantiles(await _timed_ms(calls), n=20)[-1]
