"""The console's backend behind a Protocol, and the real one: a POST signed after Standard Webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import httpx
from standardwebhooks import Webhook

CALL_TIMEOUT_S = 10
"""For one call, whatever it waits for; well within the outbox's lease."""


class NotTaken(Exception):
    """The receiver did not say yes; whether it took the message nobody knows. ``trouble`` is a code, never its text."""

    def __init__(self, trouble: str) -> None:
        super().__init__(trouble)
        self.trouble = trouble


class Receiver(Protocol):
    """Whoever is told."""

    async def take(self, message_id: str, body: str, *, sent_at: datetime) -> None:
        """Returns once the message was taken; raises ``NotTaken``."""


class HttpReceiver:
    """One URL. Anything but a 2xx is a no; a redirect is not followed: it would take the message elsewhere."""

    def __init__(self, client: httpx.AsyncClient, url: str, secrets: Sequence[str]) -> None:
        self._client = client
        self._url = url
        self._signers = [Webhook(secret) for secret in secrets]

    async def take(self, message_id: str, body: str, *, sent_at: datetime) -> None:
        """Signs with every secret, so that the receiver can change from one to the next at its own time."""
        signatures = [signer.sign(message_id, sent_at, body) for signer in self._signers]
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answer = await self._client.post(self._url, content=body.encode(), headers=headers)
        except TimeoutError:
            raise NotTaken("time-out") from None
        except httpx.HTTPError as error:
            raise NotTaken(type(error).__name__) from None
        if not answer.is_success:
            raise NotTaken(f"HTTP {answer.status_code}")
