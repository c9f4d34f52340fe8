"""Our record and the bank's own book, read as they stand, and what must hold between them once faults have stopped."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Self

from sqlalchemy import Connection, text

from ledger.database import Database

Json = dict[str, Any]


@dataclass(frozen=True)
class OurBook:
    """What our rows say, without anything personal. Amounts in fen."""

    withdrawals: dict[str, Json]
    """By id: account_id, amount_fen, status, verified."""
    balances: dict[str, int]
    """By account: everything that is the customer's, frozen or not, cash or voucher."""
    bookings: dict[str, int]
    """Billing's, by operation key: the amount booked."""
    decisions: list[tuple[str, str, str]]
    """withdrawal id, approver, decision."""
    keys: dict[str, str]
    """``account_id/key``: the withdrawal that an Idempotency-Key made."""
    bank_clearing: int

    @classmethod
    def read(cls, database: Database) -> Self:
        """Everything in one snapshot; raises TemporarilyUnavailable."""
        with database.snapshot() as connection:
            rows = {name: _rows(connection, query) for name, query in _QUERIES.items()}
        return cls(
            withdrawals={row.pop("id"): row for row in rows["withdrawals"]},
            balances={row["account_id"]: row["fen"] for row in rows["balances"]},
            bookings={row["operation_key"]: int(row["fen"]) for row in rows["bookings"]},
            decisions=[(row["withdrawal_id"], row["approver"], row["decision"]) for row in rows["decisions"]],
            keys={f"{row['account_id']}/{row['key']}": row["withdrawal_id"] for row in rows["keys"]},
            bank_clearing=int(rows["bank_clearing"][0]["fen"]),
        )

    def as_json(self) -> Json:
        """For a file; ``OurBook(**that)`` reads it again."""
        return asdict(self)


_QUERIES = {
    "withdrawals": """SELECT id::text, account_id, amount_fen, status, verified_at IS NOT NULL AS verified
                      FROM withdrawals""",
    "balances": "SELECT account_id, available + frozen + vouchers AS fen FROM balances",
    "bookings": """SELECT t.operation_key, sum(p.amount_fen) AS fen
                   FROM transactions t JOIN postings p ON p.transaction_id = t.id AND p.amount_fen > 0
                   WHERE t.withdrawal_id IS NULL GROUP BY t.id""",
    "decisions": "SELECT withdrawal_id::text, approver, decision FROM decisions",
    "keys": "SELECT account_id, key, withdrawal_id::text FROM idempotency_keys",
    "bank_clearing": "SELECT coalesce(sum(amount_fen), 0) AS fen FROM postings WHERE bucket = 'bank_clearing'",
}


def _rows(connection: Connection, query: str) -> list[Json]:
    return [dict(row) for row in connection.execute(text(query)).mappings()]


@dataclass(frozen=True)
class BanksBook:
    """``GET /_sandbox/book``, counted. Amounts in fen."""

    orders: dict[str, int]
    """The amount of each transfer, by our reference."""
    paid: Counter[str]
    """How often each was paid."""
    returned: Counter[str]
    """How often each came back."""

    @classmethod
    def of(cls, book: Json) -> Self:
        """As the sandbox answers it."""
        moved = {kind: Counter[str]() for kind in ("payment", "return")}
        for entry in book["entries"]:
            moved[entry["kind"]][entry["client_ref"]] += 1
        orders = {transfer["client_ref"]: as_fen(transfer["amount"]) for transfer in book["transfers"]}
        return cls(orders, moved["payment"], moved["return"])

    def net_paid(self, withdrawal_id: str) -> int:
        """What the bank paid for it and did not get back, in fen."""
        return self.orders.get(withdrawal_id, 0) * (self.paid[withdrawal_id] - self.returned[withdrawal_id])


def disagreements(ours: OurBook, banks: BanksBook) -> list[str]:
    """Every sentence that is not true of both books (architecture.md, "The ledger"); an empty list if they agree."""
    found = [f"{ref} was paid {times} times" for ref, times in banks.paid.items() if times > 1]
    found += [f"{ref} came back {times} times" for ref, times in banks.returned.items() if times > 1]
    for ref, amount in banks.orders.items():
        if ref not in ours.withdrawals:
            found.append(f"the bank has {ref}, which we don't know")
        elif amount != ours.withdrawals[ref]["amount_fen"]:
            found.append(f"{ref} is {amount} fen at the bank and {ours.withdrawals[ref]['amount_fen']} here")
    for ref, withdrawal in ours.withdrawals.items():
        status, paid, returned = withdrawal["status"], banks.paid[ref] > 0, banks.returned[ref] > 0
        if paid != (status in ("paid", "returned")) or returned != (status == "returned"):
            found.append(f"{ref} is {status} here; at the bank paid is {paid}, returned is {returned}")
    owed = sum(banks.net_paid(ref) for ref in banks.orders)
    if ours.bank_clearing != owed:
        found.append(f"bank_clearing is {ours.bank_clearing}, and the bank paid {owed} more than came back")
    return found


def as_fen(yuan: str) -> int:
    """Fen from the API's or the bank's way to write amounts."""
    return int(Decimal(yuan) * 100)
