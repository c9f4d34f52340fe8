"""How a story waits: for a deadline, or for a prompt from outside, and through an operator's cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import options


class Prompts:
    """Numbers for those who want the story to look again, each answered once it has looked; and the one
    cancellation an operator may ask for, which the story takes up between two steps.
    """

    def __init__(self) -> None:
        self._given = 0
        self._noticed = 0
        self._answered = 0
        self._alarm = Alarm()
        self.cancel_requested = False
        self.cancel_answered = False

    def give(self) -> int:
        """Wants the story to look; returns the number under which ``answered`` becomes true."""
        self._given += 1
        return self._given

    def notice(self) -> None:
        """What the story does next answers every prompt up to now."""
        self._noticed = self._given

    def answer(self) -> None:
        """The story has looked."""
        self._answered = self._noticed

    def answered(self, number: int) -> bool:
        """True once the story has looked after this number was given."""
        return self._answered >= number

    @property
    def any(self) -> bool:
        """True while somebody waits for a look."""
        return self._given > self._answered

    @property
    def cancel_pending(self) -> bool:
        """True from an operator's request until the story took it up."""
        return self.cancel_requested and not self.cancel_answered

    async def before(self, deadline: datetime, moved_on: Callable[[], bool], summary: str) -> bool:
        """True as soon as somebody prompts or ``moved_on`` is true, False once the deadline has come."""
        self._alarm.set(deadline, summary)
        try:
            await workflow.wait_condition(
                lambda: self.any or self.cancel_pending or moved_on() or self._alarm.rang,
            )
        except asyncio.CancelledError:
            if workflow.cancellation_reason() is None:
                raise
        if not (self.any or self.cancel_pending or moved_on()) and self._alarm.rang:
            return False
        self.notice()
        return True


class Alarm:
    """One timer for as long as the deadline stays the same: a prompt in between costs neither event nor action.

    The timer of a story that ends is left as it is; the server forgets it with the run.
    """

    def __init__(self) -> None:
        self._deadline: datetime | None = None
        self._timer: asyncio.Task[None] | None = None

    @property
    def rang(self) -> bool:
        """True once the deadline has come."""
        return self._timer is not None and self._timer.done()

    def set(self, deadline: datetime, summary: str) -> None:
        """For this deadline, instead of the one before; one that has just passed rings soon, not at once."""
        if self._timer is not None and not self._timer.done():
            if deadline == self._deadline:
                return
            self._timer.cancel()
        patience = max(deadline - workflow.now(), options.SOON)
        self._deadline = deadline
        self._timer = asyncio.create_task(workflow.sleep(patience, summary=summary))


async def until(condition: Callable[[], bool]) -> None:
    """Waits through an operator's cancellation, which is the story's to answer."""
    while not condition():
        try:
            await workflow.wait_condition(condition)
        except asyncio.CancelledError:
            if workflow.cancellation_reason() is None:
                raise
