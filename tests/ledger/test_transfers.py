"""The bank's part: asked once under one reference, and only its definite answers move money."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from domain.errors import FourEyesViolated, InvariantBroken, NotPossibleNow
from domain.withdrawal import BankAnswer, Door, Status, TransferState
from ledger.tables import Bucket
from tests.ledger.stories import (
    ACCEPTED,
    CARD,
    CUSTOMER,
    LARGE,
    PLENTY,
    PROCESSING,
    REFUSED,
    RETURNED,
    SMALL,
    SUCCEEDED,
    Balances,
    Ledger,
    Stories,
)

_BEFORE, _FROZEN, _PAID = Balances(PLENTY), Balances(PLENTY - SMALL, SMALL), Balances(PLENTY - SMALL)


def _state(ledger: Ledger) -> tuple[str, str | None, str | None]:
    with ledger.database.transaction() as connection:
        row = connection.execute(text("SELECT state, bank_ref, reason_code FROM transfers")).one()
    return row.state, row.bank_ref, row.reason_code


def test_a_transfer_is_prepared_before_the_bank_is_asked(ledger: Ledger, stories: Stories) -> None:
    """The order names amount and card in full; the second time it says that the bank may know of it."""
    withdrawal_id = stories.bring_to(Status.PROCESSING)
    first = ledger.transfers.prepare(withdrawal_id, now=stories.now)
    assert first is not None
    assert (first.withdrawal_id, first.amount_fen, first.card, first.asked_before) == (
        withdrawal_id,
        SMALL,
        CARD,
        False,
    )
    assert _state(ledger) == ("prepared", None, None)
    assert stories.event_kinds(withdrawal_id)[-1] == "bank_asked"
    before = ledger.everything()
    assert ledger.transfers.prepare(withdrawal_id, now=stories.now) == replace(first, asked_before=True)
    assert ledger.everything() == before


def test_under_review_the_bank_can_still_be_asked_again(ledger: Ledger, stories: Stories) -> None:
    """With the same reference: the order is the one from before."""
    withdrawal_id = stories.bring_to(Status.UNDER_REVIEW)
    order = ledger.transfers.prepare(withdrawal_id, now=stories.now)
    assert order is not None
    assert order.asked_before


def test_without_the_proof_no_transfer_is_prepared(own_ledger: Ledger) -> None:
    """A status that a hand in the tables pushed on moves nothing: the freeze and the approvals are looked for."""
    stories = Stories(own_ledger)
    unapproved = stories.bring_to(Status.AWAITING_APPROVAL)
    unfrozen = stories.apply(stories.open_account())
    with own_ledger.database.transaction() as connection:
        connection.execute(text("UPDATE withdrawals SET status = 'processing'"))
    for withdrawal_id in (unapproved, unfrozen):
        with pytest.raises(InvariantBroken):
            own_ledger.transfers.prepare(withdrawal_id, now=stories.now)
    assert own_ledger.count("transfers") == 0


@pytest.mark.parametrize("answer", [ACCEPTED, PROCESSING])
@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNDER_REVIEW])
def test_an_answer_that_is_no_outcome_is_only_noted(
    ledger: Ledger, stories: Stories, status: Status, answer: BankAnswer
) -> None:
    """Taken is not paid: nothing moves, and the same answer again leaves no second event."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(status, account_id)
    assert stories.answer(withdrawal_id, answer).status is status
    assert ledger.balances(account_id) == _FROZEN
    assert _state(ledger) == (answer.state, "B-1", None)
    before = ledger.everything()
    stories.answer(withdrawal_id, answer)
    assert ledger.everything() == before


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNDER_REVIEW])
def test_success_settles(ledger: Ledger, stories: Stories, status: Status) -> None:
    """frozen → bank_clearing, paid; the same answer again does nothing."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(status, account_id)
    paid = stories.answer(withdrawal_id, SUCCEEDED)
    assert (paid.status, paid.failure_code) == (Status.PAID, None)
    assert ledger.balances(account_id) == _PAID
    assert ledger.sum_of(Bucket.BANK_CLEARING) == SMALL
    event = ledger.reads.events(withdrawal_id)[-1]
    assert (event.kind, event.door, event.data) == ("paid", Door.BANK, {"bank_ref": "B-1"})
    before = ledger.everything()
    assert ledger.transfers.record_answer(withdrawal_id, SUCCEEDED, now=stories.now) == paid
    assert ledger.everything() == before


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNDER_REVIEW])
def test_a_definite_no_unfreezes(ledger: Ledger, stories: Stories, status: Status) -> None:
    """frozen → available, failed with the bank's reason in our word; the same again does nothing."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(status, account_id)
    failed = stories.answer(withdrawal_id, REFUSED)
    assert (failed.status, failed.failure_code) == (Status.FAILED, "bank_account_closed")
    assert ledger.balances(account_id) == _BEFORE
    assert ledger.sum_of(Bucket.BANK_CLEARING) == 0
    before = ledger.everything()
    assert ledger.transfers.record_answer(withdrawal_id, REFUSED, now=stories.now) == failed
    assert ledger.everything() == before


