"""The outbox: what the console's backend is told of, in order for each withdrawal, and what could not be told.

A row is written with the change of status itself (``rows.record``). What is sent is a snapshot, read when it is sent:
so it is never stale, and a message that was given up takes nothing with it that the next one lacks.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, delete, func, or_, select, text, update

from domain.errors import NotFound, Reason
from domain.withdrawal import Decision, Status
from domain.working_days import ArrivalWindow
from ledger.database import Database
from ledger.rows import read_withdrawal, window_of
from ledger.tables import OUTBOX_WAITING, decisions, outbox, withdrawal_events

LEASE = timedelta(seconds=30)
"""How long a message belongs to who claimed it; longer than a call takes, so that only a crash lets it pass."""
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=1), timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(days=3)
"""A long weekend of the receiver's; after that the message is a dead letter, until somebody replays it."""
KEEP_DELIVERED = timedelta(days=7)
KEEP_DEAD = timedelta(days=90)
PRUNE_AT_ONCE = 1_000


@dataclass(frozen=True)
class Snapshot:
    """A withdrawal as it stands now, without what only its owner and the bank need. Amounts in fen."""

    id: UUID
    version: int
    account_id: str
    amount_fen: int
    status: Status
    bank_name: str
    card_last4: str
    code_expires_at: datetime
    approvals_needed: int
    approvals_at: Sequence[datetime]
    window: ArrivalWindow | None
    failure: Sequence[Reason]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Message:
    """One change to tell, claimed; ``attempts`` says which claim, so that an older one settles nothing."""

    id: int
    attempts: int
    since: datetime
    event_id: int
    kind: str
    status: Status
    at: datetime
    withdrawal: Snapshot


@dataclass(frozen=True)
class DeadLetter:
    """A message that was given up."""

    id: int
    withdrawal_id: UUID
    kind: str
    status: Status
    at: datetime
    attempts: int
    trouble: str
    dead_at: datetime


# Only the oldest waiting message of a withdrawal is anybody's to send: that is the order. SKIP LOCKED: deliverers
# that claim at once get different ones. Those behind one that waits are pushed back with it, so few are looked at
# in vain.
_CLAIM = text(f"""
    WITH due AS (
        SELECT o.id FROM outbox o
        WHERE {OUTBOX_WAITING} AND o.next_attempt_at <= :now AND NOT EXISTS (
            SELECT FROM outbox e WHERE e.withdrawal_id = o.withdrawal_id AND e.id < o.id
              AND e.delivered_at IS NULL AND e.dead_at IS NULL)
        ORDER BY o.next_attempt_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE outbox SET attempts = attempts + 1, next_attempt_at = :lease FROM due
    WHERE outbox.id = due.id RETURNING outbox.id
""")  # noqa: S608 - put together from a constant # nosec B608
_CLAIMED = (
    select(outbox, withdrawal_events.c.kind, withdrawal_events.c.status, withdrawal_events.c.at)
    .join_from(outbox, withdrawal_events)
    .order_by(outbox.c.id)
)
_WAITING = text(OUTBOX_WAITING)


