"""Brings accounts and withdrawals anywhere by the real moves, so that a test starts where its claim does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from uuid import UUID

from sqlalchemy import text

from domain.approval import ApprovalPolicy
from domain.bank_card import BankCard, SubjectType
from domain.eligibility import EligibilityRules
from domain.shanghai import end_of
from domain.verification import CODE_LIFE, CodeLimits
from domain.withdrawal import BankAnswer, Decision, Door, Standing, Status, TransferState
from ledger.accounts import Accounts, Registration
from ledger.applications import Application, Applications, FirstAnswer
from ledger.database import Database
from ledger.encryption import KeyRing, Keys
from ledger.moves import Instruction, Moves
from ledger.reads import Reads
from ledger.tables import Bucket
from ledger.transfers import Transfers
from ledger.verifications import Verifications

NOW = datetime(2026, 3, 10, 2, 0, tzinfo=UTC)
"""Ten in the morning in Shanghai, on an ordinary Tuesday in the middle of a month."""

CARD = BankCard("张三", "平安银行", "上海分行营业部", "6230580000005000018")
CUSTOMER = "customer-1"
PLENTY = 1_000_000_00
SMALL = 500_00
LARGE = 60_000_00
HUGE = 600_000_00

ACCEPTED = BankAnswer(TransferState.ACCEPTED, "B-1")
PROCESSING = BankAnswer(TransferState.PROCESSING, "B-1")
SUCCEEDED = BankAnswer(TransferState.SUCCEEDED, "B-1")
REFUSED = BankAnswer(TransferState.FAILED, "B-1", "account_closed")
RETURNED = BankAnswer(TransferState.RETURNED, "B-1", "name_mismatch")

NO_DAILY_LIMITS = CodeLimits(wrong_tries_a_day=1_000_000, codes_a_day=1_000_000, codes_an_hour=1_000_000)
"""Stories apply as often as they like; the limits of a day and an hour have tests of their own."""


@dataclass(frozen=True)
class Balances:
    """A customer's three buckets, in fen."""

    available: int = 0
    frozen: int = 0
    vouchers: int = 0


def key_ring(current: str = "k1") -> KeyRing:
    """Two field keys, of which one writes."""
    keys = {"k1": bytes(range(32)), "k2": bytes(range(32, 64))}
    return KeyRing(keys, current_field_key=current, code_key=bytes(range(64, 96)))


