"""The steps of the stories: each an activity with its time-outs, retries and the kind it is (decision 7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.bank import BankActivities
    from activities.sms import SmsActivities
    from domain.withdrawal import Asked, Standing
    from payloads.refused import genuine
    from workflows import options


async def ledger(step: Callable[..., Standing], summary: str, *words: Any) -> Standing:
    """One transaction of ours, tried until PostgreSQL answers; where the withdrawal stands afterwards."""
    standing: Standing = await workflow.execute_local_activity_method(
        step,
        args=words,
        summary=summary,
        start_to_close_timeout=options.LEDGER_STEP,
        local_retry_threshold=options.LEDGER_AWAY,
        retry_policy=options.LEDGER_RETRIES,
    )
    return standing


async def check_and_send_code(withdrawal_id: UUID, send_key: str) -> Standing:
    """The rules and the first code in one quick try; a ``FailureError`` where PostgreSQL or the gateway is slow."""
    standing: Standing = await workflow.execute_local_activity_method(
        SmsActivities.check_and_send_code,
        args=[withdrawal_id, send_key, workflow.now()],
        summary="Check the rules, send the phone code",
        start_to_close_timeout=options.QUICK,
        retry_policy=options.ONCE,
    )
    return standing


async def send_code(withdrawal_id: UUID, send_key: str) -> Standing:
    """A code, tried again under the same key for as long as the customer is likely to wait."""
    return genuine(
        await workflow.execute_activity_method(
            SmsActivities.send_code,
            args=[withdrawal_id, send_key, workflow.now()],
            summary="Send the phone code",
            start_to_close_timeout=options.SEND_CODE,
            schedule_to_close_timeout=options.SEND_CODE_ALTOGETHER,
            retry_policy=options.SEND_CODE_RETRIES,
        )
    )


async def ask_bank(withdrawal_id: UUID, patience: timedelta) -> Asked:
    """Submits the transfer, or asks what became of it; tried until the bank answers or ``patience`` is over."""
    return genuine(
        await workflow.execute_activity_method(
            BankActivities.ask_bank,
            args=[withdrawal_id, workflow.now()],
            summary="Ask the bank",
            start_to_close_timeout=options.ASK_BANK,
            schedule_to_close_timeout=patience,
            heartbeat_timeout=options.BANK_HEARTBEAT,
            retry_policy=options.ASK_BANK_RETRIES,
        )
    )


async def look_at_bank(withdrawal_id: UUID) -> Asked | None:
    """One quick look at the bank's book; None if it knows of nothing, a ``FailureError`` if it is not as quick."""
    asked: Asked | None = await workflow.execute_local_activity_method(
        BankActivities.look_at_bank,
        args=[withdrawal_id, workflow.now()],
        summary="Does the bank have an answer?",
        start_to_close_timeout=options.QUICK,
        retry_policy=options.ONCE,
    )
    return asked


async def keep_looking_at_bank(withdrawal_id: UUID) -> Asked | None:
    """The same look, tried again for days: a payment may have come back."""
    return genuine(
        await workflow.execute_activity_method(
            BankActivities.look_at_bank,
            args=[withdrawal_id, workflow.now()],
            summary="Did the payment come back?",
            start_to_close_timeout=options.ASK_BANK,
            schedule_to_close_timeout=options.ASK_FOR_RETURN,
            heartbeat_timeout=options.BANK_HEARTBEAT,
            retry_policy=options.ASK_BANK_RETRIES,
        )
    )
