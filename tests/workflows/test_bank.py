"""What the bank answers, and what the weeks without an answer do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from activities.refusals import as_refusal
from domain.errors import FourEyesViolated, NotPossibleNow
from domain.withdrawal import BankAnswer, Outcome, Status, TransferState, return_workflow_id
from tests.workflows.house import House, now, until
from workflows.bank_return import BankReturnInput, BankReturnWorkflow
from workflows.withdrawal import WithdrawalWorkflow


async def test_rule_3_a_refusal_by_the_bank_unfreezes_exactly_the_amount(house: House) -> None:
    """The customer reads the bank's reason, and the month is free again."""
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.FAILED, "account_closed")
        assert await house.handle(withdrawal_id).result() is Status.FAILED
    assert house.reads.withdrawal(withdrawal_id).failure[0].code == "bank_account_closed"
    assert (house.account.frozen, house.account.withdrawable) == (0, 1_000_00)
    assert house.account.blockers == []


async def test_a_submission_refused_at_once_ends_it_at_once(house: House) -> None:
    """No notification is needed for a no that came with the submission."""
    house.bank.on_submission = TransferState.FAILED
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        assert await house.handle(withdrawal_id).result() is Status.FAILED
    assert house.account.withdrawable == 1_000_00


async def test_after_a_time_out_the_same_reference_is_asked_about_and_not_paid_twice(house: House) -> None:
    """The bank booked it and the answer was lost: it is found by query, never submitted again."""
    house.bank.times_out_after_booking = 1
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        await house.asked(withdrawal_id)
        assert house.account.frozen == 500_00
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await house.handle(withdrawal_id).result() is Status.PAID
    assert house.bank.submissions == [withdrawal_id]
    assert house.bank.queries[0] == withdrawal_id


async def test_a_bank_that_is_away_is_asked_again_with_the_same_reference(house: House) -> None:
    """Unavailable, then it takes the transfer: one reference, money frozen all the while."""
    house.bank.unavailable = 2
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        await house.asked(withdrawal_id)
        assert house.account.frozen == 500_00
    assert house.bank.submissions == [withdrawal_id]


async def test_rule_6_the_bank_is_asked_on_day_10_and_day_15_and_then_finance(
    long_house: House, skipping: WorkflowEnvironment
) -> None:
    """A time-out is not a failure: at the window's end the money stays frozen, under review."""
    house = long_house
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await house.verified(500_00)
            await house.asked(withdrawal_id)
        handle, asked = house.handle(withdrawal_id), len(house.bank.queries)
        window = house.moves.standing(withdrawal_id).window
        assert window is not None
        day_zero = house.reads.withdrawal(withdrawal_id).created_at.date()
        await skipping.fast_forward(handle, window.earliest - day_zero + timedelta(days=2))
        await until(lambda: len(house.bank.queries) == asked + 1)
        assert house.status(withdrawal_id) is Status.PROCESSING
        await skipping.fast_forward(handle, window.latest - window.earliest)
        await house.becomes(withdrawal_id, Status.UNDER_REVIEW)
        assert len(house.bank.queries) >= asked + 2
        assert (house.account.frozen, house.account.cash_balance) == (500_00, 1_000_00)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await handle.result() is Status.PAID


@pytest.mark.parametrize(
    ("outcome", "status", "cash"),
    [(Outcome.PAID, Status.PAID, 500_00), (Outcome.FAILED, Status.FAILED, 1_000_00)],
)
async def test_finance_resolves_what_the_bank_does_not_tell(
    long_house: House, skipping: WorkflowEnvironment, outcome: Outcome, status: Status, cash: int
) -> None:
    """Only under review, never by the applicant; the recorded word then moves the money."""
    house = long_house
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await house.verified(500_00)
            await house.asked(withdrawal_id)
            with pytest.raises(WorkflowUpdateFailedError) as failed:
                await house.resolve(withdrawal_id, "finance_1", outcome)
            assert isinstance(as_refusal(failed.value), NotPossibleNow)
        await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=40))
        await house.becomes(withdrawal_id, Status.UNDER_REVIEW)
        with skipping.with_time_skipping_disabled():
            with pytest.raises(WorkflowUpdateFailedError) as failed:
                await house.resolve(withdrawal_id, "customer", outcome)
            assert isinstance(as_refusal(failed.value), FourEyesViolated)
            await house.resolve(withdrawal_id, "finance_1", outcome)
        assert await house.handle(withdrawal_id).result() is status
    assert (house.account.frozen, house.account.cash_balance) == (0, cash)


