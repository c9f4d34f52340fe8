"""The Chinese working-day calendar as a table, filled from the package ``chinesecalendar``.

``python -m ledger.calendar`` loads every year the installed package knows and works provisional arrival windows
out again; the workflow meets the new dates the next time it wakes.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from chinese_calendar import is_workday
from chinese_calendar.constants import holidays
from sqlalchemy import ColumnElement, Date, FromClause, and_, cast, func, or_, select, true
from sqlalchemy.dialects.postgresql import insert

from domain.shanghai import day_of
from domain.withdrawal import OPEN, Door, Status
from domain.working_days import LOOK_AHEAD, ArrivalWindow, WorkingCalendar
from ledger.database import Database
from ledger.prepared import Prepared, Row
from ledger.rows import WITHDRAWAL, Happening, lock_withdrawal, move_on
from ledger.tables import withdrawals, working_calendar
from settings import CalendarSettings


def days_around(moment: ColumnElement[datetime]) -> FromClause:
    """The calendar as two arrays. The moment's day depends on the time zone, so there is a day more at both ends."""
    day, day_of_moment = working_calendar.c.day, cast(moment, Date)
    return (
        select(
            func.array_agg(day).label("known_days"),
            func.array_agg(day).filter(working_calendar.c.works).label("working_days"),
        )
        .where(day >= day_of_moment - 1, day <= day_of_moment + 1 + LOOK_AHEAD.days)
        .lateral("days")
    )


def window_by(row: Row) -> ArrivalWindow:
    """The arrival window of a verified withdrawal, by the ``days_around`` that it was read with."""
    working = frozenset(row["working_days"] or ())
    days = {day: day in working for day in row["known_days"] or ()}
    return WorkingCalendar(days).window_after(day_of(row["verified_at"]))


DAYS = days_around(withdrawals.c.verified_at)
_WITH_DAYS = Prepared.of(WITHDRAWAL.add_columns(DAYS).join(DAYS, true()))

_MAY_BE_PROVISIONAL = select(withdrawals.c.id).where(
    or_(
        withdrawals.c.status == str(Status.AWAITING_VERIFICATION),
        and_(withdrawals.c.provisional, withdrawals.c.status.in_(sorted(OPEN))),
    )
)


def published_days() -> dict[date, bool]:
    """Every day of every year the package has, and whether people work on it.

    A year in which the package lists no holiday is a year it has no data for, and is left out whole.
    """
    years = sorted({day.year for day in holidays})
    days = {}
    for year in years:
        day = date(year, 1, 1)
        while day.year == year:
            days[day] = is_workday(day)
            day += timedelta(days=1)
    return days


def load(database: Database, days: dict[date, bool], *, now: datetime) -> int:
    """Fills the table and renews provisional windows of open withdrawals; returns how many windows moved."""
    rows = [{"day": day, "works": works} for day, works in days.items()]
    statement = insert(working_calendar)
    with database.transaction() as connection:
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[working_calendar.c.day], set_={"works": statement.excluded.works}
            ),
            rows,
        )
    # Only now, and those that wait for their freeze as well: a freeze under way may have read the calendar
    # from before. Renewing takes the account's lock, and so finds what that freeze has written.
    with database.transaction() as connection:
        waiting = connection.execute(_MAY_BE_PROVISIONAL).scalars().all()
    return sum(_renew(database, withdrawal_id, now) for withdrawal_id in waiting)


def _renew(database: Database, withdrawal_id: UUID, now: datetime) -> bool:
    with database.transaction() as connection:
        row = lock_withdrawal(connection, withdrawal_id, _WITH_DAYS)
        if row["status"] not in OPEN or not row["provisional"]:
            return False
        window = window_by(row)
        if window == ArrivalWindow(row["earliest"], row["latest"], row["provisional"]):
            return False
        happening = Happening("window_renewed", "system", Door.WORKFLOW, now)
        move_on(connection, row, Status(row["status"]), happening, window=window)
        return True


def main() -> int:
    """The command ``python -m ledger.calendar``; reads ``WITHDRAWALS_DATABASE_URL``."""
    database = Database.connect(CalendarSettings().database_url.get_secret_value(), pool_size=1)
    days = published_days()
    moved = load(database, days, now=datetime.now(UTC))
    print(f"working calendar: {min(days)} to {max(days)}, {moved} arrival windows renewed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
