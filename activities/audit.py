"""Sealing the audit chain and anchoring its head, as the clock asks for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from temporalio import activity

from ledger.audit_anchor import AnchorFile
from ledger.audit_chain import AuditChain


@dataclass(frozen=True)
class AuditActivities:
    """The chain, and where its head is anchored; without an anchor a cut tail goes unnoticed."""

    chain: AuditChain
    anchor: AnchorFile | None

    @activity.defn
    async def seal_and_anchor(self, at: datetime) -> int:
        """Seals what was written since the last batch and anchors the head; returns the head's number.

        Anchored is whatever the head is, new or not: one that could not be anchored last time is now.
        """
        return await asyncio.to_thread(self._seal_and_anchor, at)

    def _seal_and_anchor(self, at: datetime) -> int:
        self.chain.seal(now=at)
        head = self.chain.head()
        if head is not None and self.anchor is not None:
            self.anchor.anchor(head, now=at)
        return 0 if head is None else head.seq
