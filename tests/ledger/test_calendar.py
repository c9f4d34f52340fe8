"""The working calendar as a table: whole published years, and windows renewed when a new one arrives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from time import monotonic, sleep

import chinese_calendar
import pytest
from sqlalchemy import text

from domain.withdrawal import Door, Status
from domain.working_days import ArrivalWindow
from ledger.calendar import load, published_days
from tests.ledger.stories import HUGE, Ledger, Stories

_DECEMBER = datetime(2026, 12, 14, 2, 0, tzinfo=UTC)
# From Monday the 14th: 15–18, 21–25, 28 December are ten days; 29, 30, 31 and then two working days of January.
_PROVISIONAL = ArrivalWindow(date(2026, 12, 28), date(2027, 1, 6), provisional=True)
_PUBLISHED = ArrivalWindow(date(2026, 12, 28), date(2027, 1, 5), provisional=False)


def _year_2027() -> dict[date, bool]:
    """As it might be published: New Year's holiday is the Friday alone, everything else as the week has it."""
    days = (date(2027, 1, 1) + timedelta(days=offset) for offset in range(365))
    return {day: day.weekday() < 5 and day != date(2027, 1, 1) for day in days}


@pytest.fixture
def stories(own_ledger: Ledger) -> Stories:
    """In December 2026, on a calendar that the test may change."""
    return Stories(own_ledger, now=_DECEMBER)


def test_whole_years_are_published() -> None:
    """From 2004 to 2026, every day of each year and no day of a year without data."""
    days = published_days()
    assert (min(days), max(days)) == (date(2004, 1, 1), date(2026, 12, 31))
    assert len(days) == (max(days) - min(days)).days + 1
    assert all(works == chinese_calendar.is_workday(day) for day, works in days.items())


def test_production_fills_the_table_with_all_of_them(ledger: Ledger) -> None:
    """What `python -m ledger.calendar` loaded is what is published."""
    with ledger.database.transaction() as connection:
        rows = connection.execute(text("SELECT day, works FROM working_calendar")).all()
    assert {row.day: row.works for row in rows} == published_days()


@pytest.mark.parametrize("moment", ["2026-11-24T00:00+08:00", "2026-11-24T12:00+08:00", "2026-11-24T23:59+08:00"])
def test_the_window_is_read_from_the_table(ledger: Ledger, moment: str) -> None:
    """The same that the rules give for the published days, from the first minute of a Shanghai day to its last."""
    stories = Stories(ledger, datetime.fromisoformat(moment))
    standing = ledger.moves.standing(stories.bring_to(Status.PROCESSING))
    assert standing.window == ArrivalWindow(date(2026, 12, 8), date(2026, 12, 15), provisional=False)


def test_loading_again_changes_nothing(own_ledger: Ledger, stories: Stories) -> None:
    """Neither the table nor a window that the same calendar gave, and no event is written."""
    stories.bring_to(Status.PROCESSING)
    before = own_ledger.everything()
    assert load(own_ledger.database, published_days(), now=stories.now) == 0
    assert own_ledger.everything() == before
    assert own_ledger.count("working_calendar") == len(published_days())


def test_a_new_year_renews_provisional_windows(own_ledger: Ledger, stories: Stories) -> None:
    """Of every open status, without touching the status; the event says so, and a second load finds nothing."""
    waiting = stories.bring_to(Status.AWAITING_APPROVAL, amount=HUGE)
    processing = stories.bring_to(Status.PROCESSING)
    for withdrawal_id in (waiting, processing):
        assert own_ledger.moves.standing(withdrawal_id).window == _PROVISIONAL
    assert load(own_ledger.database, _year_2027(), now=stories.now) == 2
    for withdrawal_id, status in ((waiting, Status.AWAITING_APPROVAL), (processing, Status.PROCESSING)):
        standing = own_ledger.moves.standing(withdrawal_id)
        assert (standing.window, standing.status) == (_PUBLISHED, status)
        event = own_ledger.reads.events(withdrawal_id)[-1]
        assert (event.kind, event.actor, event.door) == ("window_renewed", "system", Door.WORKFLOW)
    assert load(own_ledger.database, _year_2027(), now=stories.now) == 0


def test_what_is_over_or_certain_keeps_its_window(own_ledger: Ledger, stories: Stories) -> None:
    """A paid one is history, a certain one was promised; one that is not verified yet has none."""
    paid, unverified = stories.bring_to(Status.PAID), stories.bring_to(Status.AWAITING_VERIFICATION)
    certain = Stories(own_ledger, now=datetime(2026, 12, 10, tzinfo=UTC), _numbers=stories._numbers).bring_to(
        Status.PROCESSING
    )
    before = own_ledger.everything()
    assert load(own_ledger.database, _year_2027() | {date(2026, 12, 31): False}, now=stories.now) == 0
    assert own_ledger.everything() == before
    windows = [own_ledger.moves.standing(one).window for one in (paid, unverified, certain)]
    assert windows == [_PROVISIONAL, None, ArrivalWindow(date(2026, 12, 24), date(2026, 12, 31))]


def test_a_freeze_after_the_load_knows_the_new_year(own_ledger: Ledger, stories: Stories) -> None:
    """Its window is certain at once."""
    load(own_ledger.database, _year_2027(), now=stories.now)
    assert own_ledger.moves.standing(stories.bring_to(Status.PROCESSING)).window == _PUBLISHED


def test_a_freeze_that_overlaps_the_load_is_renewed(own_ledger: Ledger, stories: Stories) -> None:
    """It read the calendar from before and commits after the load did: its window does not stay provisional."""
    withdrawal_id = stories.apply(stories.open_account())
    stories.verify(withdrawal_id)
    with ThreadPoolExecutor(2) as threads:
        # Whoever holds the withdrawal's row keeps the freeze between its look at the calendar and its commit.
        with own_ledger.database.transaction() as holding:
            holding.execute(text("SELECT FROM withdrawals WHERE id = :id FOR UPDATE"), {"id": withdrawal_id})
            freezing = threads.submit(stories.freeze, withdrawal_id)
            _wait_for_waiting(own_ledger, 1)
            loading = threads.submit(load, own_ledger.database, _year_2027(), now=stories.now)
            _wait_for_waiting(own_ledger, 2, unless_done=loading.done)
        assert freezing.result().window == _PROVISIONAL
        assert loading.result() == 1
    assert own_ledger.moves.standing(withdrawal_id).window == _PUBLISHED


def _wait_for_waiting(ledger: Ledger, how_many: int, unless_done: object = None) -> None:
    """Returns once so many connections wait for a lock."""
    waiting = text("""SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND wait_event_type = 'Lock'""")
    deadline = monotonic() + 10
    while monotonic() < deadline:
        with ledger.database.transaction() as connection:
            if connection.execute(waiting).scalar_one() >= how_many:
                return
        if callable(unless_done) and unless_done():
            return
        sleep(0.01)
    raise TimeoutError(f"{how_many} connections never waited for a lock")
