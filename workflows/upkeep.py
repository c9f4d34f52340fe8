"""What runs by the clock and concerns no single withdrawal: the audit chain, and the end of personal data."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.audit import AuditActivities
    from activities.retention import RetentionActivities
    from ledger.retention import Cleaned
    from workflows import options


@workflow.defn(name="AuditWorkflow")
class AuditWorkflow:
    """Seals what was written since the last run, and anchors the head of the chain outside PostgreSQL."""

    @workflow.run
    async def run(self) -> int:
        """Returns the number of the head."""
        return await workflow.execute_activity_method(
            AuditActivities.seal_and_anchor,
            workflow.now(),
            summary="Seal the audit chain and anchor its head",
            start_to_close_timeout=options.UPKEEP_STEP,
            heartbeat_timeout=options.SWEEP_HEARTBEAT,
            retry_policy=options.SWEEP_RETRIES,
        )


@workflow.defn(name="RetentionWorkflow")
class RetentionWorkflow:
    """Once a day: what nobody needs any more is blanked or deleted."""

    @workflow.run
    async def run(self) -> Cleaned:
        """Returns how many rows it concerned."""
        return await workflow.execute_activity_method(
            RetentionActivities.clean,
            workflow.now(),
            summary="Blank and delete what nobody needs any more",
            start_to_close_timeout=options.UPKEEP_STEP,
            heartbeat_timeout=options.SWEEP_HEARTBEAT,
            schedule_to_close_timeout=options.STATEMENT_WITHIN,
        )
