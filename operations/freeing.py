"""The two things that may be done to a withdrawal that does not get on, and where it stands after them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.withdrawal import workflow_id
from ledger.cases import OVER, Case, Cases
from operations.answers import Answer, NotUsable
from operations.runs import Runs

LOOK_EVERY_S, LOOKS = 0.5, 10
QUIET_LOOKS = 2
"""A run that had nothing to do at so many looks has done what it could."""


@dataclass(frozen=True)
class Freeing:
    """Prompts and starts runs; takes no step of the story itself."""

    cases: Cases
    runs: Runs

    async def nudge(self, withdrawal_id: UUID) -> Answer:
        """Lets its run look at the rows and the bank again, and waits a little for what comes of it."""
        before = await asyncio.to_thread(self.cases.case, withdrawal_id)
        over = before.withdrawal.status.is_final
        if over and before.transfer is None:
            raise NotUsable(f"{withdrawal_id} is {before.withdrawal.status}: there is nothing left to look at")
        run_id = await self.runs.nudge(withdrawal_id, over=over)
        return await self._stands(before, run_id, {"nudged": run_id}, f"{run_id} looks at the rows and the bank again")

    async def restart(self, withdrawal_id: UUID) -> Answer:
        """Starts its run if there is none, and waits a little for it to get on."""
        before = await asyncio.to_thread(self.cases.case, withdrawal_id)
        if before.withdrawal.status.is_final:
            raise NotUsable(f"{withdrawal_id} is {before.withdrawal.status}: its story is told")
        started = await self.runs.restart(withdrawal_id)
        said = "a run was started and goes on where the rows stand"
        return await self._stands(
            before,
            workflow_id(withdrawal_id),
            {"started": started},
            said if started else "a run is under way: nothing to restart",
        )

    async def _stands(self, before: Case, run_id: str, content: dict[str, Any], said: str) -> Answer:
        """Once its rows have moved, its run has nothing more to do, or five seconds are over."""
        withdrawal_id = before.withdrawal.id
        quiet, moved, case = 0, False, before
        run = None
        for _ in range(LOOKS):
            await asyncio.sleep(LOOK_EVERY_S)
            case = await asyncio.to_thread(self.cases.case, withdrawal_id)
            run = await self.runs.named(run_id)
            moved = _rows(case) != _rows(before)
            quiet = 0 if run is not None and run.is_busy else quiet + 1
            if moved or quiet == QUIET_LOOKS:
                break
        unfinished = await asyncio.to_thread(self.cases.unfinished_one, withdrawal_id)
        waits_for = unfinished.waits_for() if unfinished else OVER
        status = case.withdrawal.status
        came_of_it = f"it is {status} now" if moved else f"its rows have not moved: it is {status}"
        return Answer(
            {**content, "moved": moved, "status": status, "waits_for": waits_for, "run": run and run.status},
            lines=[
                said,
                f"{came_of_it}, and its run {run.status if run else 'not there'}",
                f"waits for: {waits_for}",
                f"next: show {withdrawal_id}",
            ],
        )


def _rows(case: Case) -> tuple[object, ...]:
    """What changes when the story gets on; messages are delivered without it."""
    return case.withdrawal.version, len(case.events), case.transfer
