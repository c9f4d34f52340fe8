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
from ledger.cases import Case, Cases, Unfinished
from operations.answers import Answer, Grid, how_long
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
        unfinished = await asyncio.to_thread(self.cases.unfinished_one, withdrawal_id)
        late = unfinished and unfinished.trouble(now=now)
        problems = [why for why in (late, run_away, bank_away) if why]
        if run is not None and (trouble := run.trouble()):
            problems.append(trouble)
        if unfinished and run_away is None and not (run and run.is_running):
            problems.append("it is not over, and no run tells its story: restart it")
        # Only an outcome is news: that the bank goes from accepted to processing need not be on record here.
        if case.transfer is not None and answer and answer.is_outcome and answer.state != case.transfer.state:
            problems.append(f"the bank says {answer.state}, and our rows say {case.transfer.state}: nudge it")
        if case.dead_letters:
            problems.append(f"{case.dead_letters} messages about it were given up: see letters")
        waits_for = unfinished.waits_for() if unfinished else "nothing: it is over"
        return Answer(
            content={
                "withdrawal": _withdrawal(case),
                "waits_for": waits_for,
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
            lines=[f"waits for: {waits_for}"],
        )

    async def stuck(self, *, now: datetime, everything: bool = False) -> Answer:
        """Every withdrawal that is not over and takes too long, has no run, or whose run does not get on.

        With ``everything`` those that only wait, as they should, are listed as well, and are no problem.
        """
        unfinished = await asyncio.to_thread(list, self.cases.unfinished())
        problems: list[str] = []
        running: set[str] | None = None
        try:
            running = await self.runs.running()
        except RPCError as away:
            problems.append(f"Temporal is away ({away.status.name}): only the rows were looked at")
        looked_at = [(row, await self._trouble(row, running, now)) for row in unfinished]
        stuck = sum(why is not None for _, why in looked_at)
        if stuck:
            problems.append(f"{stuck} of {len(unfinished)} unfinished withdrawals need somebody")
        listed = [(row, why) for row, why in looked_at if why or everything]
        return Answer(
            content={"unfinished": len(unfinished), "items": [_item(row, why, now) for row, why in listed]},
            grids=[_list(listed, now, everything=everything)] if listed else [],
            problems=problems,
            lines=[] if problems else [f"{len(unfinished)} unfinished withdrawals, and none is stuck"],
        )

    async def _trouble(self, row: Unfinished, running: set[str] | None, now: datetime) -> str | None:
        """What is wrong with one, by its row and its run; by the row alone where ``running`` is not known."""
        trouble = row.trouble(now=now)
        if running is None:
            return trouble
        if workflow_id(row.id) not in running and now - row.updated_at > JUST_NOW:
            return "no run tells its story: restart it"
        if trouble:
            run, _ = await self._run(row.id)
            return (run and run.trouble()) or trouble
        return None

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


def _item(row: Unfinished, why: str | None, now: datetime) -> dict[str, Any]:
    return {
        "id": row.id,
        "account_id": row.account_id,
        "amount": format_yuan(row.amount_fen),
        "status": row.status,
        "created_at": row.created_at,
        "since": row.updated_at,
        "for_s": int((now - row.updated_at).total_seconds()),
        "transfer": row.transfer,
        "waits_for": row.waits_for(),
        "why": why,
    }


def _list(listed: Sequence[tuple[Unfinished, str | None]], now: datetime, *, everything: bool) -> Grid:
    """``for`` is how long ago the row last changed, ``age`` how long ago the customer applied."""
    if everything:
        heads = ("withdrawal", "status", "age", "for", "CNY", "waits for", "stuck, because")
        return Grid(
            "Unfinished (times in Shanghai)",
            heads,
            [
                [
                    *(row.id, row.status, how_long(now - row.created_at), how_long(now - row.updated_at)),
                    *(format_yuan(row.amount_fen), row.waits_for(), why),
                ]
                for row, why in listed
            ],
        )
    return Grid(
        "Stuck (times in Shanghai)",
        ("withdrawal", "status", "since", "for", "CNY", "why"),
        [
            [row.id, row.status, row.updated_at, how_long(now - row.updated_at), format_yuan(row.amount_fen), why]
            for row, why in listed
        ],
    )


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
