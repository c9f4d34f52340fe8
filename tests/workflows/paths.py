"""One story for each way through the statuses: what the golden histories are recorded from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from domain.withdrawal import Decision, Outcome, Status, TransferState, return_workflow_id, workflow_id
from tests.workflows.house import House
from workflows.bank_return import BankReturnInput, BankReturnWorkflow
from workflows.reconciliation import ReconciliationWorkflow, StatementWorkflow, ThoroughSweepWorkflow
from workflows.upkeep import AuditWorkflow, RetentionWorkflow
from workflows.withdrawal import WithdrawalInput, WithdrawalWorkflow

LARGE = 50_000_00
LARGER = 500_000_00

Run = WorkflowHandle[Any, Any]
Story = Callable[[House, WorkflowEnvironment], Awaitable[Run]]


async def paid(house: House, skipping: WorkflowEnvironment) -> Run:
    """Application, code, freeze, transfer, notification."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
    return house.handle(withdrawal_id)


async def paid_with_patience(house: House, skipping: WorkflowEnvironment) -> Run:
    """Neither the gateway nor the bank is quick: each quick step fails, and the patient one after it goes on."""
    house.sms.unavailable = 1
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    house.bank.unavailable = 1
    await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
    return house.handle(withdrawal_id)


async def paid_without_notification(house: House, skipping: WorkflowEnvironment) -> Run:
    """The bank is asked at day 10 and says that it paid."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    house.bank.says(withdrawal_id, TransferState.SUCCEEDED)
    await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=30))
    return house.handle(withdrawal_id)


async def returned(house: House, skipping: WorkflowEnvironment) -> Run:
    """Paid, and days later the bank sends it back: the run that asks for the return."""
    run = await paid(house, skipping)
    await run.result()
    (withdrawal_id,) = house.bank.booked
    house.bank.says(withdrawal_id, TransferState.RETURNED, "account_closed")
    return await house.client.start_workflow(
        BankReturnWorkflow.run,
        BankReturnInput(withdrawal_id),
        id=return_workflow_id(withdrawal_id),
        task_queue=house.task_queue,
        start_signal="look",
    )


async def returned_at_once(house: House, skipping: WorkflowEnvironment) -> Run:
    """The first we hear of the payment is that it came back."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    await house.bank_says(withdrawal_id, TransferState.RETURNED, "account_closed")
    return house.handle(withdrawal_id)


async def failed(house: House, skipping: WorkflowEnvironment) -> Run:
    """The bank says no."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    await house.bank_says(withdrawal_id, TransferState.FAILED, "account_closed")
    return house.handle(withdrawal_id)


async def failed_at_freeze(house: House, skipping: WorkflowEnvironment) -> Run:
    """The code is right, and the rules no longer hold."""
    withdrawal_id = await house.open()
    house.register(suspended=True)
    house.enter_code(withdrawal_id)
    await house.update(WithdrawalWorkflow.verify, withdrawal_id)
    return house.handle(withdrawal_id)


async def expired(house: House, skipping: WorkflowEnvironment) -> Run:
    """No code within ten minutes."""
    withdrawal_id = await house.open()
    await skipping.fast_forward(house.handle(withdrawal_id), timedelta(minutes=11))
    return house.handle(withdrawal_id)


async def cancelled(house: House, skipping: WorkflowEnvironment) -> Run:
    """The customer's cancel."""
    withdrawal_id = await house.open()
    await house.cancel(withdrawal_id)
    return house.handle(withdrawal_id)


async def cancelled_when_frozen(house: House, skipping: WorkflowEnvironment) -> Run:
    """The customer's cancel while finance is waited for."""
    withdrawal_id = await house.verified(LARGE)
    await house.cancel(withdrawal_id)
    return house.handle(withdrawal_id)


async def cancelled_by_operator(house: House, skipping: WorkflowEnvironment) -> Run:
    """Temporal's cancellation while finance is waited for."""
    withdrawal_id = await house.verified(LARGE)
    await house.handle(withdrawal_id).cancel()
    return house.handle(withdrawal_id)


async def rejected(house: House, skipping: WorkflowEnvironment) -> Run:
    """Finance says no after a reminder."""
    withdrawal_id = await house.verified(LARGE)
    await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=2))
    await house.decide(withdrawal_id, "finance_1", Decision.REJECT)
    return house.handle(withdrawal_id)


