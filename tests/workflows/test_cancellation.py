"""A cancel at every point: by the customer as a validated update, by an operator as Temporal's cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import CancelledError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.refusals import as_refusal
from domain.errors import NotPossibleNow, Refusal
from domain.withdrawal import Decision, Status, TransferState, workflow_id
from tests.workflows.house import House, now, until
from workflows.withdrawal import WithdrawalInput, WithdrawalWorkflow

LARGE = 50_000_00


async def not_started(house: House) -> UUID:
    """The cancellation is there before the run's first task."""
    withdrawal_id = house.apply()
    await house.client.start_workflow(
        WithdrawalWorkflow.run,
        WithdrawalInput(withdrawal_id),
        id=workflow_id(withdrawal_id),
        task_queue=house.task_queue,
    )
    return withdrawal_id


async def waiting_for_the_code(house: House) -> UUID:
    """The code was sent."""
    return await house.open()


async def sending_the_code(house: House) -> UUID:
    """The SMS gateway is away, and the send is tried again and again."""
    house.sms.unavailable = 1000
    withdrawal_id = await not_started(house)
    await until(lambda: "code_sent" in house.events(withdrawal_id))
    return withdrawal_id


async def waiting_for_approval(house: House) -> UUID:
    """The money is frozen, finance has not decided."""
    house.accounts.top_up(house.account_id, "rich", 1_000_000_00, now=now())
    return await house.verified(LARGE)


async def asking_the_bank(house: House) -> UUID:
    """The transfer is prepared, and the bank does not answer: nobody knows whether it took it."""
    house.bank.unavailable = 3
    withdrawal_id = await house.verified()
    await until(lambda: "bank_asked" in house.events(withdrawal_id))
    return withdrawal_id


async def waiting_for_the_bank(house: House) -> UUID:
    """The bank has taken the transfer."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    return withdrawal_id


BEFORE = [not_started, waiting_for_the_code, sending_the_code, waiting_for_approval]
AFTER = [asking_the_bank, waiting_for_the_bank]
Point = Callable[[House], Awaitable[UUID]]


@pytest.mark.parametrize("reach", BEFORE)
@pytest.mark.parametrize("times", [1, 2])
async def test_an_operators_cancel_before_the_bank_is_asked_gives_everything_back(
    house: House, reach: Point, times: int
) -> None:
    """However often it is asked for, and wherever it meets the run: the money is whole, the run is cancelled."""
    if reach is not_started:
        withdrawal_id = await reach(house)
        for _ in range(times):
            await house.handle(withdrawal_id).cancel()
        async with house.worker():
            await cancelled(house, withdrawal_id)
        return
    async with house.worker():
        withdrawal_id = await reach(house)
        for _ in range(times):
            await house.handle(withdrawal_id).cancel()
        await cancelled(house, withdrawal_id)


async def cancelled(house: House, withdrawal_id: UUID) -> None:
    """The run ends as cancelled and so does the row; nothing is frozen and the month is free."""
    with pytest.raises(WorkflowFailureError) as failed:
        await house.handle(withdrawal_id).result()
    assert isinstance(failed.value.cause, CancelledError)
    assert house.status(withdrawal_id) is Status.CANCELLED
    assert house.account.frozen == 0
    assert house.account.withdrawable == house.account.cash_balance
    assert house.account.blockers == []
    assert house.events(withdrawal_id).count("cancelled") == 1
    assert house.bank.submissions == []


@pytest.mark.parametrize("reach", AFTER)
async def test_an_operators_cancel_after_the_bank_was_asked_moves_nothing(house: House, reach: Point) -> None:
    """Twice asked for, and still only the bank's answer ends it; the details say why."""
    async with house.worker():
        withdrawal_id = await reach(house)
        handle = house.handle(withdrawal_id)
        await handle.cancel()
        await handle.cancel()
        await house.asked(withdrawal_id)
        assert house.account.frozen == 500_00
        await house.shows(withdrawal_id, "Cancellation refused")
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await handle.result() is Status.PAID
    assert house.account.cash_balance == 500_00
    assert house.bank.submissions == [withdrawal_id]


