"""The bank card the money goes to, and how much of it anyone gets to see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_DIGITS = re.compile(r"[0-9]{12,19}", re.ASCII)


class SubjectType(StrEnum):
    """Whom the account is registered to after real-name verification."""

    PERSON = "person"
    COMPANY = "company"


@dataclass(frozen=True, repr=False)
class BankCard:
    """Where the customer asks the money to go; ``card_number`` is 12 to 19 digits."""

    account_name: str
    bank_name: str
    branch_name: str
    card_number: str

    def __repr__(self) -> str:
        # A card that lands in a log or a failure message shows no more than a receipt would.
        return f"BankCard({masked_card(last_four(self.card_number))})"


def last_four(card_number: str) -> str:
    """The only digits of a card that are shown."""
    return card_number[-4:]


def masked_card(last4: str) -> str:
    """``**** 0018``"""
    return f"**** {last4}"


def masked_phone(phone: str) -> str:
    """``138****1234``"""
    return f"{phone[:3]}****{phone[-4:]}"


def is_card_number(card_number: str) -> bool:
    """12 to 19 ASCII digits."""
    return _DIGITS.fullmatch(card_number) is not None


def passes_luhn(card_number: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B. Personal cards carry it; company accounts need not."""
    total = 0
    for place, digit in enumerate(reversed(card_number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
