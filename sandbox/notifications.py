"""Sandbox: the bank's notifications, signed after Standard Webhooks, sent from rows in the book."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sqlite3
import uuid
from datetime import UTC, datetime
from http import HTTPStatus

import aiohttp
from standardwebhooks import Webhook

from sandbox.book import Book, Clock, as_rfc3339
from sandbox.switches import Switches

log = logging.getLogger(__name__)

RETRY_AFTER_S = (0.5, 2.0, 8.0, 30.0, 120.0)
"""Long enough for a receiver to restart; after the last one the bank gives up, and only asking it helps."""
BATCH = 32
_NOT_DELIVERED = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, aiohttp.ClientResponseError, OSError)
"""What another try may mend, time-outs among it. Not an address that is none: that stops the engine, for all to see."""
REORDER_WITHIN_S = 1.0


class Notifications:
    """An outbox: at least once, in no promised order, and each only says *ask about this transfer*."""

    def __init__(self, book: Book, url: str, secret: str, clock: Clock) -> None:
        self._book = book
        self._url = url
        self._webhook = Webhook(secret) if url else None
        self._clock = clock

    def enqueue(self, connection: sqlite3.Connection, client_ref: str, bank_ref: str, switches: Switches) -> None:
        """In the transaction of the outcome itself, so that a crash leaves no outcome without one."""
        if self._webhook is None or not switches.notify:
            return
        now = self._clock()
        late_by = REORDER_WITHIN_S * random.random()  # noqa: S311 - no secret # nosec B311
        delay = late_by if switches.reorder_notifications else 0
        body = {
            "type": "transfer.updated",
            "timestamp": as_rfc3339(now),
            "data": {"client_ref": client_ref, "bank_ref": bank_ref},
        }
        connection.execute(
            "INSERT INTO notifications VALUES (NULL, ?, ?, ?, 0, ?, ?)",
            (
                f"msg_{uuid.uuid4().hex}",
                json.dumps(body, separators=(",", ":")),
                2 if switches.duplicate_notifications else 1,
                "dropped" if switches.drop_notifications else "pending",
                now + delay,
            ),
        )

    async def deliver_due(self, client: aiohttp.ClientSession) -> int:
        """Send what is due, a batch at most; returns how many were tried.

        Killed between sending and recording it, the next process sends again: receivers know the webhook-id.
        """
        due = await asyncio.to_thread(
            self._book.read,
            """SELECT * FROM notifications WHERE state = 'pending' AND next_attempt_at <= ?
               ORDER BY next_attempt_at, id LIMIT ?""",
            (self._clock(), BATCH),
        )
        if due:
            arrived = await asyncio.gather(*(self._send(client, row) for row in due))
            await asyncio.to_thread(self._record, list(zip(due, arrived, strict=True)))
        return len(due)

    async def _send(self, client: aiohttp.ClientSession, row: sqlite3.Row) -> bool:
        assert self._webhook is not None, "rows are enqueued only where there is somewhere to send them"
        sent_at = datetime.fromtimestamp(self._clock(), UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": row["webhook_id"],
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": self._webhook.sign(row["webhook_id"], sent_at, row["body"]),
        }
        body, statuses = row["body"].encode(), []
        try:
            for _ in range(row["copies"]):
                async with client.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                    await answer.read()
                    statuses.append(answer.status)
        except _NOT_DELIVERED as failed:
            log.info("notification %s not delivered: %r", row["webhook_id"], failed)
            return False
        return all(HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES for status in statuses)

    def _record(self, attempts: list[tuple[sqlite3.Row, bool]]) -> None:
        now = self._clock()
        with self._book.transaction() as connection:
            for row, arrived in attempts:
                failed_before = row["attempts"]
                if arrived:
                    state, next_attempt_at = "delivered", now
                elif failed_before < len(RETRY_AFTER_S):
                    state, next_attempt_at = "pending", now + RETRY_AFTER_S[failed_before]
                else:
                    state, next_attempt_at = "given_up", now
                connection.execute(
                    "UPDATE notifications SET attempts = ?, state = ?, next_attempt_at = ? WHERE id = ?",
                    (failed_before + 1, state, next_attempt_at, row["id"]),
                )
