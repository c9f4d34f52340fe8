"""What the customer is told besides what they read on the page."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.sms import SmsActivities
    from domain.withdrawal import Status
    from workflows import options


async def tell_if_returned(withdrawal_id: UUID, status: Status | None) -> None:
    """An SMS that the money came back. It is credited already: a gateway that is away for a day stops nothing."""
    if status is not Status.RETURNED:
        return
    with suppress(FailureError):
        await workflow.execute_activity_method(
            SmsActivities.tell_of_return,
            args=[withdrawal_id, workflow.now()],
            summary="Tell the customer that the money came back",
            start_to_close_timeout=options.SEND_CODE,
            schedule_to_close_timeout=options.TELL_ALTOGETHER,
            retry_policy=options.TELL_RETRIES,
        )
