"""News of a transfer whose withdrawal is over: a return (退票) days later, or a word against what we recorded."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.bank import BankActivities
    from activities.ledger import LedgerActivities
    from domain.withdrawal import RETURN_WORKFLOW_TYPE, Status
    from payloads.refused import RefusedPayload
    from workflows import options, steps
    from workflows.notices import tell_if_returned


@dataclass(frozen=True)
class BankReturnInput:
    """The withdrawal that a notification was about."""

    withdrawal_id: UUID


@workflow.defn(name=RETURN_WORKFLOW_TYPE)
class BankReturnWorkflow:
    """Asks the bank what became of a transfer after all, and credits a return exactly once."""

    @workflow.init
    def __init__(self, input: BankReturnInput) -> None:
        self._id = input.withdrawal_id
        self._looks_wanted = False

    @workflow.run
    async def run(self, input: BankReturnInput) -> Status | None:
        """Returns the withdrawal's status, None if the bank does not know the transfer."""
        status = await self._ask()
        while self._looks_wanted:  # News that came after the bank had answered.
            self._looks_wanted = False
            status = await self._ask()
        await tell_if_returned(self._id, status)
        return status

    @workflow.signal
    def look(self) -> None:
        """Something changed at the bank."""
        self._looks_wanted = True

    async def _ask(self) -> Status | None:
        answer = await workflow.execute_activity_method(
            BankActivities.query_bank,
            self._id,
            summary="What became of it after all?",
            start_to_close_timeout=options.ASK_BANK,
            schedule_to_close_timeout=options.ASK_FOR_RETURN,
            heartbeat_timeout=options.BANK_HEARTBEAT,
            retry_policy=options.ASK_BANK_RETRIES,
        )
        if answer is None:
            return None
        if isinstance(answer, RefusedPayload):
            self._looks_wanted = True  # Nobody of ours answered: asked again.
            return None
        said = f"The bank says: {answer.state}"
        standing = await steps.ledger(LedgerActivities.record_answer, said, self._id, answer, workflow.now())
        return standing.status
