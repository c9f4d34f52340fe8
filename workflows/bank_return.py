"""A bank that sends a paid transfer back (退票), days later, when the withdrawal's own run has long been closed."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.bank import BankActivities
    from activities.ledger import LedgerActivities
    from domain.withdrawal import RETURN_WORKFLOW_TYPE, Status
    from workflows import options


@dataclass(frozen=True)
class BankReturnInput:
    """The withdrawal that a notification was about."""

    withdrawal_id: UUID


@workflow.defn(name=RETURN_WORKFLOW_TYPE)
class BankReturnWorkflow:
    """Asks the bank whether a paid transfer came back, and credits it exactly once if it did."""

    @workflow.run
    async def run(self, input: BankReturnInput) -> Status:
        """Returns the withdrawal's status: ``returned``, or ``paid`` if the notification meant nothing."""
        answer = await workflow.execute_activity_method(
            BankActivities.query_bank,
            input.withdrawal_id,
            summary="Did the money come back?",
            start_to_close_timeout=options.ASK_BANK,
            heartbeat_timeout=options.BANK_HEARTBEAT,
            schedule_to_close_timeout=options.ASK_FOR_RETURN,
            retry_policy=options.ASK_BANK_RETRIES,
        )
        if answer is None:
            return Status.PAID
        standing = await workflow.execute_local_activity_method(
            LedgerActivities.record_answer,
            args=[input.withdrawal_id, answer, workflow.now()],
            summary=f"The bank says: {answer.state}",
            start_to_close_timeout=options.LEDGER_STEP,
            retry_policy=options.LEDGER_RETRIES,
        )
        return standing.status
