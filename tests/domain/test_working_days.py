"""Rule 6: ten to fifteen Chinese working days, late rather than early where the calendar is not out yet."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest

from domain.working_days import LOOK_AHEAD, ArrivalWindow, WorkingCalendar
from ledger.calendar import published_days

_FIRST_YEAR, _LAST_YEAR = 2009, 2026
# The day of the victory parade was made free in May 2015, half a year after the year's calendar was published.
_PARADE = date(2015, 9, 3), date(2015, 9, 5)


@pytest.fixture(scope="module")
def calendar() -> WorkingCalendar:
    """Every published year, as the package has it."""
    return WorkingCalendar(published_days())


@pytest.mark.parametrize(
    ("day", "works"),
    [
        (date(2025, 9, 28), True),  # a Sunday worked for the National Day week
        (date(2025, 9, 30), True),
        (date(2025, 10, 1), False),
        (date(2025, 10, 8), False),  # a Wednesday: Mid-Autumn fell into the week
        (date(2025, 10, 9), True),
        (date(2025, 10, 11), True),  # a Saturday worked for it
        (date(2025, 10, 12), False),
        (date(2026, 1, 2), False),
        (date(2026, 1, 4), True),  # a Sunday worked for New Year
        (date(2026, 2, 14), True),  # a Saturday worked for the Spring Festival
        (date(2026, 2, 16), False),
        (date(2026, 2, 23), False),
        (date(2026, 2, 24), True),
        (date(2026, 2, 28), True),  # a Saturday worked for it
        (date(2026, 11, 24), True),
        (date(2026, 11, 28), False),
    ],
)
def test_rule_6_known_days(calendar: WorkingCalendar, day: date, works: bool) -> None:
    """Days that the State Council's notices name are as the notices say."""
    assert calendar.days[day] is works


@pytest.mark.parametrize(
    ("day_zero", "earliest", "latest"),
    [
        # An ordinary month: two weeks later, three weeks later.
        (date(2026, 11, 24), date(2026, 12, 8), date(2026, 12, 15)),
        (date(2026, 3, 10), date(2026, 3, 24), date(2026, 3, 31)),
        # National Day: 23–26 Sep, Sun 28, 29, 30, 9, 10, Sat 11 Oct are ten; 13–17 are fifteen.
        (date(2025, 9, 22), date(2025, 10, 11), date(2025, 10, 17)),
        # Spring Festival: 10–13, Sat 14, 24–27, Sat 28 Feb are ten; 2–6 March are fifteen.
        (date(2026, 2, 9), date(2026, 2, 28), date(2026, 3, 6)),
        # Verified on a day off: the count starts with the next working day all the same.
        (date(2026, 2, 15), date(2026, 3, 6), date(2026, 3, 13)),
        # Over a new year whose calendar is out.
        (date(2025, 12, 18), date(2026, 1, 4), date(2026, 1, 9)),
        # The last day whose window stays within the published calendar.
        (date(2026, 12, 10), date(2026, 12, 24), date(2026, 12, 31)),
    ],
)
def test_rule_6_windows_worked_out_by_hand(
    calendar: WorkingCalendar, day_zero: date, earliest: date, latest: date
) -> None:
    """Day 0 does not count; holidays don't, make-up days do; the window is certain."""
    assert calendar.window_after(day_zero) == ArrivalWindow(earliest, latest, provisional=False)


def test_the_first_window_beyond_the_calendar_is_provisional(calendar: WorkingCalendar) -> None:
    """From 2026-12-11 on the fifteenth day lies in an unpublished year: provisional and late, never an error."""
    window = calendar.window_after(date(2026, 12, 11))
    assert window == ArrivalWindow(date(2026, 12, 25), date(2027, 1, 5), provisional=True)


@pytest.mark.parametrize("day_zero", [date(2026, 12, 31), date(2027, 2, 1), date(2031, 9, 20), date(2003, 5, 5)])
def test_a_year_without_calendar_is_no_error(calendar: WorkingCalendar, day_zero: date) -> None:
    """Far beyond what is published, and before it, there is still a window in order."""
    window = calendar.window_after(day_zero)
    assert window.provisional
    assert day_zero < window.earliest < window.latest


def test_an_empty_calendar_still_gives_a_window() -> None:
    """Before the calendar was loaded at all, every window is provisional."""
    window = WorkingCalendar({}).window_after(date(2026, 3, 10))
    assert window == ArrivalWindow(date(2026, 3, 24), date(2026, 3, 31), provisional=True)


@pytest.mark.parametrize("hidden", range(_FIRST_YEAR, _LAST_YEAR + 1))
def test_a_provisional_window_errs_late_and_not_by_much(calendar: WorkingCalendar, hidden: int) -> None:
    """With a year's calendar hidden, no window is earlier than the real one, nor over 20 days later."""
    known = WorkingCalendar({day: works for day, works in calendar.days.items() if day.year < hidden})
    day_zero = date(hidden - 1, 11, 15)
    last = min(date(hidden, 12, 31), date(_LAST_YEAR, 12, 10))
    checked = 0
    while day_zero < last:
        day_zero += timedelta(days=1)
        real, guessed = calendar.window_after(day_zero), known.window_after(day_zero)
        if day_zero < _PARADE[1] and real.latest >= _PARADE[0] and hidden == 2015:
            continue
        assert not real.provisional
        assert guessed.provisional == (real.latest.year >= hidden or guessed.latest.year >= hidden)
        for early, late in ((real.earliest, guessed.earliest), (real.latest, guessed.latest)):
            assert early <= late <= early + timedelta(days=20), f"day 0 was {day_zero}"
        checked += 1
    assert checked > 300


def test_one_look_up_of_the_calendar_is_enough(calendar: WorkingCalendar) -> None:
    """No window, real or provisional, reaches as far as the look-ahead."""
    for days in (calendar.days, {}):
        for offset in range(365 * 4):
            day_zero = date(2022, 12, 1) + timedelta(days=offset)
            assert WorkingCalendar(days).window_after(day_zero).latest <= day_zero + LOOK_AHEAD


def test_the_window_never_runs_backwards(calendar: WorkingCalendar) -> None:
    """Verified a day later is never promised a day earlier, within what is published."""
    windows = [calendar.window_after(date(2024, 12, 1) + timedelta(days=offset)) for offset in range(730)]
    for one, next_one in pairwise(windows):
        assert one.earliest <= next_one.earliest
        assert one.latest <= next_one.latest
