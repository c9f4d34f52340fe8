from __future__ import annotations
from datetime import timedelta
from temporalio.testing import WorkflowEnvironment
from domain.withdrawal import Status
from tests.workflows.house import House
from workflows.withdrawal import WithdrawalWorkflow


async def test_a_right_code_whose_caller_died_is_not_forgotten(long_house: House, skipping: WorkflowEnvironment) -> None:
    """x"""
    house = long_house
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await house.open()
        house.enter_code(withdrawal_id)
        handle = house.handle(withdrawal_id)
        await skipping.fast_forward(handle, timedelta(minutes=11))
        print("EVENTS", house.events(withdrawal_id), house.status(withdrawal_id))
        history = await handle.fetch_history()
        print("LEN", len(history.events))
        await skipping.fast_forward(handle, timedelta(minutes=1))
        print("LEN", len((await handle.fetch_history()).events))
        assert house.status(withdrawal_id) is Status.PROCESSING
