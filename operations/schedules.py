"""What runs by the clock in Temporal: whether it does, when it ran and will run, and letting it go on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from temporalio.client import Client, ScheduleDescription
from temporalio.service import RPCError, RPCStatusCode

from operations.answers import Answer, Grid, how_long, in_shanghai
from operations.engine import reaching_temporal

SWEEP, THOROUGH_SWEEP = "reconciliation", "thorough-sweep"
KEPT = (SWEEP, THOROUGH_SWEEP, "statement", "audit", "retention")
"""What every worker keeps in place, by the schedules' names in Temporal."""

MISSED = 3
"""So many intervals without a run are more than a restart of the workers."""
A_RUN_ITSELF = timedelta(seconds=15)
"""What a run may take from its start to the rows that tell of it."""


@dataclass(frozen=True)
class Clock:
    """One schedule. ``every`` is None where Temporal names no further times."""

    name: str
    paused: bool
    note: str
    every: timedelta | None
    created_at: datetime
    last_run: datetime | None
    next_run: datetime | None
    under_way: bool

    def trouble(self, *, now: datetime) -> str | None:
        """Why it does not run as it should; None if it does."""
        if self.paused:
            note = f" ({self.note})" if self.note else ""
            # Temporal does not keep when it was paused; it still ran when it last did.
            since = f", at some time after its last run at {in_shanghai(self.last_run)}" if self.last_run else ""
            return f"{self.name} is paused{note}{since}: `schedules --resume`"
        waited = now - (self.last_run or self.created_at)
        if self.every is not None and waited > longest(self.every):
            ran = f"ran {how_long(waited)} ago" if self.last_run else f"has not run in its {how_long(waited)}"
            still = ", and that run is still under way" if self.under_way else ""
            return f"{self.name} {ran}, due every {how_long(self.every)}{still}: is a worker there?"
        return None


def longest(every: timedelta) -> timedelta:
    """For how long nothing may be heard of what is due that often."""
    return MISSED * every + A_RUN_ITSELF


@dataclass(frozen=True)
class Schedules:
    """Reads the schedules, and lets the paused ones go on; it pauses and changes none."""

    client: Client = field(repr=False)

    async def read(self) -> dict[str, Clock | None]:
        """Each of ``KEPT``, None where Temporal has none of that name; ``TemporalAway`` if that is so."""
        with reaching_temporal():
            clocks = await asyncio.gather(*(self._read(name) for name in KEPT))
        return dict(zip(KEPT, clocks, strict=True))

    async def resume(self) -> list[str]:
        """Lets every paused one go on; returns which."""
        paused = [name for name, clock in (await self.read()).items() if clock is not None and clock.paused]
        for name in paused:
            with reaching_temporal():
                await self.client.get_schedule_handle(name).unpause(note="resumed by python -m operations schedules")
        return paused

    async def show(self, *, now: datetime, resume: bool = False) -> Answer:
        """All of them, after letting the paused ones go on if that is asked for."""
        resumed = await self.resume() if resume else []
        clocks = await self.read()
        # Whoever goes on only now has not missed anything more.
        troubled = {name: clock for name, clock in clocks.items() if name not in resumed or not clock or clock.paused}
        lines = [f"{name} goes on; `verify` is content once it has run" for name in resumed]
        if resume and not resumed:
            lines.append("none was paused")
        return Answer(
            content={
                "schedules": {name: clock and _content(clock) for name, clock in clocks.items()},
                "resumed": resumed,
            },
            grids=[_grid(clocks)],
            problems=troubles(troubled, now=now),
            lines=lines,
        )

    async def _read(self, name: str) -> Clock | None:
        try:
            described = await self.client.get_schedule_handle(name).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        return _clock(name, described)


def troubles(clocks: dict[str, Clock | None], *, now: datetime) -> list[str]:
    """What is wrong with them, one line each."""
    found = [
        f"{name} is missing: a worker makes it again, is one there?" if clock is None else clock.trouble(now=now)
        for name, clock in clocks.items()
    ]
    return [one for one in found if one]


def _clock(name: str, described: ScheduleDescription) -> Clock:
    state, info = described.schedule.state, described.info
    return Clock(
        name=name,
        paused=state.paused,
        note=state.note or "",
        every=_every(described),
        created_at=info.created_at,
        last_run=info.recent_actions[-1].started_at if info.recent_actions else None,
        next_run=info.next_action_times[0] if info.next_action_times else None,
        under_way=bool(info.running_actions),
    )


def _every(described: ScheduleDescription) -> timedelta | None:
    intervals, ahead = described.schedule.spec.intervals, described.info.next_action_times
    if intervals:
        return min(interval.every for interval in intervals)
    return ahead[1] - ahead[0] if len(ahead) > 1 else None


def _content(clock: Clock) -> dict[str, object]:
    return {**asdict(clock), "every": clock.every and clock.every.total_seconds()}


def _grid(clocks: dict[str, Clock | None]) -> Grid:
    rows: Sequence[Sequence[object]] = [
        [name, "missing", None, None, None, None]
        if clock is None
        else [
            name,
            "paused" if clock.paused else "runs",
            clock.every and how_long(clock.every),
            clock.last_run,
            # Temporal goes on naming times for a paused one, which it will let pass.
            None if clock.paused else clock.next_run,
            clock.note or None,
        ]
        for name, clock in clocks.items()
    ]
    return Grid("What runs by the clock", ("schedule", "is", "due every", "last run", "next run", "note"), rows)
