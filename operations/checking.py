"""Is everything as it must be: the invariants, the bank's statements, the audit chain, and those who watch them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from domain.money import format_yuan
from domain.shanghai import day_of
from ledger.database import Database
from ledger.invariants import MOMENT_INVARIANTS, violations
from ledger.outbox import Outbox
from ledger.reads import read_oversight
from ledger.statements import Statements
from ledger.sweeps import Sweeps
from operations.answers import Answer, Grid

AUDIT = "ledger.audit_verification"
"""The command that reads the whole audit chain."""
LOOKED_AT_LATELY = timedelta(minutes=10)
LOOKED_AT_WHOLE_LATELY = timedelta(hours=3)
MANY = 100


@dataclass(frozen=True)
class Checking:
    """Reads only. The audit chain's own command is told what this process was told, where an anchor is kept."""

    database: Database
    anchored: bool = False

    async def verify(self, *, now: datetime) -> Answer:
        """Every check, each with what it found."""
        found = {
            "the invariants": await asyncio.to_thread(self._invariants),
            "the sweep": await asyncio.to_thread(self._sweep, now),
            "the bank's statements": await asyncio.to_thread(self._statements, now),
            "the audit chain": await asyncio.to_thread(self._audit_chain),
            "the console's messages": await asyncio.to_thread(self._letters),
        }
        rows = [[name, "; ".join(wrong) or said] for name, (said, wrong) in found.items()]
        return Answer(
            content={"checks": {name: {"said": said, "wrong": wrong} for name, (said, wrong) in found.items()}},
            grids=[Grid("Is everything as it must be?", ("check", "found"), rows)],
            problems=[f"{name}: {one}" for name, (_, wrong) in found.items() for one in wrong],
        )

    async def letters(self) -> Answer:
        """What the console's backend could not be told."""
        letters = await asyncio.to_thread(Outbox(self.database).dead_letters, limit=MANY)
        rows = [[one.id, one.withdrawal_id, one.kind, one.at, one.attempts, one.trouble] for one in letters]
        heads = ("letter", "withdrawal", "event", "at", "attempts", "last answer")
        return Answer(
            content={"items": [asdict(one) for one in letters]},
            grids=[Grid("Dead letters (times in Shanghai)", heads, rows)] if rows else [],
            problems=[f"{len(letters)} messages were given up: `letters --replay` sends them again"] if letters else [],
            lines=[] if letters else ["no dead letters"],
        )

    def _invariants(self) -> tuple[str, list[str]]:
        broken = violations(self.database)
        wrong = [f"{one.invariant} ({len(one.rows)} rows, such as {dict(one.rows[0])})" for one in broken]
        return f"all {len(MOMENT_INVARIANTS)} hold", wrong

    def _sweep(self, now: datetime) -> tuple[str, list[str]]:
        looked_at = read_oversight(self.database).looked_at
        if looked_at is None:
            return "", ["never ran: is a worker there?"]
        age = now - looked_at
        late = [f"last ran {looked_at:%Y-%m-%d %H:%M} UTC: is a worker there?"] if age > LOOKED_AT_LATELY else []
        whole_at = Sweeps(self.database).whole_at()
        if whole_at is None or now - whole_at > LOOKED_AT_WHOLE_LATELY:
            seen = "never" if whole_at is None else f"last at {whole_at:%Y-%m-%d %H:%M} UTC"
            late.append(f"looked at everything {seen}: does ThoroughSweepWorkflow end?")
        return f"ran {int(age.total_seconds())} s ago", late

    def _statements(self, now: datetime) -> tuple[str, list[str]]:
        statements = Statements(self.database)
        last = statements.last_day()
        wrong = [
            f"difference {one.id}, {one.kind} of {one.client_ref}: ours {_yuan(one.ours_fen)}, the bank's"
            f" {_yuan(one.banks_fen)}, open since {day_of(one.found_at)}"
            for one in statements.open_differences()
        ]
        if last is not None and day_of(now) - last > timedelta(days=2):
            wrong.append(f"the last one read is of {last}")
        return "none read yet" if last is None else f"read up to {last}, and no difference is open", wrong

    def _audit_chain(self) -> tuple[str, list[str]]:
        if not self.anchored:
            return "not looked at: no anchor is configured here", []
        command = [sys.executable, "-m", AUDIT]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        said = " ".join((done.stdout if done.returncode == 0 else done.stderr).split())
        return said, [said[-300:] or f"exit code {done.returncode}"] if done.returncode else []

    def _letters(self) -> tuple[str, list[str]]:
        oversight = read_oversight(self.database)
        wrong = [f"{oversight.dead_letters} were given up"] if oversight.dead_letters else []
        return f"{oversight.messages_waiting} wait, none was given up", wrong


def _yuan(fen: int | None) -> str:
    return "nothing" if fen is None else format_yuan(fen)
