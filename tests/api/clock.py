"""Time as the tests tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
"""A Monday, ten in the morning in Shanghai."""


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """The time it is."""
        return self.now

    def move_on(self, by: timedelta) -> None:
        """Time passes."""
        self.now += by
