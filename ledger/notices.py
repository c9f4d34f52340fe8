"""What a customer is still to be told of, and that they were told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.withdrawal import Door, Status
from ledger.accounts import read_registration
from ledger.database import Database
from ledger.encryption import Keys
from ledger.rows import Happening, already_happened, lock_withdrawal, read_withdrawal, record


@dataclass(frozen=True)
class ReturnNotice:
    """One SMS about money that came back. Never leaves the activity that sends it."""

    phone: str = field(repr=False)
    amount_fen: int
    card_last4: str


@dataclass(frozen=True)
class Notices:
    """Each is on record once it was sent, so that nobody is told for ever."""

    database: Database
    keys: Keys

    def of_return(self, withdrawal_id: UUID) -> ReturnNotice | None:
        """What to tell of a return (退票); None if it was told before, or the account has no phone any more.

        It goes to the phone that the account has now: a return can come long after the application.
        """
        with self.database.transaction() as connection:
            row = read_withdrawal(connection, withdrawal_id)
            if row["status"] != Status.RETURNED or already_happened(connection, _told(withdrawal_id)):
                return None
            registration = read_registration(connection, self.keys, row["account_id"])
            if registration is None or registration.phone is None:
                return None
            return ReturnNotice(registration.phone, row["amount_fen"], row["card_last4"])

    def told_of_return(self, withdrawal_id: UUID, *, now: datetime) -> None:
        """Writes down that the customer was told; a repeat changes nothing."""
        with self.database.transaction() as connection:
            row = lock_withdrawal(connection, withdrawal_id)
            if not already_happened(connection, _told(withdrawal_id)):
                told = Happening("customer_told", "system", Door.WORKFLOW, now, {}, _told(withdrawal_id))
                record(connection, row, told)


def _told(withdrawal_id: UUID) -> str:
    return f"{withdrawal_id}:told_of_return"
