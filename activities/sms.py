"""What goes to the customer's phone. A code is drawn, stored as a MAC and sent here, and never leaves its activity."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from temporalio import activity

from domain.withdrawal import Standing
from ledger.notices import Notices
from ledger.opening import Opening
from ledger.verifications import CodeToSend, Verifications
from sms.client import SmsGateway, code_message, return_message


@dataclass(frozen=True)
class SmsActivities:
    """The SMS gateway as the workflow sees it."""

    gateway: SmsGateway
    verifications: Verifications
    opening: Opening
    notices: Notices

    @activity.defn
    async def check_and_send_code(self, withdrawal_id: UUID, send_key: str, at: datetime) -> Standing:
        """Sends the first code, unless the rules no longer hold: then the application fails and nothing is sent."""
        issued = await asyncio.to_thread(self.opening.check_and_issue_code, withdrawal_id, send_key=send_key, now=at)
        return await self._send(issued) if isinstance(issued, CodeToSend) else issued

    @activity.defn
    async def send_code(self, withdrawal_id: UUID, send_key: str, at: datetime) -> Standing:
        """Sends a new code to the account's phone; tried again under one ``send_key``, it counts once."""
        return await self._send(
            await asyncio.to_thread(self.verifications.issue_code, withdrawal_id, send_key=send_key, now=at)
        )

    @activity.defn
    async def tell_of_return(self, withdrawal_id: UUID, at: datetime) -> None:
        """Tells the account's phone that the money came back; once, or twice if a crash falls between the two."""
        notice = await asyncio.to_thread(self.notices.of_return, withdrawal_id)
        if notice is not None:
            await self.gateway.send(notice.phone, return_message(notice.amount_fen, notice.card_last4))
            await asyncio.to_thread(self.notices.told_of_return, withdrawal_id, now=at)

    async def _send(self, message: CodeToSend) -> Standing:
        await self.gateway.send(message.phone, code_message(message.code, message.amount_fen, message.card_last4))
        return message.standing
