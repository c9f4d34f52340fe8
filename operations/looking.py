"""Where is it, and which ones take too long: PostgreSQL, Temporal and the bank side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from temporalio.service import RPCError

from bank.client import Bank, BankInDoubt
from domain.bank_card import masked_card
from domain.money import format_yuan
from domain.withdrawal import BankAnswer, workflow_id
from ledger.cases import Case, Cases
from operations.answers import Answer, Grid
from operations.runs import Run, Runs

JUST_NOW = timedelta(seconds=15)
"""What changed only just now may be between its row and its run."""


@dataclass(frozen=True)
class Looking:
    """The three places where something of a withdrawal is."""

    cases: Cases
    runs: Runs
    bank: Bank

    async def show(self, withdrawal_id: UUID, *, now: datetime) -> Answer:
        """Everything about one withdrawal, and what is wrong with it; ``NotFound`` if there is none."""
        case = await asyncio.to_thread(self.cases.case, withdrawal_id)
        run, run_away = await self._run(withdrawal_id)
        answer, bank_away = await self._at_the_bank(case)
        stuck = {row.id: row.trouble(now=now) for row in await asyncio.to_thread(list, self.cases.unfinished())}
        problems = [why for why in (stuck.get(withdrawal_id), run_away, bank_away) if why]
        if run is not None and (trouble := run.trouble()):
            problems.append(trouble)
        if withdrawal_id in stuck and run_away is None and not (run and run.is_running):
            problems.append("it is not over, and no run tells its story: restart it")
        # Only an outcome is news: that the bank goes from accepted to processing need not be on record here.
        if case.transfer is not None and answer and answer.is_outcome and answer.state != case.transfer.state:
            problems.append(f"the bank says {answer.state}, and our rows say {case.transfer.state}: nudge it")
        if case.dead_letters:
            problems.append(f"{case.dead_letters} messages about it were given up: see letters")
        return Answer(
            content={
                "withdrawal": _withdrawal(case),
                "events": [asdict(event) for event in case.events],
                "moves": list(case.moves),
                "transfer": case.transfer and asdict(case.transfer),
                "messages_waiting": case.messages_waiting,
                "dead_letters": case.dead_letters,
                "run": run and asdict(run),
                "bank": answer and {"state": answer.state, "bank_ref": answer.bank_ref, "reason": answer.reason_code},
            },
            grids=_grids(case, run, answer),
            problems=problems,
        )

    async def stuck(self, *, now: datetime) -> Answer:
        """Every withdrawal that is not over and takes too long, has no run, or whose run does not get on."""
        unfinished = await asyncio.to_thread(list, self.cases.unfinished())
        running: set[str] | None = None
        problems: list[str] = []
        try:
            running = await self.runs.running()
        except RPCError as away:
            problems.append(f"Temporal is away ({away.status.name}): only the rows were looked at")
        found: list[tuple[Any, str]] = []
        for row in unfinished:
            trouble = row.trouble(now=now)
            if running is not None and workflow_id(row.id) not in running and now - row.updated_at > JUST_NOW:
                trouble = "no run tells its story: restart it"
            elif trouble and running is not None:
                run, _ = await self._run(row.id)
                trouble = (run and run.trouble()) or trouble
            if trouble:
                found.append((row, trouble))
        if found:
            problems.append(f"{len(found)} of {len(unfinished)} unfinished withdrawals need somebody")
        items = [
            {
                "id": row.id,
                "account_id": row.account_id,
                "amount": format_yuan(row.amount_fen),
                "status": row.status,
                "since": row.updated_at,
                "transfer": row.transfer,
                "why": why,
            }
            for row, why in found
        ]
        rows = [[item[key] for key in ("id", "status", "since", "amount", "why")] for item in items]
        grid = Grid("Stuck (times in Shanghai)", ("withdrawal", "status", "since", "CNY", "why"), rows)
        return Answer(
            content={"unfinished": len(unfinished), "items": items},
            grids=[grid] if items else [],
            problems=problems,
            lines=[] if problems else [f"{len(unfinished)} unfinished withdrawals, and none is stuck"],
        )

    async def _run(self, withdrawal_id: UUID) -> tuple[Run | None, str | None]:
        try:
            return await self.runs.of(withdrawal_id), None
        except RPCError as away:
            return None, f"Temporal is away: {away.status.name}"

    async def _at_the_bank(self, case: Case) -> tuple[BankAnswer | None, str | None]:
        """The bank is asked only where we asked it before: a query names nobody and changes nothing."""
        if case.transfer is None:
            return None, None
        try:
            answer = await self.bank.query(case.withdrawal.id)
        except BankInDoubt as doubt:
            return None, f"the bank is away: {doubt}"
        return answer, None if answer else "the bank does not know the transfer"


def _withdrawal(case: Case) -> dict[str, Any]:
    shown = case.withdrawal
    return {
        "id": shown.id,
        "version": shown.version,
        "account_id": shown.account_id,
        "amount": format_yuan(shown.amount_fen),
        "status": shown.status,
        "bank": shown.bank_name,
        "card": masked_card(shown.card_last4),
        "approvals": f"{len(shown.approvals_at)} of {shown.approvals_needed}",
        "arrival_window": shown.window and f"{shown.window.earliest} – {shown.window.latest}",
        "failure": ", ".join(reason.code for reason in shown.failure) or None,
        "created_at": shown.created_at,
        "updated_at": shown.updated_at,
    }


def _grids(case: Case, run: Run | None, answer: BankAnswer | None) -> Sequence[Grid]:
    place: list[list[object]] = [
        ["PostgreSQL", case.withdrawal.status, f"version {case.withdrawal.version}", case.withdrawal.updated_at],
        ["the book", " → ".join(case.moves) or "no money moved", None, None],
        [
            "our transfer",
            case.transfer.state if case.transfer else "the bank was not asked",
            case.transfer and (case.transfer.reason_code or case.transfer.bank_ref),
            case.transfer and case.transfer.updated_at,
        ],
        [
            "the bank",
            answer.state if answer else None,
            answer and (answer.reason_code or answer.bank_ref),
            None,
        ],
        [
            "Temporal",
            run.status if run else "no run",
            run and f"{run.history_events} events in its history",
            run and run.started_at,
        ],
        ["the console", f"{case.messages_waiting} messages wait", f"{case.dead_letters} given up", None],
    ]
    grids = [
        Grid("The withdrawal", ("what", "is"), list(_withdrawal(case).items())),
        Grid("Where it is (times in Shanghai)", ("place", "state", "detail", "since"), place),
        Grid(
            "What happened",
            ("at", "event", "status", "by", "via"),
            [[event.at, event.kind, event.status, event.by, event.via] for event in case.events],
        ),
    ]
    if run is not None and run.steps:
        steps: list[list[object]] = [[step.activity, step.attempt, step.failure or None] for step in run.steps]
        grids.append(Grid("Steps under way", ("step", "attempt", "last failure"), steps))
    return grids
