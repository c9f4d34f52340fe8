"""Days and months as the customer's wall calendar shows them (Asia/Shanghai)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


def day_of(moment: datetime) -> date:
    """The Shanghai date at an instant; a naive datetime is a ``ValueError``, never a guess."""
    if moment.tzinfo is None:
        raise ValueError("an instant carries its time zone")
    return moment.astimezone(SHANGHAI).date()


def month_of(moment: datetime) -> date:
    """The Shanghai calendar month of an instant, as its first day (product.md, rule 2)."""
    return day_of(moment).replace(day=1)


def month_after(month: date) -> date:
    """The first day of the month that follows."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def end_of(day: date) -> datetime:
    """The instant at which a Shanghai day is over: the next midnight there."""
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=SHANGHAI)
