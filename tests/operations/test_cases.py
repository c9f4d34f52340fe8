"""Which withdrawals need somebody, by their rows alone."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from domain.shanghai import end_of
from domain.withdrawal import Status
from ledger.cases import BANK_OVERDUE, CODE_OVERDUE, FINANCE_OVERDUE, Cases
from tests.ledger.stories import ACCEPTED, NOW, Ledger, Stories

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
