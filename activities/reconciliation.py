"""The sweep: prompts whoever the bank's changes concern, starts lost runs again, and looks the ledger over.

It moves no money. It only makes sure that the story of each withdrawal is being told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from bank.client import Bank
from domain.shanghai import day_of
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
from ledger.invariants import violations
from ledger.statements import Statements
from ledger.sweeps import Sweeps

PAGES = 20
"""How many pages of the bank's changes one sweep reads at the most; the next one goes on."""

JUST_NOW = timedelta(seconds=15)
"""A withdrawal that changed only just now may be between its row and its run: it is left to the next sweep."""

PAGE = 500


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

        A run resumes at the step that the rows prove, and asks the bank first if it was ever asked.
        """
        before = datetime.now(UTC) - JUST_NOW
        query = f'WorkflowType = "{WORKFLOW_TYPE}" AND ExecutionStatus = "Running"'
        running = {run.id async for run in self.client.list_workflows(query)}
        restarted = await self._restart_lost(running, before)
        missed = await asyncio.to_thread(self.sweeps.overdue, by=before)
        for withdrawal_id in missed:
            await self._prompt(withdrawal_id, Status.PROCESSING)
        over = await asyncio.to_thread(self.sweeps.over, _withdrawals_of(running), by=before)
        for withdrawal_id in over:
            await self._wake(withdrawal_id)
        return RunsLookedAfter(restarted, len(missed) + len(over))

    @activity.defn
    async def check_invariants(self) -> list[str]:
        """The names of the invariants that do not hold; each is an error in the log, and their number a metric."""
        broken = await asyncio.to_thread(violations, self.database)
        for violation in broken:
            activity.logger.error("an invariant is broken: %s (%d rows)", violation.invariant, len(violation.rows))
        names = [violation.invariant for violation in broken]
        await asyncio.to_thread(self.sweeps.note_invariants, names, now=datetime.now(UTC))
        return names

    @activity.defn
    async def match_statements(self, at: datetime) -> int:
        """Reads the bank's statements up to yesterday and matches them with our book; returns what is open."""
        yesterday = day_of(at) - timedelta(days=1)
        for day in await asyncio.to_thread(self.statements.days_to_read, yesterday):
            entries = await self.bank.statement(day)
            await asyncio.to_thread(self.statements.record, day, entries, now=at)
        still_open = await asyncio.to_thread(self.statements.match, now=at)
        if still_open:
            activity.logger.error("the bank's book and ours differ in %d places", still_open)
        return still_open

    async def _restart_lost(self, running: AbstractSet[str], before: datetime) -> int:
        restarted = 0
        after: UUID | None = None
        while True:
            page = await asyncio.to_thread(self.sweeps.unfinished, unchanged_since=before, after=after, limit=PAGE)
            for withdrawal_id in page:
                if workflow_id(withdrawal_id) not in running:
                    await self._start(WORKFLOW_TYPE, workflow_id(withdrawal_id), withdrawal_id)
                    activity.logger.warning("started a lost run again: %s", withdrawal_id)
                    restarted += 1
            if len(page) < PAGE:
                return restarted
            after = page[-1]

    async def _wake(self, withdrawal_id: UUID) -> None:
        """Lets a run read that its withdrawal is over; one that has just ended needs it no more."""
        try:
            await self.client.get_workflow_handle(workflow_id(withdrawal_id)).signal("look")
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def _prompt(self, withdrawal_id: UUID, status: Status) -> None:
        if status.is_final:
            await self._start(RETURN_WORKFLOW_TYPE, return_workflow_id(withdrawal_id), withdrawal_id, signal="look")
        else:
            await self._start(WORKFLOW_TYPE, workflow_id(withdrawal_id), withdrawal_id, signal="look")

    async def _start(self, workflow: str, run_id: str, withdrawal_id: UUID, *, signal: str | None = None) -> None:
        """Starts the run, or finds it running; by name, since activities know no workflows."""
        await self.client.start_workflow(
            workflow,
            {"withdrawal_id": str(withdrawal_id)},
            id=run_id,
            task_queue=self.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=signal,
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
