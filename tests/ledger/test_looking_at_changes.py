"""A look at what changed since the last one: nothing slips between two looks, and what was seen broken stays said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg

from domain.withdrawal import Status
from ledger.invariants import LATE, LedgerMark, Look, Violation, look_over, violations
from ledger.sweeps import Sweeps
from tests.ledger.stories import Ledger, Stories

_TWO = "every transaction sums to zero and has two or more postings"
_STORED = "each stored balance is the sum of its postings"
_EVENT = "status and newest event agree"


def test_a_transaction_under_way_at_one_look_is_in_the_next(own_ledger: Ledger, hand: psycopg.Connection[Any]) -> None:
    """Its id is lower than those of others that the first look saw committed: a mark by id would leave it out."""
    stories = Stories(own_ledger)
    account_id = stories.open_account()
    with hand.transaction():
        hand.execute(
            "INSERT INTO transactions (operation_key, kind, account_id, occurred_at) "
            "VALUES ('lopsided', 'top_up', %s, now())",
            [account_id],
        )
        stories.open_account()  # Draws a later id, and commits first.
        first = look_over(own_ledger.database, None, now=stories.now)
        assert first.violations == []
    second = look_over(own_ledger.database, first.mark, now=stories.now)
    assert ([one.invariant for one in second.violations], second.whole) == ([_TWO], False)


def test_a_look_is_about_the_changes_alone(own_ledger: Ledger, hand: psycopg.Connection[Any]) -> None:
    """A stored balance changed by hand leaves no row behind: the next move of that account shows it, or the whole."""
    stories = Stories(own_ledger)
    mine, other = stories.open_account(), stories.open_account()
    mark = look_over(own_ledger.database, None, now=stories.now + LATE).mark
    hand.execute("UPDATE balances SET available = available + 1 WHERE account_id = %s", [mine])
    stories.apply(other)
    assert look_over(own_ledger.database, mark, now=stories.now).violations == []
    [violation] = violations(own_ledger.database)
    assert (violation.invariant, [row["account_id"] for row in violation.rows]) == (_STORED, [mine])
    stories.ledger.accounts.top_up(mine, "again", 1_00, now=stories.now)
    assert [one.invariant for one in look_over(own_ledger.database, mark, now=stories.now).violations] == [_STORED]


def test_a_status_changed_without_its_event_is_among_the_changes(
    own_ledger: Ledger, hand: psycopg.Connection[Any]
) -> None:
    """Code that forgot the event has at least dated the row, and may commit a while after the date it wrote."""
    stories = Stories(own_ledger)
    stories.bring_to(Status.UNDER_REVIEW)
    stories.pass_time(days=1)
    mark = look_over(own_ledger.database, None, now=stories.now).mark
    late = stories.now - LATE + timedelta(seconds=1)
    hand.execute("UPDATE withdrawals SET status = 'processing', updated_at = %s", [late])
    assert [one.invariant for one in look_over(own_ledger.database, mark, now=stories.now).violations] == [_EVENT]


def test_a_mark_of_another_servers_time_means_the_whole(own_ledger: Ledger, hand: psycopg.Connection[Any]) -> None:
    """Restored without its transaction numbers, the server is behind the mark: nothing would look changed."""
    stories = Stories(own_ledger)
    stories.open_account()
    hand.execute("UPDATE balances SET available = available + 1")
    look = look_over(own_ledger.database, LedgerMark(2**40, stories.now), now=stories.now)
    assert ([one.invariant for one in look.violations], look.whole) == ([_STORED], True)


def test_what_was_seen_broken_stays_said_until_the_whole_holds(ledger: Ledger, stories: Stories) -> None:
    """It is not among the next minute's changes: the whole is looked at until it holds again."""
    sweeps, mark = Sweeps(ledger.database), LedgerMark(7, stories.now)
    assert sweeps.ledger_mark() is None
    sweeps.note_invariants(Look([], mark, whole=True), now=stories.now)
    assert sweeps.ledger_mark() == mark
    sweeps.note_invariants(Look([Violation(_STORED, ({},))], mark, whole=False), now=stories.now)
    assert (sweeps.ledger_mark(), ledger.reads.oversight().broken_invariants) == (None, 1)
    # A look that began before the other one ended, and saw nothing.
    sweeps.note_invariants(Look([], mark, whole=False), now=stories.now)
    assert (sweeps.ledger_mark(), ledger.reads.oversight().broken_invariants) == (None, 1)
    sweeps.note_invariants(Look([], mark, whole=True), now=stories.now)
    assert (sweeps.ledger_mark(), ledger.reads.oversight().broken_invariants) == (mark, 0)
