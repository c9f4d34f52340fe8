"""What PostgreSQL itself refuses, whoever asks: the application's code is not needed to keep the book right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from domain.withdrawal import OPEN, USES_MONTH, Status, Verb
from ledger.audit_chain import AuditChain
from ledger.audit_tables import APPEND_ONLY, metadata
from ledger.database import Database
from ledger.instructions import Instructions
from ledger.key_events import KeyEvents
from ledger.tables import FORGETTABLE
from tests import databases
from tests.ledger.stories import HUGE, LARGE, Ledger, Stories

Execute = Callable[..., None]


def _executing(database: Database) -> Execute:
    def execute(statement: str, **values: Any) -> None:
        with database.transaction() as connection:
            connection.execute(text(statement), values)

    return execute


@pytest.fixture
def as_app(ledger: Ledger) -> Execute:
    """One statement of the application's role."""
    return _executing(ledger.database)


@pytest.fixture
def as_owner(database: databases.Database) -> Iterator[Execute]:
    """One statement of the role that owns the schema, on a database with one row in every append-only table."""
    with closing(Database.connect(database.app_url)) as app, closing(Database.connect(database.owner_url)) as owner:
        stories = Stories(Ledger.on(app))
        withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL)
        stories.decide(withdrawal_id)
        stories.let_window_end(withdrawal_id)
        stories.resolve(withdrawal_id, "paid")
        KeyEvents(app).record("taken_up", "k1", by="test", now=stories.now)
        assert AuditChain(app).seal(now=stories.now) is not None
        Instructions(app).record(withdrawal_id, Verb.CANCEL, "customer", now=stories.now)
        yield _executing(owner)


@pytest.mark.parametrize("table", [table.name for table in APPEND_ONLY])
@pytest.mark.parametrize(
    "change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}", "TRUNCATE {0} CASCADE"]
)
def test_the_application_has_no_right_to_change_the_past(as_app: Execute, table: str, change: str) -> None:
    """UPDATE, DELETE and TRUNCATE of an append-only table are not granted, whether there are rows or not."""
    column = metadata.tables[table].columns.keys()[-1]
    with pytest.raises(ProgrammingError, match="permission denied"):
        as_app(change.format(table, column))


@pytest.mark.parametrize("table", sorted(set(metadata.tables) - {table.name for table in FORGETTABLE}))
def test_the_application_deletes_nothing(as_app: Execute, table: str) -> None:
    """Nothing but what proves nothing: counts of days that are over, notifications that were seen."""
    with pytest.raises(ProgrammingError, match="permission denied"):
        as_app(f"DELETE FROM {table}")


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_the_application_takes_nothing_down(as_app: Execute, table: str) -> None:
    """It does not empty a table or take a trigger or a constraint away."""
    for statement in (
        f"TRUNCATE {table} CASCADE",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
        f"DROP TABLE {table} CASCADE",
        "SET session_replication_role = replica",
    ):
        with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
            as_app(statement)


def test_not_even_the_owner_changes_the_past(as_owner: Execute) -> None:
    """Triggers stand in the way of UPDATE, DELETE and TRUNCATE of every append-only table."""
    for table in APPEND_ONLY:
        column = table.columns.keys()[-1]
        for statement in (
            f"UPDATE {table.name} SET {column} = {column}",
            f"DELETE FROM {table.name}",
            f"TRUNCATE {table.name} CASCADE",
        ):
            with pytest.raises(IntegrityError, match="append-only"):
                as_owner(statement)


def _transaction(as_app: Execute, account_id: str, *postings: tuple[str, int]) -> None:
    lines = ", ".join(
        f"({line}, '{bucket}', {'NULL' if bucket == 'funding' else ':account'}, {fen})"
        for line, (bucket, fen) in enumerate(postings)
    )
    as_app(
        f"""WITH booked AS (
                INSERT INTO transactions (operation_key, kind, account_id, occurred_at)
                VALUES (:key, 'top_up', :account, now()) RETURNING id)
            INSERT INTO postings (line, bucket, account_id, amount_fen, transaction_id)
            SELECT line, bucket, account_id, fen, booked.id
            FROM booked, (VALUES {lines}) AS v (line, bucket, account_id, fen)""",
        key=f"planted-{uuid4()}",
        account=account_id,
    )


