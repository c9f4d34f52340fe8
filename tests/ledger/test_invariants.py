"""Each invariant reports the violation it is there for, planted by a hand that went past every constraint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from domain.withdrawal import Status
from ledger.invariants import MOMENT_INVARIANTS, look_over, violations
from tests.ledger.stories import HUGE, Ledger, Stories


@dataclass(frozen=True)
class Plant:
    """Which statuses are told first, and what the hand then does; other invariants it can't help breaking too."""

    statuses: tuple[Status, ...]
    statements: tuple[str, ...]
    also: tuple[str, ...] = ()


_STORED = "each stored balance is the sum of its postings"
_TWO = "every transaction sums to zero and has two or more postings"
_ALL = "all postings sum to zero"
_AGREE = "status and moves agree"
_FROZEN = "frozen is the sum of the live freezes"
_EVENT = "status and newest event agree"
_TRANSFER = "a transfer exists only with an equal freeze"
_AMOUNT = "a move of a withdrawal is of its amount"
_OUT = "money moved out only on the bank's yes or finance's word"

_PLANTS: dict[str, Plant] = {
    _TWO: Plant(
        (Status.AWAITING_VERIFICATION,),
        (("INSERT INTO transactions (operation_key, kind, account_id, occurred_at) "
         "VALUES ('planted', 'top_up', 'acct_1', now())"),),
    ),
    _ALL: Plant(
        (Status.AWAITING_VERIFICATION,),
        ("UPDATE postings SET amount_fen = amount_fen - 1 WHERE bucket = 'funding'",),
        (_TWO,),
    ),
    _STORED: Plant((Status.PROCESSING,), ("UPDATE balances SET available = available + 1",)),
    "a posting belongs to the account of its transaction": Plant(
        (Status.PROCESSING, Status.PROCESSING),
        ("UPDATE transactions SET account_id = 'acct_1' WHERE account_id <> 'acct_1' AND kind = 'top_up'",),
    ),
    _FROZEN: Plant(
        (Status.PROCESSING,),
        ("UPDATE balances SET frozen = frozen - 1, available = available + 1",
         ("UPDATE postings SET amount_fen = amount_fen - sign(amount_fen) WHERE bucket = 'frozen' "
         "OR bucket = 'available' AND amount_fen < 0")),
        (_AMOUNT, _TRANSFER),
    ),
    "a freeze ends at most once": Plant(
        (Status.PAID,),
        ("DROP INDEX transactions_one_end_of_freeze",
         ("INSERT INTO transactions (operation_key, kind, account_id, withdrawal_id, occurred_at) "
         "SELECT 'planted', 'unfreeze', account_id, id, now() FROM withdrawals"),
         ("INSERT INTO postings SELECT max(id), 1, 'frozen', 'acct_1', -50000 FROM transactions "
         "UNION ALL SELECT max(id), 2, 'available', 'acct_1', 50000 FROM transactions"),
         "ALTER TABLE balances DROP CONSTRAINT balances_frozen_not_negative",
         "UPDATE balances SET frozen = frozen - 50000, available = available + 50000"),
        (_AGREE, _FROZEN, "money the bank was asked for is unfrozen only on its no or finance's word"),
    ),
    _AMOUNT: Plant(
        (Status.PROCESSING,),
        ("UPDATE withdrawals SET amount_fen = amount_fen + 1",),
        (_FROZEN,),
    ),
    _AGREE: Plant(
        (Status.PAID,),
        ("UPDATE withdrawals SET status = 'failed'", "UPDATE withdrawal_events SET status = 'failed'"),
    ),
    _EVENT: Plant(
        (Status.PROCESSING,),
        ("UPDATE withdrawals SET status = 'under_review'",),
    ),
    "at most one withdrawal uses up an account's month": Plant(
        (Status.PAID, Status.PAID),
        ("DROP INDEX withdrawals_once_a_month",
         "UPDATE withdrawals SET account_id = 'acct_1'",
         "UPDATE transactions SET account_id = 'acct_1'",
         "UPDATE postings SET account_id = 'acct_1' WHERE account_id IS NOT NULL",
         ("UPDATE balances SET available = available + CASE account_id WHEN 'acct_1' THEN 1 ELSE -1 END * "
         "(SELECT available FROM balances WHERE account_id <> 'acct_1')")),
    ),
    _TRANSFER: Plant((Status.PAID,), ("UPDATE transfers SET amount_fen = amount_fen + 1",)),
    "nothing is frozen before the phone was verified": Plant(
        (Status.PROCESSING,), ("UPDATE withdrawals SET verified_at = NULL",)
    ),
    "enough other people approved before a transfer": Plant(
        (Status.PAID,), ("UPDATE withdrawals SET approvals_needed = 1",)
    ),
    _OUT: Plant((Status.PAID,), ("UPDATE transfers SET state = 'processing'",)),
    "money the bank was asked for is unfrozen only on its no or finance's word": Plant(
        (Status.FAILED,), ("UPDATE transfers SET state = 'accepted'",)
    ),
    "the audit chain is whole": Plant(
        (Status.PAID,),
        (("INSERT INTO audit_batches VALUES (1, 1, 0, 9, '{}', now(), decode(repeat('00', 32), 'hex'), "
         "decode(repeat('01', 32), 'hex'))"),),
    ),
}  # fmt: skip