@dataclass(frozen=True)
class Outbox:
    """Claims in short transactions; nothing is held while a message is on its way."""

    database: Database

    def claim(self, limit: int, *, now: datetime) -> list[Message]:
        """Up to ``limit`` messages that are due, for ``LEASE``: after a crash they are due again."""
        with self.database.transaction() as connection:
            claimed = connection.execute(_CLAIM, {"now": now, "lease": now + LEASE, "limit": limit}).scalars().all()
            if not claimed:
                return []
            rows = connection.execute(_CLAIMED.where(outbox.c.id.in_(claimed))).mappings().all()
            return [_message(connection, row) for row in rows]

    def delivered(self, message: Message, *, now: datetime) -> None:
        """It was taken; the next one of the withdrawal is due."""
        with self.database.transaction() as connection:
            if _settle(connection, message, delivered_at=now, trouble=None):
                _push_back(connection, message, now)

    def not_delivered(self, message: Message, trouble: str, *, now: datetime) -> bool:
        """It was not taken: it waits, twice as long each time; returns True if it is given up instead."""
        with self.database.transaction() as connection:
            if now - message.since >= GIVE_UP_AFTER:
                given_up = _settle(connection, message, dead_at=now, trouble=trouble)
                if given_up:
                    _push_back(connection, message, now)
                return given_up
            again = now + wait_after(message.attempts)
            if _settle(connection, message, next_attempt_at=again, trouble=trouble):
                _push_back(connection, message, again)
            return False

    def dead_letters(self, *, limit: int) -> list[DeadLetter]:
        """What was given up, newest first."""
        query = (
            select(outbox, withdrawal_events.c.kind, withdrawal_events.c.status, withdrawal_events.c.at)
            .join_from(outbox, withdrawal_events)
            .where(outbox.c.dead_at.is_not(None))
            .order_by(outbox.c.id.desc())
            .limit(limit)
        )
        with self.database.transaction() as connection:
            return [
                DeadLetter(
                    id=row["id"],
                    withdrawal_id=row["withdrawal_id"],
                    kind=row["kind"],
                    status=Status(row["status"]),
                    at=row["at"],
                    attempts=row["attempts"],
                    trouble=row["trouble"] or "",
                    dead_at=row["dead_at"],
                )
                for row in connection.execute(query).mappings()
            ]

    def replay(self, ids: Collection[int] | None, *, now: datetime) -> int:
        """Lets dead letters be sent again, all of them or these; returns how many. ``NotFound`` if one is none."""
        again = (
            update(outbox)
            .where(outbox.c.dead_at.is_not(None))
            .values(dead_at=None, attempts=0, since=now, next_attempt_at=now)
        )
        with self.database.transaction() as connection:
            if ids is None:
                return connection.execute(again).rowcount
            replayed = connection.execute(again.where(outbox.c.id.in_(ids))).rowcount
            if replayed != len(set(ids)):
                raise NotFound
            return replayed

    def tidy(self, *, now: datetime, anybody_listens: bool) -> int:
        """Removes what was told long ago or is past telling; without a receiver, what nobody will ever hear."""
        old = [outbox.c.delivered_at < now - KEEP_DELIVERED, outbox.c.dead_at < now - KEEP_DEAD]
        if not anybody_listens:
            # Kept a week, so that a receiver that is set up late, or was lost from the settings, begins with those.
            old.append(_WAITING & (outbox.c.since < now - KEEP_DELIVERED))
        some = select(outbox.c.id).where(or_(*old)).limit(PRUNE_AT_ONCE).with_for_update(skip_locked=True)
        removed = 0
        while True:
            with self.database.transaction() as connection:
                batch = connection.execute(delete(outbox).where(outbox.c.id.in_(some))).rowcount
            removed += batch
            if batch < PRUNE_AT_ONCE:
                return removed


def wait_after(attempts: int) -> timedelta:
    """Twice as long after each attempt, up to ten minutes; spread, so that a receiver that is back is not run over."""
    doubled: timedelta = FIRST_WAIT * 2 ** min(attempts - 1, 20)
    spread: float = random.uniform(0.5, 1)  # noqa: S311 - no secret # nosec B311
    return min(doubled, LONGEST_WAIT) * spread


def backlog(connection: Connection) -> tuple[int, int]:
    """How many messages wait, and how many are dead letters."""
    # Two questions, each answered by its own partial index: most rows are told already.
    waiting = select(func.count()).select_from(outbox).where(_WAITING).scalar_subquery()
    dead_letters = select(func.count()).select_from(outbox).where(outbox.c.dead_at.is_not(None)).scalar_subquery()
    row = connection.execute(select(waiting, dead_letters)).one()
    return row[0], row[1]


def _settle(connection: Connection, message: Message, **outcome: Any) -> bool:
    """False for a claim that ran out and was taken over: its outcome counts no more."""
    mine = (outbox.c.id == message.id) & (outbox.c.attempts == message.attempts) & _WAITING
    return connection.execute(update(outbox).where(mine).values(**outcome)).rowcount == 1


def _push_back(connection: Connection, message: Message, until: datetime) -> None:
    behind = (outbox.c.withdrawal_id == message.withdrawal.id) & (outbox.c.id > message.id) & _WAITING
    connection.execute(update(outbox).where(behind).values(next_attempt_at=until))


def _message(connection: Connection, row: RowMapping) -> Message:
    return Message(
        id=row["id"],
        attempts=row["attempts"],
        since=row["since"],
        event_id=row["event_id"],
        kind=row["kind"],
        status=Status(row["status"]),
        at=row["at"],
        withdrawal=snapshot(connection, row["withdrawal_id"]),
    )


def snapshot(connection: Connection, withdrawal_id: UUID) -> Snapshot:
    """The withdrawal as its rows say now."""
    row = read_withdrawal(connection, withdrawal_id)
    approved = (
        select(decisions.c.decided_at)
        .where(decisions.c.withdrawal_id == withdrawal_id, decisions.c.decision == str(Decision.APPROVE))
        .order_by(decisions.c.decided_at)
    )
    return Snapshot(
        id=row["id"],
        version=row["version"],
        account_id=row["account_id"],
        amount_fen=row["amount_fen"],
        status=Status(row["status"]),
        bank_name=row["bank_name"],
        card_last4=row["card_last4"],
        code_expires_at=row["expires_at"],
        approvals_needed=row["approvals_needed"],
        approvals_at=connection.execute(approved).scalars().all(),
        window=window_of(row),
        failure=[Reason(reason["code"], reason["message"]) for reason in row["failure"] or ()],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
