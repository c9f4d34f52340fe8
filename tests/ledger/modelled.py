"""The ledger beside a plain model of it: every step is taken in both, and both must say the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import (
    CodeExpired,
    FourEyesViolated,
    InvariantBroken,
    NotEligible,
    NotPossibleNow,
    ReferenceReused,
    TooManyRequests,
    WithdrawalInProgress,
    WrongCode,
)
from domain.withdrawal import BankAnswer, Decision, TransferState
from ledger.applications import FirstAnswer
from tests.ledger.stories import CUSTOMER, Balances, Stories

_OPEN = {"awaiting_verification", "awaiting_approval", "processing", "under_review"}
_ASKED = {"processing", "under_review"}


@dataclass
class Account:
    """What a customer has, in fen, and what billing booked."""

    id: str
    available: int = 0
    frozen: int = 0
    vouchers: int = 0
    in_use: bool = False
    booked: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass
class Withdrawal:
    """Where one application stands."""

    id: UUID
    account: Account
    amount: int
    month: tuple[int, int]
    expires_at: datetime
    status: str = "awaiting_verification"
    verified: bool = False
    code: str | None = None
    sent_at: datetime | None = None
    sends: int = 0
    tries: int = 5
    approvers: set[str] = field(default_factory=set)
    resolvers: dict[str, str] = field(default_factory=dict)
    asked: bool = False
    latest: date | None = None

    @property
    def approvals_needed(self) -> int:
        """As product.md has the limits."""
        return 2 if self.amount >= 500_000_00 else 1 if self.amount >= 50_000_00 else 0


@dataclass
class Modelled:
    """Takes each step in the ledger and in the model; the model says which answer or refusal is right."""

    stories: Stories
    accounts: list[Account] = field(default_factory=list)
    withdrawals: list[Withdrawal] = field(default_factory=list)
    again: Callable[[], object] = lambda: None
    """The last instruction once more, with the same operation key."""

    def month(self) -> tuple[int, int]:
        """The month in Shanghai, eight hours ahead."""
        there = self.stories.now + timedelta(hours=8)
        return there.year, there.month

    def open_account(self, cash: int) -> None:
        """A new account with some cash."""
        self.accounts.append(Account(self.stories.open_account(cash=cash), cash))

    def book(self, account: Account, kind: str, reference: str, amount: int) -> None:
        """A top-up, a voucher or a charge: once per reference."""
        call = getattr(self.stories.ledger.accounts, kind)
        if account.booked.get((kind, reference), amount) != amount:
            with pytest.raises(ReferenceReused):
                call(account.id, reference, amount, now=self.stories.now)
            return
        new = (kind, reference) not in account.booked
        assert call(account.id, reference, amount, now=self.stories.now) is new
        if not new:
            return
        account.booked[kind, reference] = amount
        if kind == "top_up":
            account.available += amount
        elif kind == "grant_voucher":
            account.vouchers += amount
        else:
            from_vouchers = min(account.vouchers, amount)
            account.vouchers -= from_vouchers
            account.available -= amount - from_vouchers

    def switch_product(self, account: Account) -> None:
        """Starts or stops a pay-as-you-use product."""
        account.in_use = not account.in_use
        self.stories.register(account.id, pay_as_you_use=account.in_use)

    def apply(self, account: Account, amount: int) -> Withdrawal | None:
        """An application with a key of its own."""
        application = self.stories.application(account.id, amount)
        ledger, now = self.stories.ledger, self.stories.now
        opened = [w for w in self.withdrawals if w.account is account and w.status in _OPEN]
        reasons = self._reasons(account, amount, self.month())
        if opened:
            with pytest.raises(WithdrawalInProgress) as in_progress:
                ledger.applications.apply(application, now=now)
            assert [in_progress.value.withdrawal_id] == [w.id for w in opened]
            return None
        if reasons:
            with pytest.raises(NotEligible) as refused:
                ledger.applications.apply(application, now=now)
            assert {reason.code for reason in refused.value.reasons} == reasons
            return None
        applied = ledger.applications.apply(application, now=now)
        assert not isinstance(applied, FirstAnswer)
        withdrawal = Withdrawal(applied.withdrawal_id, account, amount, self.month(), now + timedelta(minutes=10))
        self.withdrawals.append(withdrawal)
        return withdrawal

    def _reasons(self, account: Account, amount: int, month: tuple[int, int], but: UUID | None = None) -> set[str]:
        reasons = set()
        if amount > max(0, account.available - (200_00 if account.in_use else 0)):
            reasons.add("amount_exceeds_withdrawable")
        if account.available < 0:
            reasons.add("account_in_arrears")
        for other in self.withdrawals:
            same = other.account is account and other.month == month and other.id != but
            if same and other.status in _OPEN | {"paid"}:
                reasons.add("already_withdrawn_this_month")
        return reasons

    def send_code(self, w: Withdrawal) -> None:
        """The first code or a resend."""
        now = self.stories.now
        refusal: type[Exception] | None = None
        if w.status != "awaiting_verification" or w.verified:
            refusal = CodeExpired if w.status == "expired" else NotPossibleNow
        elif now >= w.expires_at:
            refusal = CodeExpired
        elif w.sends == 5 or (w.sent_at and now < w.sent_at + timedelta(seconds=60)):
            refusal = TooManyRequests
        if refusal:
            with pytest.raises(refusal):
                self.stories.send_code(w.id)
            return
        w.code = self.stories.send_code(w.id)
        w.sends, w.sent_at, w.expires_at = w.sends + 1, now, now + timedelta(minutes=10)

    def try_code(self, w: Withdrawal, *, right: bool) -> None:
        """The right code, if there is one, or a wrong one."""
        right = right and w.code is not None
        code = w.code if right and w.code else f"{(int(w.code or 0) + 1) % 1_000_000:06}"
        now = self.stories.now
        refusal: type[Exception] | None = None
        if w.status != "awaiting_verification":
            if w.status == "expired":
                refusal = CodeExpired
            elif w.status not in _OPEN or not right:
                refusal = NotPossibleNow
        elif not w.verified and now >= w.expires_at:
            refusal = CodeExpired
        elif not right:
            refusal = WrongCode
            w.tries -= not w.verified
            if w.tries == 0:
                w.status = "expired"
        else:
            w.verified = True
        if refusal is None:
            self.stories.ledger.verifications.try_code(w.id, code, of=None, by=CUSTOMER, now=now)
            return
        with pytest.raises(refusal) as refused:
            self.stories.ledger.verifications.try_code(w.id, code, of=None, by=CUSTOMER, now=now)
        if isinstance(refused.value, WrongCode):
            assert refused.value.attempts_left == w.tries

    def expire(self, w: Withdrawal) -> None:
        """The code's timer."""
        self.stories.ledger.verifications.expire(w.id, now=self.stories.now)
        waiting = w.status == "awaiting_verification" and not w.verified
        if waiting and self.stories.now >= w.expires_at:
            w.status = "expired"

    def check_eligibility(self, w: Withdrawal) -> None:
        """Before the code is sent."""
        self.stories.ledger.moves.check_eligibility(w.id, now=self.stories.now)
        if w.status == "awaiting_verification" and self._reasons(w.account, w.amount, w.month, but=w.id):
            w.status = "failed"

    def freeze(self, w: Withdrawal) -> None:
        """After the right code."""
        standing = self.stories.freeze(w.id)
        if w.status != "awaiting_verification" or not w.verified:
            return
        if self._reasons(w.account, w.amount, w.month, but=w.id):
            w.status = "failed"
            return
        w.status = "awaiting_approval" if w.approvals_needed else "processing"
        w.account.available -= w.amount
        w.account.frozen += w.amount
        assert standing.window is not None
        w.latest = standing.window.latest

    def _unfreeze(self, w: Withdrawal, status: str) -> None:
        if w.status != "awaiting_verification":
            w.account.frozen -= w.amount
            w.account.available += w.amount
        w.status = status

    def _instruct(self, call: Callable[[], object], refusal: type[Exception] | None) -> bool:
        if refusal is None:
            call()
            self.again = call
            return True
        with pytest.raises(refusal):
            call()
        return False

    def cancel(self, w: Withdrawal) -> None:
        """By the customer."""
        by, now, moves = self.stories.instruction(), self.stories.now, self.stories.ledger.moves
        possible = w.status in {"awaiting_verification", "awaiting_approval"}
        if self._instruct(lambda: moves.cancel(w.id, by, now=now), None if possible else NotPossibleNow):
            self._unfreeze(w, "cancelled")

    def decide(self, w: Withdrawal, approver: str, decision: Decision) -> None:
        """By somebody of finance, or by the applicant in disguise."""
        by, now, moves = self.stories.instruction(approver), self.stories.now, self.stories.ledger.moves
        refusal: type[Exception] | None = None
        if w.status != "awaiting_approval":
            refusal = NotPossibleNow
        elif approver == CUSTOMER or approver in w.approvers:
            refusal = FourEyesViolated
        if not self._instruct(lambda: moves.decide(w.id, decision, "", by, now=now), refusal):
            return
        if decision is Decision.REJECT:
            self._unfreeze(w, "rejected")
            return
        w.approvers.add(approver)
        if len(w.approvers) >= w.approvals_needed:
            w.status = "processing"

    def prepare(self, w: Withdrawal) -> None:
        """Before the bank is asked."""
        order = self.stories.ledger.transfers.prepare(w.id, now=self.stories.now)
        assert (order is not None) == (w.status in _ASKED)
        if order is not None:
            assert (order.amount_fen, order.asked_before) == (w.amount, w.asked)
            w.asked = True

    def answer(self, w: Withdrawal, state: TransferState) -> None:
        """Of the bank: at any time, in any order, and as often as it likes."""
        answer, now = BankAnswer(state, "B-1"), self.stories.now
        if not w.asked:
            with pytest.raises(InvariantBroken):
                self.stories.ledger.transfers.record_answer(w.id, answer, now=now)
            return
        self.stories.ledger.transfers.record_answer(w.id, answer, now=now)
        if w.status in _ASKED:
            if state is TransferState.FAILED:
                self._unfreeze(w, "failed")
            elif answer.is_outcome:
                w.account.frozen -= w.amount
                w.status = "paid"
        if w.status == "paid" and state is TransferState.RETURNED:
            w.account.available += w.amount
            w.status = "returned"

    def review(self, w: Withdrawal) -> None:
        """The window's timer."""
        self.stories.ledger.moves.put_under_review(w.id, now=self.stories.now)
        there = (self.stories.now + timedelta(hours=8)).date()
        if w.status == "processing" and w.latest is not None and there > w.latest:
            w.status = "under_review"

    def resolve(self, w: Withdrawal, resolver: str, outcome: str) -> None:
        """Finance's word on what the bank won't tell."""
        by, now, transfers = self.stories.instruction(resolver), self.stories.now, self.stories.ledger.transfers
        refusal: type[Exception] | None = None
        if w.status != "under_review":
            refusal = NotPossibleNow
        elif resolver == CUSTOMER or resolver in w.resolvers:
            refusal = FourEyesViolated
        if not self._instruct(lambda: transfers.resolve(w.id, outcome, "", by, now=now), refusal):
            return
        w.resolvers[resolver] = outcome
        if list(w.resolvers.values()).count(outcome) < (2 if w.approvals_needed else 1):
            return
        if outcome == "failed":
            self._unfreeze(w, "failed")
        else:
            w.account.frozen -= w.amount
            w.status = "paid"

    def check(self) -> None:
        """Balances and statuses are those of the model."""
        for account in self.accounts:
            known = Balances(account.available, account.frozen, account.vouchers)
            assert self.stories.ledger.balances(account.id) == known
        query = text("SELECT id, status FROM withdrawals WHERE account_id = ANY(:accounts)")
        with self.stories.ledger.database.transaction() as connection:
            rows = connection.execute(query, {"accounts": [account.id for account in self.accounts]})
            statuses = {row.id: row.status for row in rows}
        assert statuses == {w.id: w.status for w in self.withdrawals}
