"""The run of a withdrawal in Temporal: how it is, and the two things that may be done to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from domain.withdrawal import RETURN_WORKFLOW_TYPE, WORKFLOW_TYPE, return_workflow_id, workflow_id

RUNNING = f'WorkflowType = "{WORKFLOW_TYPE}" AND ExecutionStatus = "Running"'
TRIED_OFTEN = 3
"""A step of a run that failed so often is more than a hiccup."""


@dataclass(frozen=True)
class PendingStep:
    """An activity that is under way or waits to be tried again; ``failure`` is its last one's message."""

    activity: str
    attempt: int
    failure: str


@dataclass(frozen=True)
class Run:
    """The newest run of a withdrawal."""

    workflow_id: str
    run_id: str
    status: str
    started_at: datetime
    history_events: int
    steps: Sequence[PendingStep]
    task_attempt: int
    """Above 1: the workflow task fails again and again, so the run stands still until a worker can do it."""

    @property
    def is_running(self) -> bool:
        return self.status == "RUNNING"

    def trouble(self) -> str | None:
        """What keeps the run from going on, if something does."""
        if not self.is_running:
            return None
        if self.task_attempt > 1:
            return f"its workflow task fails (attempt {self.task_attempt})"
        often = [step for step in self.steps if step.attempt > TRIED_OFTEN]
        if often:
            return f"{often[0].activity} was tried {often[0].attempt} times: {often[0].failure}"
        return None


@dataclass(frozen=True)
class Runs:
    """Reads runs, prompts them, and starts the lost ones: what the sweep does by itself, for one withdrawal."""

    client: Client = field(repr=False)
    task_queue: str

    async def running(self) -> set[str]:
        """The ids of all runs that are under way."""
        return {run.id async for run in self.client.list_workflows(RUNNING)}

    async def of(self, withdrawal_id: UUID) -> Run | None:
        """The newest run; None if Temporal knows of none (any more)."""
        try:
            described = await self.client.get_workflow_handle(workflow_id(withdrawal_id)).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        raw = described.raw_description
        steps = [
            PendingStep(
                pending.activity_type.name,
                pending.attempt,
                # By the client's converter: where failures are encrypted, their words are.
                str(await self.client.data_converter.decode_failure(pending.last_failure))
                if pending.HasField("last_failure")
                else "",
            )
            for pending in raw.pending_activities
        ]
        return Run(
            workflow_id=described.id,
            run_id=described.run_id,
            status=(described.status or WorkflowExecutionStatus.RUNNING).name,
            started_at=described.start_time,
            history_events=described.history_length,
            steps=steps,
            task_attempt=raw.pending_workflow_task.attempt,
        )

    async def nudge(self, withdrawal_id: UUID, *, over: bool) -> str:
        """Lets the story look at rows and bank again; one that is over is asked after at the bank (退票)."""
        name, run_id = (
            (RETURN_WORKFLOW_TYPE, return_workflow_id(withdrawal_id))
            if over
            else (WORKFLOW_TYPE, workflow_id(withdrawal_id))
        )
        await self._start(name, run_id, withdrawal_id, signal="look")
        return run_id

    async def restart(self, withdrawal_id: UUID) -> bool:
        """Starts a run if there is none; False if one is under way. It resumes where the rows prove it stands."""
        run = await self.of(withdrawal_id)
        if run is not None and run.is_running:
            return False
        await self._start(WORKFLOW_TYPE, workflow_id(withdrawal_id), withdrawal_id)
        return True

    async def _start(self, workflow: str, run_id: str, withdrawal_id: UUID, *, signal: str | None = None) -> None:
        await self.client.start_workflow(
            workflow,
            {"withdrawal_id": str(withdrawal_id)},
            id=run_id,
            task_queue=self.task_queue,
            # Somebody else may start it at the same moment: then there is one, and it is theirs.
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=signal,
        )
