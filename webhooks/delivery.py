"""Delivers the outbox: a task of each worker, any number of them side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import structlog

from domain.errors import TemporarilyUnavailable
from ledger.outbox import Message, Outbox
from webhooks.payload import body_of
from webhooks.receiver import CALL_TIMEOUT_S, HttpReceiver, NotTaken, Receiver

AT_ONCE = 16
"""How many messages are on their way at a time: as many as a slow receiver can hold up."""
LOOK_EVERY_S = 1.0
TIDY_EVERY_S = 3600.0
AFTER_TROUBLE_S = 5.0

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Delivery:
    """At least once, in order for each withdrawal; a withdrawal whose message is not taken keeps no other waiting."""

    outbox: Outbox
    receiver: Receiver
    clock: Callable[[], datetime] = _now
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Delivers what is due until cancelled; a call under way then is made again by whoever comes next."""
        async with asyncio.TaskGroup() as calls:
            while True:
                free = AT_ONCE - len(self._under_way)
                messages = await asyncio.to_thread(self.outbox.claim, free, now=self.clock()) if free else []
                for message in messages:
                    call = calls.create_task(self.deliver(message))
                    self._under_way.add(call)
                    call.add_done_callback(self._under_way.discard)
                if not messages:
                    await self._wait()

    async def deliver(self, message: Message) -> None:
        """One attempt, and its outcome on record; if that fails the message is sent again when its lease is over."""
        sent_at = self.clock()
        try:
            await self.receiver.take(f"msg_{message.id}", body_of(message), sent_at=sent_at)
        except NotTaken as no:
            await self._not_delivered(message, no.trouble)
        except Exception as unforeseen:
            # One message that nobody foresaw waits like one that was refused, and takes no other along.
            log.exception("outbox.trouble", message=message.id)
            await self._not_delivered(message, type(unforeseen).__name__)
        else:
            await asyncio.to_thread(self.outbox.delivered, message, now=self.clock())

    async def _not_delivered(self, message: Message, trouble: str) -> None:
        dead = await asyncio.to_thread(self.outbox.not_delivered, message, trouble, now=self.clock())
        tell = log.error if dead else log.warning
        tell("outbox.given_up" if dead else "outbox.not_taken", message=message.id, trouble=trouble)

    async def _wait(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(LOOK_EVERY_S)


async def tell_of_changes(outbox: Outbox, url: str | None, secrets: Sequence[str]) -> None:
    """What a worker does with the outbox until cancelled: delivers it if there is a receiver, and keeps it short."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_again_after_trouble(lambda: _tidy(outbox, anybody_listens=url is not None)))
        if url is not None:
            # trust_env=False: a proxy of the machine has no business between us and the console.
            async with httpx.AsyncClient(timeout=CALL_TIMEOUT_S, trust_env=False) as client:
                receiver = HttpReceiver(client, url, secrets)
                await _again_after_trouble(lambda: Delivery(outbox, receiver).run())


async def _tidy(outbox: Outbox, *, anybody_listens: bool) -> None:
    while True:
        removed = await asyncio.to_thread(outbox.tidy, now=_now(), anybody_listens=anybody_listens)
        if removed:
            log.info("outbox.tidied", removed=removed)
        await asyncio.sleep(TIDY_EVERY_S)


async def _again_after_trouble(task: Callable[[], Awaitable[None]]) -> None:
    """Neither a database that is away nor a message nobody foresaw ends the telling of the others."""
    while True:
        try:
            await task()
        except Exception as trouble:
            if not isinstance(trouble, TemporarilyUnavailable):
                log.exception("outbox.trouble")
        await asyncio.sleep(AFTER_TROUBLE_S)