async def test_an_operators_cancel_under_review_moves_nothing(long_house: House, skipping: WorkflowEnvironment) -> None:
    """The bank was asked: the money stays frozen until somebody knows."""
    house = long_house
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await waiting_for_the_bank(house)
        await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=40))
        await house.becomes(withdrawal_id, Status.UNDER_REVIEW)
        await house.handle(withdrawal_id).cancel()
        await house.bank_says(withdrawal_id, TransferState.FAILED)
        assert await house.handle(withdrawal_id).result() is Status.FAILED
    assert house.account.withdrawable == 1_000_00


@pytest.mark.parametrize("reach", [waiting_for_the_code, sending_the_code, waiting_for_approval])
async def test_the_customer_can_cancel_until_the_bank_is_asked(house: House, reach: Point) -> None:
    """The run ends as completed: a customer's cancel is part of the story."""
    async with house.worker():
        withdrawal_id = await reach(house)
        standing = await house.cancel(withdrawal_id)
        assert standing.status is Status.CANCELLED
        assert await house.handle(withdrawal_id).result() is Status.CANCELLED
    assert house.account.frozen == 0
    assert house.account.blockers == []


@pytest.mark.parametrize("reach", AFTER)
async def test_the_customer_cannot_cancel_once_the_bank_was_asked(house: House, reach: Point) -> None:
    """Refused with the status; the money stays frozen."""
    async with house.worker():
        withdrawal_id = await reach(house)
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await house.cancel(withdrawal_id)
        refusal = as_refusal(failed.value)
        assert isinstance(refusal, NotPossibleNow)
        assert refusal.status == "processing"
    assert house.account.frozen == 500_00


@dataclass
class CancelDuring(Interceptor):
    """Asks for the run's cancellation, twice, while one of its steps is under way."""

    client: Client
    step: str
    hit: bool = False

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _CancellingActivity(next, self)


class _CancellingActivity(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, during: CancelDuring) -> None:
        super().__init__(following)
        self._during = during

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        if info.activity_type == self._during.step and not self._during.hit:
            self._during.hit = True
            assert info.workflow_id is not None
            handle = self._during.client.get_workflow_handle(info.workflow_id)
            await handle.cancel()
            await handle.cancel()
        return await super().execute_activity(input)


@pytest.mark.parametrize(
    ("step", "end"),
    [
        ("check_and_send_code", Status.CANCELLED),
        ("check_eligibility", Status.CANCELLED),
        ("send_code", Status.CANCELLED),
        ("freeze", Status.CANCELLED),
        ("decide", Status.PAID),
        ("ask_bank", Status.PAID),
        ("look_at_bank", Status.PAID),
    ],
)
async def test_a_cancel_while_any_step_is_under_way_leaves_whole_money(house: House, step: str, end: Status) -> None:
    """The step is finished, then the request is answered: either nothing is frozen, or the bank's answer ends it."""
    house.accounts.top_up(house.account_id, "rich", 1_000_000_00, now=now())
    during = CancelDuring(house.client, step)
    # Only a gateway that fails at first needs the patient steps.
    house.sms.unavailable = 1 if step in ("check_eligibility", "send_code") else 0
    async with house.worker(during):
        withdrawal_id = house.apply(LARGE)
        with suppress(WorkflowUpdateFailedError, RPCError, Refusal):
            await house.update(WithdrawalWorkflow.open, withdrawal_id)
            house.enter_code(withdrawal_id)
            await house.update(WithdrawalWorkflow.verify, withdrawal_id)
            await house.decide(withdrawal_id, "finance_1", Decision.APPROVE)
            await house.asked(withdrawal_id)
            await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        with suppress(WorkflowFailureError):
            await house.handle(withdrawal_id).result()
    assert during.hit
    assert house.status(withdrawal_id) is end
    assert house.account.frozen == 0
    left = 1_001_000_00 - (LARGE if end is Status.PAID else 0)
    assert house.account.cash_balance == left
    assert house.bank.submissions == ([withdrawal_id] if end is Status.PAID else [])


async def test_an_operators_cancel_before_the_code_is_sent_answers_the_open_application_too(house: House) -> None:
    """The caller that waits for the code hears how it ended, and the run closes."""
    house.sms.unavailable = 1_000
    withdrawal_id = house.apply()
    async with house.worker():
        opening = asyncio.create_task(house.update(WithdrawalWorkflow.open, withdrawal_id))
        await until(lambda: house.sms.unavailable < 1_000)
        await house.handle(withdrawal_id).cancel()
        assert (await opening).status is Status.CANCELLED
        await cancelled(house, withdrawal_id)
