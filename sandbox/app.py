"""Sandbox: the process that plays the outside world. Run with `uvicorn --factory sandbox.app:create_app`."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI

from sandbox.bank import Bank
from sandbox.bank_interface import bank_routes, book_routes
from sandbox.bell import Bell
from sandbox.book import Book, Clock
from sandbox.cards import card_routes
from sandbox.errors import Refusal, answer_refusals_as_json
from sandbox.notifications import Notifications
from sandbox.settings import Settings
from sandbox.sms import sms_routes
from sandbox.switches import switch_routes
from sandbox.tokens import TokenIssuer, token_routes

NOTIFY_TIMEOUT = aiohttp.ClientTimeout(total=5)

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, clock: Clock = time.time) -> FastAPI:
    """The whole sandbox. It opens its book and its key here, and settles while its lifespan runs."""
    settings = settings or Settings()
    book = Book(settings.book)
    secret = settings.webhook_secret.get_secret_value()
    notifications = Notifications(book, settings.notify_url, secret, clock)
    bank = Bank(book, notifications, clock)
    issuer = TokenIssuer(settings.signing_key, settings.issuer, settings.audience, clock)
    engines: list[asyncio.Task[None]] = []
    taken, outcome = Bell(), Bell()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Without trust_env: a proxy of the machine has no business between two local processes.
        async with aiohttp.ClientSession(timeout=NOTIFY_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as client:

            async def settle() -> int:
                settled = await asyncio.to_thread(bank.settle_due)
                if settled:
                    outcome.ring()
                return settled

            engines.extend(
                asyncio.create_task(_keep_doing(step, bell, settings.tick_s))
                for step, bell in ((settle, taken), (lambda: notifications.deliver_due(client), outcome))
            )
            try:
                yield
            finally:
                for engine in engines:
                    engine.cancel()
                await asyncio.gather(*engines, return_exceptions=True)
                book.close()

    app = FastAPI(title="Sandbox: bank, SMS and tokens for development and tests", lifespan=lifespan)
    answer_refusals_as_json(app)
    app.include_router(bank_routes(bank, book, taken))
    app.include_router(book_routes(bank))
    app.include_router(card_routes(book))
    app.include_router(switch_routes(book))
    app.include_router(sms_routes(book, clock))
    app.include_router(token_routes(issuer))

    @app.get("/healthz", tags=["sandbox"])
    async def report_health() -> dict[str, str]:
        """503 if an engine died: nothing would ever settle, or nobody be notified."""
        if not engines or any(engine.done() for engine in engines):
            raise Refusal(503, "engine_stopped", "Settlement or notification has stopped; see the log.")
        return {"status": "ok"}

    return app


async def _keep_doing(step: Callable[[], Awaitable[int]], bell: Bell, pause_s: float) -> None:
    """Again at once while there was something to do, else at the bell or after a pause; a busy book stops nothing."""
    while True:
        try:
            done = await step()
        except sqlite3.OperationalError:
            log.exception("the book could not be used; trying again")
            done = 0
        except Exception:
            # /healthz sees that the engine is gone, but only this line says why.
            log.exception("an engine of the sandbox has stopped")
            raise
        if not done:
            await bell.heard(within_s=pause_s)
