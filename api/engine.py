"""The way to the workflow: every call is bounded in time, and every failure comes out as a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import structlog
from starlette.concurrency import run_in_threadpool
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
)
from temporalio.common import TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.refusals import as_refusal
from activities.summaries import DETAILS, RETURN_SUMMARY, SUMMARY
from domain.errors import TemporarilyUnavailable
from domain.withdrawal import FinanceDecision, Resolution, Standing, Status, Verb, return_workflow_id, workflow_id
from ledger.instructions import Instructions
from payloads.keys import KeyMissing
from workflows.bank_return import BankReturnInput, BankReturnWorkflow
from workflows.search_attributes import columns
from workflows.withdrawal import WithdrawalInput, WithdrawalWorkflow

POLLED_WITHIN = timedelta(seconds=90)
"""A worker asks for work at least once a minute; the server remembers those that are gone for longer."""

log = structlog.get_logger()


class _ColumnsUnknown(Exception):
    """Temporal does not know the operators' search attributes (yet)."""


class _NoRun(TemporarilyUnavailable):
    """Temporal knows of no such run, or it is over; for whoever cannot start one, that passes by itself."""


@dataclass(frozen=True)
class EngineHealth:
    """Does Temporal answer, and does a worker ask it for our work?"""

    reachable: bool
    workers: bool


class Engine(Protocol):
    """What the routes ask of the workflow; it answers, refuses, or is ``TemporarilyUnavailable``."""

    async def open(self, withdrawal_id: UUID, applied: Standing | None = None) -> Standing:
        """Starts the run of a recorded application, or finds it running; ``applied`` is where it stands, if known."""

    async def verify(self, withdrawal_id: UUID) -> Standing:
        """Tells that the right code is on record; answers once the money is frozen, or is not to be."""

    async def resend(self, withdrawal_id: UUID) -> Standing:
        """Asks for another code."""

    async def cancel(self, withdrawal_id: UUID, actor: str) -> Standing:
        """The customer's wish to end it."""

    async def decide(self, withdrawal_id: UUID, word: FinanceDecision) -> Standing:
        """Finance's decision."""

    async def resolve(self, withdrawal_id: UUID, word: Resolution) -> Standing:
        """Finance's word on a transfer under review."""

    async def look(self, withdrawal_id: UUID) -> None:
        """Lets a run that may still be waiting read the record again; no run is no error."""

    async def bank_changed(self, withdrawal_id: UUID, status: Status) -> None:
        """The bank has news of a transfer whose withdrawal is recorded as ``status``: let it be asked."""

    async def ready(self) -> EngineHealth:
        """Never raises."""


