"""What billing tells us of an account: whom it is registered to, and what was topped up, granted and used."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from domain.bank_card import SubjectType, masked_phone
from domain.errors import ReferenceReused
from ledger.audit_tables import account_changes
from ledger.book import Entry, post
from ledger.database import Database
from ledger.encryption import Keys
from ledger.prepared import Prepared, Row
from ledger.rows import lock_account
from ledger.tables import Bucket, Kind, accounts, balances, postings, transactions


@dataclass(frozen=True)
class Registration:
    """The account as billing and real-name verification know it."""

    account_id: str
    subject_type: SubjectType
    subject_name: str = field(repr=False)
    verified: bool
    phone: str | None = field(repr=False)
    suspended: bool
    pay_as_you_use: bool


_BOOKED = Prepared.of(
    select(func.sum(postings.c.amount_fen).label("fen"))
    .join_from(transactions, postings)
    .where(transactions.c.operation_key == bindparam("operation_key"), postings.c.amount_fen > 0)
)
_REGISTRATION = Prepared.of(select(accounts).where(accounts.c.account_id == bindparam("account_id")))
_LAST_CHANGE = (
    select(account_changes)
    .where(account_changes.c.account_id == bindparam("account_id"))
    .order_by(account_changes.c.id.desc())
    .limit(1)
)


@dataclass(frozen=True)
class Accounts:
    """Billing's side of the ledger. Amounts in fen; every booking happens once per reference."""

    database: Database
    keys: Keys

    def register(self, registration: Registration, *, now: datetime, by: str = "billing") -> None:
        """Creates the account or replaces what is known of it; its money stays as it is.

        What changed is recorded, without a name or a phone; saying the same again changes and records nothing.
        """
        account_id, phone = registration.account_id, registration.phone
        with self.database.transaction() as connection:
            # The lock first, where there is one: a freeze under way sees the account from before or after, whole.
            connection.execute(
                select(balances.c.account_id).where(balances.c.account_id == account_id).with_for_update()
            )
            # Sealed once the transaction is under way: a rotation waits for it before it retires the key used here.
            values = {
                "subject_type": str(registration.subject_type),
                "subject_name": self.keys.encrypt(
                    registration.subject_name, column="accounts.subject_name", row=account_id
                ),
                "verified": registration.verified,
                "phone": phone and self.keys.encrypt(phone, column="accounts.phone", row=account_id),
                "phone_masked": phone and masked_phone(phone),
                "suspended": registration.suspended,
                "pay_as_you_use": registration.pay_as_you_use,
                "updated_at": now,
            }
            statement = insert(accounts).values(account_id=account_id, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=[accounts.c.account_id], set_=values))
            connection.execute(insert(balances).values(account_id=account_id).on_conflict_do_nothing())
            self._record_change(connection, registration, by, now)

    def top_up(self, account_id: str, reference: str, amount: int, *, now: datetime) -> bool:
        """Cash in: funding → available. True if booked now, False if the reference was booked before."""
        return self._book(
            Kind.TOP_UP, account_id, reference, amount, {Bucket.FUNDING: -amount, Bucket.AVAILABLE: amount}, now
        )

    def grant_voucher(self, account_id: str, reference: str, amount: int, *, now: datetime) -> bool:
        """A voucher, at the cost of revenue. It can be used up, and never withdrawn (rule 1)."""
        return self._book(
            Kind.VOUCHER, account_id, reference, amount, {Bucket.REVENUE: -amount, Bucket.VOUCHERS: amount}, now
        )

    def charge(self, account_id: str, reference: str, amount: int, *, now: datetime) -> bool:
        """Usage: vouchers first, then cash, below zero if need be; what is frozen is never touched."""
        return self._book(Kind.CHARGE, account_id, reference, amount, {Bucket.REVENUE: amount}, now)

    def _record_change(self, connection: Connection, registration: Registration, by: str, now: datetime) -> None:
        after = self._audited(registration)
        before = connection.execute(_LAST_CHANGE, {"account_id": registration.account_id}).mappings().first()
        known = {} if before is None else {**before, **before["facts"]}
        changed = sorted(
            name.removesuffix("_mac")
            for name, value in {**after, **after["facts"]}.items()
            if name != "facts" and (name not in known or known[name] != value)
        )
        if changed:
            row = {"account_id": registration.account_id, "actor": by, "changed": changed, "at": now, **after}
            connection.execute(account_changes.insert(), row)

    def _audited(self, registration: Registration) -> dict[str, Any]:
        """What the audit may hold: MACs bound to the account tell that a name is another one, and not whose it is."""
        bound, phone = registration.account_id, registration.phone
        return {
            "facts": {
                "subject_type": str(registration.subject_type),
                "verified": registration.verified,
                "suspended": registration.suspended,
                "pay_as_you_use": registration.pay_as_you_use,
            },
            "subject_name_mac": self.keys.lookup_mac(
                f"{bound}\x1f{registration.subject_name}", purpose="audited subject name"
            ),
            "phone_mac": phone and self.keys.lookup_mac(f"{bound}\x1f{phone}", purpose="audited phone"),
        }

    def _book(
        self, kind: Kind, account_id: str, reference: str, amount: int, legs: dict[Bucket, int], now: datetime
    ) -> bool:
        operation_key = f"{account_id}:{kind}:{reference}"
        if amount <= 0:
            raise ValueError("a booking is of more than nothing")
        with self.database.transaction() as connection:
            balance = lock_account(connection, account_id)
            booked = _BOOKED.first(connection, operation_key=operation_key)
            if booked is not None and booked["fen"] is not None:
                if booked["fen"] != amount:
                    raise ReferenceReused
                return False
            if kind is Kind.CHARGE:
                legs = _split_charge(balance, amount)
            return post(connection, Entry(kind, operation_key, account_id, legs, now))


def _split_charge(balance: Row, amount: int) -> dict[Bucket, int]:
    from_vouchers = min(balance["vouchers"], amount)
    return {
        Bucket.VOUCHERS: -from_vouchers,
        Bucket.AVAILABLE: from_vouchers - amount,
        Bucket.REVENUE: amount,
    }


def read_registration(connection: Connection, keys: Keys, account_id: str) -> Registration | None:
    """The account as registered, decrypted; None if there is none."""
    row = _REGISTRATION.first(connection, account_id=account_id)
    if row is None:
        return None
    phone = row["phone"]
    return Registration(
        account_id=account_id,
        subject_type=SubjectType(row["subject_type"]),
        subject_name=keys.decrypt(row["subject_name"], column="accounts.subject_name", row=account_id),
        verified=row["verified"],
        phone=None if phone is None else keys.decrypt(phone, column="accounts.phone", row=account_id),
        suspended=row["suspended"],
        pay_as_you_use=row["pay_as_you_use"],
    )