@pytest.mark.parametrize("seen_paid", [True, False])
def test_a_return_is_credited_once(ledger: Ledger, stories: Stories, seen_paid: bool) -> None:
    """bank_clearing → available, also where the payment itself was never heard of; a repeat does nothing."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(Status.PROCESSING, account_id)
    if seen_paid:
        stories.answer(withdrawal_id, SUCCEEDED)
    returned = stories.answer(withdrawal_id, RETURNED)
    assert (returned.status, returned.failure_code) == (Status.RETURNED, "returned_by_bank")
    assert ledger.balances(account_id) == _BEFORE
    assert ledger.sum_of(Bucket.BANK_CLEARING) == 0
    assert stories.event_kinds(withdrawal_id)[-2:] == ["paid", "returned"]
    before = ledger.everything()
    assert ledger.transfers.record_answer(withdrawal_id, RETURNED, now=stories.now) == returned
    assert ledger.everything() == before


@pytest.mark.parametrize("end", [Status.PAID, Status.FAILED, Status.RETURNED])
@pytest.mark.parametrize("late", [ACCEPTED, PROCESSING])
def test_an_answer_from_before_the_outcome_is_too_late(
    ledger: Ledger, stories: Stories, end: Status, late: BankAnswer
) -> None:
    """Two queries overtook each other: the older state does not replace the outcome, and nothing is written."""
    withdrawal_id = stories.bring_to(end)
    before = ledger.everything()
    assert ledger.transfers.record_answer(withdrawal_id, late, now=stories.now).status is end
    assert ledger.everything() == before


def test_a_success_told_again_after_the_return_is_too_late(ledger: Ledger, stories: Stories) -> None:
    """A notification that was overtaken by the return does not undo it."""
    withdrawal_id = stories.bring_to(Status.RETURNED)
    before = ledger.everything()
    assert ledger.transfers.record_answer(withdrawal_id, SUCCEEDED, now=stories.now).status is Status.RETURNED
    assert ledger.everything() == before


@pytest.mark.parametrize(
    ("end", "answer"),
    [
        (Status.PAID, REFUSED),
        (Status.FAILED, SUCCEEDED),
        (Status.FAILED, RETURNED),
        (Status.RETURNED, REFUSED),
    ],
)
def test_a_contradiction_is_written_down_and_moves_nothing(
    ledger: Ledger, stories: Stories, end: Status, answer: BankAnswer
) -> None:
    """Finance reads what the bank said against what the money did; repeated, it is written down once."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(end, account_id)
    balances, known = ledger.balances(account_id), _state(ledger)
    for _ in range(3):
        standing = ledger.transfers.record_answer(withdrawal_id, answer, now=stories.now)
        assert standing.status is end
        stories.pass_time(days=1)
    assert (ledger.balances(account_id), _state(ledger)) == (balances, known)
    [event] = [e for e in ledger.reads.events(withdrawal_id) if e.kind == "bank_contradicts"]
    assert event.data["state"] == answer.state


def test_an_answer_to_what_was_never_asked_is_a_bug(ledger: Ledger, stories: Stories) -> None:
    """It moves nothing until a person looked."""
    withdrawal_id = stories.bring_to(Status.PROCESSING)
    before = ledger.everything()
    with pytest.raises(InvariantBroken):
        ledger.transfers.record_answer(withdrawal_id, SUCCEEDED, now=stories.now)
    assert ledger.everything() == before


@pytest.mark.parametrize("answer", [ACCEPTED, SUCCEEDED, REFUSED])
def test_an_answer_of_another_amount_is_a_bug(ledger: Ledger, stories: Stories, answer: BankAnswer) -> None:
    """Whatever the bank says of it, money of another amount is not ours to settle or unfreeze."""
    withdrawal_id = stories.bring_to(Status.PROCESSING)
    ledger.transfers.prepare(withdrawal_id, now=stories.now)
    before = ledger.everything()
    with pytest.raises(InvariantBroken):
        ledger.transfers.record_answer(withdrawal_id, replace(answer, amount_fen=SMALL + 1), now=stories.now)
    assert ledger.everything() == before
    same = replace(answer, amount_fen=SMALL)
    ledger.transfers.record_answer(withdrawal_id, same, now=stories.now)


