"""What may be told to a customer in each state that waits."""

from __future__ import annotations

import pytest

from domain.withdrawal import OPEN, Status
from ledger.cases import Cases
from operations.customers import tell_the_customer
from tests.ledger.stories import Ledger, Stories


def words(ledger: Ledger, stories: Stories, status: Status) -> tuple[str, str]:
    """What is told of a withdrawal in this state."""
    case = Cases(ledger.database).unfinished_one(stories.bring_to(status))
    assert case is not None
    told = tell_the_customer(case)
    assert told is not None
    return told


@pytest.mark.parametrize(
    ("status", "chinese", "english"),
    [
        (Status.AWAITING_VERIFICATION, "验证码", "code"),
        (Status.AWAITING_APPROVAL, "由财务审批；金额已冻结", "the amount is frozen, and it can be cancelled"),
        (Status.PROCESSING, "预计 2026-03-24 至 2026-03-31 到账", "it arrives from 2026-03-24 to 2026-03-31"),
        (Status.UNDER_REVIEW, "金额仍冻结在账户中", "the amount stays frozen in the account"),
    ],
)
def test_every_state_that_waits_has_its_sentence(
    ledger: Ledger, stories: Stories, status: Status, chinese: str, english: str
) -> None:
    """In both languages, with the dates that were promised, and nobody's name."""
    zh, en = words(ledger, stories, status)
    assert chinese in zh
    assert english in en
    assert status in OPEN


def test_what_is_over_has_none(ledger: Ledger, stories: Stories) -> None:
    """Its status says it all."""
    account_id = stories.open_account()
    stories.bring_to(Status.PAID, account_id)
    [paid] = Cases(ledger.database).of_account(account_id, limit=1)
    assert tell_the_customer(paid) is None
