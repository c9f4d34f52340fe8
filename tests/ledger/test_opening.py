"""The rules once more and the first code, in one transaction."""

from __future__ import annotations

from uuid import UUID

import pytest

from domain.errors import CodeExpired, NotFound, NotPossibleNow
from domain.verification import CODE_LIFE
from domain.withdrawal import Standing, Status
from ledger.opening import Opening
from ledger.verifications import CodeToSend
from tests.ledger.stories import CUSTOMER, Ledger, Stories

KEY = "withdrawal-1:first"


@pytest.fixture
def opening(ledger: Ledger) -> Opening:
    """On the test's own ledger."""
    return Opening(ledger.moves, ledger.verifications)


@pytest.fixture
def account_id(stories: Stories) -> str:
    """With plenty of cash."""
    return stories.open_account()


@pytest.fixture
def withdrawal_id(stories: Stories, account_id: str) -> UUID:
    """An application that nobody has looked at yet."""
    return stories.apply(account_id)


def test_the_first_code_is_drawn_and_counted(
    ledger: Ledger, stories: Stories, opening: Opening, withdrawal_id: UUID
) -> None:
    """Its ten minutes begin now, and what the caller is told is what a reader of the rows is told."""
    stories.pass_time(minutes=3)
    issued = opening.check_and_issue_code(withdrawal_id, send_key=KEY, now=stories.now)
    assert isinstance(issued, CodeToSend)
    assert issued.standing == ledger.moves.standing(withdrawal_id)
    assert issued.standing.code_sent
    assert issued.standing.code_expires_at == stories.now + CODE_LIFE
    assert stories.event_kinds(withdrawal_id) == ["applied", "code_sent"]
    assert ledger.verifications.try_code(withdrawal_id, issued.code, of=None, by=CUSTOMER, now=stories.now).verified


def test_an_application_whose_rules_no_longer_hold_fails_and_has_no_code(
    stories: Stories, opening: Opening, account_id: str, withdrawal_id: UUID
) -> None:
    """Billing suspended the account in between."""
    stories.register(account_id, suspended=True)
    standing = opening.check_and_issue_code(withdrawal_id, send_key=KEY, now=stories.now)
    assert isinstance(standing, Standing)
    assert (standing.status, standing.code_sent) == (Status.FAILED, False)
    assert stories.event_kinds(withdrawal_id) == ["applied", "failed"]


def test_a_code_that_was_sent_stays_the_code(
    ledger: Ledger, stories: Stories, opening: Opening, withdrawal_id: UUID
) -> None:
    """A run that was lost and begins again does not replace what the customer may be typing."""
    code = stories.send_code(withdrawal_id)
    before = ledger.everything()
    assert opening.check_and_issue_code(withdrawal_id, send_key=KEY, now=stories.now) == ledger.moves.standing(
        withdrawal_id
    )
    assert ledger.everything() == before
    assert ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now).verified


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.CANCELLED, Status.PAID])
def test_one_that_went_on_only_says_so(ledger: Ledger, stories: Stories, opening: Opening, status: Status) -> None:
    """However late the step comes."""
    withdrawal_id = stories.bring_to(status)
    before = ledger.everything()
    standing = opening.check_and_issue_code(withdrawal_id, send_key=KEY, now=stories.now)
    assert standing == ledger.moves.standing(withdrawal_id)
    assert ledger.everything() == before


def test_after_the_ten_minutes_no_first_code_is_drawn(
    ledger: Ledger, stories: Stories, opening: Opening, withdrawal_id: UUID
) -> None:
    """Refused, and nothing changes."""
    stories.now += CODE_LIFE
    before = ledger.everything()
    with pytest.raises(CodeExpired):
        opening.check_and_issue_code(withdrawal_id, send_key=KEY, now=stories.now)
    assert ledger.everything() == before


def test_a_code_is_tried_for_ones_own_account_alone(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """Another's withdrawal is none, whatever the code; the wrong try is not counted against anybody."""
    code, other = stories.send_code(withdrawal_id), stories.open_account()
    before = ledger.everything()
    for of, tried in ((other, code), (other, "000000"), ("acct_404", code)):
        with pytest.raises(NotFound):
            ledger.verifications.try_code(withdrawal_id, tried, by=CUSTOMER, of=of, now=stories.now)
    assert ledger.everything() == before


def test_a_code_is_tried_for_ones_own_account(
    ledger: Ledger, stories: Stories, account_id: str, withdrawal_id: UUID
) -> None:
    """And one that is over says so."""
    code = stories.send_code(withdrawal_id)
    assert ledger.verifications.try_code(withdrawal_id, code, by=CUSTOMER, of=account_id, now=stories.now).verified
    stories.cancel(withdrawal_id)
    with pytest.raises(NotPossibleNow):
        ledger.verifications.try_code(withdrawal_id, code, by=CUSTOMER, of=account_id, now=stories.now)
