"""Whole withdrawals a second, against three empty steps on the same servers; and the same three steps on DBOS."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import IO
from uuid import UUID, uuid4

import psycopg
from temporalio.client import Client

from bench.capacity import billed
from bench.customers import Desk
from bench.notebook import Notebook, Race, Ratio, Target
from bench.processes import cpu_of, cpu_seconds, since
from bench.stacks import measured_stack
from bench.steady import AT_ONCE, Pace, rate
from bench.three_steps import TASK_QUEUE, Nothing, ThreeSteps
from domain.withdrawal import workflow_id
from ledger.database import Database
from ledger.invariants import violations
from stack.local import ROOT, LocalStack
from stack.postgres import SUPERUSER
from stack.processes import Process, ProcessFailed

WITHIN_S = 120.0
MOST_A_SECOND = 40
"""More withdrawals than two cores can finish: so many customers are registered beforehand for each second."""
LOOK_EVERY_S = 0.05

_THEIRS = "the template's worker"
_THEIR_ROOMS = ("Temporal", _THEIRS, "benchmark")

_PAID = "SELECT id FROM withdrawals WHERE id = ANY(%s) AND status = 'paid'"


def measure(notebook: Notebook, *, short: bool) -> None:
    """Ours, ours with a second worker, the template's shape, and DBOS, in turn."""
    pace = Pace(1.5, 3) if short else Pace(11, 14)
    with measured_stack(notebook) as stack, three_steps_worker(stack) as theirs, on_dbos(stack, pace) as dbos:
        asyncio.run(_warm_up(stack, 10))
        bench = Whole(stack, theirs, pace)
        contestants: dict[str, Callable[[], float]] = {
            "withdrawals": bench.ours,
            "money transfers": bench.money_transfers,
            "empty workflows": bench.empty,
        }
        ratios = [
            Ratio("whole withdrawals by money-transfer shape", "withdrawals", "money transfers", Target(at_least=0.6)),
            Ratio("whole withdrawals by empty workflows", "withdrawals", "empty workflows", Target()),
        ]
        if dbos is not None:
            contestants["three steps on DBOS"] = dbos
            ratios.append(
                Ratio("three steps on DBOS by money-transfer shape", "three steps on DBOS", "money transfers", Target())
            )
        if not short:
            contestants["withdrawals, two workers"] = bench.with_two_workers
            ratios.append(Ratio("two workers by one", "withdrawals, two workers", "withdrawals", Target()))
        notebook.race(Race(f"whole, {AT_ONCE} at a time", "a second", contestants, ratios))
        for what, used in bench.cpu.items():
            for room in used[0]:
                notebook.fact(f"CPU of a {what}, {room}", [cpu[room] for cpu in used], "ms")
        asyncio.run(_history_of(notebook, stack, bench.paid[-20:]))
        if broken := violations(Database.connect(stack.postgres.url())):
            raise AssertionError(f"the ledger does not hold after the benchmark: {broken}")


class Whole:
    """One round of each contestant; ``cpu`` has what each room used, and ``paid`` those of one worker."""

    def __init__(self, stack: LocalStack, theirs: Process, pace: Pace) -> None:
        self.stack, self.theirs, self.pace = stack, theirs, pace
        self.cpu: dict[str, list[Mapping[str, float]]] = {"withdrawal": [], "money transfer": []}
        self.paid: list[UUID] = []

    def ours(self) -> float:
        """Application, code, freeze, transfer, notification, settle."""
        rate, paid, cpu = asyncio.run(self._withdrawals())
        self.paid += paid
        self.cpu["withdrawal"].append({room: used for room, used in cpu.items() if room != _THEIRS})
        return rate

    def with_two_workers(self) -> float:
        """The same with one more worker."""
        with self.stack.another_worker():
            time.sleep(2)
            return asyncio.run(self._withdrawals())[0]

    def money_transfers(self) -> float:
        """Three steps that do nothing."""
        rate, cpu = asyncio.run(self._workflows(ThreeSteps))
        self.cpu["money transfer"].append({room: used for room, used in cpu.items() if room in _THEIR_ROOMS})
        return rate

    def empty(self) -> float:
        """No step at all."""
        return asyncio.run(self._workflows(Nothing))[0]

    async def _withdrawals(self) -> tuple[float, list[UUID], Mapping[str, float]]:
        async with desk_of(self.stack) as desk, Payments.watched(self.stack) as payments:
            customers = iter(await desk.register_many(int(MOST_A_SECOND * self.pace.whole)))
            counted, paid = Counted(self), list[UUID]()

            async def one() -> None:
                withdrawal_id = await desk.withdraw(next(customers))
                await payments.arrived(withdrawal_id)
                paid.append(withdrawal_id)

            return await rate(self.pace, one, begins=counted.begins, ended=counted.ended), paid, counted.used

    async def _workflows(self, workflow: type[ThreeSteps | Nothing]) -> tuple[float, Mapping[str, float]]:
        client = await Client.connect(self.stack.temporal.address)

        async def one() -> str:
            return await client.execute_workflow(workflow.run, id=str(uuid4()), task_queue=TASK_QUEUE)

        counted = Counted(self)
        return await rate(self.pace, one, begins=counted.begins, ended=counted.ended), counted.used

    def cpu_now(self) -> dict[str, float]:
        """Seconds of every process that takes part, so far."""
        return {**cpu_of(self.stack), _THEIRS: cpu_seconds(self.theirs.pid)}


