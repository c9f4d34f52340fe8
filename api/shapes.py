"""What callers may send: strict, closed shapes. Amounts arrive as yuan and are fen from here on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from domain.bank_card import BankCard, SubjectType, is_card_number
from domain.money import parse_yuan
from domain.withdrawal import Decision, Outcome

MONEY_PATTERN = r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,2})?$"
ACCOUNT_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
VISIBLE_ASCII = r"^[\x21-\x7e]{1,128}$"

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _read_amount(sent: object) -> int:
    if not isinstance(sent, str):
        raise ValueError("An amount is a JSON string.")  # noqa: TRY004 - pydantic collects ValueErrors only
    return parse_yuan(sent)


def _read_moment(sent: object) -> object:
    if not isinstance(sent, str) or _RFC_3339.fullmatch(sent) is None:
        raise ValueError("A time is written as in RFC 3339, with its offset.")
    return sent


def _check_card_number(sent: str) -> str:
    if not is_card_number(sent):
        raise ValueError("A card number is 12 to 19 digits.")
    return sent


# Control, format (bidi marks among them), surrogate, private, unassigned, line and paragraph separators.
_NO_TEXT = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _is_text(character: str) -> bool:
    if unicodedata.category(character) not in _NO_TEXT:
        return True
    # The planes of ideographs only: a rare name may be newer there than the interpreter's Unicode.
    return 0x20000 <= ord(character) < 0x3FFFE and unicodedata.category(character) == "Cn"


def _text(shortest: int, longest: int, *, lines: bool) -> Callable[[str], str]:
    """Checks text for people: NFC, trimmed, ``shortest`` to ``longest`` characters that all can be seen."""

    def check(sent: str) -> str:
        text = unicodedata.normalize("NFC", sent).replace("\r\n", "\n").strip()
        if not shortest <= len(text) <= longest:
            raise ValueError(f"This is {shortest} to {longest} characters long, spaces around it aside.")
        if not all(_is_text(character) or (lines and character == "\n") for character in text):
            raise ValueError("This has control or invisible characters.")
        return text

    return check


Amount = Annotated[
    int,
    BeforeValidator(_read_amount),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": MONEY_PATTERN,
            "not": {"enum": ["0", "0.0", "0.00"]},
            "examples": ["500.00"],
            "title": "CNY",
        }
    ),
]
# What a description can say of text; bidi marks, say, have no words there.
_LINE = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0][^\x00-\x1f\x7f-\x9f]*$"
_LINES = r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*$"
Name = Annotated[
    str,
    AfterValidator(_text(1, 100, lines=False)),
    Field(json_schema_extra={"minLength": 1, "maxLength": 100, "pattern": _LINE}),
]
Note = Annotated[
    str,
    AfterValidator(_text(0, 1000, lines=True)),
    Field(json_schema_extra={"maxLength": 1000, "pattern": _LINES}),
]
Evidence = Annotated[
    str,
    AfterValidator(_text(1, 1000, lines=True)),
    Field(json_schema_extra={"minLength": 1, "maxLength": 1000, "pattern": _LINES}),
]
AccountId = Annotated[str, StringConstraints(pattern=ACCOUNT_ID_PATTERN)]
CardNumber = Annotated[str, AfterValidator(_check_card_number), Field(json_schema_extra={"pattern": "^[0-9]{12,19}$"})]
Phone = Annotated[str, StringConstraints(pattern=r"^1[3-9][0-9]{9}$")]
Reference = Annotated[str, StringConstraints(pattern=VISIBLE_ASCII)]
Moment = Annotated[datetime, BeforeValidator(_read_moment)]


class Form(BaseModel):
    """Unknown fields are refused, nothing is converted, and no error quotes what was sent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class BankCardForm(Form):
    """Rule 7: the bank card the money goes to."""

    account_name: Name = Field(repr=False)
    bank_name: Name
    branch_name: Name
    card_number: CardNumber = Field(repr=False)

    def card(self) -> BankCard:
        """The card as the domain has it."""
        return BankCard(self.account_name, self.bank_name, self.branch_name, self.card_number)


class ApplicationForm(Form):
    """Rule 7: the amount and the bank card."""

    account_id: AccountId
    amount: Amount
    bank_card: BankCardForm


class CodeForm(Form):
    """Rule 8: the code that came by SMS."""

    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]


class DecisionForm(Form):
    """Finance's word on an application that needs approval."""

    decision: Annotated[Decision, Field(strict=False)]
    note: Note = ""


class ResolutionForm(Form):
    """Finance's word on a transfer under review, with what it is based on."""

    outcome: Annotated[Outcome, Field(strict=False)]
    evidence: Evidence


class ClosingForm(Form):
    """How a difference between the bank's book and ours was dealt with."""

    note: Evidence


class RegistrationForm(Form):
    """What billing and real-name verification know of an account; it replaces what was known before."""

    subject_type: Annotated[SubjectType, Field(strict=False)]
    subject_name: Name = Field(repr=False)
    verified: bool
    phone: Phone | None = Field(repr=False)
    suspended: bool
    pay_as_you_use: bool


class BookingForm(Form):
    """A top-up, a charge or a voucher; booked once per reference."""

    reference: Reference
    amount: Amount


class NotificationData(BaseModel):
    """Which transfer the bank has news of; whatever else it sends is left alone."""

    client_ref: str


class Notification(BaseModel):
    """A Standard Webhooks event. Only its name and the reference are read; the bank is asked for the rest."""

    type: Literal["transfer.updated"]
    data: NotificationData
