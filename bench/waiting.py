"""What waiting costs: very many withdrawals at the bank, each in a run of its own, and nothing to do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text
from temporalio.client import Client

from bench.notebook import Notebook, Target
from bench.processes import cpu_of, resident_bytes
from bench.stacks import measured_stack
from bench.teller import CARD, Teller, now
from domain.withdrawal import WORKFLOW_TYPE, workflow_id
from ledger.database import Database
from ledger.invariants import LATE, look_over, violations
from ledger.kept_keys import KeptKeys, KeyRingFile
from ledger.sweeps import Sweeps
from payloads.encryption import data_converter
from payloads.keys import PayloadKeys
from stack.local import LocalStack

MANY, MANY_SHORT = 10_000, 300
FEW: Final = 20
CHANGES: Final = 10
TASK_QUEUE: Final = "withdrawals"
STARTED_AT_ONCE: Final = 32
TOLD_AT_ONCE: Final = 4
WAIT_S, WAIT_S_SHORT = 60.0, 2.0
SAMPLE: Final = 20
ASKED_WITHIN_S: Final = 300.0
DRAIN_S: Final = 120.0
"""How long is watched at the most: then the rate is known."""


def measure(notebook: Notebook, *, short: bool) -> None:
    """A few wait, then very many; then the bank answers all of them."""
    with measured_stack(notebook) as stack:
        asyncio.run(_measure(notebook, stack, MANY_SHORT if short else MANY, WAIT_S_SHORT if short else WAIT_S))


async def _measure(notebook: Notebook, stack: LocalStack, many: int, wait_s: float) -> None:
    database = Database.connect(stack.postgres.url())
    keys = PayloadKeys(stack.state.payload_key_file())
    client = await Client.connect(stack.temporal.address, data_converter=data_converter(keys, "default"))
    waiting = Waiting(stack, database, client)
    waiting.bank("silent")
    await waiting.sweep()  # The first is a thorough one.
    await waiting.add(FEW)
    await waiting.sweep()
    few = [await waiting.sweep_over(0) for _ in range(notebook.rounds)]
    before, began = waiting.sizes(), time.monotonic()
    await waiting.add(many - FEW)
    notebook.tell(f"{many:,} wait, after {time.monotonic() - began:.0f} s")
    sizes = waiting.sizes()
    for name in sizes:
        notebook.fact(f"{name} for each that waits", [(sizes[name] - before[name]) / (many - FEW)], "bytes")
    notebook.fact(f"memory of the worker, {FEW} waiting", [waiting.memory[0] / 2**20], "MiB")
    notebook.fact(f"memory of the worker, {many:,} waiting", [waiting.memory[1] / 2**20], "MiB")
    lengths, history = await waiting.histories()
    notebook.fact("history of one that waits", history, "bytes")
    await asyncio.sleep(wait_s)
    await waiting.sweep_until_read()
    quiet = [await waiting.sweep_over(0) for _ in range(notebook.rounds)]
    grown = [after - before for before, after in zip(lengths, (await waiting.histories())[0], strict=True)]
    notebook.fact("history events of waiting through sweeps", grown, "events", Target(at_most=0))
    changed = [await waiting.sweep_over(CHANGES) for _ in range(notebook.rounds)]
    _tell_sweeps(notebook, many, few, quiet, changed)
    rate = await waiting.drain(notebook, DRAIN_S)
    notebook.fact("drained once the bank answers", [rate], "a second")
    notebook.fact(f"time to drain {many:,}", [many / rate / 60], "min")
    if broken := violations(database):
        raise AssertionError(f"the ledger does not hold after the benchmark: {broken}")
    database.close()


def _tell_sweeps(notebook: Notebook, many: int, few: list[Sweep], quiet: list[Sweep], changed: list[Sweep]) -> None:
    for name, sweeps in (
        (f"{FEW} waiting", few),
        (f"{many:,} waiting", quiet),
        (f"{many:,} waiting and {CHANGES} changes", changed),
    ):
        notebook.fact(f"sweep, {name}", [sweep.ms for sweep in sweeps], "ms")
        notebook.fact(f"CPU of a sweep, {name}", [sweep.cpu_ms for sweep in sweeps], "ms")
    by = [some.ms / one.ms for some, one in zip(quiet, few, strict=True)]
    notebook.fact(f"sweep with {many:,} waiting by one with {FEW}", by, "times", Target(at_most=1.5))
    cpu = [some.cpu_ms / max(one.cpu_ms, 1) for some, one in zip(quiet, few, strict=True)]
    notebook.fact(f"CPU of a sweep with {many:,} waiting by one with {FEW}", cpu, "times", Target(at_most=1.5))


@dataclass(frozen=True)
class Sweep:
    """How long one took, and the CPU that all servers together used meanwhile."""

    ms: float
    cpu_ms: float


@dataclass
class Waiting:
    """Withdrawals that wait for a bank that does not answer."""

    stack: LocalStack
    database: Database
    client: Client
    ids: list[UUID] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.teller = Teller(self.database, KeptKeys(KeyRingFile(self.stack.state.key_file())))
        self.sweeps = Sweeps(self.database)

    def bank(self, behaviour: str) -> None:
        """What the bank does with every transfer of these, also with those that wait."""
        url = f"{self.stack.sandbox_url}/_sandbox/cards/{CARD.card_number}"
        httpx.put(url, json={"behaviour": behaviour}, trust_env=False).raise_for_status()

    async def add(self, count: int) -> None:
        """So many more: their rows as API and worker write them, and a run of each that has asked the bank."""
        told, started = asyncio.Semaphore(TOLD_AT_ONCE), asyncio.Semaphore(STARTED_AT_ONCE)

        async def one() -> UUID:
            async with told:
                withdrawal_id = await asyncio.to_thread(lambda: self.teller.frozen(self.teller.account()))
            argument = {"withdrawal_id": str(withdrawal_id)}
            async with started:
                await self.client.start_workflow(
                    WORKFLOW_TYPE, argument, id=workflow_id(withdrawal_id), task_queue=TASK_QUEUE
                )
            return withdrawal_id

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(count)]
        self.ids += [task.result() for task in tasks]
        deadline = time.monotonic() + ASKED_WITHIN_S
        while await asyncio.to_thread(self._count, "state IN ('accepted', 'processing')") < len(self.ids):
            if time.monotonic() > deadline:
                raise TimeoutError("the bank was not asked for all of them")
            await asyncio.sleep(0.2)
        self.memory.append(resident_bytes(self.stack.worker.pid))

    async def sweep_over(self, changes: int) -> Sweep:
        """A sweep after so many changes, as if everything before had been swept long ago."""
        self._as_if_swept()
        await self.add(changes) if changes else None
        before, began = cpu_of(self.stack), time.monotonic()
        await self.sweep()
        took, after = time.monotonic() - began, cpu_of(self.stack)
        servers = [room for room in after if room != "benchmark"]
        return Sweep(1_000 * took, 1_000 * sum(after[room] - before[room] for room in servers))

    async def sweep(self) -> None:
        """As the schedule starts it."""
        run = f"reconciliation-{uuid4()}"
        report = await self.client.execute_workflow("ReconciliationWorkflow", id=run, task_queue=TASK_QUEUE)
        assert report["broken_invariants"] == [], report
        assert report["runs"] is not None, report
        assert report["runs"]["restarted"] == 0, report

    async def sweep_until_read(self) -> None:
        """Until the bank's changes are read to their end: a sweep reads so many pages of them, and leaves the rest."""
        cursor = None
        while cursor != (cursor := await asyncio.to_thread(self.sweeps.cursor)):
            await self.sweep()

    async def histories(self) -> tuple[list[int], list[int]]:
        """History events, and their bytes, of some of the runs, spread over all of them."""
        some = self.ids[:: max(1, len(self.ids) // SAMPLE)]
        described = [await self.client.get_workflow_handle(workflow_id(one)).describe() for one in some]
        sizes = [run.raw_description.workflow_execution_info.history_size_bytes for run in described]
        return [run.history_length for run in described], sizes

    def sizes(self) -> dict[str, int]:
        """Bytes of both databases."""
        with self.database.transaction() as connection:
            connection.execute(text("SELECT pg_stat_force_next_flush()"))
            ours = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        file = self.stack.state.temporal_database
        temporal = sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))
        return {"PostgreSQL": int(ours), "Temporal": temporal}

    async def drain(self, notebook: Notebook, seconds: float) -> float:
        """The bank answers everything at once; how many are paid a second."""
        self.bank("pay")
        began, paid = time.monotonic(), 0
        while paid < len(self.ids) and time.monotonic() - began < seconds:
            await asyncio.sleep(0.2)
            paid = await asyncio.to_thread(self._count, "state = 'succeeded'")
        took = time.monotonic() - began
        notebook.tell(f"{paid:,} of {len(self.ids):,} paid in {took:.0f} s")
        return paid / took

    def _as_if_swept(self) -> None:
        """The mark of a sweep minutes from now: what was changed until now is out of the next one's sight."""
        last = self.sweeps.runs_mark()
        assert last is not None, "a sweep has run"
        ahead = now() + LATE
        self.sweeps.note_runs(replace(last, until=ahead), whole=False)
        look = look_over(self.database, self.sweeps.ledger_mark(), now=ahead)
        self.sweeps.note_invariants(look, now=now())

    def _count(self, condition: str) -> int:
        query = text(f"SELECT count(*) FROM transfers WHERE {condition}")  # noqa: S608 - a condition of ours
        with self.database.transaction() as connection:
            return int(connection.execute(query).scalar_one())
