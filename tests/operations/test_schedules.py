"""When a schedule of Temporal's needs somebody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from operations.schedules import KEPT, Clock, longest, troubles
from worker import schedules

NOW = datetime(2026, 3, 10, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CLOCK = Clock(
    name="reconciliation",
    paused=False,
    note="",
    every=MINUTE,
    created_at=NOW - timedelta(days=1),
    last_run=NOW,
    next_run=NOW + MINUTE,
    under_way=False,
)
MOMENT = timedelta(seconds=1)


def test_those_that_are_looked_at_are_those_that_a_worker_keeps() -> None:
    """None is left out, and none is missed that nobody makes."""
    assert list(KEPT) == list(schedules("queue", sweep_every=MINUTE))


def test_three_intervals_without_a_run_are_too_many() -> None:
    """And the time that a run itself may take."""
    assert CLOCK.trouble(now=NOW + 3 * MINUTE + timedelta(seconds=15)) is None
    late = NOW + longest(MINUTE) + MOMENT
    assert CLOCK.trouble(now=late) == "reconciliation ran 3 min ago, due every 1 min: is a worker there?"
    under_way = replace(CLOCK, under_way=True)
    assert under_way.trouble(now=late) == (
        "reconciliation ran 3 min ago, due every 1 min, and that run is still under way: is a worker there?"
    )
    assert replace(CLOCK, every=timedelta(hours=1)).trouble(now=late) is None


def test_one_that_has_never_run_has_its_time_from_when_it_was_made() -> None:
    """A stack that has just been started is well."""
    never = replace(CLOCK, last_run=None, created_at=NOW)
    assert never.trouble(now=NOW + MINUTE) is None
    assert never.trouble(now=NOW + 10 * MINUTE) == (
        "reconciliation has not run in its 10 min, due every 1 min: is a worker there?"
    )


def test_a_paused_one_is_found_at_once_with_its_note() -> None:
    """In Shanghai's time."""
    paused = replace(CLOCK, paused=True, note="for a moment")
    since = "at some time after its last run at 2026-03-10 10:00:00"
    assert troubles({"reconciliation": paused, "audit": None}, now=NOW) == [
        f"reconciliation is paused (for a moment), {since}: `schedules --resume`",
        "audit is missing: a worker makes it again, is one there?",
    ]
    assert replace(paused, last_run=None, note="").trouble(now=NOW) == (
        "reconciliation is paused: `schedules --resume`"
    )
