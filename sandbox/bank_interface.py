"""Sandbox: the bank's interface over HTTP, with its ways to answer badly."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from sandbox.bank import Answer, Bank, ChangePage, Receipt, Statement, Transfer, TransferOrder
from sandbox.bell import Bell
from sandbox.book import Book
from sandbox.errors import Refusal, bank_unavailable
from sandbox.switches import current_switches

PAGE_LIMIT = 500


class HeldAnswer(Response):
    """Says nothing for `hold_s` seconds, then cuts the connection: the caller never learns what was done."""

    def __init__(self, hold_s: float) -> None:
        super().__init__(status_code=504)
        self._hold_s = hold_s

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._hold_s):
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
        # A body is announced and never sent: the server can do nothing but close the connection.
        await send({"type": "http.response.start", "status": 504, "headers": [(b"content-length", b"1")]})


def bank_routes(bank: Bank, book: Book, taken: Bell) -> APIRouter:
    """`/transfers` and `/statements`; the bell is rung for each submission, so that what is due at once is settled."""
    routes = APIRouter(tags=["bank"])

    async def answer_late() -> None:
        switches = await asyncio.to_thread(current_switches, book)
        await asyncio.sleep(switches.latency_s)

    async def answer_badly() -> None:
        if await asyncio.to_thread(bank.refuse_to_answer):
            raise bank_unavailable()

    late = Depends(answer_late)
    late_or_badly = [late, Depends(answer_badly)]

    @routes.post("/transfers", status_code=202, response_model=Transfer, dependencies=[late])
    async def submit_transfer(order: TransferOrder) -> Transfer | Response:
        """*Taken*, not *paid*. The same reference and body get the same bank_ref and the current state."""
        receipt = await asyncio.to_thread(bank.submit, order)
        taken.ring()
        return _answer(receipt)

    @routes.get("/transfers/{client_ref}", dependencies=late_or_badly)
    def show_transfer(client_ref: str) -> Transfer:
        """The authority. 404 means not booked so far: a submission under way can still arrive."""
        transfer = bank.find(client_ref)
        if transfer is None:
            raise Refusal(404, "transfer_not_found", "No transfer with this client_ref.")
        return transfer

    @routes.get("/transfers", dependencies=late_or_badly)
    def list_changes(
        updated_since: Annotated[str, Query(max_length=64)] = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT)] = 100,
    ) -> ChangePage:
        return bank.changes_since(updated_since, limit)

    @routes.get("/statements/{day}", dependencies=late_or_badly)
    def show_statement(day: date) -> Statement:
        return bank.statement(day)

    return routes


def book_routes(bank: Bank) -> APIRouter:
    """`/_sandbox/book`, for whoever checks the bank's clients."""
    routes = APIRouter(tags=["sandbox"])

    @routes.get("/_sandbox/book")
    def show_book() -> dict[str, Any]:
        """Everything ever booked; the bank's troubles do not touch it."""
        return bank.everything_booked()

    @routes.get("/_sandbox/faults")
    def show_faults() -> dict[str, int]:
        """How often this bank misbehaved towards its client, by the way it did."""
        return bank.faults()

    return routes


def _answer(receipt: Receipt) -> Transfer | Response:
    match receipt.answer:
        case Answer.TAKEN:
            assert receipt.transfer is not None, "what is taken is booked"
            return receipt.transfer
        case Answer.HELD:
            return HeldAnswer(receipt.hold_answer_s)
        case Answer.UNAVAILABLE:
            raise bank_unavailable()
        case Answer.OTHER_BODY:
            raise Refusal(409, "client_ref_reused", "This client_ref was submitted with another body.")
