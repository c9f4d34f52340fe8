"""The book: double entry in fen. A transaction is booked once under its operation key and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from ledger.prepared import Prepared
from ledger.tables import Bucket, Kind


@dataclass(frozen=True)
class Entry:
    """One transaction to book: what each bucket gains (negative: loses), in fen; the sum is zero."""

    kind: Kind
    operation_key: str
    account_id: str
    postings: Mapping[Bucket, int]
    occurred_at: datetime
    withdrawal_id: UUID | None = None

    @property
    def parameters(self) -> dict[str, object]:
        """What ``BOOKED`` is told."""
        moved = {bucket: amount for bucket, amount in self.postings.items() if amount}
        return {
            "operation_key": self.operation_key,
            "kind": str(self.kind),
            "account_id": self.account_id,
            "booked_for": self.withdrawal_id,
            "occurred_at": self.occurred_at,
            "buckets": [str(bucket) for bucket in moved],
            "amounts": list(moved.values()),
            "available": moved.get(Bucket.AVAILABLE, 0),
            "frozen": moved.get(Bucket.FROZEN, 0),
            "vouchers": moved.get(Bucket.VOUCHERS, 0),
        }


BOOKED = """
    booked AS (
        INSERT INTO transactions (operation_key, kind, account_id, withdrawal_id, occurred_at)
        VALUES (%(operation_key)s::text, %(kind)s::text, %(account_id)s::text, %(booked_for)s::uuid,
                %(occurred_at)s::timestamptz)
        ON CONFLICT (operation_key) DO NOTHING
        RETURNING id
    ), lines AS (
        INSERT INTO postings (transaction_id, line, bucket, account_id, amount_fen)
        SELECT booked.id, posting.line, posting.bucket,
               CASE WHEN posting.bucket IN ('available', 'frozen', 'vouchers') THEN %(account_id)s::text END,
               posting.amount_fen
        FROM booked, unnest(%(buckets)s::text[], %(amounts)s::bigint[])
            WITH ORDINALITY AS posting (bucket, amount_fen, line)
    ), balanced AS (
        UPDATE balances
        SET available = available + %(available)s::bigint, frozen = frozen + %(frozen)s::bigint,
            vouchers = vouchers + %(vouchers)s::bigint
        FROM booked
        WHERE balances.account_id = %(account_id)s::text
    )"""
"""Part of one statement, one round trip: transaction, postings and the stored balances appear together or not at all.

An operation key that is already there books nothing, ``booked`` is empty, and then no balance moves either.
"""

_POST = Prepared(f"WITH {BOOKED} SELECT id FROM booked")  # noqa: S608 - put together from our own words # nosec B608


def post(connection: Connection, entry: Entry) -> bool:
    """Books an entry and moves the stored balances with it; False if the operation key was already booked.

    The caller holds the lock on the account's balances row. PostgreSQL refuses an entry that does not sum to
    zero, and one that would take ``frozen`` or ``vouchers`` below zero.
    """
    return _POST.first(connection, **entry.parameters) is not None


def freeze(account_id: str, withdrawal_id: UUID, amount: int, at: datetime) -> Entry:
    """available → frozen"""
    return _move(Kind.FREEZE, Bucket.AVAILABLE, Bucket.FROZEN, account_id, withdrawal_id, amount, at)


def unfreeze(account_id: str, withdrawal_id: UUID, amount: int, at: datetime) -> Entry:
    """frozen → available"""
    return _move(Kind.UNFREEZE, Bucket.FROZEN, Bucket.AVAILABLE, account_id, withdrawal_id, amount, at)


def settle(account_id: str, withdrawal_id: UUID, amount: int, at: datetime) -> Entry:
    """frozen → bank_clearing"""
    return _move(Kind.SETTLE, Bucket.FROZEN, Bucket.BANK_CLEARING, account_id, withdrawal_id, amount, at)


def credit_return(account_id: str, withdrawal_id: UUID, amount: int, at: datetime) -> Entry:
    """bank_clearing → available (退票)"""
    return _move(Kind.RETURN, Bucket.BANK_CLEARING, Bucket.AVAILABLE, account_id, withdrawal_id, amount, at)


def _move(
    kind: Kind,
    source: Bucket,
    target: Bucket,
    account_id: str,
    withdrawal_id: UUID,
    amount: int,
    at: datetime,
) -> Entry:
    return Entry(kind, f"{withdrawal_id}:{kind}", account_id, {source: -amount, target: amount}, at, withdrawal_id)