@dataclass(frozen=True)
class Ledger:
    """Every part of the ledger on one database, wired as worker and API wire it."""

    database: Database
    keys: Keys
    accounts: Accounts
    applications: Applications
    verifications: Verifications
    moves: Moves
    transfers: Transfers
    reads: Reads

    @classmethod
    def on(cls, database: Database, keys: Keys | None = None, limits: CodeLimits = NO_DAILY_LIMITS) -> Ledger:
        """The standard rules, and of the limits those of one withdrawal; keys of its own unless others are given."""
        keys, rules = keys or key_ring(), EligibilityRules()
        return cls(
            database,
            keys,
            Accounts(database, keys),
            Applications(database, keys, rules, ApprovalPolicy(), limits=limits),
            Verifications(database, keys, limits),
            Moves(database, keys, rules),
            Transfers(database, keys),
            Reads(database, keys, rules),
        )

    def balances(self, account_id: str) -> Balances:
        """The stored balances of an account."""
        query = text("SELECT available, frozen, vouchers FROM balances WHERE account_id = :account_id")
        with self.database.transaction() as connection:
            return Balances(*connection.execute(query, {"account_id": account_id}).one())

    def sum_of(self, bucket: Bucket) -> int:
        """All postings of one bucket together, in fen."""
        query = text("SELECT coalesce(sum(amount_fen), 0) FROM postings WHERE bucket = :bucket")
        with self.database.transaction() as connection:
            return int(connection.execute(query, {"bucket": str(bucket)}).scalar_one())

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self.database.transaction() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())

    def everything(self) -> dict[str, list[str]]:
        """All rows of all tables but the calendar, to show that a refused call changed nothing."""
        tables = (
            "accounts", "balances", "transactions", "postings", "withdrawals", "withdrawal_events",
            "verifications", "decisions", "resolutions", "transfers", "idempotency_keys", "account_changes",
            "daily_uses", "sms_budget",
        )  # fmt: skip
        with self.database.snapshot() as connection:
            return {
                table: [str(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2"))]
                for table in tables
            }


@dataclass
class Stories:
    """Tells the life of withdrawals; ``now`` is the time of the next step and moves only when it is told to."""

    ledger: Ledger
    now: datetime = NOW
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def registration(self, account_id: str) -> Registration:
        """A verified person with a phone and no product in use."""
        return Registration(account_id, SubjectType.PERSON, "张三", True, "13812341234", False, False)

    def open_account(self, *, cash: int = PLENTY, vouchers: int = 0, **known: object) -> str:
        """A new account with cash and vouchers in fen; ``known`` replaces fields of the registration."""
        account_id = f"acct_{next(self._numbers)}"
        self.register(account_id, **known)
        if cash:
            self.ledger.accounts.top_up(account_id, "opening", cash, now=self.now)
        if vouchers:
            self.ledger.accounts.grant_voucher(account_id, "opening", vouchers, now=self.now)
        return account_id

    def register(self, account_id: str, **known: object) -> None:
        """What billing says of the account from now on."""
        registration = replace(self.registration(account_id), **known)  # type: ignore[arg-type]
        self.ledger.accounts.register(registration, now=self.now)

    def application(
        self, account_id: str, amount: int, *, key: str | None = None, card: BankCard = CARD
    ) -> Application:
        """The customer's application; a key of its own unless one is given."""
        key = key or f"key-{next(self._numbers)}"
        digest = sha256(f"{account_id} {amount} {card.card_number}".encode()).digest()
        return Application(account_id, CUSTOMER, amount, card, key, digest)

    def apply(self, account_id: str, amount: int = SMALL, *, card: BankCard = CARD) -> UUID:
        """Awaiting verification; no code was sent yet."""
        application = self.application(account_id, amount, card=card)
        applied = self.ledger.applications.apply(application, now=self.now)
        assert not isinstance(applied, FirstAnswer)
        return applied.withdrawal_id

    def send_code(self, withdrawal_id: UUID) -> str:
        """The code of a new SMS."""
        send_key = f"send-{next(self._numbers)}"
        return self.ledger.verifications.issue_code(withdrawal_id, send_key=send_key, now=self.now).code

    def verify(self, withdrawal_id: UUID) -> Standing:
        """The right code, at the first try."""
        code = self.send_code(withdrawal_id)
        return self.ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=self.now)

    def freeze(self, withdrawal_id: UUID) -> Standing:
        """Awaiting approval or processing, if the code was right and the rules hold."""
        return self.ledger.moves.freeze(withdrawal_id, now=self.now)

    def instruction(self, actor: str = CUSTOMER, *, key: str | None = None) -> Instruction:
        """Somebody's instruction through the API; an operation key of its own unless one is given."""
        return Instruction(actor, Door.API, key or f"op-{next(self._numbers)}")

    def cancel(self, withdrawal_id: UUID) -> Standing:
        """By the customer."""
        return self.ledger.moves.cancel(withdrawal_id, self.instruction(), now=self.now)

    def decide(
        self, withdrawal_id: UUID, approver: str = "finance-1", decision: Decision = Decision.APPROVE
    ) -> Standing:
        """One person's word."""
        by = self.instruction(approver)
        return self.ledger.moves.decide(withdrawal_id, decision, "checked", by, now=self.now)

    def answer(self, withdrawal_id: UUID, answer: BankAnswer) -> Standing:
        """The bank is asked, if it was not yet, and answers."""
        self.ledger.transfers.prepare(withdrawal_id, now=self.now)
        return self.ledger.transfers.record_answer(withdrawal_id, answer, now=self.now)

    def let_window_end(self, withdrawal_id: UUID) -> Standing:
        """The bank took the transfer and said no more until the window was over."""
        standing = self.answer(withdrawal_id, ACCEPTED)
        assert standing.window is not None
        self.now = max(self.now, end_of(standing.window.latest))
        return self.ledger.moves.put_under_review(withdrawal_id, now=self.now)

    def resolve(self, withdrawal_id: UUID, outcome: str, resolver: str = "finance-1") -> Standing:
        """Finance's word on a transfer under review."""
        by = self.instruction(resolver)
        return self.ledger.transfers.resolve(withdrawal_id, outcome, "statement of the bank", by, now=self.now)

    def bring_to(self, status: Status, account_id: str | None = None, amount: int | None = None) -> UUID:
        """A withdrawal in ``status``, on an account of its own unless one is given."""
        account_id = account_id or self.open_account()
        needs_approval = status in (Status.AWAITING_APPROVAL, Status.REJECTED)
        withdrawal_id = self.apply(account_id, amount or (LARGE if needs_approval else SMALL))
        if status is Status.EXPIRED:
            self.now += CODE_LIFE
            self.ledger.verifications.expire(withdrawal_id, now=self.now)
        elif status is Status.CANCELLED:
            self.cancel(withdrawal_id)
        elif status is not Status.AWAITING_VERIFICATION:
            self.verify(withdrawal_id)
            frozen = self.freeze(withdrawal_id)
            if not needs_approval:
                for number in range(frozen.approvals_needed):
                    self.decide(withdrawal_id, f"approver-{number}")
            self._end(withdrawal_id, status)
        standing = self.ledger.moves.standing(withdrawal_id)
        assert standing.status is status, f"the story led to {standing.status}"
        return withdrawal_id

    def _end(self, withdrawal_id: UUID, status: Status) -> None:
        answers = {Status.PAID: SUCCEEDED, Status.RETURNED: RETURNED, Status.FAILED: REFUSED}
        if status is Status.REJECTED:
            self.decide(withdrawal_id, decision=Decision.REJECT)
        elif status is Status.UNDER_REVIEW:
            self.let_window_end(withdrawal_id)
        elif status in answers:
            self.answer(withdrawal_id, answers[status])

    def pass_time(self, **amount: float) -> None:
        """Lets time go by, as ``timedelta`` takes it."""
        self.now += timedelta(**amount)

    def event_kinds(self, withdrawal_id: UUID) -> list[str]:
        """What happened to the withdrawal, oldest first."""
        return [event.kind for event in self.ledger.reads.events(withdrawal_id)]
