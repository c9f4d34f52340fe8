"""What must hold at every moment: one query each, which returns no row while it does.

Each can be asked of the whole ledger, or of what changed since the last look: a sweep's look then costs what the
changes cost, however much there is. What was changed behind the ledger's back, without leaving a row of its own, only a
look at the whole finds (decision 51).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, text

from ledger.database import NO_TIME_LIMIT, Database

LATE: Final = timedelta(minutes=2)
"""By how much a transaction may commit after the time that it wrote into ``updated_at``; the limits of a session are
far below. Where a row says which transaction wrote it, no such guess is needed."""

MOMENT_INVARIANTS: Mapping[str, str] = MappingProxyType(
    {
        "every transaction sums to zero and has two or more postings": """
            SELECT t.id, sum(p.amount_fen) AS sum, count(p.line) AS postings
            FROM transactions t LEFT JOIN postings p ON p.transaction_id = t.id
            WHERE {transactions:t.id}
            GROUP BY t.id HAVING count(p.line) < 2 OR sum(p.amount_fen) <> 0""",
        "all postings sum to zero": """
            SELECT sum(amount_fen) AS sum FROM postings WHERE {transactions:transaction_id}
            HAVING sum(amount_fen) <> 0""",
        "each stored balance is the sum of its postings": """
            SELECT b.account_id, b.available, b.frozen, b.vouchers, p.*
            FROM balances b LEFT JOIN LATERAL (
                SELECT coalesce(sum(amount_fen) FILTER (WHERE bucket = 'available'), 0) AS posted_available,
                       coalesce(sum(amount_fen) FILTER (WHERE bucket = 'frozen'), 0) AS posted_frozen,
                       coalesce(sum(amount_fen) FILTER (WHERE bucket = 'vouchers'), 0) AS posted_vouchers
                FROM postings WHERE account_id = b.account_id) p ON true
            WHERE {accounts:b.account_id} AND (b.available, b.frozen, b.vouchers)
                <> (p.posted_available, p.posted_frozen, p.posted_vouchers)""",
        "a posting belongs to the account of its transaction": """
            SELECT p.transaction_id, p.account_id FROM postings p JOIN transactions t ON t.id = p.transaction_id
            WHERE {transactions:t.id} AND p.account_id <> t.account_id""",
        "frozen is the sum of the live freezes": """
            SELECT b.account_id, b.frozen, coalesce(live.fen, 0) AS live
            FROM balances b LEFT JOIN (
                SELECT f.account_id, sum(w.amount_fen) AS fen
                FROM transactions f JOIN withdrawals w ON w.id = f.withdrawal_id
                WHERE {accounts:f.account_id} AND f.kind = 'freeze' AND NOT EXISTS (
                    SELECT FROM transactions e
                    WHERE e.withdrawal_id = f.withdrawal_id AND e.kind IN ('unfreeze', 'settle'))
                GROUP BY f.account_id) live USING (account_id)
            WHERE {accounts:b.account_id} AND b.frozen <> coalesce(live.fen, 0)""",
        "a freeze ends at most once": """
            SELECT withdrawal_id, count(*) FROM transactions
            WHERE {withdrawals:withdrawal_id} AND kind IN ('unfreeze', 'settle')
            GROUP BY withdrawal_id HAVING count(*) > 1""",
        "a move of a withdrawal is of its amount": """
            SELECT t.id, t.kind, w.amount_fen
            FROM transactions t JOIN withdrawals w ON w.id = t.withdrawal_id
            WHERE {withdrawals:w.id} AND (w.account_id <> t.account_id OR w.amount_fen <> (
                SELECT sum(amount_fen) FROM postings p WHERE p.transaction_id = t.id AND p.amount_fen > 0))""",
        "status and moves agree": """
            SELECT w.id, w.status, m.kinds
            FROM withdrawals w LEFT JOIN LATERAL (
                SELECT coalesce(string_agg(kind, '+' ORDER BY id), '') AS kinds
                FROM transactions t WHERE t.withdrawal_id = w.id) m ON true
            WHERE {withdrawals:w.id} AND NOT CASE w.status
                WHEN 'awaiting_verification' THEN m.kinds = ''
                WHEN 'expired' THEN m.kinds = ''
                WHEN 'awaiting_approval' THEN m.kinds = 'freeze'
                WHEN 'processing' THEN m.kinds = 'freeze'
                WHEN 'under_review' THEN m.kinds = 'freeze'
                WHEN 'rejected' THEN m.kinds = 'freeze+unfreeze'
                WHEN 'cancelled' THEN m.kinds IN ('', 'freeze+unfreeze')
                WHEN 'failed' THEN m.kinds IN ('', 'freeze+unfreeze')
                WHEN 'paid' THEN m.kinds = 'freeze+settle'
                WHEN 'returned' THEN m.kinds = 'freeze+settle+return'
                ELSE false END""",
        "status and newest event agree": """
            SELECT w.id, w.status, e.status AS event_status
            FROM withdrawals w LEFT JOIN LATERAL (
                SELECT status FROM withdrawal_events WHERE withdrawal_id = w.id ORDER BY id DESC LIMIT 1) e ON true
            WHERE {withdrawals:w.id} AND e.status IS DISTINCT FROM w.status""",
        "at most one withdrawal uses up an account's month": """
            SELECT account_id, month, count(*) FROM withdrawals
            WHERE {accounts:account_id}
              AND status IN ('awaiting_verification', 'awaiting_approval', 'processing', 'under_review', 'paid')
            GROUP BY account_id, month HAVING count(*) > 1""",
        "a transfer exists only with an equal freeze": """
            SELECT x.withdrawal_id, x.amount_fen FROM transfers x
            WHERE {withdrawals:x.withdrawal_id} AND NOT EXISTS (
                SELECT FROM transactions t JOIN postings p ON p.transaction_id = t.id
                WHERE t.withdrawal_id = x.withdrawal_id AND t.kind = 'freeze'
                  AND p.bucket = 'frozen' AND p.amount_fen = x.amount_fen)""",
        "nothing is frozen before the phone was verified": """
            SELECT t.withdrawal_id FROM transactions t JOIN withdrawals w ON w.id = t.withdrawal_id
            WHERE {withdrawals:w.id} AND t.kind = 'freeze' AND w.verified_at IS NULL""",
        "enough other people approved before a transfer": """
            SELECT x.withdrawal_id, w.approvals_needed, count(d.approver) AS given
            FROM transfers x JOIN withdrawals w ON w.id = x.withdrawal_id
            LEFT JOIN decisions d ON d.withdrawal_id = w.id AND d.decision = 'approve'
                AND d.approver <> w.applicant AND d.decided_at <= x.prepared_at
            WHERE {withdrawals:x.withdrawal_id}
            GROUP BY x.withdrawal_id, w.approvals_needed
            HAVING count(d.approver) < w.approvals_needed""",
        "money moved out only on the bank's yes or finance's word": """
            SELECT t.withdrawal_id, x.state FROM transactions t JOIN withdrawals w ON w.id = t.withdrawal_id
            LEFT JOIN transfers x USING (withdrawal_id)
            WHERE {withdrawals:w.id} AND t.kind = 'settle'
              AND x.state IS DISTINCT FROM 'succeeded' AND x.state IS DISTINCT FROM 'returned'
              AND (SELECT count(*) FROM resolutions r WHERE r.withdrawal_id = t.withdrawal_id AND r.outcome = 'paid')
                  < CASE WHEN w.approvals_needed > 0 THEN 2 ELSE 1 END""",
        "money the bank was asked for is unfrozen only on its no or finance's word": """
            SELECT t.withdrawal_id, x.state FROM transactions t JOIN withdrawals w ON w.id = t.withdrawal_id
            JOIN transfers x USING (withdrawal_id)
            WHERE {withdrawals:w.id} AND t.kind = 'unfreeze' AND x.state <> 'failed'
              AND (SELECT count(*) FROM resolutions r WHERE r.withdrawal_id = t.withdrawal_id AND r.outcome = 'failed')
                  < CASE WHEN w.approvals_needed > 0 THEN 2 ELSE 1 END""",
        # The links of the newest batches only: `make audit-verify` reads every row behind them again.
        "the audit chain is whole": """
            SELECT seq FROM (
                SELECT *, lag(seq) OVER w AS seq_before, lag(hash) OVER w AS hash_before,
                       lag(to_xid) OVER w AS xid_before
                FROM (SELECT * FROM audit_batches ORDER BY seq DESC LIMIT 100) newest
                WINDOW w AS (ORDER BY seq)) b
            WHERE hash <> sha256(convert_to(concat_ws('|', encode(previous, 'hex'), seq, form, from_xid, to_xid,
                                                      digests, extract(epoch FROM sealed_at)::bigint), 'UTF8'))
               OR (seq = 1 AND (from_xid <> 0 OR previous <> decode(repeat('00', 32), 'hex')))
               OR (seq_before IS NOT NULL AND (seq, previous, from_xid)
                   IS DISTINCT FROM (seq_before + 1, hash_before, xid_before))""",
    }
)
"""Each names what it looks at: ``{withdrawals:w.id}`` is true of every row, or of those that changed."""

CHANGED: Final = MappingProxyType(
    {
        "transactions": """
            SELECT id FROM transactions WHERE written_in >= :horizon
            UNION SELECT transaction_id FROM postings WHERE written_in >= :horizon""",
        # A card is there for half a year after the end: the index that finds the cards to blank finds these, too.
        "withdrawals": """
            SELECT withdrawal_id FROM transactions WHERE id = ANY (:transactions) AND withdrawal_id IS NOT NULL
            UNION SELECT withdrawal_id FROM withdrawal_events WHERE written_in >= :horizon
            UNION SELECT withdrawal_id FROM decisions WHERE written_in >= :horizon
            UNION SELECT withdrawal_id FROM resolutions WHERE written_in >= :horizon
            UNION SELECT id FROM withdrawals WHERE card_number IS NOT NULL AND updated_at >= :at""",
        "accounts": """
            SELECT account_id FROM transactions WHERE id = ANY (:transactions)
            UNION SELECT account_id FROM postings WHERE transaction_id = ANY (:transactions) AND account_id IS NOT NULL
            UNION SELECT account_id FROM withdrawals WHERE id = ANY (:withdrawals)""",
    }
)
"""What a look since the last one is about; each may name those before it."""

_HORIZON = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
"""Every transaction below it has ended: what it wrote is in this snapshot, or nowhere. Ids are drawn before a
transaction commits, so no mark by id would be safe."""


class _Everything:
    """In a query's place for what it looks at: no restriction."""

    def __format__(self, column: str) -> str:
        return "true"


