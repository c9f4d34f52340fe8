"""One run: the stack is started, loaded, broken, left alone, and judged."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from chaos.calls import Calls
from chaos.check import BANK, JOURNAL, OURS, Evidence, Findings
from chaos.customers import Load
from chaos.finance import Finance
from chaos.healing import Kills
from chaos.journal import Journal, Json
from chaos.kills import Killer
from chaos.operators import Operators
from chaos.points import Arming
from chaos.rest import STORIES, Rest, Resting
from chaos.troubles import WELL_BEHAVED, Troubles
from chaos.watch import Watch
from chaos.wire import Wire
from ledger.database import Database
from stack.local import LocalStack, running_stack
from stack.ports import Ports, free_ports
from stack.processes import ProcessFailed
from stack.state import State

REST_WITHIN_SECONDS = 240.0
_READY_WITHIN_SECONDS = 60.0
_LONGER_THAN_PLANNED = 2.0


@dataclass(frozen=True)
class Orders:
    """What is wanted of a run; `seconds` is how long the load is spread over."""

    seed: int
    withdrawals: int
    kills: int
    seconds: float

    @property
    def kill_every(self) -> float:
        """The mean pause between two strikes, with some time to spare for starting again."""
        return max(1.0, 0.9 * self.seconds / self.kills)


@dataclass
class Result:
    """What a run has seen and found."""

    orders: Orders
    seconds: float
    made: int
    kills: Kills
    at_failpoints: Kills
    failpoints: Counter[str]
    cut: dict[str, int]
    terminated: Counter[str]
    forged: Counter[str]
    bank_faults: Counter[str]
    snapshots: int
    snapshots_skipped: int
    operations: Counter[str]
    healed: dict[str, list[float]]
    rest: Rest
    findings: Findings
    broken: list[str] = field(default_factory=list)
    """What was seen while it ran: invariants, answers no fault explains, processes that ended by themselves."""

    @property
    def violations(self) -> list[str]:
        return [*self.broken, *self.findings.violations]

    @property
    def verdict(self) -> str:
        """The last line of every run."""
        missing, restless = self.findings.fen_missing, len(self.rest.restless)
        return f"violations: {len(self.violations)}, fen missing: {missing}, not at rest: {restless}"

    @property
    def clean(self) -> bool:
        """Nothing but zeros."""
        return not (self.violations or self.findings.fen_missing or self.rest.restless)


def carry_out(orders: Orders, folder: Path, tell: Callable[[str], None]) -> Result:
    """Runs it all in this thread and some others; the evidence stays in `folder`. Leaves no process."""
    with contextlib.ExitStack() as parts:
        state = parts.enter_context(State.locked(folder / "state"))
        ports, (wire_port,) = Ports.free(), free_ports(1)
        wire = parts.enter_context(Wire.laid(wire_port, ports.postgres))
        points = folder / "failpoints"
        arming = Arming(points, random.Random(f"{orders.seed}:failpoints"))
        extra = {"WITHDRAWALS_FAILPOINTS": str(points)}
        stack = parts.enter_context(running_stack(state, ports, tell=tell, postgres_through=wire_port, extra=extra))
        journal = parts.enter_context(contextlib.closing(Journal(folder / JOURNAL)))
        until = time.monotonic() + _LONGER_THAN_PLANNED * orders.seconds + REST_WITHIN_SECONDS
        calls = parts.enter_context(contextlib.closing(Calls(stack, journal, until=until)))
        operators = parts.enter_context(Operators.at_work(stack, journal))
        database = Database.connect(stack.postgres.url(), pool_size=1)
        parts.callback(database.close)
        run = _Run(orders, folder, stack, journal, calls, operators, database, wire, arming, tell)
        return run.result()


@dataclass
class _Run:
    orders: Orders
    folder: Path
    stack: LocalStack
    journal: Journal
    calls: Calls
    operators: Operators
    database: Database
    wire: Wire
    arming: Arming
    tell: Callable[[str], None]

    def result(self) -> Result:
        """Load and faults, then rest, then the judgement."""
        begun, orders = time.monotonic(), self.orders
        self.calls.until_ok(lambda: self.calls.sandbox("settings", "PUT", "/_sandbox/settings", dict(WELL_BEHAVED)))
        load = Load(
            self.calls, self.operators, seed=orders.seed, withdrawals=orders.withdrawals, seconds=orders.seconds
        )
        secret = self.stack.state.webhook_secret()
        troubles = Troubles(self.calls, self.operators, self.wire, self.journal, secret)
        killer = Killer(self.stack, self.journal, self.arming, random.Random(f"{orders.seed}:kills"))
        with Watch(self.database, self.journal) as watch, self._telling(load, killer):
            self.tell(f"{orders.withdrawals} withdrawals under fire, seed {orders.seed}")
            self._break(load, troubles, killer)
            self.tell("faults have stopped; everything has to come to rest")
            rest = self._come_to_rest()
        # Once more, with nothing going on.
        if not watch.look():
            raise ProcessFailed("PostgreSQL", "could not be read at the end", self.stack.postgres.process.log)
        self._keep(rest)
        findings = Evidence.read(self.folder).judge()
        broken = [f"{name}: {row}" for name, rows in watch.broken.items() for row in rows]
        failed = self.operators.count_runs(f"ExecutionStatus = 'Failed' AND {STORIES}")
        broken += [f"{failed} runs failed in Temporal"] if failed else []
        broken += self.calls.surprises + killer.ended_by_themselves + load.gave_up
        return Result(
            orders=orders,
            seconds=time.monotonic() - begun,
            made=len(rest.ours.withdrawals),
            kills=killer.kills,
            at_failpoints=killer.at_failpoints,
            failpoints=self.arming.taken(),
            cut=self.wire.cut,
            terminated=self.operators.terminated,
            forged=troubles.forged,
            bank_faults=Counter(self.calls.until_ok(partial(self.calls.sandbox, "faults", "GET", "/_sandbox/faults"))),
            snapshots=watch.snapshots,
            snapshots_skipped=watch.skipped,
            operations=Counter(f"{one.kind} {one.outcome}" for one in self.journal.ended),
            healed=killer.kills.times_to_heal(self.journal.ended),
            rest=rest,
            findings=findings,
            broken=broken,
        )

    def _break(self, load: Load, troubles: Troubles, killer: Killer) -> None:
        customers = threading.Thread(target=load.run, name="customers", daemon=True)

        def some_withdrawal() -> str | None:
            return next(iter(load.made.copy()), None)

        orders = self.orders
        with troubles.going_on(orders.seed, some_withdrawal, every=0.5 * orders.kill_every):
            customers.start()
            killer.strike_until(
                load.over.is_set,
                at_least=orders.kills,
                every=orders.kill_every,
                until=time.monotonic() + _LONGER_THAN_PLANNED * orders.seconds,
            )
            self.arming.disarm()
        # The last customers finish what they began, on a stack that is left alone.
        deadline = time.monotonic() + REST_WITHIN_SECONDS
        while customers.is_alive() and time.monotonic() < deadline:
            killer.look_after()
            customers.join(0.5)
        killer.look_after()

    def _come_to_rest(self) -> Rest:
        self.stack.wait_until_ready()
        self.calls.until_ok(lambda: self.calls.sandbox("settings", "PUT", "/_sandbox/settings", dict(WELL_BEHAVED)))
        finance = Finance(self.calls, self.operators)
        return Resting(self.calls, self.operators, finance, self.database).wait(REST_WITHIN_SECONDS)

    def _keep(self, rest: Rest) -> None:
        """The two books beside the journal: enough to judge the run again."""
        written: dict[str, Json] = {OURS: rest.ours.as_json(), BANK: rest.bank}
        for name, book in written.items():
            (self.folder / name).write_text(json.dumps(book, ensure_ascii=False), "utf-8")

    @contextlib.contextmanager
    def _telling(self, load: Load, killer: Killer) -> Iterator[None]:
        over = threading.Event()

        def tell() -> None:
            while not over.wait(20):
                kills, points = len(killer.kills.at), len(killer.at_failpoints.at)
                self.tell(
                    f"{len(load.made)} withdrawals, {kills} kills, {points} deaths at failpoints, "
                    f"{sum(self.wire.cut.values())} commits cut, {self.operators.terminated.total()} runs terminated"
                )

        thread = threading.Thread(target=tell, name="telling", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(5)
