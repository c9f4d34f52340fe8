"""The book: double entry in fen. A transaction is booked once under its operation key and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Connection, DateTime, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

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


# One statement, one round trip: transaction, postings and the stored balances appear together or not at all.
# An operation key that is already there books nothing, and then no balance moves either.
_POST = text(
    """
    WITH booked AS (
        INSERT INTO transactions (operation_key, kind, account_id, withdrawal_id, occurred_at)
        VALUES (:operation_key, :kind, :account_id, :withdrawal_id, :occurred_at)
        ON CONFLICT (operation_key) DO NOTHING
        RETURNING id
    ), lines AS (
        INSERT INTO postings (transaction_id, line, bucket, account_id, amount_fen)
        SELECT booked.id, posting.line, posting.bucket,
               CASE WHEN posting.bucket IN ('available', 'frozen', 'vouchers') THEN :account_id END,
               posting.amount_fen
        FROM booked, unnest(:buckets, :amounts) WITH ORDINALITY AS posting (bucket, amount_fen, line)
    )
    UPDATE balances
    SET available = available + :available, frozen = frozen + :frozen, vouchers = vouchers + :vouchers
    FROM booked
    WHERE balances.account_id = :account_id
    RETURNING booked.id
    """
).bindparams(
    bindparam("operation_key", type_=Text),
    bindparam("kind", type_=Text),
    bindparam("account_id", type_=Text),
    bindparam("withdrawal_id", type_=Uuid),
    bindparam("occurred_at", type_=DateTime(timezone=True)),
    bindparam("buckets", type_=ARRAY(Text)),
    bindparam("amounts", type_=ARRAY(BigInteger)),
    bindparam("available", type_=BigInteger),
    bindparam("frozen", type_=BigInteger),
    bindparam("vouchers", type_=BigInteger),
)


def post(connection: Connection, entry: Entry) -> bool:
    """Books an entry and moves the stored balances with it; False if the operation key was already booked.

    The caller holds the lock on the account's balances row. PostgreSQL refuses an entry that does not sum to
    zero, and one that would take ``frozen`` or ``vouchers`` below zero.
    """
    moved = {bucket: amount for bucket, amount in entry.postings.items() if amount}
    booked = connection.execute(
        _POST,
        {
            "operation_key": entry.operation_key,
            "kind": entry.kind,
            "account_id": entry.account_id,
            "withdrawal_id": entry.withdrawal_id,
            "occurred_at": entry.occurred_at,
            "buckets": [str(bucket) for bucket in moved],
            "amounts": list(moved.values()),
            "available": moved.get(Bucket.AVAILABLE, 0),
            "frozen": moved.get(Bucket.FROZEN, 0),
            "vouchers": moved.get(Bucket.VOUCHERS, 0),
        },
    )
    return booked.first() is not None


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
