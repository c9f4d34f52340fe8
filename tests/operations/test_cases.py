"""Which withdrawals need somebody, by their rows alone."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from domain.shanghai import end_of
from domain.withdrawal import Status
from ledger.cases import BANK_OVERDUE, CODE_OVERDUE, FINANCE_OVERDUE, Cases
from tests.ledger.stories import ACCEPTED, HUGE, LARGE, NOW, SMALL, Ledger, Stories

MOMENT = timedelta(seconds=1)


def trouble(ledger: Ledger, withdrawal_id: UUID, *, after: timedelta) -> str | None:
    """What a look that long after the story began would find."""
    [case] = [one for one in Cases(ledger.database).unfinished() if one.id == withdrawal_id]
    return case.trouble(now=NOW + after)


def test_a_code_that_is_over_and_an_application_that_is_not(ledger: Ledger, stories: Stories) -> None:
    """The run should have expired it."""
    withdrawal_id = stories.bring_to(Status.AWAITING_VERIFICATION)
    over = timedelta(minutes=10) + CODE_OVERDUE
    assert trouble(ledger, withdrawal_id, after=over) is None
    found = trouble(ledger, withdrawal_id, after=over + MOMENT)
    assert found == "the code is over, and the application is not expired yet"


def test_a_right_code_without_a_freeze(ledger: Ledger, stories: Stories) -> None:
    """The run should have frozen the amount at once."""
    withdrawal_id = stories.apply(stories.open_account())
    stories.verify(withdrawal_id)
    assert trouble(ledger, withdrawal_id, after=CODE_OVERDUE) is None
    found = trouble(ledger, withdrawal_id, after=CODE_OVERDUE + MOMENT)
    assert found == "the code was right, and nothing is frozen yet"


def test_finance_that_does_not_decide_for_a_day(ledger: Ledger, stories: Stories) -> None:
    """Before that it is none of the operators' business."""
    withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL)
    assert trouble(ledger, withdrawal_id, after=FINANCE_OVERDUE) is None
    assert trouble(ledger, withdrawal_id, after=FINANCE_OVERDUE + MOMENT) == "finance has not decided"


def test_a_bank_that_was_not_asked_or_did_not_answer_or_let_the_window_end(ledger: Ledger, stories: Stories) -> None:
    """Three different troubles in one status."""
    withdrawal_id = stories.bring_to(Status.PROCESSING)
    assert trouble(ledger, withdrawal_id, after=BANK_OVERDUE) is None
    assert trouble(ledger, withdrawal_id, after=BANK_OVERDUE + MOMENT) == "the bank was not asked yet"
    ledger.transfers.prepare(withdrawal_id, now=NOW)
    found = trouble(ledger, withdrawal_id, after=BANK_OVERDUE + MOMENT)
    assert found == "the bank was asked, and its answer is not known"
    standing = ledger.transfers.record_answer(withdrawal_id, ACCEPTED, now=NOW)
    assert standing.window is not None
    until_the_end = end_of(standing.window.latest) - NOW + BANK_OVERDUE
    assert trouble(ledger, withdrawal_id, after=until_the_end) is None
    found = trouble(ledger, withdrawal_id, after=until_the_end + MOMENT)
    assert found == "the window is over, and finance was not asked yet"


def test_what_is_under_review_always_needs_somebody_and_what_is_over_never(ledger: Ledger, stories: Stories) -> None:
    """A final withdrawal is not even listed."""
    reviewed, paid = stories.bring_to(Status.UNDER_REVIEW), stories.bring_to(Status.PAID)
    listed = {one.id: one.trouble(now=stories.now) for one in Cases(ledger.database).unfinished()}
    assert listed == {reviewed: "finance has to find out what became of the transfer"}
    assert paid not in listed


def waits_for(ledger: Ledger, withdrawal_id: UUID) -> str:
    """What the operators read of it."""
    case = Cases(ledger.database).unfinished_one(withdrawal_id)
    assert case is not None
    return case.waits_for()


