"""Two processes with four threads each that make the ledger's moves, as two workers do."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from types import MappingProxyType
from uuid import UUID

from bench.withdrawals import withdrawal_id
from domain.eligibility import EligibilityRules
from domain.withdrawal import BankAnswer, Status, TransferState
from ledger.database import Database
from ledger.encryption import KeyRing
from ledger.moves import Moves
from ledger.transfers import Transfers

PROCESSES = 2

NOW = datetime(2026, 3, 10, 2, 0, tzinfo=UTC)
"""Ten in the morning in Shanghai, on an ordinary Tuesday in the middle of a month."""


@dataclass(frozen=True)
class Parts:
    """What the worker's steps have of the ledger."""

    moves: Moves
    transfers: Transfers

    @classmethod
    def on(cls, database: Database, keys: KeyRing) -> Parts:
        return cls(Moves(database, keys, EligibilityRules()), Transfers(database, keys))


@dataclass(frozen=True)
class Move:
    """A call of the ledger, and the status it ends in."""

    make: Callable[[Parts, UUID], object]
    ends: Status


def _answered(state: TransferState) -> Callable[[Parts, UUID], object]:
    answer = BankAnswer(state, "B-1", "account_closed" if state is TransferState.FAILED else None)
    return lambda parts, which: parts.transfers.record_answer(which, answer, now=NOW)


MOVES: Mapping[str, Move] = MappingProxyType(
    {
        "freeze": Move(lambda parts, which: parts.moves.freeze(which, now=NOW), Status.PROCESSING),
        "settle": Move(_answered(TransferState.SUCCEEDED), Status.PAID),
        "unfreeze": Move(_answered(TransferState.FAILED), Status.FAILED),
    }
)


@dataclass(frozen=True)
class Job:
    """One move for each of ``count`` withdrawals, by their numbers from ``first``."""

    move: str
    first: int
    count: int


class Movers:
    """The processes, each with its own connections open."""

    def __init__(self, ends: list[Connection]) -> None:
        self._ends = ends

    @classmethod
    @contextlib.contextmanager
    def running(cls, url: str, keys: bytes, connections: int) -> Iterator[Movers]:
        """Until the block is left; they end by themselves if this process does."""
        spawning = multiprocessing.get_context("spawn")
        threads = connections // PROCESSES
        ends, processes = [], []
        try:
            for number in range(PROCESSES):
                ours, theirs = spawning.Pipe()
                process = spawning.Process(target=_work, args=(theirs, url, keys, threads, number), daemon=True)
                process.start()
                theirs.close()
                ends.append(ours)
                processes.append(process)
            for end in ends:
                end.recv()
            yield cls(ends)
        finally:
            for end in ends:
                end.close()
            for process in processes:
                process.join(10)
                process.kill()

    def work(self, job: Job) -> tuple[float, float]:
        """How long it took all of them together, and the CPU seconds of Python."""
        began = time.perf_counter()
        for end in self._ends:
            end.send(job)
        spent = [end.recv() for end in self._ends]
        took = time.perf_counter() - began
        if failed := [one for one in spent if isinstance(one, str)]:
            raise RuntimeError(failed[0])
        return took, sum(spent)


def keys_of(secret: bytes) -> KeyRing:
    """A key ring of this run's own."""
    return KeyRing({"k1": secret[:32]}, current_field_key="k1", code_key=secret[32:])


def _work(control: Connection, url: str, secret: bytes, threads: int, number: int) -> None:
    with (
        contextlib.suppress(KeyboardInterrupt, EOFError),
        contextlib.closing(Database.connect(url, pool_size=threads)) as database,
        ThreadPoolExecutor(threads) as pool,
    ):
        parts = Parts.on(database, keys_of(secret))
        _open_all(database, threads)
        control.send("ready")
        while True:
            job: Job = control.recv()
            make, lanes = MOVES[job.move].make, threads * PROCESSES

            def lane(
                offset: int, job: Job = job, make: Callable[[Parts, UUID], object] = make, lanes: int = lanes
            ) -> None:
                for one in range(job.first + offset, job.first + job.count, lanes):
                    make(parts, withdrawal_id(one))

            began = time.process_time()
            try:
                list(pool.map(lane, range(number * threads, (number + 1) * threads)))
            except Exception as failed:  # noqa: BLE001 - told to the one who asked
                control.send(f"{job.move}: {type(failed).__name__}: {failed}")
            else:
                control.send(time.process_time() - began)


def _open_all(database: Database, connections: int) -> None:
    """Neither side's figures have the opening of connections in them."""
    with contextlib.ExitStack() as opened:
        for _ in range(connections):
            opened.enter_context(database.transaction())
