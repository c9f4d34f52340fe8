"""A step that takes long shows that its worker lives; a quick one sends nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities import heartbeats
from activities.heartbeats import HeartbeatInterceptor


class _Step(ActivityInboundInterceptor):
    """Takes so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        await asyncio.sleep(self._seconds)


@pytest.mark.parametrize(
    ("seconds", "time_out", "beats"),
    [(0.01, timedelta(seconds=15), False), (0.3, timedelta(seconds=15), True), (0.3, None, False)],
)
async def test_only_a_step_that_takes_long_beats(
    monkeypatch: pytest.MonkeyPatch, seconds: float, time_out: timedelta | None, *, beats: bool
) -> None:
    """The server counts from the start of the attempt: a beat at once would tell it nothing."""
    monkeypatch.setattr(heartbeats, "BEAT_S", 0.1)
    environment, beaten = ActivityEnvironment(), [0]
    environment.info = replace(environment.info, heartbeat_timeout=time_out)

    def count(*_: Any) -> None:
        beaten[0] += 1

    environment.on_heartbeat = count
    step = HeartbeatInterceptor().intercept_activity(_Step(seconds))
    await environment.run(step.execute_activity, ExecuteActivityInput(lambda: None, [], None, {}))
    assert (beaten[0] > 0) is beats
