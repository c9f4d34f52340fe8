"""Named places between two durable writes, at which the fault programme ends a process.

What TiKV's fail-rs and etcd's gofail do in the code itself is done here around the parts: the bank, the SMS gateway,
the engine and the ledger are put behind a guard that stops before a call and after it. An armed point is a file in a
folder; the first process that reaches it takes the file away and dies by SIGKILL, as it would in a power failure.
Without the setting nothing is put around anything.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

Part = TypeVar("Part")

BEFORE, AFTER = "before", "after"
HIT: Final = ".hit"

WORKER_PARTS: Final[Mapping[str, Collection[str]]] = {
    "bank": ("submit", "query"),
    "sms": ("send",),
    "sweeps": ("move_cursor",),
}
"""The worker's calls outside, and the cursor. What its activities commit has points of its own, below."""

API_PARTS: Final[Mapping[str, Collection[str]]] = {
    "engine": ("open", "verify", "resend", "cancel", "decide", "resolve", "bank_changed"),
    "instructions": ("record",),
}
"""The API's ways to the engine: between the row that was written, the run that hears of it, and the answer."""

STEPS: Final = (
    *("check_eligibility", "freeze", "expire", "cancel", "cancel_for_operator", "decide", "decide_by_hand"),
    *("record_answer", "put_under_review", "resolve"),
    *("check_and_send_code", "send_code", "ask_bank", "look_at_bank", "query_bank", "tell_of_return"),
    *("pull_changes", "look_after_runs", "check_invariants", "match_statements"),
)
"""Activities that have done their work, and of which Temporal has not heard yet."""

POINTS: Final = (
    *(
        f"{part}.{method}.{moment}"
        for part, methods in (*WORKER_PARTS.items(), *API_PARTS.items())
        for method in methods
        for moment in (BEFORE, AFTER)
    ),
    *(f"step.{step}.{AFTER}" for step in STEPS),
)
"""Every point there is."""


@dataclass(frozen=True)
class Failpoints:
    """The points of one process. ``folder`` holds a file for each armed point, and ``NAME.hit.WHEN`` for each taken."""

    folder: Path

    def guard(self, part: Part, name: str, methods: Collection[str]) -> Part:
        """``part`` as before, but that each of these methods passes a point before it and another after it."""
        return cast(Part, _Guard(self, part, name, frozenset(methods)))

    def interceptor(self) -> Interceptor:
        """Passes a point after each activity, before Temporal hears that it is done."""
        return _AfterSteps(self)

    def reach(self, point: str) -> None:
        """Ends the process at once if the point is armed, and disarms it."""
        try:
            # Of several processes that get here at once, one gets the file.
            (self.folder / point).rename(self.folder / f"{point}{HIT}.{time.time_ns()}")
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class _Guard:
    """Stands in front of a part; every other attribute is the part's own."""

    def __init__(self, points: Failpoints, part: Any, name: str, methods: frozenset[str]) -> None:
        self._points, self._part, self._name, self._methods = points, part, name, methods

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._part, attribute)
        return self._guarded(attribute, found) if attribute in self._methods else found

    def _guarded(self, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
        point = f"{self._name}.{method}"
        if inspect.iscoroutinefunction(call):

            @functools.wraps(call)
            async def guarded_coroutine(*args: Any, **kwargs: Any) -> Any:
                self._points.reach(f"{point}.{BEFORE}")
                answer = await call(*args, **kwargs)
                self._points.reach(f"{point}.{AFTER}")
                return answer

            return guarded_coroutine

        @functools.wraps(call)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            self._points.reach(f"{point}.{BEFORE}")
            answer = call(*args, **kwargs)
            self._points.reach(f"{point}.{AFTER}")
            return answer

        return guarded


@dataclass
class _AfterSteps(Interceptor):
    points: Failpoints

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _AfterStep(next, self.points)


class _AfterStep(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, points: Failpoints) -> None:
        super().__init__(next)
        self._points = points

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        answer = await self.next.execute_activity(input)
        self._points.reach(f"step.{activity.info().activity_type}.{AFTER}")
        return answer