def test_the_customers_code_and_its_end_are_waited_for_once_the_gateway_took_it(
    ledger: Ledger, stories: Stories
) -> None:
    """In Shanghai's time: the story begins at ten o'clock there."""
    withdrawal_id = stories.apply(stories.open_account())
    found = waits_for(ledger, withdrawal_id)
    assert found == "the SMS gateway, which has not taken the code yet, until 2026-03-10 10:10:00"
    stories.send_code(withdrawal_id)
    assert waits_for(ledger, withdrawal_id) == "the customer's code, until 2026-03-10 10:10:00"


def test_after_the_right_code_the_freeze_is_waited_for(ledger: Ledger, stories: Stories) -> None:
    """Nobody outside has to do anything."""
    withdrawal_id = stories.apply(stories.open_account())
    stories.verify(withdrawal_id)
    assert waits_for(ledger, withdrawal_id) == "the amount to be frozen: the code was right"


def test_finance_is_waited_for_by_the_number_of_its_people(ledger: Ledger, stories: Stories) -> None:
    """Of two, first both and then one are missing."""
    withdrawal_id = stories.apply(stories.open_account(cash=2 * HUGE), HUGE)
    stories.verify(withdrawal_id)
    stories.freeze(withdrawal_id)
    assert waits_for(ledger, withdrawal_id) == "finance, 2 of 2 approvals missing; no deadline"
    stories.decide(withdrawal_id, "finance-1")
    assert waits_for(ledger, withdrawal_id) == "finance, 1 of 2 approvals missing; no deadline"


def test_the_bank_is_waited_for_until_the_end_of_the_window(ledger: Ledger, stories: Stories) -> None:
    """To be asked, to take the transfer, and to say what became of it."""
    withdrawal_id = stories.bring_to(Status.PROCESSING)
    window = ledger.moves.standing(withdrawal_id).window
    assert window is not None
    until = f"until the end of {window.latest}"
    assert waits_for(ledger, withdrawal_id) == f"a worker to ask the bank, {until}"
    ledger.transfers.prepare(withdrawal_id, now=NOW)
    assert waits_for(ledger, withdrawal_id) == f"the bank to answer that it has the transfer, {until}"
    ledger.transfers.record_answer(withdrawal_id, ACCEPTED, now=NOW)
    assert waits_for(ledger, withdrawal_id) == f"the bank, {until}"


@pytest.mark.parametrize(
    ("amount", "people"),
    [(SMALL, ""), (LARGE, "; two people have to say the same")],
)
def test_under_review_finance_is_waited_for_without_a_deadline(
    ledger: Ledger, stories: Stories, amount: int, people: str
) -> None:
    """Above the approval limit two people have to find out the same."""
    withdrawal_id = stories.bring_to(Status.UNDER_REVIEW, amount=amount)
    found = waits_for(ledger, withdrawal_id)
    assert found == f"finance to find out what became of the transfer{people}; no deadline"


def test_what_is_over_is_none_of_the_unfinished(ledger: Ledger, stories: Stories) -> None:
    """Nor is what never was."""
    cases = Cases(ledger.database)
    assert cases.unfinished_one(stories.bring_to(Status.PAID)) is None
    assert cases.unfinished_one(UUID(int=0)) is None


@pytest.mark.parametrize("page", [1, 2, 3])
def test_every_page_of_the_unfinished_is_read(ledger: Ledger, stories: Stories, page: int) -> None:
    """None is left out at a page's end, and none comes twice."""
    ids = {stories.bring_to(Status.PROCESSING) for _ in range(3)}
    found = [one.id for one in Cases(ledger.database, page=page).unfinished()]
    assert sorted(found) == sorted(ids)


def test_a_case_is_everything_on_record_and_names_nobody(ledger: Ledger, stories: Stories) -> None:
    """Whoever applied is ``customer``."""
    case = Cases(ledger.database).case(stories.bring_to(Status.RETURNED))
    assert list(case.moves) == ["freeze", "settle", "return"]
    assert {event.by for event in case.events} == {"customer", "system", "bank"}
    assert case.messages_waiting == len([one for one in case.events if one.kind != "bank_asked"])
    assert "张三" not in repr(case)
