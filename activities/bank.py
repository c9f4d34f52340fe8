"""Asking the bank. The transfer is committed as prepared before the first call, so that no doubt is ever forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from temporalio import activity

from bank.client import Bank
from domain.withdrawal import Asked, BankAnswer
from ledger.moves import Moves
from ledger.transfers import Transfers


@dataclass(frozen=True)
class BankActivities:
    """The bank as the workflow sees it."""

    bank: Bank
    transfers: Transfers
    moves: Moves

    @activity.defn
    async def ask_bank(self, withdrawal_id: UUID, at: datetime) -> Asked:
        """Submits the transfer, or asks what became of it if it was ever submitted before, and records the answer.

        A reference that the bank does not know is submitted again unchanged: not found is not failed.
        Under review it is only asked about. Without an answer to build on, or with nothing to ask, nothing moves.
        """
        now = _this_attempt(at)
        answer = await self._ask(withdrawal_id, now)
        if answer is None:
            return Asked(await asyncio.to_thread(self.moves.standing, withdrawal_id), None, now)
        return await self._record(withdrawal_id, answer, now)

    @activity.defn
    async def look_at_bank(self, withdrawal_id: UUID, at: datetime) -> Asked | None:
        """One look at the bank's book that submits nothing, and its answer on record; None if it knows of nothing."""
        answer = await self.bank.query(withdrawal_id)
        return None if answer is None else await self._record(withdrawal_id, answer, _this_attempt(at))

    @activity.defn
    async def query_bank(self, withdrawal_id: UUID) -> BankAnswer | None:
        """What the bank says of a transfer now, without submitting anything; None if it doesn't know it."""
        return await self.bank.query(withdrawal_id)

    async def _record(self, withdrawal_id: UUID, answer: BankAnswer, now: datetime) -> Asked:
        standing = await asyncio.to_thread(self.transfers.record_answer, withdrawal_id, answer, now=now)
        return Asked(standing, answer.state, now)

    async def _ask(self, withdrawal_id: UUID, at: datetime) -> BankAnswer | None:
        order = await asyncio.to_thread(self.transfers.prepare, withdrawal_id, now=at)
        if order is not None and order.asked_before:
            known = await self.bank.query(withdrawal_id)
            if known is not None:
                return known
            # The query may have taken its time: finance's word in between forbids what was allowed before it.
            order = await asyncio.to_thread(self.transfers.prepare, withdrawal_id, now=at)
        if order is None or not order.may_submit:
            return None
        return await self.bank.submit(withdrawal_id, order.amount_fen, order.card)


def _this_attempt(at: datetime) -> datetime:
    """The workflow's clock at this attempt: ``at`` is when the step was scheduled, and it may be tried for weeks."""
    info = activity.info()
    return at + (info.started_time - info.scheduled_time)
