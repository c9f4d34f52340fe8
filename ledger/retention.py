"""What is blanked or deleted once nobody needs it any more (docs/retention.md), in small batches that nobody waits for.

Amounts, dates, statuses, masked numbers and the whole audit stay: a blanked withdrawal is shown, counted, and credited
when its payment comes back, as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Date, DateTime, Integer, TextClause, bindparam, text

from domain.shanghai import day_of
from domain.withdrawal import OPEN
from ledger.database import Database

BATCH = 500

CODES = timedelta(days=1)
"""A customer who lost the answer to the right code may give it again; not a day later."""
ANSWERS = timedelta(days=30)
"""Longer than any withdrawal takes. Afterwards its key answers with the withdrawal as it stands."""
COUNTS = timedelta(days=2)
"""Yesterday's counts bind nobody; one more day is for looking into a complaint."""

_OPEN = ", ".join(f"'{status}'" for status in sorted(OPEN))

# Whoever works on a row is skipped and comes up again next time: nobody waits for the clean-up.
_CODES = f"""
    UPDATE verifications SET code_mac = NULL, last_send_key = NULL WHERE withdrawal_id IN (
        SELECT v.withdrawal_id FROM verifications v JOIN withdrawals w ON w.id = v.withdrawal_id
        WHERE v.code_mac IS NOT NULL AND (w.status NOT IN ({_OPEN}) OR v.expires_at < :before)
        LIMIT :batch FOR UPDATE OF v SKIP LOCKED)"""  # noqa: S608 - the statuses are ours
_ANSWERS = """
    UPDATE idempotency_keys SET answer_body = NULL WHERE (account_id, key) IN (
        SELECT account_id, key FROM idempotency_keys WHERE answer_body IS NOT NULL AND created_at < :before
        LIMIT :batch FOR UPDATE SKIP LOCKED)"""
_CARDS = f"""
    UPDATE withdrawals SET account_name = NULL, card_number = NULL, phone = NULL WHERE id IN (
        SELECT id FROM withdrawals
        WHERE card_number IS NOT NULL AND updated_at < :before AND status NOT IN ({_OPEN})
        LIMIT :batch FOR UPDATE SKIP LOCKED)"""  # noqa: S608 - likewise
_DAYS = """
    DELETE FROM daily_uses WHERE (kind, subject, day) IN (
        SELECT kind, subject, day FROM daily_uses WHERE day < :before LIMIT :batch FOR UPDATE SKIP LOCKED)"""
_HOURS = """
    DELETE FROM sms_budget WHERE (hour, shard) IN (
        SELECT hour, shard FROM sms_budget WHERE hour < :before LIMIT :batch FOR UPDATE SKIP LOCKED)"""


@dataclass(frozen=True)
class Cleaned:
    """How many rows were blanked or deleted."""

    codes: int
    answers: int
    cards: int
    counts: int


@dataclass(frozen=True)
class Retention:
    """``cards`` is how long name, card number and phone of a withdrawal are kept after it was over."""

    database: Database
    cards: timedelta

    def clean(self, *, now: datetime) -> Cleaned:
        """Blanks and deletes everything whose time is over; again changes nothing more."""
        return Cleaned(
            codes=self._all(_moments(_CODES), before=now - CODES),
            answers=self._all(_moments(_ANSWERS), before=now - ANSWERS),
            cards=self._all(_moments(_CARDS), before=now - self.cards),
            counts=self._all(_days(_DAYS), before=day_of(now - COUNTS))
            + self._all(_moments(_HOURS), before=now - COUNTS),
        )

    def _all(self, statement: TextClause, **bounds: object) -> int:
        """One short transaction a batch, until one is not full."""
        changed = 0
        while True:
            with self.database.transaction() as connection:
                rows = connection.execute(statement, {**bounds, "batch": BATCH}).rowcount
            changed += rows
            if rows < BATCH:
                return changed


def _moments(statement: str) -> TextClause:
    return text(statement).bindparams(
        bindparam("before", type_=DateTime(timezone=True)), bindparam("batch", type_=Integer)
    )


def _days(statement: str) -> TextClause:
    return text(statement).bindparams(bindparam("before", type_=Date), bindparam("batch", type_=Integer))