async def test_a_resolution_against_the_banks_own_book_is_refused(
    long_house: House, skipping: WorkflowEnvironment
) -> None:
    """If the bank has an answer after all, that answer counts and finance's word does not."""
    house = long_house
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await house.verified(500_00)
            await house.asked(withdrawal_id)
        await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=40))
        await house.becomes(withdrawal_id, Status.UNDER_REVIEW)
        house.bank.says(withdrawal_id, TransferState.SUCCEEDED)
        with skipping.with_time_skipping_disabled(), pytest.raises(WorkflowUpdateFailedError) as failed:
            await house.resolve(withdrawal_id, "finance_1", Outcome.FAILED)
        refusal = as_refusal(failed.value)
        assert isinstance(refusal, NotPossibleNow)
        assert refusal.status == "paid"
        assert await house.handle(withdrawal_id).result() is Status.PAID
    assert house.account.cash_balance == 500_00


async def test_a_payment_that_comes_back_is_credited_exactly_once(house: House) -> None:
    """After the run has closed; asked for twice; the month is free again."""
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await house.handle(withdrawal_id).result() is Status.PAID
        for state, status in (
            (TransferState.SUCCEEDED, Status.PAID),
            (TransferState.RETURNED, Status.RETURNED),
            (TransferState.RETURNED, Status.RETURNED),
        ):
            house.bank.says(withdrawal_id, state, "account_closed")
            assert status is await house.client.execute_workflow(
                BankReturnWorkflow.run,
                BankReturnInput(withdrawal_id),
                id=return_workflow_id(withdrawal_id),
                task_queue=house.task_queue,
            )
    assert (house.account.cash_balance, house.account.withdrawable) == (1_000_00, 1_000_00)
    assert house.account.blockers == []
    assert house.events(withdrawal_id).count("returned") == 1
    # The customer was told once, though the bank was asked twice, and no code is in it.
    told = [text for _, text in house.sms.messages if "退回" in text]
    assert len(told) == house.events(withdrawal_id).count("customer_told") == 1
    assert "500.00" in told[0]
    assert "0013" in told[0]
    assert "验证码" not in told[0]


async def test_a_return_that_overtakes_the_payments_news_is_settled_and_credited(house: House) -> None:
    """The first we hear of it is that it came back: it was paid and returned, both on record."""
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.RETURNED, "account_closed")
        assert await house.handle(withdrawal_id).result() is Status.RETURNED
    assert house.events(withdrawal_id)[-3:] == ["paid", "returned", "customer_told"]
    assert house.account.cash_balance == 1_000_00


async def test_finances_word_waits_for_a_question_under_way_and_nothing_is_submitted_after_it(
    long_house: House, skipping: WorkflowEnvironment
) -> None:
    """The bank lost the transfer; a slow query meets a resolution: it is unfrozen and never paid."""
    house = long_house
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await house.verified(500_00)
            await house.asked(withdrawal_id)
        await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=40))
        await house.becomes(withdrawal_id, Status.UNDER_REVIEW)
        submitted = len(house.bank.submissions)
        house.bank.booked.clear()
        house.bank.slow_query_s = 1.0
        with skipping.with_time_skipping_disabled():
            await house.handle(withdrawal_id).signal(WithdrawalWorkflow.look)
            await house.resolve(withdrawal_id, "finance_1", Outcome.FAILED)
        assert await house.handle(withdrawal_id).result() is Status.FAILED
        await asyncio.sleep(1.5)
    assert len(house.bank.submissions) == submitted
    assert house.account.withdrawable == 1_000_00


async def test_a_bank_that_pays_what_finance_found_unpaid_is_written_down_for_finance(
    long_house: House, skipping: WorkflowEnvironment
) -> None:
    """The money can't be taken back from the customer by a machine; but nobody can say it went unseen."""
    house = long_house
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await house.verified(500_00)
            await house.asked(withdrawal_id)
        await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=40))
        await house.becomes(withdrawal_id, Status.UNDER_REVIEW)
        with skipping.with_time_skipping_disabled():
            await house.resolve(withdrawal_id, "finance_1", Outcome.FAILED)
            house.bank.says(withdrawal_id, TransferState.SUCCEEDED)
            await house.client.execute_workflow(
                BankReturnWorkflow.run,
                BankReturnInput(withdrawal_id),
                id=return_workflow_id(withdrawal_id),
                task_queue=house.task_queue,
            )
    assert house.events(withdrawal_id)[-1] == "bank_contradicts"


