"""Finance decides: one or two different people, by API or through Temporal's own door."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from activities.refusals import as_refusal
from domain.errors import FourEyesViolated, NotFound, NotPossibleNow
from domain.withdrawal import Decision, Door, Status, TransferState, Verb
from tests.workflows.house import House, now
from workflows.withdrawal import WithdrawalWorkflow

ONE, TWO = 50_000_00, 500_000_00


def rich(house: House) -> House:
    """The house with an account that can pay for what needs approval."""
    house.accounts.top_up(house.account_id, "rich", 1_000_000_00, now=now())
    return house


async def test_from_the_limit_on_one_approval_lets_it_go_on(house: House) -> None:
    """50,000.00 waits frozen until one person has agreed, and only then the bank is asked."""
    async with rich(house).worker():
        withdrawal_id = await house.verified(ONE)
        assert house.status(withdrawal_id) is Status.AWAITING_APPROVAL
        assert (house.account.frozen, house.bank.submissions) == (ONE, [])
        standing = await house.decide(withdrawal_id, "finance_1", Decision.APPROVE)
        assert standing.status is Status.PROCESSING
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await house.handle(withdrawal_id).result() is Status.PAID


async def test_half_a_million_needs_two_different_people(house: House) -> None:
    """The same person does not count twice, and the applicant does not count at all."""
    async with rich(house).worker():
        withdrawal_id = await house.verified(TWO)
        standing = await house.decide(withdrawal_id, "finance_1", Decision.APPROVE)
        assert (standing.status, standing.approvals_given) == (Status.AWAITING_APPROVAL, 1)
        for somebody in ("finance_1", "customer"):
            with pytest.raises(WorkflowUpdateFailedError) as failed:
                await house.decide(withdrawal_id, somebody, Decision.APPROVE)
            assert isinstance(as_refusal(failed.value), FourEyesViolated)
        assert house.bank.submissions == []
        standing = await house.decide(withdrawal_id, "finance_2", Decision.APPROVE)
        assert standing.status is Status.PROCESSING


async def test_a_rejection_gives_the_money_and_the_month_back(house: House) -> None:
    """One word is enough for a no; deciding again is not possible."""
    async with rich(house).worker():
        withdrawal_id = await house.verified(ONE)
        before = house.account
        await house.decide(withdrawal_id, "finance_1", Decision.REJECT)
        assert await house.handle(withdrawal_id).result() is Status.REJECTED
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await house.decide(withdrawal_id, "finance_1", Decision.REJECT)
        assert isinstance(as_refusal(failed.value), NotPossibleNow)
    assert (before.frozen, house.account.frozen) == (ONE, 0)
    assert house.account.withdrawable == 1_001_000_00
    assert house.account.blockers == []


async def test_finance_can_decide_through_temporals_own_door(house: House) -> None:
    """The signal goes the same way as the update, under the same rules, and the event says which it was."""
    async with rich(house).worker():
        withdrawal_id = await house.verified(ONE)
        handle = house.handle(withdrawal_id)
        await handle.signal("decide", {"approver": "customer", "decision": "approve", "note": ""})
        await handle.signal("decide", {"approver": "finance_1", "decision": "approve", "note": "by hand"})
        await house.becomes(withdrawal_id, Status.PROCESSING)
    approved = [event for event in house.reads.events(withdrawal_id) if event.kind == "approved"]
    assert [(event.actor, event.door) for event in approved] == [("finance_1", Door.TEMPORAL)]


@pytest.mark.parametrize(
    "word",
    [{}, {"approver": "finance_1"}, {"approver": "finance_1", "decision": "maybe"}, {"decision": "approve"}],
)
async def test_a_malformed_decision_by_signal_changes_nothing_and_says_so(house: House, word: dict[str, str]) -> None:
    """The run goes on, and its details tell the operator that the signal was refused."""
    async with rich(house).worker():
        withdrawal_id = await house.verified(ONE)
        handle = house.handle(withdrawal_id)
        await handle.signal("decide", word)
        await house.shows(withdrawal_id, "A decision by signal was refused")
        assert await handle.query(WithdrawalWorkflow.status) == "awaiting_approval"
    assert house.account.frozen == ONE


async def test_a_decision_by_signal_counts_only_where_that_door_is_open(house: House) -> None:
    """With the setting off, Temporal's own door decides nothing."""
    async with rich(house).worker(decide_by_signal=False):
        withdrawal_id = await house.verified(ONE)
        word = {"approver": "finance_1", "decision": "approve"}
        await house.handle(withdrawal_id).signal("decide", word)
        await house.shows(withdrawal_id, "A decision by signal was refused")
        assert house.status(withdrawal_id) is Status.AWAITING_APPROVAL
    assert "approved" not in house.events(withdrawal_id)


async def test_finance_is_reminded_while_it_is_waited_for(long_house: House, skipping: WorkflowEnvironment) -> None:
    """After 1, 2 and 4 more days: ten days of waiting cost three reminders."""
    house = rich(long_house)
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await house.verified(ONE)
        await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=10))
        assert house.events(withdrawal_id).count("finance_reminded") == 3
        assert house.status(withdrawal_id) is Status.AWAITING_APPROVAL
        with skipping.with_time_skipping_disabled():
            await house.decide(withdrawal_id, "finance_1", Decision.REJECT)
        assert await house.handle(withdrawal_id).result() is Status.REJECTED


@pytest.mark.parametrize("update", ["cancel", "decide", "resolve"])
@pytest.mark.parametrize("payload", [None, "7d4e7c1e-52a5-4a3c-9c0e-3d1c3f9f4c55", 7, {"approver": "finance_1"}])
async def test_an_update_by_hand_names_an_instruction_that_the_api_wrote_or_does_nothing(
    house: House, update: str, payload: object
) -> None:
    """Whoever can reach Temporal can prompt a run, but speaks in nobody's name; the run goes on."""
    async with rich(house).worker():
        withdrawal_id = await house.verified(ONE)
        handle = house.handle(withdrawal_id)
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(update, payload)
        assert await handle.query(WithdrawalWorkflow.status) == "awaiting_approval"
        assert house.account.frozen == ONE
        standing = await house.decide(withdrawal_id, "finance_1", Decision.APPROVE)
        assert standing.status is Status.PROCESSING


async def test_an_instruction_for_one_withdrawal_is_none_for_another(house: House) -> None:
    """Nor for another verb: a cancel does not approve."""
    async with rich(house).worker():
        withdrawal_id = await house.verified(ONE)
        asked = house.instructions.record(withdrawal_id, Verb.CANCEL, "customer", now=now())
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await house.update(WithdrawalWorkflow.decide, withdrawal_id, asked)
        assert isinstance(as_refusal(failed.value), NotFound)
    assert house.status(withdrawal_id) is Status.AWAITING_APPROVAL
