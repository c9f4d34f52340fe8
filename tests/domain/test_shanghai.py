"""Days and months turn over at midnight in Shanghai, sixteen o'clock UTC the day before."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.shanghai import SHANGHAI, day_of, end_of, month_after, month_of


@pytest.mark.parametrize(
    ("moment", "day", "month"),
    [
        (datetime(2026, 3, 31, 15, 59, 59, 999_999, tzinfo=UTC), date(2026, 3, 31), date(2026, 3, 1)),
        (datetime(2026, 3, 31, 16, 0, tzinfo=UTC), date(2026, 4, 1), date(2026, 4, 1)),
        (datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC), date(2026, 12, 31), date(2026, 12, 1)),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), date(2027, 1, 1), date(2027, 1, 1)),
        (datetime(2028, 2, 29, 16, 0, tzinfo=UTC), date(2028, 3, 1), date(2028, 3, 1)),
    ],
)
def test_day_and_month_turn_at_sixteen_utc(moment: datetime, day: date, month: date) -> None:
    """One microsecond before 16:00 UTC is still the old day there, 16:00 UTC is the new one."""
    assert (day_of(moment), month_of(moment)) == (day, month)


def test_a_time_without_zone_is_refused() -> None:
    """A naive datetime is never guessed to be in some zone."""
    naive = datetime(2026, 3, 1)  # noqa: DTZ001 - it is the point
    for question in (day_of, month_of):
        with pytest.raises(ValueError, match="time zone"):
            question(naive)


def test_a_day_ends_at_the_next_midnight_there() -> None:
    """The end of a Shanghai day is 16:00 UTC on that date, and no longer part of the day."""
    end = end_of(date(2026, 3, 31))
    assert end == datetime(2026, 3, 31, 16, 0, tzinfo=UTC)
    assert day_of(end) == date(2026, 4, 1)
    assert day_of(end - timedelta(microseconds=1)) == date(2026, 3, 31)


@given(st.dates(date(2000, 1, 1), date(2100, 12, 1)))
def test_the_month_after_is_the_next_first_day(day: date) -> None:
    """From any day of a month, also December and February, it is the next first day of a month."""
    after = month_after(day)
    assert after.day == 1
    assert (after - timedelta(days=1)).replace(day=1) == day.replace(day=1)


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.times())
def test_a_wall_clock_there_shows_its_own_date(day: date, clock: time) -> None:
    """Whatever zone an instant is written in, its day is the date on the wall in Shanghai."""
    moment = datetime.combine(day, clock, tzinfo=SHANGHAI).astimezone(UTC)
    assert (day_of(moment), month_of(moment)) == (day, day.replace(day=1))
