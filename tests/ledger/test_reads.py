"""What the API shows: the account, the record page by page, the events."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from itertools import pairwise
from threading import Event
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import NotFound
from domain.withdrawal import OPEN, Door, Status
from ledger.reads import Place, RecordFilter, WithdrawalRecord
from tests.ledger.stories import CARD, CUSTOMER, HUGE, LARGE, NOW, SMALL, Ledger, Stories


def test_an_account_is_seen_whole(ledger: Ledger, stories: Stories) -> None:
    """Cash includes what is frozen, and withdrawable is what the reserve leaves of the rest."""
    account_id = stories.open_account(cash=1_000_00, vouchers=70_00, pay_as_you_use=True)
    view = ledger.reads.account(account_id, now=stories.now)
    assert (view.account_id, view.cash_balance, view.voucher_balance) == (account_id, 1_000_00, 70_00)
    assert (view.frozen, view.reserved, view.withdrawable) == (0, 200_00, 800_00)
    assert (list(view.blockers), view.next_eligible_on) == ([], None)
    stories.bring_to(Status.PROCESSING, account_id, 300_00)
    view = ledger.reads.account(account_id, now=stories.now)
    assert (view.cash_balance, view.frozen, view.withdrawable) == (1_000_00, 300_00, 500_00)


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"verified": False}, "subject_not_verified"),
        ({"suspended": True}, "account_suspended"),
        ({"phone": None}, "phone_missing"),
    ],
)
def test_an_account_shows_what_stands_in_the_way(stories: Stories, known: dict[str, object], code: str) -> None:
    """Before anything is applied for."""
    account_id = stories.open_account(**known)  # type: ignore[arg-type]
    view = stories.ledger.reads.account(account_id, now=stories.now)
    assert [blocker.code for blocker in view.blockers] == [code]


def test_an_account_in_arrears_shows_it(stories: Stories) -> None:
    """Nothing can be withdrawn, and the cash is below zero."""
    account_id = stories.open_account(cash=0)
    stories.ledger.accounts.charge(account_id, "usage", 5_00, now=stories.now)
    view = stories.ledger.reads.account(account_id, now=stories.now)
    assert (view.cash_balance, view.withdrawable) == (-5_00, 0)
    assert [blocker.code for blocker in view.blockers] == ["account_in_arrears"]


@pytest.mark.parametrize("status", list(Status))
def test_an_account_shows_whether_it_may_apply(stories: Stories, status: Status) -> None:
    """Blockers are empty exactly if an application of the withdrawable amount goes through."""
    account_id = stories.open_account()
    started = stories.now
    stories.bring_to(status, account_id)
    stories.now = started + timedelta(hours=1)
    view = stories.ledger.reads.account(account_id, now=stories.now)
    codes = [blocker.code for blocker in view.blockers]
    if status in OPEN:
        assert codes == ["withdrawal_in_progress", "already_withdrawn_this_month"]
    elif status is Status.PAID:
        assert codes == ["already_withdrawn_this_month"]
    else:
        assert codes == []
        stories.apply(account_id, view.withdrawable)
    assert view.next_eligible_on == (date(2026, 4, 1) if codes else None)


def test_what_is_not_there_is_not_found(ledger: Ledger, stories: Stories) -> None:
    """An account or a withdrawal nobody knows; and a record of nobody is empty."""
    with pytest.raises(NotFound):
        ledger.reads.account("acct_nobody", now=stories.now)
    with pytest.raises(NotFound):
        ledger.reads.withdrawal(UUID(int=1))
    assert ledger.reads.withdrawals(RecordFilter(account_id="acct_nobody"), limit=10) == []
    assert ledger.reads.events(UUID(int=1)) == []


def test_one_record_has_all_details(ledger: Ledger, stories: Stories) -> None:
    """What was applied for, where to, how it stands, who approved, and nothing in its repr of the person."""
    account_id = stories.open_account()
    withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL, account_id, HUGE)
    stories.pass_time(hours=1)
    stories.decide(withdrawal_id, "finance-2")
    stories.pass_time(hours=1)
    stories.decide(withdrawal_id, "finance-1")
    record = ledger.reads.withdrawal(withdrawal_id)
    assert (record.id, record.account_id, record.applicant) == (withdrawal_id, account_id, CUSTOMER)
    assert (record.amount_fen, record.status) == (HUGE, Status.PROCESSING)
    assert (record.account_name, record.bank_name, record.branch_name, record.card_last4) == (
        CARD.account_name, CARD.bank_name, CARD.branch_name, "0018",
    )  # fmt: skip
    assert (record.phone_masked, record.code_expires_at) == ("138****1234", NOW + timedelta(minutes=10))
    given = [(approval.approver, approval.at) for approval in record.approvals_given]
    assert given == [("finance-2", NOW + timedelta(hours=1)), ("finance-1", NOW + timedelta(hours=2))]
    assert (record.created_at, record.updated_at) == (NOW, NOW + timedelta(hours=2))
    assert record.window is not None
    assert list(record.failure) == []
    assert CARD.account_name not in repr(record)


def test_a_rejection_is_no_approval(ledger: Ledger, stories: Stories) -> None:
    """Who rejected is not among those who approved."""
    withdrawal_id = stories.bring_to(Status.REJECTED)
    assert list(ledger.reads.withdrawal(withdrawal_id).approvals_given) == []


def test_events_tell_the_whole_story(ledger: Ledger, stories: Stories) -> None:
    """In order, with the status each led to, by whom and through which door; no personal data in any."""
    withdrawal_id = stories.apply(stories.open_account(), LARGE)
    stories.verify(withdrawal_id)
    stories.freeze(withdrawal_id)
    stories.decide(withdrawal_id, "finance-1")
    stories.let_window_end(withdrawal_id)
    stories.resolve(withdrawal_id, "paid", "finance-2")
    stories.resolve(withdrawal_id, "paid", "finance-3")
    events = ledger.reads.events(withdrawal_id)
    assert [(e.kind, e.status.value, e.actor, e.door) for e in events] == [
        ("applied", "awaiting_verification", CUSTOMER, Door.API),
        ("code_sent", "awaiting_verification", "system", Door.WORKFLOW),
        ("verified", "awaiting_verification", CUSTOMER, Door.API),
        ("frozen", "awaiting_approval", "system", Door.WORKFLOW),
        ("approved", "processing", "finance-1", Door.API),
        ("bank_asked", "processing", "system", Door.WORKFLOW),
        ("bank_accepted", "processing", "bank", Door.BANK),
        ("under_review", "under_review", "system", Door.WORKFLOW),
        ("resolution_given", "under_review", "finance-2", Door.API),
        ("resolved", "paid", "finance-3", Door.API),
    ]
    assert all(one.at <= next_one.at for one, next_one in pairwise(events))
    for secret in ("张三", "13812341234", CARD.card_number):
        assert secret not in str(events)


def test_the_record_is_filtered(ledger: Ledger, stories: Stories) -> None:
    """By account, by status and by time of application: since is included, until is not."""
    one, other = stories.open_account(), stories.open_account()
    first = stories.bring_to(Status.CANCELLED, one)
    stories.pass_time(hours=1)
    second = stories.bring_to(Status.PAID, one)
    third = stories.bring_to(Status.PAID, other)

    def ids(wanted: RecordFilter) -> set[UUID]:
        return {record.id for record in ledger.reads.withdrawals(wanted, limit=100)}

    assert ids(RecordFilter()) == {first, second, third}
    assert ids(RecordFilter(account_id=one)) == {first, second}
    assert ids(RecordFilter(status=Status.PAID)) == {second, third}
    assert ids(RecordFilter(account_id=one, status=Status.PAID)) == {second}
    assert ids(RecordFilter(created_since=stories.now)) == {second, third}
    assert ids(RecordFilter(created_until=stories.now)) == {first}
    assert ids(RecordFilter(created_since=NOW, created_until=stories.now, status=Status.PAID)) == set()


def _pages(ledger: Ledger, wanted: RecordFilter, limit: int) -> list[list[WithdrawalRecord]]:
    pages, after = [], None
    while page := ledger.reads.withdrawals(wanted, limit=limit, after=after):
        pages.append(page)
        after = Place(page[-1].created_at, page[-1].id)
    return pages


@settings(max_examples=15)
@given(seconds=st.lists(st.integers(0, 3), min_size=1, max_size=12), limit=st.integers(1, 5))
def test_pages_neither_skip_nor_repeat(ledger: Ledger, stories: Stories, seconds: list[int], limit: int) -> None:
    """Whatever the page size and however many have the same moment, the pages together are the whole, in order."""
    account_id = stories.open_account()
    for pause in seconds:
        stories.pass_time(seconds=pause)
        stories.bring_to(Status.CANCELLED, account_id)
    pages = _pages(ledger, RecordFilter(account_id=account_id), limit)
    assert all(len(page) == limit for page in pages[:-1])
    places = [(record.created_at, record.id) for page in pages for record in page]
    assert len(places) == len(seconds) == len(set(places))
    assert places == sorted(places, reverse=True)


def test_pages_are_steady_while_others_apply(ledger: Ledger, stories: Stories) -> None:
    """Applications that come in between two pages neither push one onto the next page again nor hide one."""
    there = {stories.bring_to(Status.CANCELLED) for _ in range(12)}
    started, enough = Event(), Event()

    def apply_all_the_time() -> None:
        others = Stories(ledger, now=stories.now, _numbers=stories._numbers)
        while not enough.is_set():
            others.pass_time(milliseconds=1)
            others.bring_to(Status.CANCELLED)
            started.set()

    with ThreadPoolExecutor(1) as threads:
        applying = threads.submit(apply_all_the_time)
        try:
            assert started.wait(10)
            for limit in (1, 2, 5):
                seen = [record.id for page in _pages(ledger, RecordFilter(), limit) for record in page]
                assert len(seen) == len(set(seen))
                assert there <= set(seen)
        finally:
            enough.set()
        applying.result()


def test_what_waits_is_told_by_open_status(ledger: Ledger, stories: Stories) -> None:
    """How many, how much money and for how long: what is over does not count."""
    at = stories.now
    assert ledger.reads.waiting(now=at) == {}
    for status in Status:
        stories.bring_to(status)
    stories.bring_to(Status.PROCESSING, amount=700_00)
    waiting = ledger.reads.waiting(now=at)
    assert {status: (there.count, there.fen) for status, there in waiting.items()} == {
        "awaiting_verification": (1, SMALL),
        "awaiting_approval": (1, LARGE),
        "processing": (2, SMALL + 700_00),
        "under_review": (1, SMALL),
    }
    assert {status: there.approvals_missing for status, there in waiting.items() if there.approvals_missing} == {
        "awaiting_approval": 1
    }
    since = waiting["processing"].since
    assert ledger.reads.waiting(now=since)["processing"].older == {"1h": 0, "1d": 0, "7d": 0, "35d": 0}
    a_week_after = ledger.reads.waiting(now=since + timedelta(days=7, seconds=1))["processing"]
    assert (a_week_after.older["7d"], a_week_after.older["35d"]) == (1, 0)
    assert ledger.reads.waiting(now=since + timedelta(days=60))["processing"].older["35d"] == 2
