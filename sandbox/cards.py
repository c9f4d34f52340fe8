"""Sandbox: what happens to transfers to a card."""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sandbox.book import Book

CardNumber = Annotated[str, Field(pattern=r"^[0-9]{12,19}$")]

TIME_OUT_AFTER_BOOKING = "time_out_after_booking"


class Fate(StrEnum):
    """What becomes of a transfer once it is taken."""

    PAY = "pay"
    REJECT = "reject"
    ACCEPT_THEN_FAIL = "accept_then_fail"
    PAY_THEN_RETURN = "pay_then_return"
    SILENT = "silent"


class CardBehaviour(BaseModel):
    """A fate, or a bad answer with payment behind it (`unavailable:N`, `time_out_after_booking`)."""

    model_config = ConfigDict(extra="forbid")

    behaviour: str = Field(
        pattern=r"^(pay|reject|accept_then_fail|pay_then_return|silent|time_out_after_booking|unavailable:[1-9][0-9]{0,5})$"
    )


class Card(BaseModel):
    """A card as the sandbox shows it; `refusals_left` counts down the N of `unavailable:N`."""

    card_number: CardNumber
    behaviour: str = "pay"
    refusals_left: int = 0

    @property
    def fate(self) -> Fate:
        """Bad answers come before booking or hide it; the money itself is then paid as usual."""
        return Fate(self.behaviour) if self.behaviour in set(Fate) else Fate.PAY


def find_card(connection: sqlite3.Connection, card_number: str) -> Card:
    """A card nobody has spoken of pays."""
    row = connection.execute("SELECT * FROM cards WHERE card_number = ?", (card_number,)).fetchone()
    return Card(card_number=card_number) if row is None else Card(**dict(row))


def use_up_a_refusal(connection: sqlite3.Connection, card: Card) -> bool:
    """True as long as the card still owes a 503; each call takes one off."""
    return (
        connection.execute(
            "UPDATE cards SET refusals_left = refusals_left - 1 WHERE card_number = ? AND refusals_left > 0",
            (card.card_number,),
        ).rowcount
        == 1
    )


def set_behaviour(book: Book, card_number: str, behaviour: str) -> Card:
    """For submissions from now on; transfers waiting under `silent` follow it too, others keep their fate."""
    _, _, refusals = behaviour.partition(":")
    card = Card(card_number=card_number, behaviour=behaviour, refusals_left=int(refusals or 0))
    with book.transaction() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO cards VALUES (?, ?, ?)",
            (card.card_number, card.behaviour, card.refusals_left),
        )
        connection.execute(
            "UPDATE transfers SET fate = ? WHERE card_number = ? AND fate = ?",
            (card.fate, card_number, Fate.SILENT),
        )
    return card


def card_routes(book: Book) -> APIRouter:
    """`/_sandbox/cards/{card_number}`."""
    routes = APIRouter(tags=["sandbox"])

    @routes.get("/_sandbox/cards/{card_number}")
    def show_card(card_number: CardNumber) -> Card:
        with book.transaction() as connection:
            return find_card(connection, card_number)

    @routes.put("/_sandbox/cards/{card_number}")
    def change_card(card_number: CardNumber, card: CardBehaviour) -> Card:
        return set_behaviour(book, card_number, card.behaviour)

    return routes
