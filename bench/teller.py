"""Tells the ledger's part of withdrawals as API and worker do, without either."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import Final
from uuid import UUID

from domain.approval import ApprovalPolicy
from domain.bank_card import BankCard, SubjectType
from domain.eligibility import EligibilityRules
from domain.verification import CodeLimits
from domain.withdrawal import BankAnswer, Standing, TransferState
from ledger.accounts import Accounts, Registration
from ledger.applications import Application, Applications
from ledger.database import Database
from ledger.encryption import Keys
from ledger.moves import Moves
from ledger.transfers import Transfers
from ledger.verifications import Verifications

NAME: Final = "张三"
CARD: Final = BankCard(NAME, "平安银行", "上海分行营业部", "6230580000005000018")

_ACCEPTED = BankAnswer(TransferState.ACCEPTED, "B-1")
_SUCCEEDED = BankAnswer(TransferState.SUCCEEDED, "B-1")
_NO_LIMITS = CodeLimits(10**9, 10**9, 10**9)
_numbers = count(1)


@dataclass(frozen=True)
class Teller:
    """Every part of the ledger that a withdrawal meets, on one database."""

    database: Database
    keys: Keys = field(repr=False)

    def account(self) -> str:
        """A verified person with a phone and plenty of cash."""
        number = next(_numbers)
        account_id, accounts = f"acct_{number}", Accounts(self.database, self.keys)
        phone = f"13{number:09d}"
        accounts.register(Registration(account_id, SubjectType.PERSON, NAME, True, phone, False, False), now=now())
        accounts.top_up(account_id, "opening", 100_000_00, now=now())
        return account_id

    def frozen(self, account_id: str) -> UUID:
        """Applied, the code sent and entered, and the amount frozen: the bank is to be asked."""
        rules, key = EligibilityRules(), f"key-{account_id}"
        applications = Applications(self.database, self.keys, rules, ApprovalPolicy(), limits=_NO_LIMITS)
        application = Application(account_id, "customer", 500_00, CARD, key, sha256(key.encode()).digest())
        standing = applications.apply(application, now=now())
        assert isinstance(standing, Standing)
        verifications = Verifications(self.database, self.keys, _NO_LIMITS)
        issued = verifications.issue_code(standing.withdrawal_id, send_key="first", now=now())
        verifications.try_code(standing.withdrawal_id, issued.code, of=None, by="customer", now=now())
        Moves(self.database, self.keys, rules).freeze(standing.withdrawal_id, now=now())
        return standing.withdrawal_id

    def accepted(self, account_id: str) -> UUID:
        """The bank has it."""
        withdrawal_id = self.frozen(account_id)
        transfers = Transfers(self.database, self.keys)
        transfers.prepare(withdrawal_id, now=now())
        transfers.record_answer(withdrawal_id, _ACCEPTED, now=now())
        return withdrawal_id

    def paid(self, account_id: str) -> UUID:
        """From application to paid."""
        withdrawal_id = self.accepted(account_id)
        Transfers(self.database, self.keys).record_answer(withdrawal_id, _SUCCEEDED, now=now())
        return withdrawal_id


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)
