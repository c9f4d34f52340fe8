"""Freeze, cancel, decide, remind, review: what each does, and that a repeat does nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.errors import FourEyesViolated, NotPossibleNow
from domain.shanghai import end_of
from domain.withdrawal import Decision, Door, Status
from tests.ledger.stories import ACCEPTED, CUSTOMER, HUGE, LARGE, PLENTY, SMALL, Balances, Ledger, Stories


def test_a_freeze_moves_the_amount_and_the_status_together(ledger: Ledger, stories: Stories) -> None:
    """available → frozen, processing, a window and an event; the same again changes nothing."""
    account_id = stories.open_account()
    withdrawal_id = stories.apply(account_id)
    stories.verify(withdrawal_id)
    frozen = stories.freeze(withdrawal_id)
    assert frozen.status is Status.PROCESSING
    assert frozen.window is not None
    assert ledger.balances(account_id) == Balances(PLENTY - SMALL, SMALL)
    assert stories.event_kinds(withdrawal_id)[-1] == "frozen"
    stories.pass_time(days=1)
    before = ledger.everything()
    assert stories.freeze(withdrawal_id) == frozen
    assert ledger.everything() == before


@pytest.mark.parametrize(("amount", "status"), [(SMALL, Status.PROCESSING), (LARGE, Status.AWAITING_APPROVAL)])
def test_only_a_large_amount_waits_for_approval(stories: Stories, amount: int, status: Status) -> None:
    """The freeze leads on to the bank, or to finance first."""
    withdrawal_id = stories.apply(stories.open_account(), amount)
    stories.verify(withdrawal_id)
    assert stories.freeze(withdrawal_id).status is status


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"verified": False}, "subject_not_verified"),
        ({"suspended": True}, "account_suspended"),
        ({"phone": None}, "phone_missing"),
        ({"subject_name": "李四"}, "bank_account_name_mismatch"),
    ],
)
@pytest.mark.parametrize("at_freeze", [False, True])
def test_a_rule_that_no_longer_holds_fails_it(
    ledger: Ledger, stories: Stories, known: dict[str, object], code: str, at_freeze: bool
) -> None:
    """Before the code is sent and again before the money is frozen; nothing moves, and the month is free again."""
    account_id = stories.open_account()
    withdrawal_id = stories.apply(account_id)
    if at_freeze:
        stories.verify(withdrawal_id)
    stories.register(account_id, **known)
    check = ledger.moves.freeze if at_freeze else ledger.moves.check_eligibility
    failed = check(withdrawal_id, now=stories.now)
    assert (failed.status, failed.failure_code) == (Status.FAILED, code)
    assert ledger.balances(account_id) == Balances(available=PLENTY)
    before = ledger.everything()
    assert check(withdrawal_id, now=stories.now) == failed
    assert ledger.everything() == before
    stories.register(account_id)
    stories.bring_to(Status.PAID, account_id)


def test_a_failed_freeze_tells_every_reason(ledger: Ledger, stories: Stories) -> None:
    """The record keeps all of them in the customer's words, the event their codes and nobody's name."""
    account_id = stories.open_account(cash=SMALL)
    withdrawal_id = stories.apply(account_id)
    stories.verify(withdrawal_id)
    ledger.accounts.charge(account_id, "usage", SMALL + 1, now=stories.now)
    stories.register(account_id, suspended=True)
    stories.freeze(withdrawal_id)
    codes = ["amount_exceeds_withdrawable", "account_suspended", "account_in_arrears"]
    record = ledger.reads.withdrawal(withdrawal_id)
    assert [reason.code for reason in record.failure] == codes
    assert all(reason.message for reason in record.failure)
    assert ledger.reads.events(withdrawal_id)[-1].data == {"codes": codes}


def test_the_rules_are_fine_with_the_withdrawals_own_month(ledger: Ledger, stories: Stories) -> None:
    """Checking an application again does not count the application itself against it."""
    withdrawal_id = stories.apply(stories.open_account())
    before = ledger.everything()
    standing = ledger.moves.check_eligibility(withdrawal_id, now=stories.now)
    assert standing.status is Status.AWAITING_VERIFICATION
    assert ledger.everything() == before


def test_the_rest_is_spent_but_what_is_frozen_suffices(ledger: Ledger, stories: Stories) -> None:
    """A charge that takes all that is left before the freeze makes it fail, after the freeze it does not."""
    first, second = stories.open_account(cash=SMALL), stories.open_account(cash=SMALL)
    early, late = stories.apply(first), stories.apply(second)
    stories.verify(early)
    stories.verify(late)
    ledger.accounts.charge(first, "usage", 1, now=stories.now)
    assert stories.freeze(early).status is Status.FAILED
    assert stories.freeze(late).status is Status.PROCESSING
    ledger.accounts.charge(second, "usage", 1, now=stories.now)
    assert ledger.balances(second) == Balances(-1, SMALL)


@pytest.mark.parametrize("status", [Status.AWAITING_VERIFICATION, Status.AWAITING_APPROVAL])
def test_a_cancel_gives_back_what_was_frozen(ledger: Ledger, stories: Stories, status: Status) -> None:
    """Before the freeze there is nothing to give back; the same cancel again answers the same."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(status, account_id)
    by = stories.instruction(CUSTOMER, key="cancel-1")
    cancelled = ledger.moves.cancel(withdrawal_id, by, now=stories.now)
    assert cancelled.status is Status.CANCELLED
    assert ledger.balances(account_id) == Balances(available=PLENTY)
    event = ledger.reads.events(withdrawal_id)[-1]
    assert (event.kind, event.actor, event.door) == ("cancelled", CUSTOMER, Door.API)
    before = ledger.everything()
    assert ledger.moves.cancel(withdrawal_id, by, now=stories.now) == cancelled
    with pytest.raises(NotPossibleNow) as refused:
        ledger.moves.cancel(withdrawal_id, stories.instruction(), now=stories.now)
    assert refused.value.status == "cancelled"
    assert ledger.everything() == before