class Counted:
    """What was used for one, between the beginning of the counting and its end: milliseconds, room by room."""

    def __init__(self, bench: Whole) -> None:
        self._bench = bench
        self._before: dict[str, float] = {}
        self.used: Mapping[str, float] = {}

    def begins(self) -> None:
        """Now."""
        self._before = self._bench.cpu_now()

    def ended(self, count: int) -> None:
        """After so many."""
        self.used = since(self._before, self._bench.cpu_now(), count=count)


def desk_of(stack: LocalStack) -> contextlib.AbstractAsyncContextManager[Desk]:
    """The API and the sandbox of a stack."""
    return Desk.opened(stack.api_url, stack.sandbox_url)


class Payments:
    """Sees in PostgreSQL what was paid: one query for everybody who waits, so that waiting costs next to nothing."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[UUID]]) -> None:
        self._connection = connection
        self._awaited: dict[UUID, asyncio.Future[None]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def watched(cls, stack: LocalStack) -> AsyncIterator[Payments]:
        """Looks until the block is left."""
        url = stack.postgres.url().replace("+psycopg", "")
        async with await psycopg.AsyncConnection[tuple[UUID]].connect(url, autocommit=True) as connection:
            payments = cls(connection)
            looking = asyncio.create_task(payments._look())
            try:
                yield payments
            finally:
                looking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await looking

    async def arrived(self, withdrawal_id: UUID) -> None:
        """Returns once it is paid; TimeoutError if that takes too long."""
        awaited = self._awaited[withdrawal_id] = asyncio.get_running_loop().create_future()
        await asyncio.wait_for(awaited, WITHIN_S)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._awaited:
                paid = await self._connection.execute(_PAID, [list(self._awaited)])
                for (withdrawal_id,) in await paid.fetchall():
                    self._awaited.pop(withdrawal_id).set_result(None)


async def _warm_up(stack: LocalStack, count: int) -> None:
    async with desk_of(stack) as desk, Payments.watched(stack) as payments:
        for customer in await desk.register_many(count):
            await payments.arrived(await desk.withdraw(customer))


async def _history_of(notebook: Notebook, stack: LocalStack, ids: Sequence[UUID]) -> None:
    client = await Client.connect(stack.temporal.address)
    events, actions = [], []
    for withdrawal_id in ids:
        history = await client.get_workflow_handle(workflow_id(withdrawal_id)).fetch_history()
        events.append(len(history.events))
        actions.append(billed(history).total())
    notebook.fact("history events of a withdrawal", events, "events", Target(at_most=30))
    notebook.fact("billable actions of a withdrawal", actions, "actions", Target(at_most=12))


@contextlib.contextmanager
def three_steps_worker(stack: LocalStack) -> Iterator[Process]:
    """The template's worker, with the SDK's defaults."""
    command = [sys.executable, "-m", "bench.three_steps", stack.temporal.address]
    log = stack.state.log("three-steps")
    process = Process.start("the worker of three steps", command, log=log, directory=ROOT)
    try:
        yield process
    finally:
        process.stop()


@contextlib.contextmanager
def on_dbos(stack: LocalStack, pace: Pace) -> Iterator[Callable[[], float] | None]:
    """A round of three steps on DBOS, in a database of its own beside ours; None where DBOS is not installed."""
    if importlib.util.find_spec("dbos") is None:
        yield None
        return
    server = stack.postgres
    with psycopg.connect(server.url(SUPERUSER).replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE three_steps")
    url = server.url(SUPERUSER, "three_steps")
    command = [
        sys.executable,
        "-m",
        "bench.on_dbos",
        url,
        str(pace.lead_in),
        str(pace.counted),
    ]
    with (
        stack.state.log("dbos").open("ab") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as dbos,
    ):
        assert dbos.stdin is not None
        assert dbos.stdout is not None
        stdin, stdout = dbos.stdin, dbos.stdout

        def round_of_dbos() -> float:
            stdin.write("\n")
            stdin.flush()
            return float(_next_line(stdout, stack))

        try:
            _next_line(stdout, stack)
            yield round_of_dbos
        finally:
            stdin.close()


def _next_line(lines: IO[str], stack: LocalStack) -> str:
    line = lines.readline()
    if not line:
        raise ProcessFailed("DBOS", "ended", stack.state.log("dbos"))
    return line
