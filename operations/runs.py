"""The run of a withdrawal in Temporal: how it is, and the two things that may be done to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHistoryEventFilterType,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from domain.withdrawal import RETURN_WORKFLOW_TYPE, WORKFLOW_TYPE, return_workflow_id, workflow_id
from operations.engine import reaching_temporal

RUNNING = f'WorkflowType = "{WORKFLOW_TYPE}" AND ExecutionStatus = "Running"'
LAST = WorkflowHistoryEventFilterType.CLOSE_EVENT
TRIED_OFTEN = 3
"""A step of a run that failed so often is more than a hiccup."""


@dataclass(frozen=True)
class PendingStep:
    """An activity that is under way or waits to be tried again; ``failure`` is its last one's message."""

    activity: str
    attempt: int
    failure: str


@dataclass(frozen=True)
class Ending:
    """How a run ended. Who and why are those of its last event; None where nobody ended it or nothing was said."""

    at: datetime
    by: str | None = None
    reason: str | None = None


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
    """0: nothing to do for a worker. Above 1: the task fails again and again, so the run stands still until one can."""
    ending: Ending | None = None
    """None while it runs."""

    @property
    def is_running(self) -> bool:
        return self.status == "RUNNING"

    @property
    def is_busy(self) -> bool:
        """Whether a worker has something to do for it right now."""
        return self.task_attempt > 0 or bool(self.steps)

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
        with reaching_temporal():
            return {run.id async for run in self.client.list_workflows(RUNNING)}

    async def of(self, withdrawal_id: UUID) -> Run | None:
        """The newest run of the story; None if Temporal knows of none (any more)."""
        return await self.named(workflow_id(withdrawal_id))

    async def named(self, run_id: str) -> Run | None:
        """The newest run under a workflow's id; None if there is none."""
        with reaching_temporal():
            try:
                described = await self.client.get_workflow_handle(run_id).describe()
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return None
                raise
            ending = await self._ending(described)
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
            ending=ending,
        )

    async def _ending(self, described: WorkflowExecutionDescription) -> Ending | None:
        """Read in the run's history, where it did not come to its own end."""
        if described.close_time is None:
            return None
        handle = self.client.get_workflow_handle(described.id, run_id=described.run_id)
        match described.status:
            case WorkflowExecutionStatus.TERMINATED:
                [event] = [event async for event in handle.fetch_history_events(event_filter_type=LAST)]
                ended = event.workflow_execution_terminated_event_attributes
                return Ending(described.close_time, ended.identity or None, ended.reason or None)
            case WorkflowExecutionStatus.CANCELED:
                # Its last event says only that it ended; who asked for it stands further up.
                asked = [
                    event.workflow_execution_cancel_requested_event_attributes
                    async for event in handle.fetch_history_events()
                    if event.HasField("workflow_execution_cancel_requested_event_attributes")
                ]
                by, cause = (asked[0].identity, asked[0].cause) if asked else ("", "")
                return Ending(described.close_time, by or None, cause or None)
            case WorkflowExecutionStatus.FAILED:
                [event] = [event async for event in handle.fetch_history_events(event_filter_type=LAST)]
                failure = event.workflow_execution_failed_event_attributes.failure
                return Ending(
                    described.close_time, reason=str(await self.client.data_converter.decode_failure(failure))
                )
            case _:
                return Ending(described.close_time)

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
        with reaching_temporal():
            await self.client.start_workflow(
                workflow,
                {"withdrawal_id": str(withdrawal_id)},
                id=run_id,
                task_queue=self.task_queue,
                # Somebody else may start it at the same moment: then there is one, and it is theirs.
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal=signal,
            )