def test_every_invariant_has_its_plant() -> None:
    """A new invariant comes with the violation that it is there for."""
    assert set(_PLANTS) == set(MOMENT_INVARIANTS)


@pytest.mark.parametrize("invariant", sorted(_PLANTS))
def test_a_violation_is_reported(own_ledger: Ledger, hand: psycopg.Connection[Any], invariant: str) -> None:
    """Nothing is reported before the hand was there, and afterwards exactly what it broke, with the rows.

    By a look at what changed since before these stories, too: it leaves nothing out of what it is about.
    """
    plant, stories = _PLANTS[invariant], Stories(own_ledger)
    before = look_over(own_ledger.database, None, now=stories.now).mark
    for status in plant.statuses:
        withdrawal_id = stories.bring_to(status)
        if status is Status.PROCESSING:
            own_ledger.transfers.prepare(withdrawal_id, now=stories.now)
    assert violations(own_ledger.database) == []
    for statement in plant.statements:
        hand.execute(statement)
    reported = {violation.invariant: violation.rows for violation in violations(own_ledger.database)}
    assert set(reported) == {invariant, *plant.also}
    assert all(reported.values())
    look = look_over(own_ledger.database, before, now=stories.now)
    assert not look.whole
    assert {violation.invariant for violation in look.violations} == set(reported)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM decisions WHERE approver = 'finance-2'",
        "UPDATE decisions SET approver = applicant WHERE approver = 'finance-2'",
        "UPDATE decisions SET decision = 'reject' WHERE approver = 'finance-2'",
        "UPDATE decisions SET decided_at = decided_at + interval '1 hour' WHERE approver = 'finance-2'",
    ],
)
def test_too_few_good_approvals_are_reported(own_ledger: Ledger, hand: psycopg.Connection[Any], statement: str) -> None:
    """One too few, the applicant's own, a rejection and one that came after the bank was asked do not count."""
    stories = Stories(own_ledger)
    withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL, amount=HUGE)
    stories.decide(withdrawal_id, "finance-1")
    stories.decide(withdrawal_id, "finance-2")
    own_ledger.transfers.prepare(withdrawal_id, now=stories.now)
    assert violations(own_ledger.database) == []
    hand.execute("ALTER TABLE decisions DROP CONSTRAINT decisions_four_eyes")
    hand.execute(statement)
    [violation] = violations(own_ledger.database)
    assert violation.invariant == "enough other people approved before a transfer"


@pytest.mark.parametrize("status", list(Status))
def test_a_status_pushed_by_hand_is_reported(own_ledger: Ledger, hand: psycopg.Connection[Any], status: Status) -> None:
    """Whatever status a hand writes in place of another, the moves of the money or the events give it away."""
    Stories(own_ledger).bring_to(status)
    for other in Status:
        if other is not status:
            hand.execute("UPDATE withdrawals SET status = %s", [other])
            assert _EVENT in {violation.invariant for violation in violations(own_ledger.database)}
    hand.execute("UPDATE withdrawals SET status = %s", [status])
    assert violations(own_ledger.database) == []


def test_a_transfer_without_a_freeze_is_reported(own_ledger: Ledger, hand: psycopg.Connection[Any]) -> None:
    """Also where there is no transaction at all."""
    Stories(own_ledger).bring_to(Status.AWAITING_VERIFICATION)
    hand.execute("""INSERT INTO transfers SELECT id, amount_fen, 'prepared', NULL, NULL, now(), now()
                    FROM withdrawals""")
    [violation] = violations(own_ledger.database)
    assert violation.invariant == _TRANSFER


def test_finances_word_stands_for_the_banks(own_ledger: Ledger) -> None:
    """A resolution lets money move out or back although the bank never told the outcome."""
    stories = Stories(own_ledger)
    for outcome in ("paid", "failed"):
        stories.resolve(stories.bring_to(Status.UNDER_REVIEW), outcome)
    assert violations(own_ledger.database) == []
