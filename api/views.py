"""What callers get to see: yuan for fen, masked cards and phones, colleagues' names only among colleagues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from api.authentication import Caller
from domain.bank_card import masked_card
from domain.errors import Reason
from domain.money import format_yuan
from domain.withdrawal import Door, Status
from domain.working_days import ArrivalWindow
from ledger.reads import AccountView, EventRecord, WithdrawalRecord

RECEIVED = "Your withdrawal application has been received and will be processed within 10 to 15 working days."
"""Rule 9, word for word."""

BY_FINANCE = frozenset({"approved", "rejected", "resolved"})


class ReasonBody(BaseModel):
    """One reason, as a code and in the customer's words."""

    code: str
    message: str


class BankCardBody(BaseModel):
    """Of the card number the last four digits."""

    account_name: str
    bank_name: str
    branch_name: str
    card_number: str


class ApprovalBody(BaseModel):
    """One approval; for a customer the approver is ``finance``."""

    approver: str
    at: datetime


class ApprovalsBody(BaseModel):
    """How many approvals it takes, and those given."""

    needed: int
    given: list[ApprovalBody]


class WindowBody(BaseModel):
    """Rule 6: both days included; ``provisional`` until the next year's calendar is published."""

    earliest: date
    latest: date
    provisional: bool


class WithdrawalBody(BaseModel):
    """A withdrawal."""

    id: UUID
    account_id: str
    amount: str
    currency: Literal["CNY"] = "CNY"
    status: Status
    bank_card: BankCardBody
    phone: str
    code_expires_at: datetime | None
    approvals: ApprovalsBody
    arrival_window: WindowBody | None
    failure: ReasonBody | None
    created_at: datetime
    updated_at: datetime


class ReceivedBody(WithdrawalBody):
    """A withdrawal whose phone is verified, with what rule 9 says to the customer."""

    message: str = RECEIVED


class RecordBody(BaseModel):
    """Rule 10, a page of it; ``next_cursor`` is null on the last one."""

    items: list[WithdrawalBody]
    next_cursor: str | None


class EventBody(BaseModel):
    """What happened, when, by whom and which way it came in."""

    kind: str
    status: Status
    at: datetime
    by: str
    via: Door
    data: dict[str, Any]


class EventsBody(BaseModel):
    """Everything that happened to a withdrawal, oldest first."""

    items: list[EventBody]


class AccountBody(BaseModel):
    """What can be withdrawn, and why not more; ``cash_balance`` includes what is frozen."""

    account_id: str
    currency: Literal["CNY"] = "CNY"
    cash_balance: str
    voucher_balance: str
    frozen: str
    reserved: str
    withdrawable: str
    blockers: list[ReasonBody]
    next_eligible_on: date | None


class BookingBody(BaseModel):
    """A booking as it stands in the book."""

    account_id: str
    reference: str
    kind: Literal["top_up", "charge", "voucher"]
    amount: str
    currency: Literal["CNY"] = "CNY"


def show_withdrawal(record: WithdrawalRecord, caller: Caller) -> WithdrawalBody:
    """The record as ``caller`` may see it."""
    awaiting = record.status is Status.AWAITING_VERIFICATION
    return WithdrawalBody(
        id=record.id,
        account_id=record.account_id,
        amount=format_yuan(record.amount_fen),
        status=record.status,
        bank_card=BankCardBody(
            account_name=record.account_name,
            bank_name=record.bank_name,
            branch_name=record.branch_name,
            card_number=masked_card(record.card_last4),
        ),
        phone=record.phone_masked,
        code_expires_at=record.code_expires_at if awaiting else None,
        approvals=ApprovalsBody(
            needed=record.approvals_needed,
            given=[
                ApprovalBody(approver=approval.approver if caller.sees_every_account else "finance", at=approval.at)
                for approval in record.approvals_given
            ],
        ),
        arrival_window=_window(record.window),
        failure=_failure(record.failure),
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def show_received(record: WithdrawalRecord, caller: Caller) -> ReceivedBody:
    """The withdrawal with the message of rule 9."""
    return ReceivedBody(**dict(show_withdrawal(record, caller)))


def show_event(event: EventRecord, caller: Caller) -> EventBody:
    """The event; a customer reads ``finance`` and ``operations`` where colleagues read who it was."""
    return EventBody(
        kind=event.kind,
        status=event.status,
        at=event.at,
        by=event.actor if caller.sees_every_account else _customers_word_for(event, caller),
        via=event.door,
        data=event.data,
    )


def show_account(view: AccountView) -> AccountBody:
    """The account in yuan."""
    return AccountBody(
        account_id=view.account_id,
        cash_balance=format_yuan(view.cash_balance),
        voucher_balance=format_yuan(view.voucher_balance),
        frozen=format_yuan(view.frozen),
        reserved=format_yuan(view.reserved),
        withdrawable=format_yuan(view.withdrawable),
        blockers=[ReasonBody(code=reason.code, message=reason.message) for reason in view.blockers],
        next_eligible_on=view.next_eligible_on,
    )


def _window(window: ArrivalWindow | None) -> WindowBody | None:
    if window is None:
        return None
    return WindowBody(earliest=window.earliest, latest=window.latest, provisional=window.provisional)


def _failure(reasons: Sequence[Reason]) -> ReasonBody | None:
    if not reasons:
        return None
    return ReasonBody(code=reasons[0].code, message=" ".join(reason.message for reason in reasons))


def _customers_word_for(event: EventRecord, caller: Caller) -> str:
    if event.actor in (caller.subject, "system", "bank"):
        return event.actor
    if event.kind in BY_FINANCE:
        return "finance"
    # Whoever else came in through Temporal's own door is one of ours; the API is the customer's side.
    return "operations" if event.door is Door.TEMPORAL else event.actor