@dataclass(frozen=True)
class TemporalEngine:
    """No call of Temporal's takes longer than ``timeout``; a lost run is started again by whoever asks next."""

    client: Client
    task_queue: str
    timeout: timedelta
    instructions: Instructions

    async def open(self, withdrawal_id: UUID, applied: Standing | None = None) -> Standing:
        if applied is None or applied.changed_at is None:
            return await self._update(withdrawal_id, WithdrawalWorkflow.open)
        try:
            shown = columns(applied, applied.changed_at)
            return await self._update(withdrawal_id, WithdrawalWorkflow.open, shown=shown)
        except _ColumnsUnknown:
            # A Temporal that was replaced by an empty one: the worker registers them, and the run sets them itself.
            return await self._update(withdrawal_id, WithdrawalWorkflow.open)

    async def verify(self, withdrawal_id: UUID) -> Standing:
        return await self._update_running(withdrawal_id, WithdrawalWorkflow.verify)

    async def resend(self, withdrawal_id: UUID) -> Standing:
        return await self._update_running(withdrawal_id, WithdrawalWorkflow.resend)

    async def cancel(self, withdrawal_id: UUID, actor: str) -> Standing:
        return await self._instruct(withdrawal_id, WithdrawalWorkflow.cancel, Verb.CANCEL, actor)

    async def decide(self, withdrawal_id: UUID, word: FinanceDecision) -> Standing:
        return await self._instruct(
            withdrawal_id, WithdrawalWorkflow.decide, Verb.DECIDE, word.approver, word.decision, word.note
        )

    async def resolve(self, withdrawal_id: UUID, word: Resolution) -> Standing:
        return await self._instruct(
            withdrawal_id, WithdrawalWorkflow.resolve, Verb.RESOLVE, word.resolver, word.outcome, word.evidence
        )

    async def look(self, withdrawal_id: UUID) -> None:
        with suppress(_NoRun):
            await self._look(withdrawal_id)

    async def bank_changed(self, withdrawal_id: UUID, status: Status) -> None:
        if not status.is_final:
            with suppress(_NoRun):  # It is there, nearly always: then nothing has to be said of how to start one.
                await self._look(withdrawal_id)
                return
        async with self._reached():
            if not status.is_final:
                await self.client.start_workflow(
                    WithdrawalWorkflow.run,
                    WithdrawalInput(withdrawal_id),
                    id=workflow_id(withdrawal_id),
                    task_queue=self.task_queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    start_signal="look",
                    static_summary=SUMMARY,
                    static_details=DETAILS,
                    rpc_timeout=self.timeout,
                )
            elif status in _BANK_WAS_ASKED:
                # Over for us: a payment may have come back, or the bank may say otherwise after all.
                await self.client.start_workflow(
                    BankReturnWorkflow.run,
                    BankReturnInput(withdrawal_id),
                    id=return_workflow_id(withdrawal_id),
                    task_queue=self.task_queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    start_signal="look",
                    static_summary=RETURN_SUMMARY,
                    rpc_timeout=self.timeout,
                )

    async def _look(self, withdrawal_id: UUID) -> None:
        async with self._reached():
            run = self.client.get_workflow_handle(workflow_id(withdrawal_id))
            await run.signal(WithdrawalWorkflow.look, rpc_timeout=self.timeout)

    async def ready(self) -> EngineHealth:
        request = DescribeTaskQueueRequest(
            namespace=self.client.namespace,
            task_queue=TaskQueue(name=self.task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        try:
            async with self._reached():
                answer = await self.client.workflow_service.describe_task_queue(request, timeout=self.timeout)
        except TemporarilyUnavailable:
            return EngineHealth(reachable=False, workers=False)
        since = datetime.now(UTC) - POLLED_WITHIN
        polled = (poller.last_access_time.ToDatetime(UTC) for poller in answer.pollers)
        return EngineHealth(reachable=True, workers=any(at > since for at in polled))

    async def _instruct(
        self, withdrawal_id: UUID, update: Any, verb: Verb, actor: str, word: str = "", note: str = ""
    ) -> Standing:
        """Writes down who asks for what, and prompts the run with the row's id: Temporal carries nobody's word."""
        record = partial(self.instructions.record, word=word, note=note, now=datetime.now(UTC))
        instruction_id = await run_in_threadpool(record, withdrawal_id, verb, actor)
        return await self._update_running(withdrawal_id, update, instruction_id)

    async def _update_running(self, withdrawal_id: UUID, update: Any, *words: object) -> Standing:
        """The run is there, nearly always: then nothing has to be said of how to start one."""
        run = self.client.get_workflow_handle(workflow_id(withdrawal_id))
        try:
            async with self._reached():
                answer: Standing = await run.execute_update(
                    update, args=words, rpc_timeout=self.timeout, result_type=Standing
                )
        except _NoRun:
            return await self._update(withdrawal_id, update, *words)
        return answer

    async def _update(
        self, withdrawal_id: UUID, update: Any, *words: object, shown: TypedSearchAttributes | None = None
    ) -> Standing:
        """Update-with-start: the run that is there hears it, or a new one resumes from the rows."""
        start = WithStartWorkflowOperation(
            WithdrawalWorkflow.run,
            WithdrawalInput(withdrawal_id),
            id=workflow_id(withdrawal_id),
            task_queue=self.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            # A run that ended, or whose history expired, is no obstacle: the rows say what is left to do.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=shown,
            static_summary=SUMMARY,
            static_details=DETAILS,
        )
        # The operation keeps its failure for a second reader; unread, it would be logged as lost, long afterwards.
        started = asyncio.ensure_future(start.workflow_handle())
        started.add_done_callback(_mark_as_read)
        try:
            async with self._reached():
                answer: Standing = await self.client.execute_update_with_start_workflow(
                    update,
                    args=words,
                    start_workflow_operation=start,
                    rpc_timeout=self.timeout,
                    result_type=Standing,
                )
        finally:
            started.cancel()
        return answer

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[None]:
        """Bounds a call and translates its failures.

        Update-with-start is not atomic: after a time-out the run may be there and still carry the update out.
        So a refusal for lack of time promises no more than that the same call can be made again.
        """
        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                yield
        except WorkflowUpdateFailedError as failed:
            refusal = as_refusal(failed)
            if refusal is not None:
                raise refusal from failed
            if isinstance(failed.cause, ApplicationError) and failed.cause.type == _RUN_ENDED:
                raise TemporarilyUnavailable(retry_after_s=1) from failed
            raise
        except (RPCTimeoutOrCancelledError, TimeoutError) as slow:
            raise TemporarilyUnavailable from slow
        except KeyMissing as missing:
            # It was carried out, and only its answer cannot be read: the same call reads the rows once the key is back.
            raise TemporarilyUnavailable from missing
        except RPCError as away:
            if away.status is RPCStatusCode.NOT_FOUND:
                raise _NoRun from away
            if away.status is RPCStatusCode.INVALID_ARGUMENT and "search attribute" in str(away):
                raise _ColumnsUnknown from away
            log.warning("engine_refused_the_call", status=away.status.name)
            raise TemporarilyUnavailable from away
        except RuntimeError as error:
            # What the client raises when its first connection fails has no type of its own.
            if str(error).startswith("Failed client connect"):
                raise TemporarilyUnavailable from error
            raise


def _mark_as_read(started: asyncio.Future[Any]) -> None:
    if not started.cancelled():
        started.exception()


_BANK_WAS_ASKED = (Status.PAID, Status.RETURNED, Status.FAILED)
_RUN_ENDED = "AcceptedUpdateCompletedWorkflow"
"""The run ended while it carried the update out: the rows have the answer for the next call."""
