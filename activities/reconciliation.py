"""The sweep: prompts whoever the bank's changes concern, starts lost runs again, and looks the ledger over.

It moves no money. It only makes sure that the story of each withdrawal is being told. A sweep looks at what changed
since the last one; the thorough sweep, once in sixty, at everything (decision 51).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from temporalio import activity
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.summaries import DETAILS, RETURN_SUMMARY, SUMMARY
from bank.client import Bank
from domain.shanghai import day_of
from domain.statement import DifferenceKind
from domain.withdrawal import (
    OUTCOMES,
    RETURN_WORKFLOW_TYPE,
    WORKFLOW_TYPE,
    Status,
    return_workflow_id,
    withdrawal_of,
    workflow_id,
)
from ledger.database import Database
from ledger.invariants import LedgerMark, look_over
from ledger.statements import Statements
from ledger.sweeps import RunsMark, Sweeps

PAGES = 20
"""How many pages of the bank's changes one sweep reads at the most; the next one goes on."""

JUST_NOW = timedelta(seconds=15)
"""A withdrawal that changed only just now may be between its row and its run: it is left to the next sweep."""

LATE = timedelta(minutes=2)
"""How far before the last sweep this one begins: Temporal's list of runs lags behind, transactions commit after the
time that they wrote, and clocks differ. What is later still waits for the thorough sweep."""

PAGE = 500

AT_ONCE = 16
"""How many runs are started or prompted at a time."""


@dataclass(frozen=True)
class RunsLookedAfter:
    """How many runs were started again, and how many were prompted because something was due."""

    restarted: int
    prompted: int


