"""The way to PostgreSQL: what becomes of a connection whose server is gone, and who waits for whom."""

from __future__ import annotations

import re
from contextlib import closing
from itertools import chain, combinations

import pytest
from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.exc import IntegrityError

from domain.errors import TemporarilyUnavailable
from domain.withdrawal import OPEN, Door, Status
from ledger import book, calendar, moves, reads, rows, transfers, verifications
from ledger.database import Database
from ledger.prepared import Prepared
from ledger.rows import Happening, lock_withdrawal, move_on
from ledger.tables import withdrawals
from stack.postgres import Postgres
from tests import databases
from tests.ledger.stories import PLENTY, SMALL, SUCCEEDED, Balances, Ledger, Stories

_WHO_AM_I = Prepared("SELECT pg_backend_pid() AS pid")


def _backend(database: Database) -> int:
    with database.transaction() as connection:
        return int(_WHO_AM_I.one(connection)["pid"])


def _end_session(postgres: Postgres, pid: int) -> None:
    """Returns once the session is gone, and its end of the wire is closed."""
    with postgres.connect() as superuser:
        superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def _ask_while_it_ends(database: Database, postgres: Postgres) -> None:
    with database.transaction() as connection:
        _end_session(postgres, _WHO_AM_I.one(connection)["pid"])
        _WHO_AM_I.run(connection)


def test_a_session_that_its_server_ended_is_given_to_nobody(
    migrated_postgres: Postgres, database: databases.Database
) -> None:
    """It was used a moment ago, so that nobody would ping it: its closed end tells."""
    with closing(Database.connect(database.app_url, pool_size=1)) as connected:
        before = _backend(connected)
        _end_session(migrated_postgres, before)
        assert _backend(connected) != before


def test_a_session_that_ends_within_a_transaction_is_an_outage_and_the_next_one_is_another(
    migrated_postgres: Postgres, database: databases.Database
) -> None:
    """A fixed statement fails in the words every other failure has, and its connection is not used again."""
    with closing(Database.connect(database.app_url, pool_size=1)) as connected:
        before = _backend(connected)
        with pytest.raises(TemporarilyUnavailable):
            _ask_while_it_ends(connected, migrated_postgres)
        assert _backend(connected) != before


def test_what_a_fixed_statement_breaks_is_told_in_sqlalchemys_words(ledger: Ledger) -> None:
    """Nobody has to know which way a statement went; and nothing of the transaction stays."""
    insert = Prepared("INSERT INTO balances (account_id, frozen) VALUES (%(account_id)s::text, -1)")
    with pytest.raises(IntegrityError, match="frozen_not_negative"), ledger.database.transaction() as connection:
        insert.run(connection, account_id="acct_1")
    assert ledger.count("balances") == 0


def test_a_statement_alone_commits_by_itself(own_ledger: Ledger) -> None:
    """No COMMIT is sent, and none is missing; the connection goes back as it came."""
    with own_ledger.database.statement() as connection:
        connection.execute(text("INSERT INTO bank_cursor (cursor, moved_at) VALUES ('7', now())"))
    assert own_ledger.count("bank_cursor") == 1
    with own_ledger.database.engine.connect() as connection:
        connection.execute(text("UPDATE bank_cursor SET cursor = '8'"))
        connection.rollback()
    with own_ledger.database.transaction() as connection:
        assert connection.execute(text("SELECT cursor FROM bank_cursor")).scalar() == "7"


def test_no_account_waits_for_another(ledger: Ledger, stories: Stories) -> None:
    """While one account's move is under way and not committed, another account's go through from freeze to paid."""
    one, another = stories.open_account(), stories.open_account()
    slow, quick = stories.apply(one), stories.apply(another)
    for withdrawal_id in (slow, quick):
        stories.verify(withdrawal_id)
    with ledger.database.engine.connect() as connection:
        row = lock_withdrawal(connection, slow)
        entry = book.freeze(one, slow, SMALL, stories.now)
        move_on(
            connection, row, Status.PROCESSING, Happening("frozen", "system", Door.WORKFLOW, stories.now), entry=entry
        )
        stories.freeze(quick)
        assert stories.answer(quick, SUCCEEDED).status is Status.PAID
        assert ledger.accounts.top_up(another, "meanwhile", SMALL, now=stories.now)
        connection.rollback()
    assert ledger.moves.standing(slow).status is Status.AWAITING_VERIFICATION
    assert (ledger.balances(one), ledger.balances(another)) == (Balances(PLENTY), Balances(PLENTY))


def test_values_are_written_out_and_names_stay_open() -> None:
    """So that a partial index serves whatever the parameters are."""
    statement = Prepared.of(
        select(withdrawals.c.id).where(
            withdrawals.c.account_id == bindparam("account_id"), withdrawals.c.status.in_(sorted(OPEN))
        )
    )
    assert statement.sql.count("%(") == 1
    assert all(f"'{status}'" in statement.sql for status in OPEN)


def _plan(connection: Connection, statement: Prepared) -> list[str]:
    """The plan that PostgreSQL keeps for all parameters, as it is where tables are large."""
    names: list[str] = []

    def number(name: re.Match[str]) -> str:
        if name[1] not in names:
            names.append(name[1])
        return f"${names.index(name[1]) + 1}"

    # Where statistics say how small the tests' tables are, a handful of rows is read whole, or sorted, for less.
    for way in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
        connection.execute(text(f"SET LOCAL {way} = off"))
    numbered = re.sub(r"%\((\w+)\)s", number, statement.sql)
    return [line.strip() for line in connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {numbered}").scalars()]


@pytest.mark.parametrize(
    "reading",
    [
        *(rows._WITHDRAWAL, rows._APPLICANT, rows._LOCK_BY_WITHDRAWAL, rows._ALREADY_HAPPENED),
        *(moves._WITH_APPLICANT_AND_DAYS, calendar._WITH_DAYS),
        *(moves._WITH_APPLICANT, transfers._WITH_TRANSFER, transfers._WITH_MOVES, verifications._WITH_CODE),
        *(reads._ONE, reads._ONE_OF_ACCOUNT, reads._EVENTS),
    ],
)
def test_whatever_a_move_or_a_page_reads_is_found_by_an_index(ledger: Ledger, reading: Prepared) -> None:
    """A lock is held while it looks, and the tables grow for years."""
    with ledger.database.transaction() as connection:
        plan = _plan(connection, reading)
    assert not [line for line in plan if "Seq Scan" in line], "\n".join(plan)
    if reading in (rows._APPLICANT, moves._WITH_APPLICANT):
        assert any("withdrawals_once_a_month" in line for line in plan), "\n".join(plan)


@pytest.mark.parametrize(
    "filters", list(chain.from_iterable(combinations(reads._FILTERS, n) for n in range(6))), ids=str
)
def test_a_page_of_the_record_is_read_in_order_and_never_sorted(ledger: Ledger, filters: tuple[str, ...]) -> None:
    """Twenty rows cost twenty rows, whatever is asked for: an index has them in the order of the page."""
    with ledger.database.transaction() as connection:
        plan = _plan(connection, reads._page(frozenset(filters)))
    assert plan[0].startswith("Limit")
    approvals = plan.index("SubPlan 1")  # The few approvals of one withdrawal may be sorted.
    assert not [line for line in plan[:approvals] if "Sort" in line], "\n".join(plan)
    assert not [line for line in plan if "Seq Scan" in line], "\n".join(plan)
