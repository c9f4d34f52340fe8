"""The direct-connect interface: submissions answer *taken*, the query is the authority.

The client's reference is the withdrawal's id and makes a submission idempotent at the bank: after any doubt the
same reference is asked about, then submitted again unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from http import HTTPStatus
from typing import Any, Protocol
from uuid import UUID

import aiohttp

from domain.bank_card import BankCard
from domain.money import format_yuan, parse_yuan
from domain.statement import EntryKind, StatementEntry
from domain.withdrawal import BankAnswer, TransferState


class BankInDoubt(Exception):
    """No answer to build on: time-out, cut connection, 5xx, 409, or words we don't know.

    The bank may or may not have taken the transfer. Ask for the same reference before submitting it again.
    """


_UNKNOWN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading an answer raises that is no JSON, no UTF-8, nested without end, or of another shape."""


@dataclass(frozen=True)
class Changes:
    """Which references changed at the bank since a cursor, with their latest state, and the cursor to go on from."""

    states: Mapping[str, str]
    next_cursor: str


class Bank(Protocol):
    """What we ask of a bank."""

    async def submit(self, client_ref: UUID, amount_fen: int, card: BankCard) -> BankAnswer:
        """Asks for a payment; the answer means taken, or refused at once. ``BankInDoubt`` for anything else."""
        ...

    async def query(self, client_ref: UUID) -> BankAnswer | None:
        """What became of a reference; None if the bank does not know it. ``BankInDoubt`` without an answer."""
        ...

    async def changes(self, cursor: str) -> Changes:
        """One page of what changed since; the empty cursor is the beginning. ``BankInDoubt`` without an answer."""
        ...

    async def statement(self, day: date) -> list[StatementEntry]:
        """Everything the bank booked for us on a Shanghai day. ``BankInDoubt`` without an answer."""
        ...


@dataclass(frozen=True)
class HttpBank:
    """The Protocol over HTTP; ``http`` carries the base URL, which ends in a slash, time-outs and credentials."""

    http: aiohttp.ClientSession = field(repr=False)

    async def submit(self, client_ref: UUID, amount_fen: int, card: BankCard) -> BankAnswer:
        body = {
            "client_ref": str(client_ref),
            "amount": format_yuan(amount_fen),
            "payee_name": card.account_name,
            "bank_name": card.bank_name,
            "branch_name": card.branch_name,
            "card_number": card.card_number,
        }
        status, words = await self._call("POST", "transfers", json=body)
        if status != HTTPStatus.ACCEPTED:
            raise BankInDoubt(f"the bank answered a submission with {status}")
        return _answer(words)

    async def query(self, client_ref: UUID) -> BankAnswer | None:
        status, words = await self._call("GET", f"transfers/{client_ref}")
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise BankInDoubt(f"the bank answered a query with {status}")
        return _answer(words)

    async def changes(self, cursor: str) -> Changes:
        status, words = await self._call("GET", "transfers", params={"updated_since": cursor})
        if status != HTTPStatus.OK:
            raise BankInDoubt(f"the bank answered a look at its changes with {status}")
        try:
            content = json.loads(words)
            # One transfer may have changed several times in a page: the last state is what it is now.
            states = {str(item["client_ref"]): str(item["state"]) for item in content["items"]}
            return Changes(states, str(content["next_cursor"]))
        except _UNKNOWN:
            raise BankInDoubt("the bank answered in words we don't know") from None

    async def statement(self, day: date) -> list[StatementEntry]:
        status, words = await self._call("GET", f"statements/{day.isoformat()}")
        if status != HTTPStatus.OK:
            raise BankInDoubt(f"the bank answered a look at its statement with {status}")
        try:
            return [
                StatementEntry(
                    str(item["bank_ref"]),
                    str(item["client_ref"]),
                    EntryKind(item["kind"]),
                    parse_yuan(item["amount"]),
                )
                for item in json.loads(words)["items"]
            ]
        except _UNKNOWN:
            raise BankInDoubt("the bank answered in words we don't know") from None

    async def _call(self, method: str, path: str, **request: Any) -> tuple[int, bytes]:
        """Status and body of the answer. A redirect is one too: a card number goes to the bank's address alone."""
        try:
            async with self.http.request(method, path, allow_redirects=False, **request) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError) as cut:  # A TimeoutError is an OSError.
            # The class alone: a message may quote the request, and that holds a name and a card number.
            raise BankInDoubt(f"no answer from the bank ({type(cut).__name__})") from None


_WORD = re.compile(r"[\x21-\x7e]{1,64}")
_LONG_NUMBER = re.compile(r"(?:\d[^\dA-Za-z]?){11}")
"""As long as a phone's, or a card's, also in groups."""


def _word(value: object) -> str | None:
    """A reference or a code as it may go into a history and a row; anything else is a ``ValueError``."""
    if value is None or (isinstance(value, str) and _WORD.fullmatch(value)):
        return value
    raise ValueError("not a word of the bank's")


def _reason(value: object) -> str | None:
    """The bank's code for a no; what may name somebody, free text or a long number, is left with the bank."""
    try:
        word = _word(value)
    except ValueError:
        return None
    return None if word is not None and _LONG_NUMBER.search(word) else word


def _answer(words: bytes) -> BankAnswer:
    try:
        content = json.loads(words)
        amount = content.get("amount")
        answer = BankAnswer(
            state=TransferState(content["state"]),
            bank_ref=_word(content.get("bank_ref")),
            reason_code=_reason(content.get("reason_code")),
            amount_fen=None if amount is None else parse_yuan(amount),
        )
    except _UNKNOWN:
        raise BankInDoubt("the bank answered in words we don't know") from None
    if answer.state is TransferState.PREPARED:
        raise BankInDoubt("the bank answered in words we don't know")
    return answer
