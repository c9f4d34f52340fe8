"""The sweep on a schedule: what a notification missed, what a lost run left behind, and whether the ledger holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.reconciliation import ReconciliationActivities, RunsLookedAfter
    from workflows import options


@dataclass(frozen=True)
class SweepReport:
    """What one sweep did; None where a step could not be done, and the next sweep tries again."""

    prompted: int | None
    runs: RunsLookedAfter | None
    broken_invariants: list[str] | None


@workflow.defn(name="ReconciliationWorkflow")
class ReconciliationWorkflow:
    """One sweep. Its steps don't need each other: one that fails does not keep the others from running."""

    @workflow.run
    async def run(self) -> SweepReport:
        """Runs every step once."""
        return SweepReport(
            prompted=await _try(ReconciliationActivities.pull_changes, "Prompt whom the bank's changes concern"),
            runs=await _try(ReconciliationActivities.look_after_runs, "Start lost runs again, prompt late ones"),
            broken_invariants=await _try(ReconciliationActivities.check_invariants, "Look the ledger over"),
        )


@workflow.defn(name="ThoroughSweepWorkflow")
class ThoroughSweepWorkflow:
    """Once in sixty sweeps: what they do for what changed, for everything. Beside them, so that none has to wait."""

    @workflow.run
    async def run(self) -> SweepReport:
        """Both steps, one after the other; a step that fails does not keep the other from running."""
        return SweepReport(
            prompted=None,
            runs=await _try(
                ReconciliationActivities.look_after_all_runs, "Hold every row against its run", options.UPKEEP_STEP
            ),
            broken_invariants=await _try(
                ReconciliationActivities.check_all_invariants, "Look the whole ledger over", options.UPKEEP_STEP
            ),
        )


@workflow.defn(name="StatementWorkflow")
class StatementWorkflow:
    """Once a day: the bank's statement against our book."""

    @workflow.run
    async def run(self) -> int:
        """Returns how many differences are open."""
        return await workflow.execute_activity_method(
            ReconciliationActivities.match_statements,
            workflow.now(),
            summary="Match the bank's statement with our book",
            start_to_close_timeout=options.SWEEP_STEP,
            schedule_to_close_timeout=options.STATEMENT_WITHIN,
            heartbeat_timeout=options.SWEEP_HEARTBEAT,
        )


async def _try(step: Callable[..., Any], summary: str, within: timedelta = options.SWEEP_STEP) -> Any:
    try:
        return await workflow.execute_activity_method(
            step,
            args=[],
            summary=summary,
            start_to_close_timeout=within,
            heartbeat_timeout=options.SWEEP_HEARTBEAT,
            retry_policy=options.SWEEP_RETRIES,
        )
    except FailureError:
        workflow.logger.exception("a step of the sweep failed: %s", summary)
        return None
