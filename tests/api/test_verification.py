"""Entering the code, resending it, and cancelling."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from uuid import UUID

import pytest

from domain.withdrawal import BankAnswer, TransferState
from ledger.reads import Reads, WithdrawalRecord
from tests.api.clock import ManualClock
from tests.api.console import Console, refused
from tests.api.played_engine import PlayedEngine

MESSAGE = "Your withdrawal application has been received and will be processed within 10 to 15 working days."


async def test_the_right_code_is_answered_with_the_message_and_the_dates(console: Console) -> None:
    """Rule 9, word for word, with the window of rule 6; the amount is frozen, no more and no less."""
    answer = await console.verify(await console.applied())
    body = answer.json()
    assert answer.status_code == 200
    assert body["message"] == MESSAGE
    assert body["arrival_window"] == {"earliest": "2026-12-07", "latest": "2026-12-14", "provisional": False}
    assert (body["status"], body["code_expires_at"]) == ("processing", None)
    account = await console.account()
    assert (account["frozen"], account["cash_balance"], account["withdrawable"]) == ("500.00", "1280.00", "580.00")
    console.holds()


@pytest.mark.parametrize("amount", ["500.00", "50000.00"])
async def test_what_the_freeze_left_is_what_a_reader_finds(
    console: Console, engine: PlayedEngine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, amount: str
) -> None:
    """Though the answer is put together from a record that was read while the freeze was under way."""
    await console.book("acct_1001", "top-ups", "60000.00")
    applied = await console.applied(amount=amount)
    verify = engine.verify

    async def verify_after_the_read(withdrawal_id: UUID) -> object:
        await asyncio.sleep(0.2)
        clock.move_on(timedelta(seconds=5))
        return await verify(withdrawal_id)

    monkeypatch.setattr(engine, "verify", verify_after_the_read)
    answer = (await console.verify(applied)).json()
    found = (await console.as_customer("GET", f"/v1/withdrawals/{applied['id']}")).json()
    assert {name: answer[name] for name in found} == found
    assert found["status"] == ("awaiting_approval" if amount == "50000.00" else "processing")


async def test_a_record_that_is_read_late_is_shown_as_it_is(
    console: Console, engine: PlayedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank refused at once: an answer is of one moment, and no mixture of two."""
    withdrawal = await console.applied()
    verify, read = engine.verify, Reads.withdrawal

    def read_late(reads: Reads, withdrawal_id: UUID, *, of: str | None = None) -> WithdrawalRecord:
        time.sleep(0.3)
        return read(reads, withdrawal_id, of=of)

    monkeypatch.setattr(Reads, "withdrawal", read_late)

    async def verify_before_the_no(withdrawal_id: UUID) -> object:
        frozen = await verify(withdrawal_id)
        engine.bank_says(withdrawal_id, BankAnswer(TransferState.FAILED, "B1", "account_closed"))
        return frozen

    monkeypatch.setattr(engine, "verify", verify_before_the_no)
    answer = (await console.verify(withdrawal)).json()
    assert (answer["status"], answer["failure"]["code"]) == ("failed", "bank_account_closed")


async def test_the_right_code_given_again_is_answered_again(console: Console) -> None:
    """The first answer may have been lost on its way; nothing is frozen twice."""
    withdrawal = await console.applied()
    first = await console.verify(withdrawal)
    async with console.nothing_changes():
        again = await console.verify(withdrawal)
    assert (again.status_code, again.json()) == (200, first.json())


async def test_a_bank_that_refuses_at_once_does_not_make_the_code_wrong(console: Console, engine: PlayedEngine) -> None:
    """The withdrawal may have failed by the time the customer is answered, and is shown as it is."""
    withdrawal = await console.applied()
    verify = engine.verify

    async def verify_and_hear_no(withdrawal_id: UUID) -> object:
        await verify(withdrawal_id)
        return engine.bank_says(withdrawal_id, BankAnswer(TransferState.FAILED, "B1", "account_closed"))

    engine.verify = verify_and_hear_no  # type: ignore[assignment, method-assign]
    answer = await console.verify(withdrawal)
    assert answer.status_code == 200
    assert answer.json()["failure"]["code"] == "bank_account_closed"
    assert answer.json()["message"] == MESSAGE
    assert (await console.account())["withdrawable"] == "1080.00"
    console.holds()


async def test_another_code_can_be_asked_for(console: Console, clock: ManualClock) -> None:
    """202; the new code counts, for ten minutes from then on, and the old one no longer does."""
    withdrawal = await console.applied()
    old = console.code(withdrawal)
    clock.move_on(timedelta(seconds=60))
    path = f"/v1/withdrawals/{withdrawal['id']}/verification/resend"
    answer = await console.as_customer("POST", path)
    assert (answer.status_code, answer.json()["code_expires_at"]) == (202, "2026-11-23T02:11:00Z")
    if old != console.code(withdrawal):
        refused(await console.verify(withdrawal, old), 422, "wrong_code")
    assert (await console.verify(withdrawal)).status_code == 200


async def test_a_customer_cancels_before_the_bank_is_asked(console: Console) -> None:
    """Before the code and while finance is waited for; what was frozen is back, and so is the month."""
    for verified in (False, True):
        withdrawal = await console.applied(of="acct_2002", amount="60000.00")
        if verified:
            assert (await console.verify(withdrawal)).json()["status"] == "awaiting_approval"
        path = f"/v1/withdrawals/{withdrawal['id']}/cancel"
        answer = await console.as_customer("POST", path, of="acct_2002")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        account = await console.account("acct_2002")
        assert (account["frozen"], account["withdrawable"]) == ("0.00", "900000.00")
        assert (account["blockers"], account["next_eligible_on"]) == ([], None)
    console.holds()


async def test_a_callers_second_scope_does_not_open_anothers_withdrawal_to_change(console: Console) -> None:
    """Somebody of finance with an account of their own reads everything and cancels only their own."""
    theirs = await console.applied(of="acct_2002")
    bearer = console.bearer(scope="withdrawals finance", account_id="acct_1001")
    path = f"/v1/withdrawals/{theirs['id']}"
    assert (await console.http.get(path, headers=bearer)).status_code == 200
    async with console.nothing_changes():
        refused(await console.http.post(f"{path}/cancel", headers=bearer), 404, "not_found")
