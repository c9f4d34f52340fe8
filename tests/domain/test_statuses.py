"""The life of a withdrawal is the diagram of product.md, arrow by arrow."""

from __future__ import annotations

from itertools import product
from uuid import UUID

import pytest

from domain.withdrawal import (
    FOLLOWS,
    FROZEN,
    OPEN,
    USES_MONTH,
    BankAnswer,
    Status,
    TransferState,
    workflow_id,
)

_ARROWS = {
    ("awaiting_verification", "expired"),
    ("awaiting_verification", "cancelled"),
    ("awaiting_verification", "failed"),
    ("awaiting_verification", "awaiting_approval"),
    ("awaiting_verification", "processing"),  # approval only if needed
    ("awaiting_approval", "rejected"),
    ("awaiting_approval", "cancelled"),
    ("awaiting_approval", "processing"),
    ("processing", "failed"),
    ("processing", "under_review"),
    ("processing", "paid"),
    ("under_review", "processing"),
    ("under_review", "paid"),
    ("under_review", "failed"),
    ("paid", "returned"),
}


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_exactly_the_arrows_of_the_diagram_exist(before: Status, after: Status) -> None:
    """A status may become another if and only if the diagram has that arrow."""
    assert before.may_become(after) == ((before.value, after.value) in _ARROWS)


def test_every_status_can_be_reached() -> None:
    """From the application, each status lies on some path of arrows."""
    reached, new = set[Status](), {Status.AWAITING_VERIFICATION}
    while new:
        reached |= new
        new = {after for before in new for after in FOLLOWS[before]} - reached
    assert reached == set(Status)


def test_what_is_over_stays_over_but_for_a_return() -> None:
    """No final status has a way out, except that the bank may send paid money back."""
    ways_out = {status: FOLLOWS[status] for status in Status if status.is_final and FOLLOWS[status]}
    assert ways_out == {Status.PAID: frozenset({Status.RETURNED})}
    assert {status for status in Status if not status.is_final} == OPEN


def test_rule_2_in_flight_or_paid_uses_the_month_up() -> None:
    """Refused, cancelled, expired, rejected, failed and returned ones give it back; nothing else does."""
    gives_back = {status.value for status in Status} - {status.value for status in USES_MONTH}
    assert gives_back == {"cancelled", "expired", "rejected", "failed", "returned"}


def test_rule_3_money_is_frozen_from_verification_to_the_outcome() -> None:
    """It is frozen in every open status but the first, and in no final one."""
    assert {status.value for status in FROZEN} == {"awaiting_approval", "processing", "under_review"}
    assert OPEN - {Status.AWAITING_VERIFICATION} == FROZEN


def test_only_a_definite_answer_of_the_bank_is_an_outcome() -> None:
    """Taken and processing are still questions; a time-out has no state at all."""
    outcomes = {state for state in TransferState if BankAnswer(state).is_outcome}
    assert outcomes == {TransferState.SUCCEEDED, TransferState.FAILED, TransferState.RETURNED}


def test_a_run_is_found_by_its_withdrawal() -> None:
    """The workflow's id is ``withdrawal-{id}`` (the contract with operators)."""
    assert workflow_id(UUID(int=7)) == "withdrawal-00000000-0000-0000-0000-000000000007"
