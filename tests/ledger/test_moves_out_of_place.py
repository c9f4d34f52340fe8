"""In every status, every move that does not belong there is refused or does nothing."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from domain.errors import InvariantBroken, NotFound, NotPossibleNow
from domain.withdrawal import FROZEN, Decision, Status
from ledger import book
from tests.ledger.stories import ACCEPTED, SMALL, SUCCEEDED, Ledger, Stories

Move = Callable[[Stories, UUID], object]

_FIRST = frozenset({Status.AWAITING_VERIFICATION})
_ASKED = frozenset({Status.PROCESSING, Status.UNDER_REVIEW})
_DECIDED = frozenset({Status.AWAITING_APPROVAL})

# The move, and the statuses in which it does something.
_QUIET: dict[str, tuple[Move, frozenset[Status]]] = {
    "check_eligibility": (lambda s, w: s.ledger.moves.check_eligibility(w, now=s.now), _FIRST),
    "freeze": (lambda s, w: s.ledger.moves.freeze(w, now=s.now), _FIRST),
    "expire": (lambda s, w: s.ledger.verifications.expire(w, now=s.now), _FIRST),
    "remind_finance": (
        lambda s, w: s.ledger.moves.remind_finance(w, now=s.now),
        _DECIDED | {Status.UNDER_REVIEW},
    ),
    "put_under_review": (
        lambda s, w: s.ledger.moves.put_under_review(w, now=s.now),
        frozenset({Status.PROCESSING}),
    ),
    "prepare": (lambda s, w: s.ledger.transfers.prepare(w, now=s.now), _ASKED),
}
_REFUSED: dict[str, tuple[Move, frozenset[Status]]] = {
    "cancel": (lambda s, w: s.cancel(w), _FIRST | _DECIDED),
    "approve": (lambda s, w: s.decide(w), _DECIDED),
    "reject": (lambda s, w: s.decide(w, decision=Decision.REJECT), _DECIDED),
    "resolve as paid": (lambda s, w: s.resolve(w, "paid"), frozenset({Status.UNDER_REVIEW})),
    "resolve as failed": (lambda s, w: s.resolve(w, "failed"), frozenset({Status.UNDER_REVIEW})),
}


@pytest.mark.parametrize("status", list(Status))
def test_a_move_that_comes_too_early_or_too_late_changes_nothing(
    ledger: Ledger, stories: Stories, status: Status
) -> None:
    """The workflow's own moves answer how the withdrawal stands; people's are refused with its status."""
    withdrawal_id = stories.bring_to(status)
    stories.pass_time(days=60)
    before = ledger.everything()
    for name, (move, statuses) in _QUIET.items():
        if status not in statuses:
            move(stories, withdrawal_id)
            assert ledger.everything() == before, name
    for name, (move, statuses) in _REFUSED.items():
        if status not in statuses:
            with pytest.raises(NotPossibleNow) as refused:
                move(stories, withdrawal_id)
            assert refused.value.status == status, name
            assert ledger.everything() == before, name


@pytest.mark.parametrize("status", sorted(set(Status) - FROZEN - {Status.PAID, Status.RETURNED, Status.FAILED}))
def test_the_bank_has_nothing_to_answer_where_it_was_not_asked(
    ledger: Ledger, stories: Stories, status: Status
) -> None:
    """No order is prepared there, and an answer is a bug that moves nothing."""
    withdrawal_id = stories.bring_to(status)
    before = ledger.everything()
    assert ledger.transfers.prepare(withdrawal_id, now=stories.now) is None
    with pytest.raises(InvariantBroken):
        ledger.transfers.record_answer(withdrawal_id, ACCEPTED, now=stories.now)
    assert ledger.everything() == before


@pytest.mark.parametrize("name", sorted(_QUIET | _REFUSED))
def test_an_unknown_withdrawal_is_not_found(stories: Stories, name: str) -> None:
    """By whichever move it is asked for."""
    move, _ = (_QUIET | _REFUSED)[name]
    with pytest.raises(NotFound):
        move(stories, UUID(int=1))


def test_a_status_does_not_move_on_where_its_money_has_moved_already(own_ledger: Ledger) -> None:
    """A booking that is in the book before its withdrawal says so is somebody's mistake: the move stops there."""
    stories = Stories(own_ledger)
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(Status.PROCESSING, account_id)
    own_ledger.transfers.prepare(withdrawal_id, now=stories.now)
    with own_ledger.database.transaction() as connection:
        book.post(connection, book.settle(account_id, withdrawal_id, SMALL, stories.now))
    before = own_ledger.everything()
    with pytest.raises(InvariantBroken, match=f"{withdrawal_id}:settle is in the book already"):
        own_ledger.transfers.record_answer(withdrawal_id, SUCCEEDED, now=stories.now)
    assert own_ledger.everything() == before
