"""The bank's interface over real HTTP: what is no answer is a doubt, and a doubt quotes nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from uuid import uuid4

import pytest
from aiohttp import ClientTimeout

from bank.client import BankInDoubt, Changes, HttpBank
from domain.bank_card import BankCard
from domain.statement import EntryKind, StatementEntry
from domain.withdrawal import BankAnswer, TransferState
from outside import session_to
from tests.answering import answer, answering

CARD = BankCard("张三", "平安银行", "上海分行营业部", "6230580000000000013")
TAKEN = answer(202, '{"state": "accepted", "bank_ref": "B1"}')
HEAD = b"HTTP/1.1 202 Accepted\r\n"


@asynccontextmanager
async def bank_at(url: str, patience_s: float = 5) -> AsyncIterator[HttpBank]:
    """As the worker has it, with a shorter patience."""
    async with session_to(url, ClientTimeout(total=patience_s), trust_env=False) as http:
        yield HttpBank(http)


async def test_each_call_is_asked_below_the_banks_address_and_its_answer_is_read() -> None:
    """A path of the address stays, the cursor travels escaped, and nobody relies on what the content is said to be."""
    ref = uuid4()
    async with answering() as party, bank_at(f"{party.url}direct/v1") as bank:
        party.says = TAKEN
        assert await bank.submit(ref, 123_456, CARD) == BankAnswer(TransferState.ACCEPTED, "B1")
        party.says = answer(404)
        assert await bank.query(ref) is None
        party.says = answer(200, f'{{"items": [{{"client_ref": "{ref}", "state": "failed"}}], "next_cursor": "c 2"}}')
        assert await bank.changes("a+b/c") == Changes({str(ref): "failed"}, "c 2")
        party.says = answer(
            200, f'{{"items": [{{"bank_ref": "B1", "client_ref": "{ref}", "kind": "payment", "amount": "12.30"}}]}}'
        )
        booked = await bank.statement(date(2026, 11, 25))
    assert booked == [StatementEntry("B1", str(ref), EntryKind("payment"), 12_30)]
    assert party.lines == [
        "POST /direct/v1/transfers",
        f"GET /direct/v1/transfers/{ref}",
        "GET /direct/v1/transfers?updated_since=a%2Bb/c",
        "GET /direct/v1/statements/2026-11-25",
    ]
    assert json.loads(party.asked[0].body) == {
        "client_ref": str(ref),
        "amount": "1234.56",
        "payee_name": CARD.account_name,
        "bank_name": CARD.bank_name,
        "branch_name": CARD.branch_name,
        "card_number": CARD.card_number,
    }


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_in_doubt_and_is_not_followed(status: int) -> None:
    """Wherever it leads: a name and a card number go to the bank's address alone."""
    async with answering(TAKEN) as elsewhere, answering() as party, bank_at(party.url) as bank:
        party.says = answer(status, b"", f"Location: {elsewhere.url}transfers")
        with pytest.raises(BankInDoubt, match=rf"answered a submission with {status}$"):
            await bank.submit(uuid4(), 1_00, CARD)
        with pytest.raises(BankInDoubt, match=rf"answered a query with {status}$"):
            await bank.query(uuid4())
    assert (len(party.asked), elsewhere.asked) == (2, [])


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (b"", "ServerDisconnectedError"),
        (f"{CARD.card_number} of {CARD.account_name}\r\n\r\n".encode(), "ClientResponseError"),
        (HEAD + b"Content-Length: 99\r\n\r\n{}", "ClientPayloadError"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n6230580000000000013\r\n{}", "Client(Response|Payload)Error"),
        (answer(202, CARD.card_number, "Content-Encoding: gzip"), "ClientPayloadError"),
    ],
)
async def test_a_failure_is_a_doubt_told_by_its_class_alone(said: bytes, failure: str) -> None:
    """Cut off before, within and after the head, or unreadable: its words could be the request's."""
    async with answering(said) as party, bank_at(party.url) as bank:
        with pytest.raises(BankInDoubt, match=rf"^no answer from the bank \({failure}\)$") as doubt:
            await bank.submit(uuid4(), 1_00, CARD)
    assert doubt.value.__cause__ is None
    assert doubt.value.__suppress_context__
    assert party.lines == ["POST /transfers"]


async def test_a_bank_that_is_away_is_a_doubt() -> None:
    """Nobody listens there any more."""
    async with answering() as party:
        pass
    async with bank_at(party.url) as bank:
        with pytest.raises(BankInDoubt, match=r"^no answer from the bank \(Client\w+Error\)$"):
            await bank.submit(uuid4(), 1_00, CARD)


@pytest.mark.parametrize("said", [b"", HEAD, HEAD + b"Content-Length: 99\r\n\r\n{"])
async def test_the_time_limit_covers_the_whole_answer(said: bytes) -> None:
    """A bank that falls silent before the head, within it, or within the body."""
    async with answering(said, falls_silent=True) as party, bank_at(party.url, 0.2) as bank:
        with pytest.raises(BankInDoubt, match=r"^no answer from the bank \(\w*TimeoutError\)$"):
            await bank.submit(uuid4(), 1_00, CARD)


async def test_a_call_that_is_given_up_is_no_doubt() -> None:
    """A cancellation goes its way: whoever cancelled waits for it."""
    async with answering(falls_silent=True) as party, bank_at(party.url) as bank:
        call = asyncio.create_task(bank.query(uuid4()))
        await party.silent.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"state": "\xff"}', b"[" * 100_000, b"[]", b"7", b"{}", b'{"state": "prepared"}', b'{"items": [7]}'],
)
async def test_words_we_do_not_know_are_a_doubt(body: bytes) -> None:
    """No JSON, no UTF-8, nested without end, or another shape, whichever question it answers."""
    async with answering() as party, bank_at(party.url) as bank:
        party.says = answer(202, body)
        with pytest.raises(BankInDoubt, match="words we don't know"):
            await bank.submit(uuid4(), 1_00, CARD)
        party.says = answer(200, body)
        for call in (bank.query(uuid4()), bank.changes(""), bank.statement(date(2026, 11, 25))):
            with pytest.raises(BankInDoubt, match="words we don't know"):
                await call
