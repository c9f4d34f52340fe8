"""The release after this one, as the rehearsal plays it: one more step before the bank is asked."""

from __future__ import annotations

from datetime import UTC, datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.ledger import LedgerActivities
    from domain.withdrawal import WORKFLOW_TYPE, Status
    from workflows.withdrawal import WithdrawalInput, WithdrawalWorkflow

PATCH = "look-before-asking"


@workflow.defn(name=WORKFLOW_TYPE)
class PatchedRelease(WithdrawalWorkflow):
    """Changed as decision 41 wants it: the new step only for runs that have not passed it by."""

    @workflow.init
    def __init__(self, input: WithdrawalInput) -> None:
        super().__init__(input)

    @workflow.run
    async def run(self, input: WithdrawalInput) -> Status:
        """As before."""
        return await super().run(input)

    async def _ask_bank(self) -> None:
        if workflow.patched(PATCH):
            await self._step(LedgerActivities.read_standing, "New in this release")
        await super()._ask_bank()


@workflow.defn(name=WORKFLOW_TYPE)
class CarelessRelease(WithdrawalWorkflow):
    """The same change without the patch: what the recorded histories are there to catch."""

    @workflow.init
    def __init__(self, input: WithdrawalInput) -> None:
        super().__init__(input)

    @workflow.run
    async def run(self, input: WithdrawalInput) -> Status:
        """As before."""
        return await super().run(input)

    async def _ask_bank(self) -> None:
        await self._step(LedgerActivities.read_standing, "New in this release")
        await super()._ask_bank()


@workflow.defn(name=WORKFLOW_TYPE)
class ClockRelease(WithdrawalWorkflow):
    """Looks at the machine's clock, which says something else at every replay."""

    @workflow.init
    def __init__(self, input: WithdrawalInput) -> None:
        super().__init__(input)

    @workflow.run
    async def run(self, input: WithdrawalInput) -> Status:
        """As before."""
        return await super().run(input)

    async def _ask_bank(self) -> None:
        if datetime.now(UTC).year > 2000:
            await super()._ask_bank()