async def approved_by_two(house: House, skipping: WorkflowEnvironment) -> Run:
    """Two people of finance say yes through the API, and the bank pays."""
    withdrawal_id = await house.verified(LARGER)
    await house.decide(withdrawal_id, "finance_1", Decision.APPROVE)
    await house.decide(withdrawal_id, "finance_2", Decision.APPROVE)
    await house.asked(withdrawal_id)
    await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
    return house.handle(withdrawal_id)


async def approved_by_signal(house: House, skipping: WorkflowEnvironment) -> Run:
    """Finance says yes through Temporal's door, and the bank pays."""
    withdrawal_id = await house.verified(LARGE)
    word = {"approver": "finance_1", "decision": "approve"}
    await house.handle(withdrawal_id).signal("decide", word)
    await house.asked(withdrawal_id)
    await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
    return house.handle(withdrawal_id)


async def resolved(house: House, skipping: WorkflowEnvironment) -> Run:
    """No answer in the window; finance finds out that it was paid."""
    run = await _under_review(house, skipping)
    (withdrawal_id,) = house.bank.booked
    await house.resolve(withdrawal_id, "finance_1", Outcome.PAID)
    return run


async def paid_under_review(house: House, skipping: WorkflowEnvironment) -> Run:
    """No answer in the window; the bank has one after all."""
    run = await _under_review(house, skipping)
    (withdrawal_id,) = house.bank.booked
    await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
    return run


async def started_again(house: House, skipping: WorkflowEnvironment) -> Run:
    """The run was lost while the bank was waited for, and the sweep started it without a word of what it was."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    await house.handle(withdrawal_id).terminate()
    run = await house.client.start_workflow(
        WithdrawalWorkflow.run,
        WithdrawalInput(withdrawal_id),
        id=workflow_id(withdrawal_id),
        task_queue=house.task_queue,
    )
    await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
    return run


async def swept(house: House, skipping: WorkflowEnvironment) -> Run:
    """A sweep that finds a payment nobody told us of."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    house.bank.says(withdrawal_id, TransferState.SUCCEEDED)
    return await _by_the_clock(house, ReconciliationWorkflow.run)


async def swept_without_the_bank(house: House, skipping: WorkflowEnvironment) -> Run:
    """A sweep whose first step is given up: the others are done all the same."""
    house.bank.unavailable = 2
    return await _by_the_clock(house, ReconciliationWorkflow.run)


async def swept_thoroughly(house: House, skipping: WorkflowEnvironment) -> Run:
    """Everything is looked at, and a run is started that nobody lived to start."""
    house.apply()
    return await _by_the_clock(house, ThoroughSweepWorkflow.run)


async def matched(house: House, skipping: WorkflowEnvironment) -> Run:
    """The bank's statement against our book."""
    return await _by_the_clock(house, StatementWorkflow.run)


async def sealed(house: House, skipping: WorkflowEnvironment) -> Run:
    """The audit chain's next batch."""
    return await _by_the_clock(house, AuditWorkflow.run)


async def cleaned(house: House, skipping: WorkflowEnvironment) -> Run:
    """The end of personal data."""
    return await _by_the_clock(house, RetentionWorkflow.run)


async def _by_the_clock(house: House, run: Any) -> Run:
    """What a schedule starts."""
    started: Run = await house.client.start_workflow(
        run, id=f"by-the-clock-{house.task_queue}", task_queue=house.task_queue
    )
    await started.result()
    return started


async def _under_review(house: House, skipping: WorkflowEnvironment) -> Run:
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=40))
    await house.becomes(withdrawal_id, Status.UNDER_REVIEW)
    return house.handle(withdrawal_id)


PATHS: list[Story] = [
    paid,
    paid_with_patience,
    paid_without_notification,
    returned,
    returned_at_once,
    failed,
    failed_at_freeze,
    expired,
    cancelled,
    cancelled_when_frozen,
    cancelled_by_operator,
    rejected,
    approved_by_two,
    approved_by_signal,
    resolved,
    paid_under_review,
    started_again,
]
"""Together they end in every final status, and pass through every other."""

BY_THE_CLOCK: list[Story] = [swept, swept_without_the_bank, swept_thoroughly, matched, sealed, cleaned]
"""One that is under way when a release comes must go on as well: the next one begins only when it is over."""
