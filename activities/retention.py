"""Blanking and deleting what nobody needs any more, as the clock asks for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from temporalio import activity

from ledger.retention import Cleaned, Retention


@dataclass(frozen=True)
class RetentionActivities:
    """The time that personal data is kept."""

    retention: Retention

    @activity.defn
    async def clean(self, at: datetime) -> Cleaned:
        """Everything whose time is over; safe to be called again after any doubt."""
        return await asyncio.to_thread(self.retention.clean, now=at)
