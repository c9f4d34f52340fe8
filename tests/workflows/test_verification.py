"""The phone code: its life, its tries, its sends (rule 8)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from activities.refusals import as_refusal
from domain.errors import CodeExpired, NotPossibleNow, TooManyRequests, WrongCode
from domain.withdrawal import Status
from tests.workflows.house import House, now, until
from workflows.withdrawal import WithdrawalWorkflow


async def test_rule_8_without_the_right_code_in_ten_minutes_it_expires(
    long_house: House, skipping: WorkflowEnvironment
) -> None:
    """At the end of the ten minutes the application is over, and the month is free again."""
    async with long_house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await long_house.open()
        handle = long_house.handle(withdrawal_id)
        await skipping.fast_forward(handle, timedelta(minutes=9))
        assert long_house.status(withdrawal_id) is Status.AWAITING_VERIFICATION
        await skipping.fast_forward(handle, timedelta(minutes=2))
        assert await handle.result() is Status.EXPIRED
    assert long_house.account.blockers == []
    assert long_house.account.withdrawable == 1_000_00


async def test_the_fifth_wrong_code_ends_the_run(house: House) -> None:
    """Tries are counted in PostgreSQL; the run only learns that it is over."""
    async with house.worker():
        withdrawal_id = await house.open()
        wrong = "000000" if house.sms.last_code != "000000" else "000001"
        for left in (4, 3, 2, 1, 0):
            with pytest.raises(WrongCode) as refused:
                house.enter_code(withdrawal_id, wrong)
            assert refused.value.attempts_left == left
        with pytest.raises(CodeExpired):
            house.enter_code(withdrawal_id)
        await house.handle(withdrawal_id).signal(WithdrawalWorkflow.look)
        assert await house.handle(withdrawal_id).result() is Status.EXPIRED


async def test_a_verification_without_the_right_code_on_record_freezes_nothing(house: House) -> None:
    """A forged update moves nothing: the freeze reads the proof in PostgreSQL."""
    async with house.worker():
        withdrawal_id = await house.open()
        standing = await house.update(WithdrawalWorkflow.verify, withdrawal_id)
        assert standing.status is Status.AWAITING_VERIFICATION
    assert house.account.frozen == 0


async def test_a_resend_within_a_minute_is_refused(house: House) -> None:
    """The refusal reaches the caller as itself, with the seconds to wait."""
    async with house.worker():
        withdrawal_id = await house.open()
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await house.update(WithdrawalWorkflow.resend, withdrawal_id)
    refusal = as_refusal(failed.value)
    assert isinstance(refusal, TooManyRequests)
    assert 50 <= refusal.retry_after_s <= 60
    assert len(house.sms.messages) == 1


async def test_a_new_code_replaces_the_old_one_and_gives_ten_more_minutes(
    long_house: House, skipping: WorkflowEnvironment
) -> None:
    """After a minute another code can be asked for; only the newest one is right."""
    house = long_house
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await house.open()
            first = house.sms.last_code
            handle = house.handle(withdrawal_id)
            await skipping.fast_forward(handle, timedelta(minutes=6))
            await house.update(WithdrawalWorkflow.resend, withdrawal_id)
        await skipping.fast_forward(handle, timedelta(minutes=7))
        assert house.status(withdrawal_id) is Status.AWAITING_VERIFICATION
        assert len(house.sms.messages) == 2
        if first != house.sms.last_code:
            with pytest.raises(WrongCode):
                house.enter_code(withdrawal_id, first)
        house.enter_code(withdrawal_id)
        with skipping.with_time_skipping_disabled():
            standing = await house.update(WithdrawalWorkflow.verify, withdrawal_id)
        assert standing.status is Status.PROCESSING


async def test_an_sms_gateway_that_is_away_for_a_moment_is_asked_again(house: House) -> None:
    """The send counts once, however often it is tried."""
    house.sms.unavailable = 2
    async with house.worker():
        withdrawal_id = await house.open()
        house.enter_code(withdrawal_id)
        standing = await house.update(WithdrawalWorkflow.verify, withdrawal_id)
    assert standing.status is Status.PROCESSING
    assert house.events(withdrawal_id).count("code_sent") == 1


async def test_rules_that_no_longer_hold_fail_it_when_the_money_is_to_be_frozen(house: House) -> None:
    """Usage between application and code can take the cash: nothing is frozen, and the reason is kept."""
    async with house.worker():
        withdrawal_id = await house.open(900_00)
        house.accounts.charge(house.account_id, "usage", 200_00, now=now())
        house.enter_code(withdrawal_id)
        standing = await house.update(WithdrawalWorkflow.verify, withdrawal_id)
        assert standing.status is Status.FAILED
        assert standing.failure_code == "amount_exceeds_withdrawable"
        await house.handle(withdrawal_id).result()
    assert (house.account.frozen, house.account.cash_balance) == (0, 800_00)


async def test_rules_that_no_longer_hold_at_the_start_send_no_code(house: House) -> None:
    """An account suspended between row and run gets no SMS."""
    withdrawal_id = house.apply()
    house.register(suspended=True)
    async with house.worker():
        standing = await house.update(WithdrawalWorkflow.open, withdrawal_id)
    assert standing.failure_code == "account_suspended"
    assert house.sms.messages == []


async def test_a_call_after_the_end_is_refused_with_the_status(house: House) -> None:
    """A run that is started for a withdrawal that is over looks at the row, refuses and closes itself."""
    async with house.worker():
        withdrawal_id = await house.open()
        await house.cancel(withdrawal_id)
        await house.handle(withdrawal_id).result()
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await house.cancel(withdrawal_id)
        refusal = as_refusal(failed.value)
        assert isinstance(refusal, NotPossibleNow)
        assert refusal.status == "cancelled"
        assert await house.handle(withdrawal_id).result() is Status.CANCELLED


async def test_a_run_lost_before_the_code_is_entered_goes_on_where_the_rows_stand(house: House) -> None:
    """Terminated, and started again by the next call: the code that was sent is still the right one."""
    async with house.worker():
        withdrawal_id = await house.open()
        await house.handle(withdrawal_id).terminate("lost")
        house.enter_code(withdrawal_id)
        standing = await house.update(WithdrawalWorkflow.verify, withdrawal_id)
        assert standing.status is Status.PROCESSING
        await until(lambda: house.bank.submissions == [withdrawal_id])
    assert len(house.sms.messages) == 1


async def test_a_right_code_that_nobody_came_to_tell_of_is_frozen_all_the_same(
    long_house: House, skipping: WorkflowEnvironment
) -> None:
    """The API died between the row and the run: at the end of the code's life the run finds the row, once."""
    async with long_house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await long_house.open()
        long_house.enter_code(withdrawal_id)
        await skipping.fast_forward(long_house.handle(withdrawal_id), timedelta(minutes=11))
        assert long_house.status(withdrawal_id) is Status.PROCESSING


async def test_a_run_lost_after_the_code_was_entered_freezes_at_once(house: House) -> None:
    """A run that finds the phone verified waits for nobody."""
    async with house.worker():
        withdrawal_id = await house.open()
        await house.handle(withdrawal_id).terminate("lost")
        house.enter_code(withdrawal_id)
        await house.update(WithdrawalWorkflow.open, withdrawal_id)
        await house.becomes(withdrawal_id, Status.PROCESSING)
