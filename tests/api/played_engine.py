"""The workflow, played: the ledger's own moves in the order of the story, without Temporal.

It stands in at the seam ``api.engine.Engine``; the real workflow behind the real engine is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from api.engine import EngineHealth
from domain.errors import TemporarilyUnavailable
from domain.withdrawal import BankAnswer, Door, FinanceDecision, Resolution, Standing, Status
from ledger.moves import Instruction, Moves
from ledger.opening import Opening
from ledger.transfers import Transfers
from ledger.verifications import CodeToSend, Verifications
from tests.api.clock import ManualClock


@dataclass
class PlayedEngine:
    """Sends codes into ``codes``; ``away`` makes it unreachable; ``heard`` is what it was asked."""

    moves: Moves
    verifications: Verifications
    transfers: Transfers
    clock: ManualClock
    away: bool = False
    has_workers: bool = True
    codes: dict[UUID, str] = field(default_factory=dict)
    heard: list[tuple[str, UUID]] = field(default_factory=list)
    before_open: Callable[[], Awaitable[None]] | None = None
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def open(self, withdrawal_id: UUID, applied: Standing | None = None) -> Standing:
        self._hear("open", withdrawal_id)
        if self.before_open is not None:
            await self.before_open()
        return await asyncio.to_thread(self._open, withdrawal_id)

    async def verify(self, withdrawal_id: UUID) -> Standing:
        self._hear("verify", withdrawal_id)
        return await asyncio.to_thread(self._freeze_and_ask, withdrawal_id)

    async def resend(self, withdrawal_id: UUID) -> Standing:
        self._hear("resend", withdrawal_id)
        self._send(withdrawal_id, f"resend-{next(self._numbers)}")
        return self.moves.standing(withdrawal_id)

    async def cancel(self, withdrawal_id: UUID, actor: str) -> Standing:
        self._hear("cancel", withdrawal_id)
        return self.moves.cancel(withdrawal_id, self._instruction(actor), now=self.clock())

    async def decide(self, withdrawal_id: UUID, word: FinanceDecision) -> Standing:
        self._hear("decide", withdrawal_id)
        instruction = self._instruction(word.approver)
        standing = self.moves.decide(withdrawal_id, word.decision, word.note, instruction, now=self.clock())
        return self._ask_bank(standing)

    async def resolve(self, withdrawal_id: UUID, word: Resolution) -> Standing:
        self._hear("resolve", withdrawal_id)
        instruction = self._instruction(word.resolver)
        return self.transfers.resolve(withdrawal_id, word.outcome, word.evidence, instruction, now=self.clock())

    async def look(self, withdrawal_id: UUID) -> None:
        self._hear("look", withdrawal_id)

    async def bank_changed(self, withdrawal_id: UUID, status: Status) -> None:
        self._hear(f"bank_changed while {status}", withdrawal_id)

    async def ready(self) -> EngineHealth:
        return EngineHealth(reachable=not self.away, workers=self.has_workers and not self.away)

    def bank_says(self, withdrawal_id: UUID, answer: BankAnswer) -> Standing:
        """The bank's answer arrives."""
        return self.transfers.record_answer(withdrawal_id, answer, now=self.clock())

    def window_ends(self, withdrawal_id: UUID) -> Standing:
        """Nobody heard from the bank until the window's end."""
        return self.moves.put_under_review(withdrawal_id, now=self.clock())

    def _hear(self, what: str, withdrawal_id: UUID) -> None:
        if self.away:
            raise TemporarilyUnavailable
        self.heard.append((what, withdrawal_id))

    def _open(self, withdrawal_id: UUID) -> Standing:
        issued = Opening(self.moves, self.verifications).check_and_issue_code(
            withdrawal_id, send_key="first", now=self.clock()
        )
        if isinstance(issued, CodeToSend):
            self.codes[withdrawal_id] = issued.code
        return self.moves.standing(withdrawal_id)

    def _send(self, withdrawal_id: UUID, send_key: str) -> None:
        sent = self.verifications.issue_code(withdrawal_id, send_key=send_key, now=self.clock())
        self.codes[withdrawal_id] = sent.code

    def _freeze_and_ask(self, withdrawal_id: UUID) -> Standing:
        return self._ask_bank(self.moves.freeze(withdrawal_id, now=self.clock()))

    def _ask_bank(self, standing: Standing) -> Standing:
        if standing.status is Status.PROCESSING:
            self.transfers.prepare(standing.withdrawal_id, now=self.clock())
        return standing

    def _instruction(self, actor: str) -> Instruction:
        return Instruction(actor, Door.API, f"api-test:{next(self._numbers)}")
