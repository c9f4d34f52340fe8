"""The bank's statement of a day, and where it and our book differ."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EntryKind(StrEnum):
    """What a line of the bank's statement is."""

    PAYMENT = "payment"
    RETURN = "return"


@dataclass(frozen=True)
class StatementEntry:
    """One line of the bank's statement of a day; the amount in fen."""

    bank_ref: str
    client_ref: str
    kind: EntryKind
    amount_fen: int


class DifferenceKind(StrEnum):
    """How the bank's book and ours can differ."""

    UNKNOWN_TO_US = "unknown_to_us"
    """The bank booked something under a reference that is none of our withdrawals."""
    AMOUNT_DIFFERS = "amount_differs"
    NOT_IN_OUR_BOOK = "not_in_our_book"
    """The bank paid, or sent back, what we have not settled, or not credited."""
    NOT_ON_STATEMENT = "not_on_statement"
    """We settled, or credited, what no statement of the days around it has."""
