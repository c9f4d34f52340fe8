"""The two outside parties, hand-written: what they were asked, and what they answer next."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from bank.client import BankInDoubt, Changes
from domain.bank_card import BankCard
from domain.statement import StatementEntry
from domain.withdrawal import BankAnswer, TransferState
from sms.client import SmsNotSent


@dataclass
class FakeBank:
    """A bank that takes every transfer and says nothing more until it is told what became of it."""

    booked: dict[UUID, BankAnswer] = field(default_factory=dict)
    submissions: list[UUID] = field(default_factory=list)
    queries: list[UUID] = field(default_factory=list)
    statements: dict[date, list[StatementEntry]] = field(default_factory=dict)
    changed: list[UUID] = field(default_factory=list)
    on_submission: TransferState = TransferState.ACCEPTED
    queries_started: int = 0
    slow_query_s: float = 0
    on_query: Callable[[], None] | None = None
    unavailable: int = 0
    times_out_after_booking: int = 0

    async def submit(self, client_ref: UUID, amount_fen: int, card: BankCard) -> BankAnswer:
        self._answer_or_not()
        self.submissions.append(client_ref)
        if client_ref not in self.booked:
            self.says(client_ref, self.on_submission)
        if self.times_out_after_booking:
            self.times_out_after_booking -= 1
            raise BankInDoubt("no answer")
        return self.booked[client_ref]

    async def changes(self, cursor: str) -> Changes:
        self._answer_or_not()
        seen = int(cursor or 0)
        states = {str(ref): str(self.booked[ref].state) for ref in self.changed[seen:]}
        return Changes(states, str(len(self.changed)))

    async def statement(self, day: date) -> list[StatementEntry]:
        self._answer_or_not()
        return self.statements.get(day, [])

    async def query(self, client_ref: UUID) -> BankAnswer | None:
        self._answer_or_not()
        self.queries_started += 1
        answer = self.booked.get(client_ref)
        if self.on_query is not None:
            self.on_query()
            self.on_query = None
        await asyncio.sleep(self.slow_query_s)
        self.queries.append(client_ref)
        return answer

    def says(self, client_ref: UUID, state: TransferState, reason_code: str | None = None) -> None:
        """What became of a transfer, from now on."""
        self.booked[client_ref] = BankAnswer(state, f"B{client_ref}", reason_code)
        self.changed.append(client_ref)

    def _answer_or_not(self) -> None:
        if self.unavailable:
            self.unavailable -= 1
            raise BankInDoubt("unavailable")


@dataclass
class FakeSmsGateway:
    """Keeps every message; ``unavailable`` of them are refused first."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    unavailable: int = 0

    async def send(self, to: str, text: str) -> None:
        if self.unavailable:
            self.unavailable -= 1
            raise SmsNotSent("unavailable")
        self.messages.append((to, text))

    @property
    def last_code(self) -> str:
        """The code of the newest message."""
        match = re.search(r"验证码(\d{6})", self.messages[-1][1])
        assert match is not None
        return match[1]
