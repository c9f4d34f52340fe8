"""A withdrawal from application to paid."""

from __future__ import annotations

from collections import Counter

from domain.withdrawal import Status, TransferState
from tests.workflows.house import CARD, PHONE, House
from workflows.withdrawal import WithdrawalWorkflow


async def test_a_withdrawal_walks_from_application_to_paid(house: House) -> None:
    """The money is frozen once the phone is verified, and leaves the account when the bank has paid."""
    async with house.worker():
        withdrawal_id = await house.open(500_00)
        assert house.status(withdrawal_id) is Status.AWAITING_VERIFICATION
        assert house.account.frozen == 0

        house.enter_code(withdrawal_id)
        standing = await house.update(WithdrawalWorkflow.verify, withdrawal_id)
        assert standing.status is Status.PROCESSING
        assert standing.window is not None
        assert (house.account.frozen, house.account.cash_balance) == (500_00, 1_000_00)

        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await house.handle(withdrawal_id).result() is Status.PAID

    assert (house.account.frozen, house.account.cash_balance) == (0, 500_00)
    assert house.bank.submissions == [withdrawal_id]
    assert house.events(withdrawal_id) == [
        "applied",
        "code_sent",
        "verified",
        "frozen",
        "bank_asked",
        "bank_accepted",
        "paid",
    ]


async def test_a_happy_run_stays_short_and_holds_no_personal_data(house: House) -> None:
    """Its history is bounded, and neither name, phone, card nor code is anywhere in it."""
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        await house.handle(withdrawal_id).result()
    history = await house.handle(withdrawal_id).fetch_history()
    kinds = Counter(event.WhichOneof("attributes") for event in history.events)
    assert len(history.events) <= 30, kinds
    assert kinds["activity_task_scheduled_event_attributes"] == 1, kinds
    recorded = history.to_json()
    assert str(withdrawal_id) in recorded
    for secret in (CARD.card_number, CARD.account_name, PHONE, house.sms.last_code):
        assert secret not in recorded
