"""The house with its real ledger and worker, and hand-written outside parties."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.worker import Interceptor, Worker

from activities.audit import AuditActivities
from activities.bank import BankActivities
from activities.ledger import LedgerActivities
from activities.reconciliation import ReconciliationActivities
from activities.retention import RetentionActivities
from activities.sms import SmsActivities
from bank.client import Bank
from domain.approval import ApprovalPolicy
from domain.bank_card import BankCard, SubjectType
from domain.eligibility import EligibilityRules
from domain.withdrawal import Decision, Outcome, Standing, Status, TransferState, Verb, workflow_id
from ledger.accounts import Accounts, Registration
from ledger.applications import Application, Applications
from ledger.audit_anchor import AnchorFile
from ledger.audit_chain import AuditChain
from ledger.database import Database
from ledger.encryption import KeyRing
from ledger.instructions import Instructions
from ledger.invariants import violations
from ledger.moves import Moves
from ledger.notices import Notices
from ledger.opening import Opening
from ledger.reads import AccountView, Reads
from ledger.retention import Retention
from ledger.statements import Statements
from ledger.sweeps import Sweeps
from ledger.transfers import Transfers
from ledger.verifications import Verifications
from tests.workflows.outside import FakeBank, FakeSmsGateway
from tests.workflows.restricted import restricted_runner
from worker import WORKFLOWS, build_worker
from workflows.search_attributes import columns
from workflows.withdrawal import WithdrawalInput, WithdrawalWorkflow

NAME, PHONE = "张三", "13800001234"
CARD = BankCard(NAME, "平安银行", "上海分行营业部", "6230580000000000013")
KEYS = KeyRing({"k1": b"\1" * 32}, "k1", b"\2" * 32)
RULES = EligibilityRules()

_numbers = count(1)


@dataclass
class House:
    """One account's world: ``account_id`` holds 1,000.00 to begin with."""

    client: Client
    database: Database
    bank: FakeBank = field(default_factory=FakeBank)
    sms: FakeSmsGateway = field(default_factory=FakeSmsGateway)
    task_queue: str = field(default_factory=lambda: f"withdrawals-{uuid4()}")
    anchor: AnchorFile | None = None
    account_id: str = field(default_factory=lambda: f"acct_{next(_numbers)}")

    def __post_init__(self) -> None:
        self.accounts = Accounts(self.database, KEYS)
        self.applications = Applications(self.database, KEYS, RULES, ApprovalPolicy())
        self.verifications = Verifications(self.database, KEYS)
        self.moves = Moves(self.database, KEYS, RULES)
        self.transfers = Transfers(self.database, KEYS)
        self.instructions = Instructions(self.database)
        self.statements = Statements(self.database)
        self.reads = Reads(self.database, KEYS, RULES)
        self.register()
        self.accounts.top_up(self.account_id, "first", 1_000_00, now=now())

    def register(self, **changes: Any) -> None:
        """The account as billing tells it, verified and in good standing unless said otherwise."""
        facts: dict[str, Any] = {
            "subject_type": SubjectType.PERSON,
            "subject_name": NAME,
            "verified": True,
            "phone": PHONE,
            "suspended": False,
            "pay_as_you_use": False,
        }
        self.accounts.register(Registration(self.account_id, **(facts | changes)), now=now())

    def worker(self, *interceptors: Interceptor, **changes: Any) -> Worker:
        """A worker on this house's own task queue; run it with ``async with``."""
        return self.worker_with(self.bank, *interceptors, **changes)

    def worker_with(
        self,
        bank: Bank,
        *interceptors: Interceptor,
        build_id: str | None = None,
        workflows: Sequence[type] = WORKFLOWS,
        **changes: Any,
    ) -> Worker:
        """The same with another bank, or as a release of the worker deployment."""
        open_doors = {"decide_by_signal": True} | changes
        return build_worker(
            self.client,
            self.task_queue,
            ledger=LedgerActivities(self.moves, self.verifications, self.transfers, self.instructions, **open_doors),
            bank=BankActivities(bank, self.transfers, self.moves),
            sms=SmsActivities(
                self.sms, self.verifications, Opening(self.moves, self.verifications), Notices(self.database, KEYS)
            ),
            reconciliation=ReconciliationActivities(
                self.client, self.task_queue, bank, Sweeps(self.database), self.statements, self.database
            ),
            audit=AuditActivities(AuditChain(self.database), self.anchor),
            retention=RetentionActivities(Retention(self.database, timedelta(days=180))),
            threads=ThreadPoolExecutor(4),
            interceptors=interceptors,
            build_id=build_id,
            workflows=workflows,
            workflow_runner=restricted_runner(),
        )

    def apply(self, amount: int = 500_00, *, at: datetime | None = None) -> UUID:
        """The row that the API writes before it starts the run."""
        application = Application(self.account_id, "customer", amount, CARD, str(uuid4()), b"digest")
        standing = self.applications.apply(application, now=at or now())
        assert isinstance(standing, Standing)
        return standing.withdrawal_id

    async def update(
        self, update: Any, withdrawal_id: UUID, *words: Any, shown: TypedSearchAttributes | None = None
    ) -> Standing:
        """What the API does for every call: the update, with a start if no run is there."""
        start = WithStartWorkflowOperation(
            WithdrawalWorkflow.run,
            WithdrawalInput(withdrawal_id),
            id=workflow_id(withdrawal_id),
            task_queue=self.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=shown,
        )
        standing: Standing = await self.client.execute_update_with_start_workflow(
            update, args=list(words), start_workflow_operation=start
        )
        return standing

    async def cancel(self, withdrawal_id: UUID, actor: str = "customer") -> Standing:
        """The customer's cancel through the API: written down, then prompted."""
        asked = self.instructions.record(withdrawal_id, Verb.CANCEL, actor, now=now())
        return await self.update(WithdrawalWorkflow.cancel, withdrawal_id, asked)

    async def decide(self, withdrawal_id: UUID, approver: str, decision: Decision) -> Standing:
        """Finance's decision through the API."""
        asked = self.instructions.record(withdrawal_id, Verb.DECIDE, approver, word=decision, note="checked", now=now())
        return await self.update(WithdrawalWorkflow.decide, withdrawal_id, asked)

    async def resolve(self, withdrawal_id: UUID, resolver: str, outcome: Outcome) -> Standing:
        """Finance's word on a transfer under review through the API."""
        asked = self.instructions.record(
            withdrawal_id, Verb.RESOLVE, resolver, word=outcome, note="the bank's letter", now=now()
        )
        return await self.update(WithdrawalWorkflow.resolve, withdrawal_id, asked)

    async def open(self, amount: int = 500_00) -> UUID:
        """An application whose code was sent."""
        withdrawal_id = self.apply(amount)
        shown = columns(self.moves.standing(withdrawal_id), now())
        await self.update(WithdrawalWorkflow.open, withdrawal_id, shown=shown)
        return withdrawal_id

    async def verified(self, amount: int = 500_00) -> UUID:
        """An application whose right code was entered: frozen."""
        withdrawal_id = await self.open(amount)
        self.enter_code(withdrawal_id)
        await self.update(WithdrawalWorkflow.verify, withdrawal_id)
        return withdrawal_id

    def enter_code(self, withdrawal_id: UUID, code: str | None = None) -> Standing:
        """What the API writes when the customer enters a code."""
        code = code or (self.sms.last_code if self.sms.messages else "000000")
        return self.verifications.try_code(withdrawal_id, code, of=None, by="customer", now=now())

    async def asked(self, withdrawal_id: UUID) -> None:
        """Returns once the bank has taken the transfer and the ledger knows."""
        await until(lambda: "bank_accepted" in self.events(withdrawal_id))

    async def becomes(self, withdrawal_id: UUID, status: Status) -> None:
        """Returns once the row has this status."""
        await until(lambda: self.status(withdrawal_id) is status)

    async def shows(self, withdrawal_id: UUID, words: str) -> None:
        """Returns once the run's details in the Temporal UI hold these words."""
        for _ in range(100):
            if words in str(await self.handle(withdrawal_id).query("__temporal_workflow_metadata")):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(
            f"{words!r} is not in: {await self.handle(withdrawal_id).query('__temporal_workflow_metadata')}"
        )

    async def bank_says(self, withdrawal_id: UUID, state: TransferState, reason: str | None = None) -> None:
        """The bank's outcome, and the notification that prompts us to ask for it."""
        self.bank.says(withdrawal_id, state, reason)
        await self.handle(withdrawal_id).signal(WithdrawalWorkflow.look)

    def handle(self, withdrawal_id: UUID) -> WorkflowHandle[Any, Status]:
        """The run."""
        return self.client.get_workflow_handle(workflow_id(withdrawal_id), result_type=Status)

    def status(self, withdrawal_id: UUID) -> Status:
        """By the row."""
        return self.moves.standing(withdrawal_id).status

    @property
    def account(self) -> AccountView:
        """The customer's money now."""
        return self.reads.account(self.account_id, now=now())

    def events(self, withdrawal_id: UUID) -> list[str]:
        """What happened, oldest first."""
        return [event.kind for event in self.reads.events(withdrawal_id)]


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@asynccontextmanager
async def open_house(client: Client, url: str) -> AsyncIterator[House]:
    """A house whose ledger is looked over when the test is done: no invariant may be broken."""
    database = Database.connect(url, pool_size=8)
    try:
        yield House(client, database)
        assert violations(database) == []
    finally:
        database.close()


async def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Waits for what other processes and threads bring about; fails loudly if they don't."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come about in time"
        await asyncio.sleep(0.05)