@pytest.mark.parametrize(
    ("outcome", "status", "failure_code", "balances"),
    [("paid", Status.PAID, None, _PAID), ("failed", Status.FAILED, "found_unpaid", _BEFORE)],
)
def test_finance_settles_or_unfreezes_what_the_bank_wont_tell(
    ledger: Ledger, stories: Stories, outcome: str, status: Status, failure_code: str | None, balances: Balances
) -> None:
    """On its recorded word with evidence; the same word again does nothing, another comes too late."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(Status.UNDER_REVIEW, account_id)
    by = stories.instruction("finance-1", key="resolve-1")
    resolved = ledger.transfers.resolve(withdrawal_id, outcome, "statement", by, now=stories.now)
    assert (resolved.status, resolved.failure_code) == (status, failure_code)
    assert ledger.balances(account_id) == balances
    event = ledger.reads.events(withdrawal_id)[-1]
    assert (event.kind, event.actor, event.data) == ("resolved", "finance-1", {"outcome": outcome})
    before = ledger.everything()
    assert ledger.transfers.resolve(withdrawal_id, outcome, "statement", by, now=stories.now) == resolved
    with pytest.raises(NotPossibleNow):
        stories.resolve(withdrawal_id, outcome, "finance-2")
    assert ledger.everything() == before


@pytest.mark.parametrize(
    ("outcome", "status"), [("paid", Status.PAID), ("failed", Status.FAILED)], ids=["paid", "failed"]
)
def test_above_the_approval_limit_two_people_resolve(
    ledger: Ledger, stories: Stories, outcome: str, status: Status
) -> None:
    """One word moves nothing, the same person's second word is refused, and so is none but a second person's same."""
    withdrawal_id = stories.bring_to(Status.UNDER_REVIEW, amount=LARGE)
    other = "failed" if outcome == "paid" else "paid"
    assert stories.resolve(withdrawal_id, other, "finance-1").status is Status.UNDER_REVIEW
    assert stories.event_kinds(withdrawal_id)[-1] == "resolution_given"
    for again in ("finance-1", CUSTOMER):
        before = ledger.everything()
        with pytest.raises(FourEyesViolated):
            stories.resolve(withdrawal_id, other, again)
        assert ledger.everything() == before
    assert stories.resolve(withdrawal_id, outcome, "finance-2").status is Status.UNDER_REVIEW
    assert stories.resolve(withdrawal_id, outcome, "finance-3").status is status
    assert stories.event_kinds(withdrawal_id)[-1] == "resolved"


@pytest.mark.parametrize("outcome", ["paid", "failed"])
def test_nobody_resolves_their_own_application(ledger: Ledger, stories: Stories, outcome: str) -> None:
    """The applicant is refused, and nothing is written."""
    withdrawal_id = stories.bring_to(Status.UNDER_REVIEW)
    before = ledger.everything()
    with pytest.raises(FourEyesViolated):
        stories.resolve(withdrawal_id, outcome, CUSTOMER)
    assert ledger.everything() == before


@pytest.mark.parametrize(
    ("outcome", "answer", "status"),
    [
        ("paid", SUCCEEDED, Status.PAID),
        ("paid", RETURNED, Status.RETURNED),
        ("paid", REFUSED, Status.PAID),
        ("failed", REFUSED, Status.FAILED),
        ("failed", SUCCEEDED, Status.FAILED),
    ],
)
def test_the_bank_speaks_after_finance(
    ledger: Ledger, stories: Stories, outcome: str, answer: BankAnswer, status: Status
) -> None:
    """It confirms, returns or contradicts; only the return moves money once finance has spoken."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(Status.UNDER_REVIEW, account_id)
    stories.resolve(withdrawal_id, outcome)
    for _ in range(2):
        assert ledger.transfers.record_answer(withdrawal_id, answer, now=stories.now).status is status
    assert ledger.balances(account_id) == (_PAID if status is Status.PAID else _BEFORE)
    contradicts = (outcome, answer.state) in {
        ("paid", TransferState.FAILED),
        ("failed", TransferState.SUCCEEDED),
    }
    assert stories.event_kinds(withdrawal_id).count("bank_contradicts") == contradicts
