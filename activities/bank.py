"""Asking the bank. The transfer is committed as prepared before the first call, so that no doubt is ever forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from temporalio import activity

from bank.client import Bank
from domain.withdrawal import BankAnswer
from ledger.transfers import Transfers


@dataclass(frozen=True)
class BankActivities:
    """The bank as the workflow sees it."""

    bank: Bank
    transfers: Transfers

    @activity.defn
    async def ask_bank(self, withdrawal_id: UUID, at: datetime) -> BankAnswer | None:
        """Submits the transfer, or asks what became of it if it was ever submitted before.

        A reference that the bank does not know is submitted again unchanged: not found is not failed.
        Under review it is only asked about. None if there is no answer to build on, or nothing to ask.
        """
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

    @activity.defn
    async def query_bank(self, withdrawal_id: UUID) -> BankAnswer | None:
        """What the bank says of a transfer now, without submitting anything; None if it doesn't know it."""
        return await self.bank.query(withdrawal_id)