@pytest.mark.parametrize(
    "postings",
    [
        [("available", 100)],
        [("available", 100), ("funding", -99)],
        [("available", 100), ("funding", 100)],
        [("available", 0), ("funding", 0)],
        [("available", 100), ("funding", -100), ("vouchers", 1)],
        [("nowhere", 100), ("funding", -100)],
    ],
)
def test_postings_that_do_not_balance_are_refused(
    ledger: Ledger, stories: Stories, as_app: Execute, postings: list[tuple[str, int]]
) -> None:
    """One line alone, a sum that is not zero, a line of nothing, an unknown bucket: nothing is booked."""
    account_id = stories.open_account(cash=0)
    with pytest.raises(IntegrityError):
        _transaction(as_app, account_id, *postings)
    assert ledger.count("transactions") == 0


def test_a_customers_bucket_names_its_customer(ledger: Ledger, stories: Stories, as_app: Execute) -> None:
    """And ours name nobody."""
    stories.open_account()
    for bucket, account_id in (("available", "NULL"), ("frozen", "NULL"), ("funding", "'acct_1'")):
        with pytest.raises(IntegrityError, match="customer_bucket"):
            as_app(
                f"""INSERT INTO postings SELECT id, 7, '{bucket}', {account_id}, 1 FROM transactions
                    UNION ALL SELECT id, 8, 'revenue', NULL, -1 FROM transactions"""
            )


@pytest.mark.parametrize("bucket", ["frozen", "vouchers"])
def test_frozen_and_vouchers_never_go_below_zero(stories: Stories, as_app: Execute, bucket: str) -> None:
    """Only available may: that is arrears."""
    stories.open_account()
    with pytest.raises(IntegrityError, match="not_negative"):
        as_app(f"UPDATE balances SET {bucket} = -1")


@pytest.mark.parametrize("status", sorted(OPEN))
def test_two_open_applications_of_an_account_are_refused(stories: Stories, as_app: Execute, status: Status) -> None:
    """By an index, in whatever month and status the second one is."""
    account_id = stories.open_account()
    stories.bring_to(Status.CANCELLED, account_id)
    stories.bring_to(Status.AWAITING_VERIFICATION, account_id)
    with pytest.raises(IntegrityError, match="withdrawals_one_open"):
        as_app(
            "UPDATE withdrawals SET status = :status, month = '2030-01-01' WHERE status = 'cancelled'",
            status=str(status),
        )


@pytest.mark.parametrize("status", sorted(USES_MONTH))
def test_two_withdrawals_in_a_month_are_refused(stories: Stories, as_app: Execute, status: Status) -> None:
    """By an index over the statuses that use the month up."""
    account_id = stories.open_account()
    stories.bring_to(Status.CANCELLED, account_id)
    stories.bring_to(Status.PAID, account_id)
    with pytest.raises(IntegrityError, match="withdrawals_once_a_month"):
        as_app("UPDATE withdrawals SET status = :status WHERE status = 'cancelled'", status=str(status))


def test_a_month_is_its_first_day(stories: Stories, as_app: Execute) -> None:
    """A second way to write the same month would get around the index."""
    stories.bring_to(Status.PAID)
    with pytest.raises(IntegrityError, match="month_first_day"):
        as_app("UPDATE withdrawals SET month = '2026-03-02'")


_DECISION = """INSERT INTO decisions (withdrawal_id, approver, applicant, decision, note, door, decided_at)
               SELECT id, :approver, {applicant}, 'approve', '', 'api', now() FROM withdrawals"""
_RESOLUTION = """INSERT INTO resolutions (withdrawal_id, resolver, applicant, outcome, evidence, door, resolved_at)
                 SELECT id, :approver, {applicant}, 'paid', '', 'api', now() FROM withdrawals"""


