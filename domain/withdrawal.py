"""What a withdrawal is: its statuses, which may follow which, and where one stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from domain.working_days import ArrivalWindow


class Status(StrEnum):
    """The life of a withdrawal (the diagram of product.md)."""

    AWAITING_VERIFICATION = "awaiting_verification"
    AWAITING_APPROVAL = "awaiting_approval"
    PROCESSING = "processing"
    UNDER_REVIEW = "under_review"
    PAID = "paid"
    RETURNED = "returned"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        """True once the application is over. ``paid`` is final for the customer; only a return follows it."""
        return self not in OPEN

    def may_become(self, other: Status) -> bool:
        """True if the diagram has an arrow from here to there."""
        return other in FOLLOWS[self]


FOLLOWS: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.AWAITING_VERIFICATION: frozenset(
            {Status.AWAITING_APPROVAL, Status.PROCESSING, Status.EXPIRED, Status.CANCELLED, Status.FAILED}
        ),
        Status.AWAITING_APPROVAL: frozenset({Status.PROCESSING, Status.REJECTED, Status.CANCELLED}),
        Status.PROCESSING: frozenset({Status.PAID, Status.FAILED, Status.UNDER_REVIEW}),
        Status.UNDER_REVIEW: frozenset({Status.PROCESSING, Status.PAID, Status.FAILED}),
        Status.PAID: frozenset({Status.RETURNED}),
        Status.RETURNED: frozenset(),
        Status.FAILED: frozenset(),
        Status.EXPIRED: frozenset(),
        Status.CANCELLED: frozenset(),
        Status.REJECTED: frozenset(),
    }
)
"""The one table of which status may follow which."""

OPEN = frozenset({Status.AWAITING_VERIFICATION, Status.AWAITING_APPROVAL, Status.PROCESSING, Status.UNDER_REVIEW})
"""Not yet over: an account has at most one of these at a time."""

FROZEN = frozenset({Status.AWAITING_APPROVAL, Status.PROCESSING, Status.UNDER_REVIEW})
"""The amount is frozen exactly in these (rule 3)."""

USES_MONTH = OPEN | {Status.PAID}
"""One of these uses up its calendar month; every other status gives it back (rule 2)."""


class TransferState(StrEnum):
    """What we know of the bank's transfer; ``prepared`` is ours alone: the bank may or may not have been asked."""

    PREPARED = "prepared"
    ACCEPTED = "accepted"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETURNED = "returned"


OUTCOMES = frozenset({TransferState.SUCCEEDED, TransferState.FAILED, TransferState.RETURNED})
"""What lets money move; the others are still a question."""


@dataclass(frozen=True)
class BankAnswer:
    """What the bank says of a transfer; ``reason_code`` is its word for a failure or a return."""

    state: TransferState
    bank_ref: str | None = None
    reason_code: str | None = None
    amount_fen: int | None = None

    @property
    def is_outcome(self) -> bool:
        """True for an answer that lets money move: anything else is still a question."""
        return self.state in OUTCOMES


class Decision(StrEnum):
    """Finance's word on an application that needs approval."""

    APPROVE = "approve"
    REJECT = "reject"


class Door(StrEnum):
    """Which way an instruction came in; the event says so."""

    API = "api"
    TEMPORAL = "temporal"
    WORKFLOW = "workflow"
    BANK = "bank"


@dataclass(frozen=True)
class Standing:
    """Where a withdrawal stands by the rows: what the workflow may know, and all of it without personal data.

    ``version`` grows with each change of the row, so that of two standings the later one can be told; ``changed_at``
    is when the row last changed.
    """

    withdrawal_id: UUID
    version: int
    status: Status
    account_id: str
    amount_fen: int
    verified: bool = False
    code_sent: bool = False
    code_expires_at: datetime | None = None
    approvals_needed: int = 0
    approvals_given: int = 0
    window: ArrivalWindow | None = None
    failure_code: str | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True)
class Asked:
    """What came of asking the bank: where the withdrawal stands since, the bank's answer (None without one), when."""

    standing: Standing
    answer: TransferState | None
    at: datetime


WORKFLOW_TYPE = "WithdrawalWorkflow"
"""The name under which operators find the runs."""


def workflow_id(withdrawal_id: UUID) -> str:
    """The id of the run in Temporal: ``withdrawal-{id}``."""
    return f"withdrawal-{withdrawal_id}"


def withdrawal_of(run_id: str) -> UUID:
    """Whose run it is; a ``ValueError`` for an id that ``workflow_id`` never gave."""
    return UUID(run_id.removeprefix("withdrawal-"))


RETURN_WORKFLOW_TYPE = "BankReturnWorkflow"
"""The name of the runs that ask whether a payment came back."""


def return_workflow_id(withdrawal_id: UUID) -> str:
    """``bank-return-{id}``: one look at a time for each withdrawal."""
    return f"bank-return-{withdrawal_id}"


class Outcome(StrEnum):
    """What became of a transfer whose outcome the bank did not tell."""

    PAID = "paid"
    FAILED = "failed"


class Verb(StrEnum):
    """What people can ask of a withdrawal that is under way."""

    CANCEL = "cancel"
    DECIDE = "decide"
    RESOLVE = "resolve"


@dataclass(frozen=True)
class FinanceDecision:
    """Finance's decision, whichever door it comes through."""

    approver: str
    decision: Decision
    note: str = ""


_ACTOR = re.compile(r"[^\s\x00-\x1f\x7f]{1,255}")
_NOTE = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]{0,1000}")


def is_actor(name: object) -> bool:
    """True for what can name a person: no white space, so that nobody is two people by a blank."""
    return isinstance(name, str) and _ACTOR.fullmatch(name) is not None


def read_decision(word: object) -> FinanceDecision:
    """Reads ``{"approver", "decision", "note"?}`` as it comes through Temporal's door; else a ``ValueError``."""
    if not isinstance(word, dict) or not is_actor(word.get("approver")):
        raise ValueError("an approver is 1 to 255 characters without white space")
    note = word.get("note", "")
    if not isinstance(note, str) or _NOTE.fullmatch(note) is None:
        raise ValueError("a note is up to 1,000 characters of text")
    if word.get("decision") not in tuple(Decision):
        raise ValueError("a decision is approve or reject")
    return FinanceDecision(word["approver"], Decision(word["decision"]), note)


@dataclass(frozen=True)
class Resolution:
    """Finance's word on a transfer under review, with what it is based on."""

    resolver: str
    outcome: Outcome
    evidence: str
