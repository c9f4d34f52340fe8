"""Writing an application down: once per Idempotency-Key, and only if the rules say yes."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import uuid_utils.compat as uuid7s
from sqlalchemy import Connection, bindparam, select, update

from domain.approval import ApprovalPolicy
from domain.bank_card import BankCard, SubjectType, last_four, masked_phone, passes_luhn
from domain.eligibility import EligibilityRules
from domain.errors import (
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidRequest,
    NotEligible,
    WithdrawalInProgress,
)
from domain.shanghai import day_of, month_of
from domain.verification import CODE_LIFE, STANDARD_LIMITS, TRIES, CodeLimits
from domain.withdrawal import Door, Standing, Status
from ledger.code_limits import count_code, refuse_without_tries, wrong_tries
from ledger.database import Database
from ledger.encryption import Keys
from ledger.prepared import Prepared, Row
from ledger.rows import (
    APPLICANT,
    EVENT,
    Happening,
    applicant_of,
    lock_account,
    read_applicant,
    read_withdrawal,
    standing_of,
)
from ledger.tables import accounts, balances, idempotency_keys

CLAIM = timedelta(seconds=20)
"""How long one request may take to answer before a repeat with the same key takes the answering over."""


@dataclass(frozen=True)
class Application:
    """What the customer asks for. ``body_digest`` is over the request's body, under its Idempotency-Key."""

    account_id: str
    applicant: str
    amount: int
    card: BankCard
    idempotency_key: str = field(repr=False)
    body_digest: bytes = field(repr=False)


@dataclass(frozen=True)
class FirstAnswer:
    """What the first request with a key was answered."""

    status: int
    body: dict[str, Any] = field(repr=False)


_KEY = select(idempotency_keys).where(
    idempotency_keys.c.account_id == bindparam("account_id"), idempotency_keys.c.key == bindparam("key")
)


_KEY_AS_IT_IS, _KEY_TO_ANSWER = Prepared.of(_KEY), Prepared.of(_KEY.with_for_update())
_TO_CHECK = Prepared.of(APPLICANT.add_columns(accounts.c.phone, wrong_tries(balances.c.account_id)))
_ANSWER = Prepared("""
    UPDATE idempotency_keys SET answer_status = %(answer_status)s::smallint, answer_body = %(body)s::bytea
    WHERE account_id = %(account_id)s::text AND key = %(key)s::text""")
# The withdrawal, its code's row, the key that protects it and the event that the console's backend is told of.
_TAKE_DOWN = Prepared(f"""
    WITH applied AS (
        INSERT INTO withdrawals (id, account_id, applicant, amount_fen, status, month, account_name, bank_name,
            branch_name, card_number, card_last4, phone, phone_masked, approvals_needed, created_at, updated_at)
        VALUES (%(withdrawal_id)s::uuid, %(account_id)s::text, %(applicant)s::text, %(amount_fen)s::bigint,
            %(status)s::text, %(month)s::date, %(account_name)s::bytea, %(bank_name)s::text, %(branch_name)s::text,
            %(card_number)s::bytea, %(card_last4)s::text, %(phone)s::bytea, %(phone_masked)s::text,
            %(approvals_needed)s::smallint, %(at)s::timestamptz, %(at)s::timestamptz)
        RETURNING id, account_id, amount_fen, status, version, verified_at, approvals_needed, earliest, latest,
                  provisional, failure, updated_at
    ), to_verify AS (
        INSERT INTO verifications (withdrawal_id, sends, tries_left, expires_at)
        VALUES (%(withdrawal_id)s::uuid, 0, %(tries_left)s::smallint, %(expires_at)s::timestamptz)
        RETURNING sends, expires_at
    ), protected AS (
        INSERT INTO idempotency_keys (account_id, key, body_digest, withdrawal_id, claimed_until, created_at)
        VALUES (%(account_id)s::text, %(key)s::text, %(body_digest)s::bytea, %(withdrawal_id)s::uuid,
                %(claimed_until)s::timestamptz, %(at)s::timestamptz)
    ), written AS (
        {EVENT} RETURNING id, withdrawal_id, at
    ), told AS (
        INSERT INTO outbox (event_id, withdrawal_id, since, next_attempt_at)
        SELECT id, withdrawal_id, at, at FROM written
    )
    SELECT applied.id, applied.account_id, applied.amount_fen, applied.status, applied.version, applied.verified_at,
           applied.approvals_needed, applied.earliest, applied.latest, applied.provisional, applied.failure,
           applied.updated_at, to_verify.sends, to_verify.expires_at, 0 AS approvals_given FROM applied, to_verify""")  # noqa: S608 - our own words # nosec B608