@pytest.mark.parametrize("word", [_DECISION, _RESOLUTION])
def test_four_eyes_is_a_constraint(stories: Stories, as_app: Execute, word: str) -> None:
    """The applicant's own word, a word under a made-up applicant, and a second word are all refused."""
    status = Status.AWAITING_APPROVAL if word is _DECISION else Status.UNDER_REVIEW
    withdrawal_id = stories.bring_to(status, amount=HUGE if word is _DECISION else LARGE // 2)
    if word is _DECISION:
        stories.decide(withdrawal_id, "finance-1")
    with pytest.raises(IntegrityError, match="four_eyes"):
        as_app(word.format(applicant="applicant"), approver="customer-1")
    with pytest.raises(IntegrityError, match="fkey"):
        as_app(word.format(applicant="'somebody else'"), approver="customer-1")
    if word is _DECISION:
        with pytest.raises(IntegrityError, match="decisions_pkey"):
            as_app(word.format(applicant="applicant"), approver="finance-1")


_MOVE = """INSERT INTO transactions (operation_key, kind, account_id, withdrawal_id, occurred_at)
           SELECT 'planted', :kind, account_id, id, now() FROM withdrawals"""


@pytest.mark.parametrize(
    ("status", "kind", "index"),
    [
        (Status.PROCESSING, "freeze", "one_freeze"),
        (Status.PAID, "unfreeze", "one_end_of_freeze"),
        (Status.PAID, "settle", "one_end_of_freeze"),
        (Status.FAILED, "settle", "one_end_of_freeze"),
        (Status.FAILED, "unfreeze", "one_end_of_freeze"),
        (Status.RETURNED, "return", "one_return"),
    ],
)
def test_a_freeze_begins_and_ends_once(
    stories: Stories, as_app: Execute, status: Status, kind: str, index: str
) -> None:
    """Frozen once, unfrozen or settled once and never both, returned once: by index, under any operation key."""
    stories.bring_to(status)
    with pytest.raises(IntegrityError, match=index):
        as_app(_MOVE, kind=kind)


def test_a_move_of_a_withdrawal_names_it(stories: Stories, as_app: Execute) -> None:
    """A freeze of no withdrawal, or a top-up of one, would be seen by no index."""
    stories.bring_to(Status.AWAITING_VERIFICATION)
    with pytest.raises(IntegrityError, match="transactions_withdrawal"):
        as_app(_MOVE, kind="top_up")
    with pytest.raises(IntegrityError, match="transactions_withdrawal"):
        as_app(_MOVE.replace("account_id, id, now()", "account_id, NULL, now()"), kind="freeze")


def test_an_operation_key_is_booked_once(stories: Stories, as_app: Execute) -> None:
    """Also by someone who writes to the tables directly."""
    stories.open_account()
    with pytest.raises(IntegrityError, match="operation_key"):
        as_app("""INSERT INTO transactions (operation_key, kind, account_id, occurred_at)
                  SELECT operation_key, kind, account_id, now() FROM transactions""")


def test_words_that_no_table_knows_are_refused(stories: Stories, as_app: Execute) -> None:
    """A status, a state or a count outside its range is no row."""
    stories.bring_to(Status.PAID)
    for statement in (
        "UPDATE withdrawals SET status = 'done'",
        "UPDATE withdrawals SET amount_fen = 0",
        "UPDATE transfers SET state = 'unknown'",
        "UPDATE verifications SET tries_left = -1",
        "UPDATE verifications SET sends = 6",
        "UPDATE accounts SET subject_type = 'robot'",
    ):
        with pytest.raises(IntegrityError, match="check constraint"):
            as_app(statement)


def test_a_transaction_that_is_booked_takes_no_further_postings(stories: Stories, as_app: Execute) -> None:
    """Not even a pair that sums to zero: what a transaction says is said at once."""
    account_id = stories.open_account()
    with pytest.raises(IntegrityError, match="come at once"):
        as_app(
            """
            INSERT INTO postings (transaction_id, line, bucket, account_id, amount_fen)
            SELECT id, line, 'revenue', NULL, amount FROM transactions, (VALUES (3, 5), (4, -5)) AS more (line, amount)
            WHERE account_id = :account_id""",
            account_id=account_id,
        )
