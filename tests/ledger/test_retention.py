"""What nobody needs any more is blanked when its time is over, and everything else goes on as before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain.errors import IdempotencyKeyReused, NotEligible
from domain.withdrawal import FROZEN, OPEN, Standing, Status
from ledger import retention
from ledger.applications import FirstAnswer
from ledger.reads import BLANKED, RecordFilter
from ledger.retention import ANSWERS, CODES, COUNTS, Cleaned, Retention
from tests.ledger.stories import CARD, CUSTOMER, RETURNED, SMALL, Ledger, Stories

CARDS = timedelta(days=180)
NOTHING = Cleaned(0, 0, 0, 0)


@pytest.fixture
def clean(ledger: Ledger, stories: Stories) -> Any:
    """The daily job, at the story's time."""
    return lambda: Retention(ledger.database, CARDS).clean(now=stories.now)


def _row(ledger: Ledger, query: str) -> Any:
    with ledger.database.transaction() as connection:
        return connection.execute(text(query)).mappings().one()


_PERSONAL = "SELECT account_name, card_number, phone FROM withdrawals"


@pytest.mark.parametrize("status", sorted(set(Status) - OPEN))
def test_the_card_goes_when_its_time_is_over(ledger: Ledger, stories: Stories, clean: Any, status: Status) -> None:
    """Not a moment earlier; the record still shows amount, bank, last four and dates."""
    withdrawal_id = stories.bring_to(status)
    before = ledger.reads.withdrawal(withdrawal_id)
    stories.now += CARDS
    clean()
    assert ledger.reads.withdrawal(withdrawal_id) == before
    stories.now += timedelta(seconds=1)
    assert clean().cards == 1
    assert set(_row(ledger, _PERSONAL).values()) == {None}
    assert ledger.reads.withdrawal(withdrawal_id) == replace(before, account_name=BLANKED)
    assert [record.id for record in ledger.reads.withdrawals(RecordFilter(), limit=5)] == [withdrawal_id]
    assert (before.card_last4, before.phone_masked) == ("0018", "138****1234")
    assert clean() == NOTHING


@pytest.mark.parametrize("status", sorted(OPEN))
def test_what_is_not_over_keeps_everything(ledger: Ledger, stories: Stories, clean: Any, status: Status) -> None:
    """However long finance or the bank take: the card is still needed."""
    stories.bring_to(status)
    stories.now += 10 * CARDS
    assert clean().cards == 0
    assert None not in _row(ledger, _PERSONAL).values()


def test_a_payment_that_comes_back_after_its_card_was_blanked_is_credited(
    ledger: Ledger, stories: Stories, clean: Any
) -> None:
    """A return may come a year later; it needs the amount, not the name."""
    account_id = stories.open_account(cash=SMALL)
    withdrawal_id = stories.bring_to(Status.PAID, account_id)
    stories.now += 2 * CARDS
    assert clean().cards == 1
    assert stories.answer(withdrawal_id, RETURNED).status is Status.RETURNED
    assert ledger.balances(account_id).available == SMALL
    assert clean().cards == 0


def test_the_months_and_years_of_blanked_ones_still_count(ledger: Ledger, stories: Stories, clean: Any) -> None:
    """A withdrawal paid this month uses it up, whatever became of its card."""
    account_id = stories.open_account()
    stories.bring_to(Status.PAID, account_id)
    Retention(ledger.database, timedelta(0)).clean(now=stories.now + timedelta(seconds=1))
    assert _row(ledger, _PERSONAL)["card_number"] is None
    with pytest.raises(NotEligible):
        stories.apply(account_id)


@pytest.mark.parametrize("status", sorted(set(Status) - OPEN))
def test_the_codes_mac_goes_with_the_end(ledger: Ledger, stories: Stories, clean: Any, status: Status) -> None:
    """What is over has no code any more."""
    withdrawal_id = stories.apply(stories.open_account())
    stories.send_code(withdrawal_id)
    stories.cancel(withdrawal_id)
    assert clean().codes == 1
    mac, key = _row(ledger, "SELECT code_mac, last_send_key FROM verifications").values()
    assert (mac, key) == (None, None)