@dataclass(frozen=True)
class _Only:
    """In a query's place for what it looks at: the rows whose column is among a parameter's values."""

    parameter: str

    def __format__(self, column: str) -> str:
        return f"{column} = ANY (:{self.parameter})"


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold, with the rows that break it."""

    invariant: str
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class LedgerMark:
    """Up to where a look has seen the ledger: what transactions below ``horizon`` wrote, and rows changed ``until``."""

    horizon: int
    until: datetime


@dataclass(frozen=True)
class Look:
    """What a look has found, where the next one goes on, and whether it was over the whole ledger."""

    violations: list[Violation]
    mark: LedgerMark
    whole: bool


def violations(database: Database) -> list[Violation]:
    """Reads every moment-invariant in one snapshot; an empty list means that all of them hold."""
    with database.snapshot() as connection:
        return _whole(connection)


def look_over(database: Database, since: LedgerMark | None, *, now: datetime) -> Look:
    """The same for what changed since the mark, and its cost is that of the changes; without one, for everything.

    For everything, too, where transaction numbers went back: a mark from another server's time says nothing here.
    """
    with database.snapshot() as connection:
        horizon = connection.execute(_HORIZON).scalar_one()
        whole = since is None or since.horizon > horizon
        broken = _whole(connection) if whole or since is None else _changed(connection, since)
    return Look(broken, LedgerMark(horizon, now), whole)


def _whole(connection: Connection) -> list[Violation]:
    connection.execute(NO_TIME_LIMIT)
    return _broken(connection, dict.fromkeys(CHANGED, _Everything()), {})


def _changed(connection: Connection, since: LedgerMark) -> list[Violation]:
    known: dict[str, Any] = {"horizon": since.horizon, "at": since.until - LATE}
    for name, query in CHANGED.items():
        known[name] = list(connection.execute(text(query), known).scalars())
    return _broken(connection, {name: _Only(name) for name in CHANGED}, known)


def _broken(connection: Connection, among: Mapping[str, object], known: Mapping[str, Any]) -> list[Violation]:
    broken = []
    for invariant, query in MOMENT_INVARIANTS.items():
        rows = connection.execute(text(query.format(**among)), known).mappings().fetchmany(20)
        if rows:
            broken.append(Violation(invariant, tuple(dict(row) for row in rows)))
    return broken
