"""Where is it, and which ones take too long: PostgreSQL, Temporal and the bank side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from bank.client import Bank, BankInDoubt
from domain.bank_card import masked_card
from domain.errors import NotFound
from domain.money import format_yuan
from domain.withdrawal import BankAnswer, TransferState, workflow_id
from ledger.cases import OVER, Case, Cases, Unfinished
from operations.answers import Answer, Grid, NotUsable, how_long
from operations.customers import tell_the_customer
from operations.engine import TemporalAway
from operations.runs import Run, Runs

JUST_NOW = timedelta(seconds=15)
"""What changed only just now may be between its row and its run."""


QUESTIONS = 50
ON_ITS_WAY_S = 2.0
MANY = 100
UNKNOWN_THERE = "the bank does not know the transfer"
ENDED_BY_SOMEBODY = frozenset({"TERMINATED", "CANCELED", "FAILED"})


@dataclass(frozen=True)
class AtTheBank:
    """What asking the bank about many at once has told."""

    news: Mapping[UUID, str]
    problems: Sequence[str]
    asked: int
    left_out: int


@dataclass(frozen=True)
class Looking:
    """The three places where something of a withdrawal is."""

    cases: Cases
    runs: Runs
    bank: Bank
    questions: int = QUESTIONS
    """About how many withdrawals one look at all of them asks the bank, all at once."""

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
        if case.transfer is not None and answer and (told := _news(answer, case.transfer.state)):
            problems.append(told)
        if case.dead_letters:
            problems.append(f"{case.dead_letters} messages about it were given up: see letters")
        waits_for = unfinished.waits_for() if unfinished else OVER
        words = tell_the_customer(unfinished) if unfinished else None
        return Answer(
            content={
                "withdrawal": _withdrawal(case),
                "waits_for": waits_for,
                "tell_the_customer": words and dict(zip(("zh", "en"), words, strict=True)),
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
            lines=[
                *([f"its run was {_ended(run)}"] if run and run.ending and run.status in ENDED_BY_SOMEBODY else []),
                f"waits for: {waits_for}",
                *([f"tell the customer: {words[0]} / {words[1]}"] if words else []),
            ],
        )

    async def stuck(self, *, now: datetime, everything: bool = False) -> Answer:
        """Every withdrawal that is not over and takes too long, has no run, whose run does not get on, or of which
        the bank knows more than we do; the bank is asked about the oldest only.

        With ``everything`` those that only wait, as they should, are listed as well, and are no problem.
        """
        unfinished = await asyncio.to_thread(list, self.cases.unfinished())
        problems: list[str] = []
        running: set[str] | None = None
        try:
            running = await self.runs.running()
        except TemporalAway as away:
            problems.append(f"Temporal is away ({away}): of the runs nothing was seen")
        troubles = {row.id: await self._trouble(row, running, now) for row in unfinished}
        at_the_bank = await self._asked_of(unfinished, now)
        problems += at_the_bank.problems
        looked_at = [
            (row, "; ".join(why for why in (troubles[row.id], at_the_bank.news.get(row.id)) if why) or None)
            for row in unfinished
        ]
        stuck = sum(why is not None for _, why in looked_at)
        if stuck:
            problems.append(f"{stuck} of {len(unfinished)} unfinished withdrawals need somebody")
        listed = [(row, why) for row, why in looked_at if why or everything]
        left_out = (
            [f"the bank was not asked about the other {at_the_bank.left_out}: the oldest come first"]
            if at_the_bank.left_out
            else []
        )
        return Answer(
            content={
                "unfinished": len(unfinished),
                "bank_asked_about": at_the_bank.asked,
                "bank_not_asked_about": at_the_bank.left_out,
                "items": [_item(row, why, now) for row, why in listed],
            },
            grids=[_list(listed, now, everything=everything)] if listed else [],
            problems=problems,
            lines=([] if problems else [f"{len(unfinished)} unfinished withdrawals, and none is stuck"]) + left_out,
        )

    async def of(self, account_id: str, *, now: datetime) -> Answer:
        """The withdrawals of an account, newest first."""
        try:
            found = await asyncio.to_thread(self.cases.of_account, account_id, limit=MANY)
        except NotFound:
            raise NotUsable(f"there is no account {account_id}") from None
        heads = ("withdrawal", "status", "CNY", "applied", "since", "waits for", "stuck, because")
        rows = [
            [
                *(row.id, row.status, format_yuan(row.amount_fen), row.created_at, row.updated_at),
                *(row.waits_for(), row.trouble(now=now)),
            ]
            for row in found
        ]
        lines = [f"next: show {found[0].id}"] if found else [f"{account_id} has never applied for a withdrawal"]
        if len(found) == MANY:
            lines.append(f"only the newest {MANY} are listed")
        return Answer(
            content={"account_id": account_id, "items": [_item(row, row.trouble(now=now), now) for row in found]},
            grids=[Grid(f"Withdrawals of {account_id}, newest first", heads, rows)] if found else [],
            lines=lines,
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
        except TemporalAway as away:
            return None, f"Temporal is away: {away}"

    async def _asked_of(self, unfinished: Sequence[Unfinished], now: datetime) -> AtTheBank:
        """What the bank says of the oldest of those that it was asked to pay, all of them at once."""
        concerned = sorted((row for row in unfinished if row.transfer is not None), key=lambda row: row.created_at)
        asked = concerned[: self.questions]
        answers = await asyncio.gather(*(self._answer(row.id) for row in asked))
        doubts = [answer for answer in answers if isinstance(answer, BankInDoubt)]
        news: dict[UUID, str] = {}
        for row, answer in zip(asked, answers, strict=True):
            if isinstance(answer, BankAnswer) and row.transfer and (told := _news(answer, row.transfer)):
                news[row.id] = told
            elif answer is None and row.asked_at and now - row.asked_at > JUST_NOW:
                news[row.id] = UNKNOWN_THERE
        return AtTheBank(
            news=await self._lasting(news, asked),
            problems=[f"the bank is away: {doubts[0]} ({len(doubts)} of {len(asked)} questions were not answered)"]
            if doubts
            else [],
            asked=len(asked),
            left_out=len(concerned) - len(asked),
        )

    async def _lasting(self, news: dict[UUID, str], asked: Sequence[Unfinished]) -> dict[UUID, str]:
        """Without what our rows know a moment later: the bank's notification of it was on its way."""
        if not news:
            return news
        await asyncio.sleep(ON_ITS_WAY_S)
        before = {row.id: row for row in asked}
        after = [await asyncio.to_thread(self.cases.unfinished_one, withdrawal_id) for withdrawal_id in news]
        return {row.id: news[row.id] for row in after if row is not None and row.transfer == before[row.id].transfer}

    async def _answer(self, withdrawal_id: UUID) -> BankAnswer | BankInDoubt | None:
        try:
            return await self.bank.query(withdrawal_id)
        except BankInDoubt as doubt:
            return doubt

    async def _at_the_bank(self, case: Case) -> tuple[BankAnswer | None, str | None]:
        """The bank is asked only where we asked it before: a query names nobody and changes nothing."""
        if case.transfer is None:
            return None, None
        answer = await self._answer(case.withdrawal.id)
        if isinstance(answer, BankInDoubt):
            return None, f"the bank is away: {answer}"
        return answer, None if answer else UNKNOWN_THERE