@dataclass(frozen=True)
class Applications:
    """Takes applications down in one transaction with the key that protects them."""

    database: Database
    keys: Keys
    rules: EligibilityRules
    approvals: ApprovalPolicy
    test_cards: frozenset[str] = frozenset()
    """Made-up card numbers of a sandbox, whose check digit is not looked at."""
    limits: CodeLimits = STANDARD_LIMITS

    def apply(self, application: Application, *, now: datetime) -> Standing | FirstAnswer:
        """Records the application as ``awaiting_verification``, or gives the first answer of its key again.

        A key whose first request died before it answered is taken over: the same withdrawal, driven on.
        Refuses with ``NotFound``, ``InvalidRequest``, ``WithdrawalInProgress``, ``NotEligible`` (every reason),
        ``IdempotencyKeyReused`` and ``IdempotencyKeyInUse``, and with ``TooManyRequests`` where no code could be
        sent or tried today; a refused key is not used up. The first code is counted here, with the application.
        """
        with self.database.transaction() as connection:
            # Everything below takes its turn under this lock: fifty parallel requests with one key make one.
            lock_account(connection, application.account_id)
            earlier = self._earlier(connection, application, now)
            if earlier is not None:
                return earlier
            account = read_applicant(connection, application.account_id, month_of(now), _TO_CHECK, day=day_of(now))
            if account["in_progress"] is not None:
                raise WithdrawalInProgress(withdrawal_id=account["in_progress"])
            phone = self._check(account, application, now)
            refuse_without_tries(self.limits, account, now)
            standing = self._record(connection, application, phone, now)
            count_code(connection, self.keys, self.limits, phone, now)
            return standing

    def remember(self, account_id: str, key: str, answer: FirstAnswer) -> None:
        """Keeps the first answer of a key; a later one changes nothing."""
        with self.database.transaction() as connection:
            row = _KEY_TO_ANSWER.one(connection, account_id=account_id, key=key)
            if row["answer_status"] is not None:
                return
            # Sealed once the transaction is under way: a rotation waits for it before it retires the key used here.
            body = self.keys.encrypt(
                json.dumps(answer.body), column="idempotency_keys.answer_body", row=f"{account_id}/{key}"
            )
            _ANSWER.run(connection, account_id=account_id, key=key, answer_status=answer.status, body=body)

    def _earlier(
        self, connection: Connection, application: Application, now: datetime
    ) -> Standing | FirstAnswer | None:
        name = {"account_id": application.account_id, "key": application.idempotency_key}
        row = _KEY_AS_IT_IS.first(connection, **name)
        if row is None:
            return None
        if not hmac.compare_digest(row["body_digest"], self.keys.body_mac(application.body_digest)):
            raise IdempotencyKeyReused
        if row["answer_status"] is not None and row["answer_body"] is None:
            # The answer is past its time and was blanked; the key still stands for the same withdrawal.
            return standing_of(read_withdrawal(connection, row["withdrawal_id"]))
        if row["answer_status"] is not None:
            body = self.keys.decrypt(
                row["answer_body"],
                column="idempotency_keys.answer_body",
                row=f"{application.account_id}/{application.idempotency_key}",
            )
            return FirstAnswer(row["answer_status"], json.loads(body))
        if row["claimed_until"] > now:
            raise IdempotencyKeyInUse
        connection.execute(
            update(idempotency_keys)
            .where(
                idempotency_keys.c.account_id == application.account_id,
                idempotency_keys.c.key == application.idempotency_key,
            )
            .values(claimed_until=now + CLAIM)
        )
        return standing_of(read_withdrawal(connection, row["withdrawal_id"]))

    def _check(self, account: Row, application: Application, now: datetime) -> str:
        """The account's phone, if the rules say yes."""
        applicant = applicant_of(account, self.keys)
        card_number = application.card.card_number
        checked = applicant.subject_type is SubjectType.PERSON and card_number not in self.test_cards
        if checked and not passes_luhn(card_number):
            raise InvalidRequest(
                [
                    {
                        "code": "card_number_check_digit",
                        "message": "The card number has a typing error: its check digit is wrong.",
                        "field": "bank_card.card_number",
                    }
                ]
            )
        reasons = self.rules.reasons_against(
            applicant, amount=application.amount, account_name=application.card.account_name, month=month_of(now)
        )
        if reasons or account["phone"] is None:
            raise NotEligible(reasons)
        return self.keys.decrypt(account["phone"], column="accounts.phone", row=application.account_id)

    def _record(self, connection: Connection, application: Application, phone: str, now: datetime) -> Standing:
        withdrawal_id: UUID = uuid7s.uuid7()
        row_id, card = str(withdrawal_id), application.card
        row = _TAKE_DOWN.one(
            connection,
            withdrawal_id=withdrawal_id,
            account_id=application.account_id,
            applicant=application.applicant,
            amount_fen=application.amount,
            status=str(Status.AWAITING_VERIFICATION),
            month=month_of(now),
            account_name=self.keys.encrypt(card.account_name, column="withdrawals.account_name", row=row_id),
            bank_name=card.bank_name,
            branch_name=card.branch_name,
            card_number=self.keys.encrypt(card.card_number, column="withdrawals.card_number", row=row_id),
            card_last4=last_four(card.card_number),
            phone=self.keys.encrypt(phone, column="withdrawals.phone", row=row_id),
            phone_masked=masked_phone(phone),
            approvals_needed=self.approvals.approvals_needed(application.amount),
            tries_left=TRIES,
            expires_at=now + CODE_LIFE,
            key=application.idempotency_key,
            body_digest=self.keys.body_mac(application.body_digest),
            claimed_until=now + CLAIM,
            **Happening("applied", application.applicant, Door.API, now).parameters,
        )
        return standing_of(row)