@dataclass(frozen=True)
class ReconciliationActivities:
    """The bank's changes, the rows and the runs, held against each other."""

    client: Client = field(repr=False)
    task_queue: str
    bank: Bank
    sweeps: Sweeps
    statements: Statements
    database: Database

    @activity.defn
    async def pull_changes(self) -> int:
        """Prompts every withdrawal that changed at the bank since the last sweep; returns how many."""
        prompted = 0
        cursor = await asyncio.to_thread(self.sweeps.cursor)
        for _ in range(PAGES):
            changes = await self.bank.changes(cursor)
            known = await asyncio.to_thread(self.sweeps.known, _withdrawal_ids(changes.states))
            for withdrawal_id, (status, state) in known.items():
                told = changes.states[str(withdrawal_id)]
                if told in OUTCOMES and told != state:  # Nothing else lets anything go on.
                    await self._prompt(withdrawal_id, status)
                    prompted += 1
            # Only now: a crash before this line prompts some of them twice, one after it would forget them.
            await asyncio.to_thread(self.sweeps.move_cursor, changes.next_cursor, now=datetime.now(UTC))
            if not changes.states or changes.next_cursor == cursor:
                break
            cursor = changes.next_cursor
        return prompted

    @activity.defn
    async def look_after_runs(self) -> RunsLookedAfter:
        """Starts a run for every unfinished withdrawal that has none, and prompts those that missed something.

        A run resumes at the step that the rows prove, and asks the bank first if it was ever asked. What was closed or
        changed since the last sweep is looked at, and everything where this Temporal knows nothing of that sweep: it
        was replaced by an empty one, or put back.
        """
        before = datetime.now(UTC) - JUST_NOW
        mark = await asyncio.to_thread(self.sweeps.runs_mark)
        if mark is None or not await self._remembers(mark):
            return await self._look_after_all(before)
        since = mark.until - LATE
        closed = await self._listed(f'ExecutionStatus != "Running" AND CloseTime >= "{(since - LATE).isoformat()}"')
        lost = await asyncio.to_thread(self.sweeps.untold, since=since, by=before)
        for some in _parts(_withdrawals_of({run.id for run in closed})):
            lost += await asyncio.to_thread(self.sweeps.unfinished_among, some, unchanged_since=before)
        missed = await asyncio.to_thread(self.sweeps.overdue, by=before, since=since)
        # One that was terminated may have been started again, and that run may not have heard.
        heard = {run.id for run in closed if run.status is WorkflowExecutionStatus.COMPLETED}
        ended = await asyncio.to_thread(self.sweeps.ended, since=since, by=before)
        over = [withdrawal_id for withdrawal_id in ended if workflow_id(withdrawal_id) not in heard]
        return await self._looked_after(lost, missed, over, before, whole=False)

    @activity.defn
    async def look_after_all_runs(self) -> RunsLookedAfter:
        """The same for every run and every row there is, whenever they changed."""
        return await self._look_after_all(datetime.now(UTC) - JUST_NOW)

    @activity.defn
    async def check_invariants(self) -> list[str]:
        """The names of the invariants that do not hold; each is an error in the log, and their number a metric.

        What changed since the last look is looked at; the whole ledger before the first, and while one is broken.
        """
        return await self._check_invariants(await asyncio.to_thread(self.sweeps.ledger_mark))

    @activity.defn
    async def check_all_invariants(self) -> list[str]:
        """The same of the whole ledger, whenever it changed."""
        return await self._check_invariants(None)

    @activity.defn
    async def match_statements(self, at: datetime) -> int:
        """Reads the bank's statements up to yesterday and matches them with our book; returns what is open.

        Whoever the bank paid, or sent back, without our book knowing is prompted: should every other prompt be lost,
        nobody waits for longer than for the next statement.
        """
        yesterday = day_of(at) - timedelta(days=1)
        for day in await asyncio.to_thread(self.statements.days_to_read, yesterday):
            entries = await self.bank.statement(day)
            await asyncio.to_thread(self.statements.record, day, entries, now=at)
        still_open = await asyncio.to_thread(self.statements.match, now=at)
        if still_open:
            activity.logger.error("the bank's book and ours differ in %d places", still_open)
            differences = await asyncio.to_thread(self.statements.open_differences)
            unheard = [one.client_ref for one in differences if one.kind is DifferenceKind.NOT_IN_OUR_BOOK]
            known = await asyncio.to_thread(self.sweeps.known, _withdrawal_ids(unheard))
            for withdrawal_id, (status, _) in known.items():
                await self._prompt(withdrawal_id, status)
        return still_open

    async def _look_after_all(self, before: datetime) -> RunsLookedAfter:
        running = {run.id for run in await self._listed('ExecutionStatus = "Running"')}
        lost: list[UUID] = []
        after: UUID | None = None
        while True:
            page = await asyncio.to_thread(self.sweeps.unfinished, unchanged_since=before, after=after, limit=PAGE)
            lost += [withdrawal_id for withdrawal_id in page if workflow_id(withdrawal_id) not in running]
            if len(page) < PAGE:
                break
            after = page[-1]
        missed = await asyncio.to_thread(self.sweeps.overdue, by=before)
        over: list[UUID] = []
        for some in _parts(_withdrawals_of(running)):
            over += await asyncio.to_thread(self.sweeps.over, some, by=before)
        return await self._looked_after(lost, missed, over, before, whole=True)

    async def _looked_after(
        self, lost: Sequence[UUID], missed: Sequence[UUID], over: Sequence[UUID], before: datetime, *, whole: bool
    ) -> RunsLookedAfter:
        restarted = await _count(self._restart, lost)
        prompted = await _count(self._prompt_late, missed) + await _count(self._wake, over)
        # Only now: a sweep that dies before this line is done again from the last one's mark.
        this = activity.info()
        mark = RunsMark(before, this.workflow_id or "", this.workflow_run_id or "")
        await asyncio.to_thread(self.sweeps.note_runs, mark, whole=whole)
        return RunsLookedAfter(restarted, prompted)

    async def _remembers(self, mark: RunsMark) -> bool:
        """Whether this Temporal is the one of the last sweep."""
        try:
            await self.client.get_workflow_handle(mark.workflow_id, run_id=mark.run_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True

    async def _listed(self, those: str) -> list[WorkflowExecution]:
        """These runs of withdrawals, as Temporal's list has them: it lags a moment behind."""
        query = f'WorkflowType = "{WORKFLOW_TYPE}" AND {those}'
        return [run async for run in self.client.list_workflows(query)]

    async def _check_invariants(self, since: LedgerMark | None) -> list[str]:
        now = datetime.now(UTC)
        look = await asyncio.to_thread(look_over, self.database, since, now=now)
        for violation in look.violations:
            activity.logger.error("an invariant is broken: %s (%d rows)", violation.invariant, len(violation.rows))
        await asyncio.to_thread(self.sweeps.note_invariants, look, now=now)
        return [violation.invariant for violation in look.violations]

    async def _restart(self, withdrawal_id: UUID) -> bool:
        """Starts a run; False if there is one, whatever the list says."""
        try:
            await self._start(WORKFLOW_TYPE, workflow_id(withdrawal_id), withdrawal_id, only_if_none=True)
        except WorkflowAlreadyStartedError:
            return False
        activity.logger.warning("started a lost run again: %s", withdrawal_id)
        return True

    async def _wake(self, withdrawal_id: UUID) -> bool:
        """Lets a run read that its withdrawal is over; False for one that has ended and needs it no more."""
        try:
            await self.client.get_workflow_handle(workflow_id(withdrawal_id)).signal("look")
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True

    async def _prompt_late(self, withdrawal_id: UUID) -> bool:
        await self._prompt(withdrawal_id, Status.PROCESSING)
        return True

    async def _prompt(self, withdrawal_id: UUID, status: Status) -> None:
        if status.is_final:
            await self._start(RETURN_WORKFLOW_TYPE, return_workflow_id(withdrawal_id), withdrawal_id, signal="look")
        else:
            await self._start(WORKFLOW_TYPE, workflow_id(withdrawal_id), withdrawal_id, signal="look")

    async def _start(
        self, workflow: str, run_id: str, withdrawal_id: UUID, *, signal: str | None = None, only_if_none: bool = False
    ) -> None:
        """Starts the run, or finds it running; by name, since activities know no workflows."""
        found = WorkflowIDConflictPolicy.FAIL if only_if_none else WorkflowIDConflictPolicy.USE_EXISTING
        await self.client.start_workflow(
            workflow,
            {"withdrawal_id": str(withdrawal_id)},
            id=run_id,
            task_queue=self.task_queue,
            id_conflict_policy=found,
            start_signal=signal,
            static_summary=SUMMARY if workflow == WORKFLOW_TYPE else RETURN_SUMMARY,
            static_details=DETAILS if workflow == WORKFLOW_TYPE else None,
        )


def _withdrawal_ids(client_refs: Iterable[str]) -> list[UUID]:
    """The references that can be ours."""
    ids = []
    for ref in client_refs:
        try:
            ids.append(UUID(ref))
        except ValueError:
            activity.logger.error("the bank reports a reference that is not ours")
    return ids


def _withdrawals_of(run_ids: Iterable[str]) -> list[UUID]:
    """Whose runs these are; a run that somebody started under another name is nobody's."""
    ids = []
    for run_id in run_ids:
        with suppress(ValueError):
            ids.append(withdrawal_of(run_id))
    return ids


def _parts(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """As many at a time as one query should name."""
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]


async def _count(step: Callable[[UUID], Awaitable[bool]], ids: Iterable[UUID]) -> int:
    """Takes the step for each, some at a time; returns for how many there was something to do."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(withdrawal_id: UUID) -> bool:
        async with turns:
            return await step(withdrawal_id)

    try:
        async with asyncio.TaskGroup() as group:
            taken = [group.create_task(one(withdrawal_id)) for withdrawal_id in set(ids)]
    except ExceptionGroup as troubles:
        raise troubles.exceptions[0] from troubles
    return sum(task.result() for task in taken)
