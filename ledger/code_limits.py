"""Counting what the phone code may use up beyond one withdrawal: wrong tries, codes of a phone, codes of everybody.

Each count is one conditional statement of PostgreSQL, so that no two callers pass on the same last one. Rows are
locked in one order: the account's balances, its counts, its phone's, and last a shard of the budget.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from domain.errors import TooManyRequests
from domain.shanghai import day_of, end_of
from domain.verification import CodeLimits
from ledger.encryption import Keys
from ledger.prepared import Prepared, Row
from ledger.tables import daily_uses

SHARDS = 16
"""How many sends at once find a row of the hour's budget without waiting for one another."""

_USE = Prepared("""
    INSERT INTO daily_uses AS counted (kind, subject, day, used)
    VALUES (%(kind)s::text, %(subject)s::text, %(day)s::date, 1)
    ON CONFLICT (kind, subject, day) DO UPDATE SET used = counted.used + 1 WHERE counted.used < %(most)s::integer
    RETURNING used""")
_HOURS_SHARDS = Prepared("""
    INSERT INTO sms_budget (hour, shard) SELECT %(hour)s::timestamptz, generate_series(1, %(shards)s::integer)
    WHERE NOT EXISTS (SELECT FROM sms_budget WHERE hour = %(hour)s::timestamptz)
    ON CONFLICT DO NOTHING""")
# A shard's share is the budget over the shards, the remainder with the first ones. Whoever finds a shard locked takes
# another one: nobody waits, and nobody holds two.
_TAKE_ANY_SHARD = Prepared("""
    UPDATE sms_budget SET used = used + 1
    WHERE hour = %(hour)s::timestamptz AND shard = (
        SELECT shard FROM sms_budget
        WHERE hour = %(hour)s::timestamptz
          AND used < (%(budget)s::integer + %(shards)s::integer - shard) / %(shards)s::integer
        ORDER BY (shard + %(start)s::integer) %% %(shards)s::integer LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING shard""")
_TAKE_THIS_SHARD = Prepared("""
    UPDATE sms_budget SET used = used + 1
    WHERE hour = %(hour)s::timestamptz AND shard = %(shard)s::smallint
      AND used < (%(budget)s::integer + %(shards)s::integer - shard) / %(shards)s::integer
    RETURNING shard""")


def wrong_tries(account_id: ColumnElement[str]) -> ColumnElement[int]:
    """How many wrong tries an account has used up on ``day``, as a column of whatever is read under its lock."""
    used = select(daily_uses.c.used).where(
        daily_uses.c.kind == "wrong_try", daily_uses.c.subject == account_id, daily_uses.c.day == bindparam("day")
    )
    return func.coalesce(used.scalar_subquery(), 0).label("wrong_tries")


def refuse_without_tries(limits: CodeLimits, row: Row, now: datetime) -> None:
    """``TooManyRequests`` until the day is over if the account of a row with ``wrong_tries`` tried too often."""
    if row["wrong_tries"] >= limits.wrong_tries_a_day:
        raise TooManyRequests(retry_after_s=_until(end_of(day_of(now)), now))


def count_wrong_try(connection: Connection, limits: CodeLimits, account_id: str, now: datetime) -> int:
    """Uses one of the account's wrong tries up and returns how many are left today."""
    used = _use(connection, "wrong_try", account_id, limits.wrong_tries_a_day, now)
    return limits.wrong_tries_a_day - (limits.wrong_tries_a_day if used is None else used)


def count_code(connection: Connection, keys: Keys, limits: CodeLimits, phone: str, now: datetime) -> None:
    """Counts a code for the phone's day and for the hour's budget; ``TooManyRequests`` if either is used up.

    The phone is looked up by a MAC. The last statement of a transaction: a shard is held no longer than it must be.
    """
    subject = keys.lookup_mac(phone, purpose="codes a phone is sent").hex()
    if _use(connection, "code", subject, limits.codes_a_day, now) is None:
        raise TooManyRequests(retry_after_s=_until(end_of(day_of(now)), now))
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    budget = {"hour": hour, "budget": limits.codes_an_hour, "shards": SHARDS}
    start = random.randrange(SHARDS)  # noqa: S311 - spreads load, hides nothing # nosec B311
    if _TAKE_ANY_SHARD.first(connection, **budget, start=start) is not None:
        return
    _HOURS_SHARDS.run(connection, hour=hour, shards=SHARDS)
    if _TAKE_ANY_SHARD.first(connection, **budget, start=start) is not None:
        return
    # Either the budget is used up or every shard with room is locked this instant: waiting for one tells which.
    for shard in range(1, SHARDS + 1):
        if _TAKE_THIS_SHARD.first(connection, **budget, shard=shard) is not None:
            return
    raise TooManyRequests(retry_after_s=_until(hour + timedelta(hours=1), now))


def _use(connection: Connection, kind: str, subject: str, most: int, now: datetime) -> int | None:
    """The count with this one, or None if it would be one too many."""
    if most < 1:
        return None
    row = _USE.first(connection, kind=kind, subject=subject, day=day_of(now), most=most)
    return None if row is None else int(row["used"])


def _until(moment: datetime, now: datetime) -> int:
    return max(1, int((moment - now).total_seconds() + 0.999))
