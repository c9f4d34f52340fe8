"""What a withdrawal and a sweep cost the ledger when the tables have grown: the same databases but for their size."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import text

from bench.finished import copy_withdrawal
from bench.notebook import Notebook, Race, Ratio, Target
from bench.pages import Pages
from bench.processes import cpu_seconds
from bench.teller import Teller, now
from domain.eligibility import EligibilityRules
from ledger.database import Database
from ledger.encryption import KeyRing
from ledger.invariants import LATE, LedgerMark, look_over
from ledger.reads import Reads, RecordFilter
from ledger.sweeps import Sweeps
from stack.local import ROOT
from stack.postgres import APP_ROLE, DATABASE, OWNER_ROLE, Postgres

SIZES: Final = (1_000, 100_000, 1_000_000)
SIZES_SHORT: Final = (1_000, 20_000)
WAITING: Final = 10
"""One waits for as many that are over."""
A_ROUND, A_ROUND_SHORT = 60, 25
CHANGES: Final = 10
"""Withdrawals that were told since the last sweep."""


def measure(notebook: Notebook, *, short: bool) -> None:
    """The same work in turn in each of the databases, which differ in what is over and what waits."""
    sizes = SIZES_SHORT if short else SIZES
    with _grown(notebook, sizes) as grown:
        for one in grown:
            one.withdrawals(A_ROUND_SHORT)  # Plans, caches, the first pages of everything.
        names = [f"{one.size:,} finished" for one in grown]
        each = A_ROUND_SHORT if short else A_ROUND
        races: dict[str, tuple[str, Callable[[Grown], float]]] = {
            "ledger's part of a withdrawal": ("ms", partial(Grown.withdrawals, count=each)),
            "PostgreSQL's CPU of a withdrawal": ("ms", partial(Grown.cpu, count=each)),
            "reads of a withdrawal's pages": ("ms", partial(Grown.reads, times=each)),
            "sweep over ten changes": ("ms", Grown.sweep),
        }
        for name, (unit, step) in races.items():
            contestants = {label: partial(step, one) for label, one in zip(names, grown, strict=True)}
            ratios = [
                Ratio(f"{name}, {label} by {names[0]}", label, names[0], Target(at_most=1.2)) for label in names[1:]
            ]
            notebook.race(Race(name, unit, contestants, ratios))
        for label, one in zip(names, grown, strict=True):
            for name, pages in one.pages_of_each().items():
                notebook.fact(f"pages of {name}, {label}", [pages], "pages")
            notebook.fact(f"look over the whole ledger, {label}", [one.whole_look()], "s")


@dataclass
class Grown:
    """One database with ``size`` withdrawals over and a tenth of that waiting, and the ledger on one connection."""

    size: int
    server: Postgres
    name: str
    database: Database
    last: list[UUID] = field(default_factory=list)

    def __post_init__(self) -> None:
        keys = KeyRing({"k1": os.urandom(32)}, "k1", os.urandom(32))
        self.teller = Teller(self.database, keys)
        self.read, self.sweeps = Reads(self.database, keys, EligibilityRules()), Sweeps(self.database)
        self.mark = LedgerMark(0, now())
        with self.database.transaction() as connection:
            self.pid = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())

    def withdrawals(self, count: int) -> float:
        """So many from application to paid, one after the other; milliseconds of the one in the middle."""
        accounts = [self.teller.account() for _ in range(count)]
        took = []
        for number, account_id in enumerate(accounts):
            if number == count - CHANGES:
                # Dated ahead by what a look goes back, so that it sees the withdrawals from here on.
                self.mark = look_over(self.database, self.mark, now=now() + LATE).mark
            began = time.monotonic()
            self.last = [*self.last[-CHANGES + 1 :], self.teller.paid(account_id)]
            took.append(1_000 * (time.monotonic() - began))
        return statistics.median(took)

    def cpu(self, count: int) -> float:
        """Milliseconds of CPU that its process of PostgreSQL uses for each, without what the client does."""
        accounts = [self.teller.account() for _ in range(count)]
        before = cpu_seconds(self.pid)
        for account_id in accounts:
            self.teller.paid(account_id)
        return 1_000 * (cpu_seconds(self.pid) - before) / count

    def reads(self, times: int) -> float:
        """The newest page of the record of everybody and of one account, a withdrawal, an account; milliseconds."""
        one = self.read.withdrawal(self.last[-1])
        took = []
        for _ in range(times):
            began = time.monotonic()
            assert len(self.read.withdrawals(RecordFilter(), limit=20)) == 20
            self.read.withdrawals(RecordFilter(account_id=one.account_id), limit=20)
            self.read.withdrawal(one.id)
            self.read.account(one.account_id, now=now())
            took.append(1_000 * (time.monotonic() - began))
        return statistics.median(took)

    def sweep(self) -> float:
        """The ledger's part of a sweep, over ten withdrawals told since the last one; milliseconds."""
        self.withdrawals(CHANGES)
        return self._sweep()

    def _sweep(self) -> float:
        since, by = self.mark.until - LATE, now()
        began = time.monotonic()
        self.sweeps.untold(since=since, by=by)
        self.sweeps.unfinished_among(self.last, unchanged_since=by)
        self.sweeps.overdue(by=by, since=since)
        ended = self.sweeps.ended(since=since, by=by)
        look = look_over(self.database, self.mark, now=by)
        took = 1_000 * (time.monotonic() - began)
        assert (len(ended), look.violations, look.whole) == (CHANGES, [], False)
        return took

    def pages_of_each(self) -> dict[str, float]:
        """How many of PostgreSQL's pages each kind of work touches."""
        pages = Pages.of(self.database)
        accounts = [self.teller.account() for _ in range(CHANGES)]
        before = pages.touched()
        for account_id in accounts:
            self.teller.paid(account_id)
        touched = {"a withdrawal": pages.since(before) / CHANGES}
        self.withdrawals(CHANGES)
        works: dict[str, Callable[[], float]] = {"its reads": partial(self.reads, 1), "a sweep": self._sweep}
        for name, work in works.items():
            before = pages.touched()
            work()
            touched[name] = pages.since(before)
        return touched

    def whole_look(self) -> float:
        """Seconds for every invariant over everything; they hold."""
        began = time.monotonic()
        look = look_over(self.database, None, now=now())
        assert look.violations == [], look.violations
        return time.monotonic() - began

    def fill(self) -> None:
        """Copies of one that is over, and of one that waits."""
        over, waits = self.teller.paid(self.teller.account()), self.teller.accepted(self.teller.account())
        with self.server.connect(self.name) as connection:
            copy_withdrawal(connection, over, self.size, series="over")
            copy_withdrawal(connection, waits, self.size // WAITING, series="waits", an_account=1)
            connection.execute("CHECKPOINT")
        self.mark = look_over(self.database, self.mark, now=now()).mark


@contextlib.contextmanager
def _grown(notebook: Notebook, sizes: Sequence[int]) -> Iterator[list[Grown]]:
    """One server, durable as in production, with a database for each size."""
    with contextlib.ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="bench-growth-")))
        folder.chmod(0o711)
        server = parts.enter_context(Postgres.running(folder / "postgres"))
        _run(server, OWNER_ROLE, "WITHDRAWALS_MIGRATION_DATABASE_URL", "alembic", "upgrade", "head")
        _run(server, APP_ROLE, "WITHDRAWALS_DATABASE_URL", "ledger.calendar")
        names = [f"with_{size}" for size in sizes]
        with server.connect("postgres") as connection:
            for name in names:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE} OWNER {OWNER_ROLE}")
        grown = []
        for name, size in zip(names, sizes, strict=True):
            database = Database.connect(server.url(APP_ROLE, name), pool_size=1)
            parts.callback(database.close)
            one, began = Grown(size, server, name, database), time.monotonic()
            one.fill()
            notebook.tell(f"{size:,} finished withdrawals in {time.monotonic() - began:.0f} s")
            grown.append(one)
        yield grown


def _run(server: Postgres, role: str, variable: str, *command: str) -> None:
    environment = os.environ | {variable: server.url(role)}
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=True, capture_output=True)
