"""The arrival window: the 10th to the 15th Chinese working day after day 0 (product.md, rule 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

EARLIEST_WORKING_DAY = 10
LATEST_WORKING_DAY = 15

LOOK_AHEAD = timedelta(days=90)
"""More days than the slowest window can span, so that one look-up of the calendar is enough."""


@dataclass(frozen=True)
class ArrivalWindow:
    """When the money is expected; both days included. ``provisional`` until the year's calendar is published."""

    earliest: date
    latest: date
    provisional: bool = False


@dataclass(frozen=True)
class WorkingCalendar:
    """The State Council's calendar as far as it is published: ``days`` says of each known date if people work.

    A year counts as known only when it is there as a whole, which the loader guarantees.
    """

    days: Mapping[date, bool]

    def window_after(self, day_zero: date) -> ArrivalWindow:
        """Works the window out; a date without calendar makes it provisional and late rather than early."""
        feasts = {feast.name: feast.most_weekdays for feast in _MOVABLE_FEASTS}
        provisional, count, day = False, 0, day_zero
        earliest = day_zero
        while count < LATEST_WORKING_DAY:
            day += timedelta(days=1)
            works = self.days.get(day)
            if works is None:
                provisional = True
                works = _surely_works(day, feasts)
            count += works
            if works and count == EARLIEST_WORKING_DAY:
                earliest = day
        return ArrivalWindow(earliest, day, provisional)


@dataclass(frozen=True)
class _Season:
    """The part of any year in which a feast of the lunar calendar can make weekdays free."""

    name: str
    first: tuple[int, int]
    last: tuple[int, int]
    most_weekdays: int


# Bounds over the published calendars since 2008, with a day or two to spare. In a year that is not published
# yet, the feast is taken to begin as soon as the window reaches its season: that errs late, never early.
_MOVABLE_FEASTS = (
    _Season("spring festival", (1, 19), (2, 28), 7),
    _Season("dragon boat", (5, 26), (6, 28), 3),
    _Season("mid-autumn", (9, 6), (9, 30), 3),
)
_FIXED_HOLIDAYS = (
    ((1, 1), (1, 4)),
    ((4, 2), (4, 7)),
    ((4, 28), (5, 5)),
    ((9, 29), (10, 8)),
    ((12, 29), (12, 31)),
)


def _surely_works(day: date, feasts_left: dict[str, int]) -> bool:
    """False wherever an unpublished calendar could make the day free; counts what it takes for a feast."""
    if day.weekday() >= 5:
        return False
    here = (day.month, day.day)
    if any(first <= here <= last for first, last in _FIXED_HOLIDAYS):
        return False
    for season in _MOVABLE_FEASTS:
        if season.first <= here <= season.last and feasts_left[season.name] > 0:
            feasts_left[season.name] -= 1
            return False
    return True