@pytest.mark.parametrize("status", sorted(FROZEN))
def test_the_right_code_again_is_answered_for_a_day(
    ledger: Ledger, stories: Stories, clean: Any, status: Status
) -> None:
    """So long the answer may have been lost; afterwards the code is forgotten, although the money is still frozen."""
    withdrawal_id = stories.apply(stories.open_account(), 60_000_00)
    code = stories.send_code(withdrawal_id)
    ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now)
    stories.freeze(withdrawal_id)
    stories.now += CODES
    assert clean().codes == 0
    assert isinstance(
        ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now), Standing
    )
    stories.now += timedelta(hours=1)
    assert clean().codes == 1
    assert ledger.moves.standing(withdrawal_id).status is Status.AWAITING_APPROVAL


def test_an_answer_goes_and_its_key_stays(ledger: Ledger, stories: Stories, clean: Any) -> None:
    """The key still stands for the one withdrawal: it makes no second one, and no other body may use it."""
    account_id = stories.open_account()
    application = stories.application(account_id, SMALL, key="mine")
    applied = ledger.applications.apply(application, now=stories.now)
    assert isinstance(applied, Standing)
    ledger.applications.remember(account_id, "mine", FirstAnswer(201, {"id": str(applied.withdrawal_id)}))
    stories.now += ANSWERS
    assert clean().answers == 0
    assert isinstance(ledger.applications.apply(application, now=stories.now), FirstAnswer)
    stories.now += timedelta(seconds=1)
    assert clean().answers == 1
    assert _row(ledger, "SELECT answer_body FROM idempotency_keys")["answer_body"] is None
    again = ledger.applications.apply(application, now=stories.now)
    assert isinstance(again, Standing)
    assert again.withdrawal_id == applied.withdrawal_id
    with pytest.raises(IdempotencyKeyReused):
        ledger.applications.apply(replace(application, body_digest=b"another"), now=stories.now)
    assert ledger.count("withdrawals") == 1


def test_counts_of_days_that_are_over_are_deleted(ledger: Ledger, stories: Stories, clean: Any) -> None:
    """Today's and yesterday's stay; the MAC of a phone does not lie about for longer."""
    stories.apply(stories.open_account())
    clean()
    assert (ledger.count("daily_uses"), ledger.count("sms_budget") > 0) == (1, True)
    stories.now += COUNTS + timedelta(days=1)
    clean()
    assert (ledger.count("daily_uses"), ledger.count("sms_budget")) == (0, 0)


def test_the_audit_and_the_book_stay(ledger: Ledger, stories: Stories, clean: Any) -> None:
    """Nothing of what is append-only is touched, and every invariant holds (the fixture looks)."""
    for status in Status:
        stories.bring_to(status)
    before = ledger.everything()
    stories.now += 10 * CARDS
    clean()
    after = ledger.everything()
    for table in ("transactions", "postings", "withdrawal_events", "decisions", "resolutions", "balances", "accounts"):
        assert after[table] == before[table]
    assert CARD.card_number not in str(after)


def test_a_clean_up_goes_through_more_than_one_batch_and_waits_for_nobody(
    ledger: Ledger, stories: Stories, clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that somebody works on is left for the next time."""
    monkeypatch.setattr(retention, "BATCH", 2)
    ids = [stories.bring_to(Status.CANCELLED) for _ in range(5)]
    stories.now += CARDS + timedelta(seconds=1)
    with ledger.database.transaction() as busy:
        busy.execute(text("SELECT FROM withdrawals WHERE id = :id FOR UPDATE"), {"id": ids[2]})
        assert clean().cards == 4
    assert clean().cards == 1