async def test_a_return_told_while_the_payment_is_being_recorded_is_not_missed(house: House) -> None:
    """The prompt arrives after the bank was asked and before the run ends: it is asked once more."""
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        await house.asked(withdrawal_id)
        house.bank.on_query = lambda: house.bank.says(withdrawal_id, TransferState.RETURNED, "account_closed")
        house.bank.slow_query_s = 0.5
        house.bank.says(withdrawal_id, TransferState.SUCCEEDED)
        handle = house.handle(withdrawal_id)
        await handle.signal(WithdrawalWorkflow.look)
        await until(lambda: house.bank.queries_started > 0)
        await handle.signal(WithdrawalWorkflow.look)
        assert await handle.result() is Status.RETURNED
    assert house.account.withdrawable == 1_000_00


async def test_a_return_told_to_a_bank_in_doubt_is_asked_after_until_the_bank_answers(house: House) -> None:
    """The sweep read the change once, and its prompt came while the payment was recorded: nobody else will come.

    The fault programme's long run lost a return here: the one look that the prompt caused failed, and the run ended.
    """
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        await house.asked(withdrawal_id)
        handle = house.handle(withdrawal_id)

        def overtaken() -> None:
            house.bank.says(withdrawal_id, TransferState.RETURNED, "account_closed")
            house.bank.unavailable = 2

        house.bank.on_query = overtaken
        house.bank.slow_query_s = 0.5
        house.bank.says(withdrawal_id, TransferState.SUCCEEDED)
        await handle.signal(WithdrawalWorkflow.look)
        await until(lambda: house.bank.queries_started > 0)
        await handle.signal(WithdrawalWorkflow.look)
        assert await handle.result() is Status.RETURNED
    assert house.bank.unavailable == 0
    assert house.account.withdrawable == 1_000_00


async def test_an_answer_that_breaks_an_invariant_moves_nothing_and_is_asked_for_again(house: House) -> None:
    """Another amount than we ordered: a person is needed, the run lives, and the right answer ends it."""
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        await house.asked(withdrawal_id)
        house.bank.booked[withdrawal_id] = BankAnswer(TransferState.SUCCEEDED, "B1", amount_fen=5)
        handle = house.handle(withdrawal_id)
        await handle.signal(WithdrawalWorkflow.look)
        await house.shows(withdrawal_id, "Needs a person")
        before = (await handle.describe()).history_length
        await asyncio.sleep(3)
        assert (await handle.describe()).history_length == before
        assert house.account.frozen == 500_00
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await handle.result() is Status.PAID


async def test_a_bank_too_slow_for_a_quick_look_is_asked_with_patience(house: House) -> None:
    """A look inside the workflow task is given up after two seconds; the step that the server keeps goes on."""
    async with house.worker():
        withdrawal_id = await house.verified()
        await house.asked(withdrawal_id)
        house.bank.slow_query_s = 2.5
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await house.handle(withdrawal_id).result() is Status.PAID
    assert house.bank.queries_started == 2
    assert house.bank.submissions == [withdrawal_id]


async def test_looking_again_and_again_costs_no_timer(house: House) -> None:
    """The day on which the bank is asked stays the same: its timer is not set anew by every prompt."""
    async with house.worker():
        withdrawal_id = await house.verified()
        await house.asked(withdrawal_id)

        def looked(times: int) -> bool:
            return len(house.bank.queries) == times

        for looks in range(1, 6):
            await house.handle(withdrawal_id).signal(WithdrawalWorkflow.look)
            await until(partial(looked, looks))
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        await house.handle(withdrawal_id).result()
    events = (await house.handle(withdrawal_id).fetch_history()).events
    timers = [event for event in events if event.HasField("timer_started_event_attributes")]
    assert len(timers) == 2, "the code's ten minutes, and day 10"


async def test_what_a_bank_says_after_an_hour_away_is_of_the_moment_it_says_it(
    long_house: House, skipping: WorkflowEnvironment
) -> None:
    """The step that asks may be tried for weeks; what it records is of the try that was answered."""
    house = long_house
    house.bank.unavailable = 10**9
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await house.verified()
        began = now()
        await skipping.fast_forward(house.handle(withdrawal_id), timedelta(hours=1))
        house.bank.unavailable = 0
        with skipping.with_time_skipping_disabled():
            await house.asked(withdrawal_id)
    (asked,) = [event for event in house.reads.events(withdrawal_id) if event.kind == "bank_accepted"]
    assert timedelta(minutes=50) < asked.at - began < timedelta(minutes=70)
