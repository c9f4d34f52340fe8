"""Many withdrawals at once, where a move starts: written in bulk, and as whole as if they had come one by one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from ledger.encryption import KeyRing

AMOUNT = 500_00
NAME = "云上科技（上海）有限公司"
CARD = "6230580000005000018"
PHONE = "13812341234"


def withdrawal_id(number: int) -> UUID:
    """The id whose digits are the number's, so that pgbench can say it."""
    return UUID(hex=str(number).zfill(32))


@dataclass(frozen=True)
class Batch:
    """Withdrawals by their numbers from ``first``: each of an account of its own, or all of one hot account.

    ``frozen`` ones are with the bank; the others are verified and wait for their freeze.
    """

    first: int
    count: int
    hot: bool
    frozen: bool

    account_prefix = "acct_"

    def id_of(self, number: int) -> UUID:
        return withdrawal_id(number)

    def account_of(self, number: int) -> str:
        return f"{self.account_prefix}{'hot_' if self.hot else ''}{self.first if self.hot else number}"

    def month_of(self, number: int) -> date:
        """Each withdrawal of a hot account has a month to itself, as once a month wants it."""
        months = number - self.first if self.hot else 0
        return date(2026 + (2 + months) // 12, (2 + months) % 12 + 1, 1)


_WITHDRAWALS = """
    COPY withdrawals (id, account_id, applicant, amount_fen, status, version, month, account_name, bank_name,
        branch_name, card_number, card_last4, phone, phone_masked, approvals_needed, verified_at, earliest, latest,
        provisional, created_at, updated_at) FROM STDIN"""

# Each in one statement over the whole batch, in the order in which the rows refer to each other.
_ACCOUNTS = """
    INSERT INTO balances (account_id, available, frozen)
    SELECT account_id, %(left)s * count(*), %(frozen)s * count(*)
    FROM unnest(%(accounts)s::text[]) AS each (account_id) GROUP BY account_id"""
_TOP_UPS = """
    WITH booked AS (
        INSERT INTO transactions (operation_key, kind, account_id, occurred_at)
        SELECT account_id || ':top_up:opening', 'top_up', account_id, %(now)s
        FROM unnest(%(accounts)s::text[]) AS each (account_id) GROUP BY account_id
        RETURNING id, account_id
    ), sums AS (
        SELECT id, account_id, count(*) * (%(left)s + %(frozen)s) AS fen
        FROM booked JOIN unnest(%(accounts)s::text[]) AS each (account_id) USING (account_id) GROUP BY id, account_id
    )
    INSERT INTO postings (transaction_id, line, bucket, account_id, amount_fen)
    SELECT id, 1, 'funding', NULL, -fen FROM sums UNION ALL SELECT id, 2, 'available', account_id, fen FROM sums"""
_VERIFICATIONS = """
    INSERT INTO verifications (withdrawal_id, sends, tries_left, sent_at, expires_at)
    SELECT id, 1, 5, created_at, created_at + interval '10 minutes' FROM withdrawals WHERE id = ANY(%(ids)s)"""
_EVENTS = """
    INSERT INTO withdrawal_events (withdrawal_id, kind, status, actor, door, at)
    SELECT id, 'prepared', status, 'bench', 'workflow', %(now)s FROM withdrawals WHERE id = ANY(%(ids)s)"""
_FREEZES = """
    WITH booked AS (
        INSERT INTO transactions (operation_key, kind, account_id, withdrawal_id, occurred_at)
        SELECT id || ':freeze', 'freeze', account_id, id, %(now)s FROM withdrawals WHERE id = ANY(%(ids)s)
        RETURNING id, account_id
    )
    INSERT INTO postings (transaction_id, line, bucket, account_id, amount_fen)
    SELECT id, 1, 'available', account_id, -%(frozen)s FROM booked
    UNION ALL SELECT id, 2, 'frozen', account_id, %(frozen)s FROM booked"""
_TRANSFERS = """
    INSERT INTO transfers (withdrawal_id, amount_fen, state, prepared_at, updated_at)
    SELECT id, amount_fen, 'prepared', %(now)s, %(now)s FROM withdrawals WHERE id = ANY(%(ids)s)"""


def prepare(connection: psycopg.Connection[Any], keys: KeyRing, batch: Batch, *, more: int, now: datetime) -> None:
    """Writes the batch and ``more`` beyond it, in one transaction."""
    numbers = range(batch.first, batch.first + batch.count + more)
    accounts = [batch.account_of(number) for number in numbers]
    facts = {
        "ids": [batch.id_of(number) for number in numbers],
        "accounts": accounts,
        "now": now,
        "frozen": AMOUNT if batch.frozen else 0,
        # Twice the amount for each, so that the rules find enough.
        "left": AMOUNT if batch.frozen else 2 * AMOUNT,
    }
    with connection.cursor() as cursor:
        with cursor.copy(
            "COPY accounts (account_id, subject_type, subject_name, verified, phone, phone_masked, suspended,"
            " pay_as_you_use, updated_at) FROM STDIN"
        ) as copy:
            for account in dict.fromkeys(accounts):
                name = keys.encrypt(NAME, column="accounts.subject_name", row=account)
                phone = keys.encrypt(PHONE, column="accounts.phone", row=account)
                copy.write_row((account, "company", name, True, phone, "138****1234", False, False, now))
        cursor.execute(_ACCOUNTS, facts)
        cursor.execute(_TOP_UPS, facts)
        with cursor.copy(_WITHDRAWALS) as copy:
            for number in numbers:
                copy.write_row(_withdrawal(keys, batch, number, now))
        for statement in (_VERIFICATIONS, _EVENTS, *((_FREEZES, _TRANSFERS) if batch.frozen else ())):
            cursor.execute(statement, facts)


def _withdrawal(keys: KeyRing, batch: Batch, number: int, now: datetime) -> tuple[object, ...]:
    id_, row = batch.id_of(number), str(batch.id_of(number))
    window = (now.date(), (now + timedelta(days=21)).date(), False) if batch.frozen else (None, None, None)
    return (
        id_, batch.account_of(number), "customer-1", AMOUNT, "processing" if batch.frozen else "awaiting_verification",
        3, batch.month_of(number), keys.encrypt(NAME, column="withdrawals.account_name", row=row), "招商银行",
        "上海分行张江支行", keys.encrypt(CARD, column="withdrawals.card_number", row=row), CARD[-4:],
        keys.encrypt(PHONE, column="withdrawals.phone", row=row), "138****1234", 0, now, *window, now, now,
    )  # fmt: skip
