"""The bank's statement against our book: what differs is a row with an owner, until it is closed."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

import pytest

from domain.errors import NotFound
from domain.shanghai import day_of
from domain.statement import DifferenceKind, EntryKind, StatementEntry
from domain.withdrawal import Status
from ledger.statements import Statements
from tests.ledger.stories import SMALL, Ledger, Stories

LATER = timedelta(days=3)


@pytest.fixture
def statements(ledger: Ledger) -> Statements:
    """On the test's ledger."""
    return Statements(ledger.database)


def entry(reference: UUID | str, kind: EntryKind = EntryKind.PAYMENT, amount: int = SMALL) -> StatementEntry:
    """One line of the bank's."""
    return StatementEntry(f"B-{reference}", str(reference), kind, amount)


def read(statements: Statements, stories: Stories, *entries: StatementEntry, days: int = 3) -> date:
    """The statement of today with these entries, and empty ones after it."""
    today = day_of(stories.now)
    statements.record(today, entries, now=stories.now)
    for later in range(1, days):
        statements.record(today + timedelta(days=later), [], now=stories.now)
    return today


def test_two_books_that_agree_have_no_difference(statements: Statements, stories: Stories) -> None:
    """A payment and a return, each on both sides with the same amount."""
    paid, returned = stories.bring_to(Status.PAID, amount=SMALL), stories.bring_to(Status.RETURNED, amount=SMALL)
    read(statements, stories, entry(paid), entry(returned), entry(returned, EntryKind.RETURN))
    assert statements.match(now=stories.now + LATER) == 0
    assert statements.open_differences() == []


@pytest.mark.parametrize("kind", EntryKind)
def test_what_the_bank_booked_for_nobody_we_know_is_found_at_once(
    statements: Statements, stories: Stories, kind: EntryKind
) -> None:
    """It is nobody's withdrawal, and no patience helps."""
    read(statements, stories, entry("somebody-else", kind, 7_00), days=1)
    assert statements.match(now=stories.now) == 1
    [found] = statements.open_differences()
    assert (found.kind, found.entry_kind, found.ours_fen, found.banks_fen) == (
        DifferenceKind.UNKNOWN_TO_US,
        kind,
        None,
        7_00,
    )
    assert (found.owner, found.found_at) == ("finance", stories.now)


def test_another_amount_is_a_difference(statements: Statements, stories: Stories) -> None:
    """One fen is enough."""
    paid = stories.bring_to(Status.PAID, amount=SMALL)
    read(statements, stories, entry(paid, amount=SMALL - 1))
    statements.match(now=stories.now)
    [found] = statements.open_differences()
    assert (found.kind, found.ours_fen, found.banks_fen) == (DifferenceKind.AMOUNT_DIFFERS, SMALL, SMALL - 1)


@pytest.mark.parametrize(("status", "kind"), [(Status.PROCESSING, EntryKind.PAYMENT), (Status.PAID, EntryKind.RETURN)])
def test_what_the_bank_booked_and_we_did_not_is_a_difference_after_a_day(
    statements: Statements, stories: Stories, status: Status, kind: EntryKind
) -> None:
    """On the day itself the news may still be on its way."""
    withdrawal_id = stories.bring_to(status, amount=SMALL)
    entries = [entry(withdrawal_id)] + ([entry(withdrawal_id, kind)] if kind is EntryKind.RETURN else [])
    read(statements, stories, *entries, days=1)
    assert statements.match(now=stories.now) == 0
    read(statements, stories, days=3)
    assert statements.match(now=stories.now + LATER) == 1
    [found] = statements.open_differences()
    assert (found.kind, found.entry_kind) == (DifferenceKind.NOT_IN_OUR_BOOK, kind)


def test_what_we_settled_and_no_statement_has_is_a_difference_after_a_day(
    statements: Statements, stories: Stories
) -> None:
    """Such as a transfer that finance resolved as paid and the bank never booked."""
    paid = stories.bring_to(Status.PAID, amount=SMALL)
    read(statements, stories, days=1)
    assert statements.match(now=stories.now) == 0
    read(statements, stories, days=3)
    assert statements.match(now=stories.now + LATER) == 1
    [found] = statements.open_differences()
    assert (found.kind, found.client_ref, found.ours_fen, found.banks_fen) == (
        DifferenceKind.NOT_ON_STATEMENT,
        str(paid),
        SMALL,
        None,
    )


def test_a_difference_that_is_gone_closes_by_itself(statements: Statements, stories: Stories) -> None:
    """The entry comes with a later statement; matching again opens nothing twice."""
    paid = stories.bring_to(Status.PAID, amount=SMALL)
    today = read(statements, stories)
    assert statements.match(now=stories.now + LATER) == 1
    assert statements.match(now=stories.now + LATER) == 1
    statements.record(today + timedelta(days=4), [entry(paid)], now=stories.now + LATER)
    assert statements.match(now=stories.now + LATER) == 0
    assert statements.open_differences() == []


def test_a_person_closes_a_difference_with_a_note_and_it_stays_closed(statements: Statements, stories: Stories) -> None:
    """Closed once; a later matching does not open it again."""
    read(statements, stories, entry("somebody-else"), days=1)
    statements.match(now=stories.now)
    [found] = statements.open_differences()
    statements.close(found.id, by="finance-1", note="the bank's own fee, refunded", now=stories.now)
    with pytest.raises(NotFound):
        statements.close(found.id, by="finance-2", note="again", now=stories.now)
    assert statements.match(now=stories.now) == 0


def test_every_day_since_the_last_one_is_read(statements: Statements) -> None:
    """After days of silence none is skipped; the first time it is yesterday alone."""
    yesterday = date(2026, 11, 22)
    assert statements.days_to_read(yesterday) == [yesterday]


def test_days_missed_are_read_later(statements: Statements, stories: Stories) -> None:
    """The last day read is read again only if there is no newer one."""
    today = read(statements, stories, days=1)
    wanted = [today + timedelta(days=day) for day in (1, 2, 3)]
    assert statements.days_to_read(today + LATER) == wanted
