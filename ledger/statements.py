"""The bank's statement against our book, by reference and amount: each difference is a row somebody owns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from domain.errors import NotFound
from domain.shanghai import end_of
from domain.statement import DifferenceKind, EntryKind, StatementEntry
from ledger.database import Database
from ledger.tables import differences, statement_entries, statements

PATIENCE = timedelta(days=1)
"""How far our booking and the bank's may lie apart before their being apart is a difference."""


@dataclass(frozen=True)
class Difference:
    """An open difference; amounts in fen, None on the side that has no such entry."""

    id: int
    kind: DifferenceKind
    entry_kind: EntryKind
    client_ref: str
    ours_fen: int | None
    banks_fen: int | None
    owner: str
    found_at: datetime


# Everything booked on both sides, held against each other; one row a difference, none while both agree. What either
# side booked after :settled_by may still be on its way to the other.
_FOUND = text("""
    WITH ours AS (
        SELECT t.withdrawal_id::text AS client_ref,
               CASE t.kind WHEN 'settle' THEN 'payment' ELSE 'return' END AS entry_kind,
               p.amount_fen, t.occurred_at
        FROM transactions t JOIN postings p ON p.transaction_id = t.id AND p.amount_fen > 0
        WHERE t.kind IN ('settle', 'return')
    ), banks AS (
        SELECT client_ref, kind AS entry_kind, amount_fen, booked_on FROM statement_entries
    )
    SELECT coalesce(ours.client_ref, banks.client_ref) AS client_ref,
           coalesce(ours.entry_kind, banks.entry_kind) AS entry_kind,
           ours.amount_fen AS ours_fen, banks.amount_fen AS banks_fen,
           CASE WHEN banks.client_ref IS NULL THEN 'not_on_statement'
                WHEN ours.client_ref IS NOT NULL THEN 'amount_differs'
                WHEN w.id IS NULL THEN 'unknown_to_us'
                ELSE 'not_in_our_book' END AS kind
    FROM ours FULL JOIN banks USING (client_ref, entry_kind)
    LEFT JOIN withdrawals w ON w.id::text = banks.client_ref
    WHERE (ours.client_ref IS NULL AND (w.id IS NULL OR banks.booked_on <= :settled_day))
       OR (banks.client_ref IS NULL AND ours.occurred_at <= :settled_by AND ours.occurred_at >= :read_since)
       OR ours.amount_fen <> banks.amount_fen
""")


@dataclass(frozen=True)
class Statements:
    """Reads the bank's statements in and keeps the list of differences; moves no money."""

    database: Database

    def days_to_read(self, yesterday: date) -> list[date]:
        """Every day since the last one read, up to yesterday; yesterday alone the first time."""
        last = self.last_day()
        first = yesterday if last is None else min(last + timedelta(days=1), yesterday)
        return [first + timedelta(days=n) for n in range((yesterday - first).days + 1)]

    def record(self, day: date, entries: Iterable[StatementEntry], *, now: datetime) -> None:
        """Writes a day's statement down; the same day again changes nothing that was read before."""
        rows = [
            {
                "client_ref": entry.client_ref,
                "kind": str(entry.kind),
                "bank_ref": entry.bank_ref,
                "amount_fen": entry.amount_fen,
                "booked_on": day,
            }
            for entry in entries
        ]
        with self.database.transaction() as connection:
            if rows:
                connection.execute(insert(statement_entries).on_conflict_do_nothing(), rows)
            connection.execute(insert(statements).values(day=day, read_at=now).on_conflict_do_nothing())

    def match(self, *, now: datetime) -> int:
        """Opens what differs, closes what no longer does, and returns how many differences are open."""
        with self.database.transaction() as connection:
            # One matching at a time: two would open the same difference twice.
            connection.execute(text("SELECT pg_advisory_xact_lock(727002)"))
            first, last = connection.execute(select(func.min(statements.c.day), func.max(statements.c.day))).one()
            if last is None:
                return 0
            covered = {
                "settled_day": last - PATIENCE,
                "settled_by": end_of(last - PATIENCE),
                "read_since": end_of(first - timedelta(days=1)),
            }
            found = {
                (row["client_ref"], row["entry_kind"], row["kind"]): row
                for row in connection.execute(_FOUND, covered).mappings()
            }
            still_open = set()
            for row in connection.execute(select(differences).where(differences.c.closed_at.is_(None))).mappings():
                name = (row["client_ref"], row["entry_kind"], row["kind"])
                if name in found:
                    still_open.add(name)
                else:
                    connection.execute(_CLOSE, {"b_id": row["id"], "at": now, "by": "system", "note": "gone"})
            accepted = {tuple(row) for row in connection.execute(_CLOSED_BY_PEOPLE)}
            fresh = [row for name, row in found.items() if name not in still_open | accepted]
            if fresh:
                connection.execute(differences.insert(), [dict(row) | {"found_at": now} for row in fresh])
            return len(still_open) + len(fresh)

    def last_day(self) -> date | None:
        """Up to which day the bank's statements were read."""
        with self.database.transaction() as connection:
            return connection.execute(select(func.max(statements.c.day))).scalar()

    def open_differences(self) -> list[Difference]:
        """What is not closed yet, oldest first."""
        query = select(differences).where(differences.c.closed_at.is_(None)).order_by(differences.c.id)
        with self.database.transaction() as connection:
            return [
                Difference(
                    row["id"],
                    DifferenceKind(row["kind"]),
                    EntryKind(row["entry_kind"]),
                    row["client_ref"],
                    row["ours_fen"],
                    row["banks_fen"],
                    row["owner"],
                    row["found_at"],
                )
                for row in connection.execute(query).mappings()
            ]

    def close(self, difference_id: int, *, by: str, note: str, now: datetime) -> None:
        """A person has dealt with it and says how; it is not opened again. ``NotFound`` if it is not open."""
        with self.database.transaction() as connection:
            values = {"b_id": difference_id, "at": now, "by": by, "note": note}
            if connection.execute(_CLOSE, values).first() is None:
                raise NotFound


_CLOSED_BY_PEOPLE = select(differences.c.client_ref, differences.c.entry_kind, differences.c.kind).where(
    differences.c.closed_by != "system"
)
_CLOSE = (
    update(differences)
    .where(differences.c.id == bindparam("b_id"), differences.c.closed_at.is_(None))
    .values(closed_at=bindparam("at"), closed_by=bindparam("by"), note=bindparam("note"))
    .returning(differences.c.id)
)