def test_a_cancel_between_the_right_code_and_the_freeze_wins(ledger: Ledger, stories: Stories) -> None:
    """Nothing was frozen, so nothing is given back, and the freeze that comes late does nothing."""
    account_id = stories.open_account()
    withdrawal_id = stories.apply(account_id)
    stories.verify(withdrawal_id)
    stories.cancel(withdrawal_id)
    assert stories.freeze(withdrawal_id).status is Status.CANCELLED
    assert ledger.balances(account_id) == Balances(available=PLENTY)


def test_one_approval_lets_a_large_amount_go_on(ledger: Ledger, stories: Stories) -> None:
    """The money stays frozen; who approved and which way it came is on record."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL, account_id)
    by = replace(stories.instruction("finance-1"), door=Door.TEMPORAL)
    approved = ledger.moves.decide(withdrawal_id, Decision.APPROVE, "checked", by, now=stories.now)
    assert (approved.status, approved.approvals_given) == (Status.PROCESSING, 1)
    assert ledger.balances(account_id) == Balances(PLENTY - LARGE, LARGE)
    [given] = ledger.reads.withdrawal(withdrawal_id).approvals_given
    assert (given.approver, given.at) == ("finance-1", stories.now)
    event = ledger.reads.events(withdrawal_id)[-1]
    assert (event.kind, event.actor, event.door, event.data) == ("approved", "finance-1", Door.TEMPORAL, {"given": 1})
    before = ledger.everything()
    assert ledger.moves.decide(withdrawal_id, Decision.APPROVE, "checked", by, now=stories.now) == approved
    assert ledger.everything() == before


def test_two_different_people_let_a_huge_amount_go_on(stories: Stories) -> None:
    """After the first it still waits, the first one's second word is refused, the second person's counts."""
    withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL, amount=HUGE)
    assert stories.decide(withdrawal_id, "finance-1").status is Status.AWAITING_APPROVAL
    before = stories.ledger.everything()
    for word in Decision:
        with pytest.raises(FourEyesViolated):
            stories.decide(withdrawal_id, "finance-1", word)
    assert stories.ledger.everything() == before
    approved = stories.decide(withdrawal_id, "finance-2")
    assert (approved.status, approved.approvals_given) == (Status.PROCESSING, 2)


@pytest.mark.parametrize("word", list(Decision))
def test_nobody_decides_on_their_own_application(stories: Stories, word: Decision) -> None:
    """Neither for it nor against it, and nothing is written."""
    withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL)
    before = stories.ledger.everything()
    with pytest.raises(FourEyesViolated):
        stories.decide(withdrawal_id, CUSTOMER, word)
    assert stories.ledger.everything() == before


@pytest.mark.parametrize("approved_before", [False, True])
def test_one_rejection_gives_the_money_back(ledger: Ledger, stories: Stories, approved_before: bool) -> None:
    """Also after another's approval; the reason is on record."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL, account_id, HUGE)
    if approved_before:
        stories.decide(withdrawal_id, "finance-1")
    rejected = stories.decide(withdrawal_id, "finance-2", Decision.REJECT)
    assert (rejected.status, rejected.failure_code) == (Status.REJECTED, "rejected_by_finance")
    assert ledger.balances(account_id) == Balances(available=PLENTY)
    assert stories.event_kinds(withdrawal_id)[-1] == "rejected"


@pytest.mark.parametrize("status", [Status.AWAITING_APPROVAL, Status.UNDER_REVIEW])
def test_a_reminder_is_noted_once_a_time(stories: Stories, status: Status) -> None:
    """The same reminder tried again is one event; the next day's is another. Nothing else changes."""
    withdrawal_id = stories.bring_to(status)
    standing = stories.ledger.moves.standing(withdrawal_id)
    for _ in range(2):
        for _ in range(2):
            assert stories.ledger.moves.remind_finance(withdrawal_id, now=stories.now) == standing
        stories.pass_time(days=1)
    assert stories.event_kinds(withdrawal_id)[-3:].count("finance_reminded") == 2


def test_a_review_begins_when_the_last_day_is_over(ledger: Ledger, stories: Stories) -> None:
    """Not a microsecond before the end of the Shanghai day; the money stays frozen; a repeat does nothing."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(Status.PROCESSING, account_id)
    window = stories.answer(withdrawal_id, ACCEPTED).window
    assert window is not None
    end = end_of(window.latest)
    early = ledger.moves.put_under_review(withdrawal_id, now=end - timedelta(microseconds=1))
    assert early.status is Status.PROCESSING
    review = ledger.moves.put_under_review(withdrawal_id, now=end)
    assert review.status is Status.UNDER_REVIEW
    assert ledger.balances(account_id) == Balances(PLENTY - SMALL, SMALL)
    before = ledger.everything()
    assert ledger.moves.put_under_review(withdrawal_id, now=end) == review
    assert ledger.everything() == before


def test_every_change_makes_a_later_version(stories: Stories) -> None:
    """Of two standings the later one can be told by its version."""
    withdrawal_id = stories.apply(stories.open_account(), LARGE)
    versions = [stories.ledger.moves.standing(withdrawal_id).version]
    for step in (stories.verify, stories.freeze, stories.decide, stories.let_window_end):
        step(withdrawal_id)
        versions.append(stories.ledger.moves.standing(withdrawal_id).version)
    assert versions == sorted(set(versions))