def _news(answer: BankAnswer, ours: TransferState) -> str | None:
    """What the bank says and our rows don't. That it goes from accepted to processing need not be on record here."""
    if answer.is_outcome and answer.state != ours:
        return f"the bank says {answer.state}, and our rows say {ours}: nudge it"
    return None


def _ended(run: Run) -> str:
    """By whom and why, as far as its history says so."""
    by = run.ending.by if run.ending else None
    reason = run.ending.reason if run.ending else None
    return f"{run.status.lower()}{f' by {by}' if by else ''}{f': {reason}' if reason else ', without a reason'}"


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
        heads = ("withdrawal", "account", "status", "age", "for", "CNY", "waits for", "stuck, because")
        return Grid(
            "Unfinished",
            heads,
            [
                [
                    *(row.id, row.account_id, row.status, how_long(now - row.created_at)),
                    how_long(now - row.updated_at),
                    *(format_yuan(row.amount_fen), row.waits_for(), why),
                ]
                for row, why in listed
            ],
        )
    return Grid(
        "Stuck",
        ("withdrawal", "account", "status", "since", "for", "CNY", "why"),
        [
            [
                *(row.id, row.account_id, row.status, row.updated_at, how_long(now - row.updated_at)),
                *(format_yuan(row.amount_fen), why),
            ]
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
            run and (run.ending.at if run.ending else run.started_at),
        ],
        ["the console", f"{case.messages_waiting} messages wait", f"{case.dead_letters} given up", None],
    ]
    grids = [
        Grid("The withdrawal", ("what", "is"), list(_withdrawal(case).items())),
        Grid("Where it is", ("place", "state", "detail", "since"), place),
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
