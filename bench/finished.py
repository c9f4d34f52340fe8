"""A ledger with very many withdrawals that are over, or wait: copies of one that went through the ledger's own code.

What is copied is what that code wrote, so the copies follow whatever it writes. An account of those that are over has
one in every month of a year, as rule 2 allows; one that waits has no other. Every invariant holds afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final
from uuid import UUID

import psycopg

AN_ACCOUNT: Final = 12
"""Finished withdrawals of one account: one a month."""

_AT_ONCE: Final = 50_000
_MANY: Final = 50_000
"""More of them than the indexes are worth keeping up on the way."""

_TABLES: Final = [
    *("withdrawals", "verifications", "transfers", "idempotency_keys"),
    *("withdrawal_events", "transactions", "postings"),
]
_OWN: Final = ("id", "account_id", "month", "created_at", "verified_at", "updated_at")

# Ids like those that the ledger draws: version 7, by the time they were made. Created in the order of time.
_COPIES = """
    CREATE TEMP TABLE copies ON COMMIT DROP AS
    SELECT n, uuidv7(created_at - now()) AS id, 'copied_' || %(series)s || '_' || n %% %(accounts)s AS account_id,
           created_at, date_trunc('month', created_at AT TIME ZONE 'Asia/Shanghai')::date AS month
    FROM (SELECT n, date_trunc('month', %(until)s::timestamptz)
                    - make_interval(months => %(months)s - (n / %(accounts)s)::int)
                    + interval '9 days' + 15 * interval '1 day' * ((n %% %(accounts)s)::float / %(accounts)s)
                    AS created_at
          FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) numbered
    ORDER BY created_at"""

_ACCOUNTS = (
    """INSERT INTO accounts (account_id, {the_rest})
       SELECT copied, {the_rest} FROM accounts a, {accounts} AS copied WHERE a.account_id = %(account)s""",
    """INSERT INTO balances (account_id, available, frozen, vouchers)
       SELECT copied, %(top_up)s, 0, 0 FROM {accounts} AS copied""",
    """INSERT INTO account_changes
           (account_id, actor, changed, facts, subject_name_mac, phone_mac, at)
       SELECT copied, actor, changed, facts, subject_name_mac, phone_mac, at
       FROM account_changes c, {accounts} AS copied WHERE c.account_id = %(account)s""",
    """WITH booked AS (
           INSERT INTO transactions (operation_key, kind, account_id, occurred_at)
           SELECT copied || ':top_up:opening', 'top_up', copied, occurred_at
           FROM transactions t, {accounts} AS copied WHERE t.account_id = %(account)s AND t.kind = 'top_up'
           RETURNING id, account_id)
       INSERT INTO postings (transaction_id, line, bucket, account_id, amount_fen)
       SELECT booked.id, p.line, p.bucket, CASE WHEN p.account_id IS NOT NULL THEN booked.account_id END, p.amount_fen
       FROM booked, postings p JOIN transactions t ON t.id = p.transaction_id
       WHERE t.account_id = %(account)s AND t.kind = 'top_up'""",
)

_WITHDRAWALS = (
    """INSERT INTO withdrawals (id, account_id, month, created_at, verified_at, updated_at, {the_rest})
       SELECT c.id, c.account_id, c.month, c.created_at, c.created_at + (w.verified_at - w.created_at),
              c.created_at + (w.updated_at - w.created_at), {the_rest}
       FROM copies c, (SELECT id AS original, created_at, verified_at, updated_at, {the_rest}
                       FROM withdrawals) w WHERE w.original = %(id)s""",
    """INSERT INTO verifications
           (withdrawal_id, code_mac, sends, last_send_key, tries_left, sent_at, expires_at)
       SELECT c.id, NULL, v.sends, v.last_send_key, v.tries_left, c.created_at, c.created_at + interval '10 min'
       FROM copies c, verifications v WHERE v.withdrawal_id = %(id)s""",
    """INSERT INTO transfers (withdrawal_id, amount_fen, state, bank_ref, reason_code, prepared_at, updated_at)
       SELECT c.id, x.amount_fen, x.state, c.id::text, x.reason_code, c.created_at, c.created_at + interval '1 min'
       FROM copies c, transfers x WHERE x.withdrawal_id = %(id)s""",
    """INSERT INTO idempotency_keys
           (account_id, key, body_digest, withdrawal_id, claimed_until, answer_status, created_at)
       SELECT c.account_id, c.id::text, k.body_digest, c.id, c.created_at, 202, c.created_at
       FROM copies c, idempotency_keys k WHERE k.withdrawal_id = %(id)s""",
    """INSERT INTO withdrawal_events (withdrawal_id, kind, status, actor, door, data, operation_key, at)
       SELECT c.id, e.kind, e.status, e.actor, e.door, e.data, replace(e.operation_key, %(id)s::text, c.id::text),
              c.created_at + (e.at - w.created_at)
       FROM copies c, withdrawals w JOIN withdrawal_events e ON e.withdrawal_id = w.id
       WHERE w.id = %(id)s ORDER BY c.n, e.id""",
    """WITH booked AS (
           INSERT INTO transactions (operation_key, kind, account_id, withdrawal_id, occurred_at)
           SELECT c.id || ':' || t.kind, t.kind, c.account_id, c.id, c.created_at
           FROM copies c, transactions t WHERE t.withdrawal_id = %(id)s ORDER BY c.n, t.id
           RETURNING id, kind, account_id)
       INSERT INTO postings (transaction_id, line, bucket, account_id, amount_fen)
       SELECT booked.id, p.line, p.bucket, CASE WHEN p.account_id IS NOT NULL THEN booked.account_id END, p.amount_fen
       FROM booked JOIN transactions t ON t.withdrawal_id = %(id)s AND t.kind = booked.kind
       JOIN postings p ON p.transaction_id = t.id""",
    """UPDATE balances b SET available = b.available + copied.times * each.available,
                           frozen = b.frozen + copied.times * each.frozen
       FROM (SELECT account_id, count(*) AS times FROM copies GROUP BY 1) copied,
            (SELECT coalesce(sum(amount_fen) FILTER (WHERE bucket = 'available'), 0) AS available,
                    coalesce(sum(amount_fen) FILTER (WHERE bucket = 'frozen'), 0) AS frozen
             FROM transactions t JOIN postings p ON p.transaction_id = t.id WHERE t.withdrawal_id = %(id)s) each
       WHERE b.account_id = copied.account_id""",
)


def copy_withdrawal(
    connection: psycopg.Connection[Any], original: UUID, count: int, *, series: str, an_account: int = AN_ACCOUNT
) -> None:
    """Adds ``count`` copies, ``an_account`` for each of their accounts, whose names begin with ``copied_{series}_``.

    The connection is of a role for which the append-only triggers and foreign keys can be put aside.
    """
    accounts = -(-count // an_account)
    [account_id, until, top_up] = _the_one(connection, original)
    known = {"id": original, "account": account_id, "series": series, "top_up": top_up}
    known |= {"accounts": accounts, "months": an_account + 1, "until": until}
    named = f"(SELECT 'copied_{series}_' || n AS copied FROM generate_series(0, {accounts - 1}) AS n) AS named"  # noqa: S608
    connection.execute("SET session_replication_role = replica")
    with _indexes_made_afterwards(connection) if count > _MANY else nullcontext():
        with connection.transaction():
            columns = _but(connection, "accounts", "account_id")
            for statement in _ACCOUNTS:
                for_these = statement.replace("{the_rest}", columns).replace("{accounts} AS copied", named)
                connection.execute(for_these, known)
        for first in range(0, count, _AT_ONCE):
            last = min(first + _AT_ONCE, count) - 1
            with connection.transaction():
                connection.execute(_COPIES, known | {"first": first, "last": last})
                for statement in _WITHDRAWALS:
                    connection.execute(statement.replace("{the_rest}", _but(connection, "withdrawals", *_OWN)), known)
    connection.execute("SET session_replication_role = origin")
    # The plans of a database that has been at work for a while.
    connection.execute("VACUUM ANALYZE")


def _but(connection: psycopg.Connection[Any], table: str, *columns: str) -> str:
    """The other columns of a table: whatever is added to it one day is copied, too."""
    found = connection.execute(
        "SELECT string_agg(column_name, ', ') FROM information_schema.columns"
        " WHERE table_name = %s AND column_name <> ALL (%s)",
        [table, list(columns)],
    ).fetchone()
    return str(found[0]) if found else ""


@contextmanager
def _indexes_made_afterwards(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Rows first and indexes at once when they are there: several times faster, and the indexes come out denser."""
    connection.execute("SET allow_system_table_mods = on")
    connection.execute(
        "UPDATE pg_index SET indisready = false, indisvalid = false WHERE indrelid = ANY"
        " (SELECT oid FROM pg_class WHERE relkind = 'r' AND relname = ANY (%s))",
        [_TABLES],
    )
    yield
    connection.execute("SET maintenance_work_mem = '512MB'")
    for table in _TABLES:
        connection.execute(f"REINDEX TABLE {table}")


def _the_one(connection: psycopg.Connection[Any], original: UUID) -> tuple[str, Any, int]:
    found = connection.execute(
        """SELECT w.account_id, w.created_at, p.amount_fen FROM withdrawals w
           JOIN transactions t ON t.account_id = w.account_id AND t.kind = 'top_up'
           JOIN postings p ON p.transaction_id = t.id AND p.bucket = 'available'
           WHERE w.id = %s""",
        [original],
    ).fetchone()
    if found is None:
        raise LookupError("the one to copy is on an account with a top-up")
    account_id, made_at, top_up = found
    return str(account_id), made_at, int(top_up)
