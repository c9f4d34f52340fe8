"""Reading a withdrawal under its lock, and the one way its status changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, exists, func, null, select

from domain.bank_card import SubjectType
from domain.eligibility import Applicant
from domain.errors import InvariantBroken, NotFound, Reason
from domain.withdrawal import OPEN, USES_MONTH, Door, Standing, Status
from domain.working_days import ArrivalWindow
from ledger.book import BOOKED, Entry
from ledger.encryption import Keys
from ledger.prepared import Prepared, Row
from ledger.tables import (
    accounts,
    balances,
    decisions,
    verifications,
    withdrawal_events,
    withdrawals,
)


@dataclass(frozen=True)
class Happening:
    """What happened, by whom and through which door; ``data`` holds amounts, dates and codes, never a person's."""

    kind: str
    actor: str
    door: Door
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    operation_key: str | None = None

    @property
    def parameters(self) -> dict[str, object]:
        """What an event's statement is told; the withdrawal and its status come beside."""
        return {
            "event": self.kind,
            "actor": self.actor,
            "door": str(self.door),
            "at": self.at,
            "data": json.dumps(dict(self.data)),
            "event_key": self.operation_key,
        }


@dataclass(frozen=True)
class Also:
    """A move by a statement of ``moving`` with parts of its own, and what those are told."""

    statement: Prepared
    parameters: Mapping[str, object]


_LOCK_BY_ACCOUNT = Prepared.of(
    select(balances).where(balances.c.account_id == bindparam("account_id")).with_for_update()
)
_LOCK_BY_WITHDRAWAL = Prepared.of(
    select(balances.c.account_id)
    .where(
        balances.c.account_id
        == select(withdrawals.c.account_id).where(withdrawals.c.id == bindparam("withdrawal_id")).scalar_subquery()
    )
    .with_for_update()
)
APPROVALS_GIVEN = (
    select(func.count())
    .select_from(decisions)
    .where(decisions.c.withdrawal_id == withdrawals.c.id, decisions.c.decision == "approve")
    .scalar_subquery()
    .label("approvals_given")
)
"""How many people of finance have said yes to a withdrawal, as a column beside its own."""

WITHDRAWAL = (
    select(withdrawals, verifications.c.expires_at, verifications.c.sends, APPROVALS_GIVEN)
    .join_from(withdrawals, verifications)
    .where(withdrawals.c.id == bindparam("withdrawal_id"))
)
"""A withdrawal with its code's expiry and its approvals; who needs more in the same breath adds to it."""
_WITHDRAWAL = Prepared.of(WITHDRAWAL)

_other = withdrawals.alias("other")


def what_rules_look_at(account_id: Any, month: Any, but: Any) -> tuple[ColumnElement[Any], ...]:
    """The columns that ``applicant_of`` reads, of ``balances`` and ``accounts``."""
    month_used = exists().where(
        _other.c.account_id == account_id,
        _other.c.month == month,
        _other.c.status.in_(sorted(USES_MONTH)),
        _other.c.id.is_distinct_from(but),
    )
    return (
        balances.c.available,
        accounts.c.subject_type,
        accounts.c.subject_name,
        accounts.c.verified.label("subject_verified"),
        accounts.c.phone.is_not(None).label("has_phone"),
        accounts.c.suspended,
        accounts.c.pay_as_you_use,
        month_used.label("month_used"),
    )


APPLICANT = (
    select(
        balances.c.account_id,
        balances.c.frozen,
        balances.c.vouchers,
        *what_rules_look_at(balances.c.account_id, bindparam("month"), null()),
        select(_other.c.id)
        .where(_other.c.account_id == balances.c.account_id, _other.c.status.in_(sorted(OPEN)))
        .scalar_subquery()
        .label("in_progress"),
    )
    .join_from(balances, accounts)
    .where(balances.c.account_id == bindparam("account_id"))
)
"""An account with what ``applicant_of`` reads and the application it has in progress."""
_APPLICANT = Prepared.of(APPLICANT)

_MOVED = """
    moved AS (
        UPDATE withdrawals
        SET status = %(status)s::text, version = version + 1, updated_at = %(at)s::timestamptz,
            failure = coalesce(%(failure)s::jsonb, failure),
            verified_at = coalesce(%(verified_at)s::timestamptz, verified_at),
            earliest = coalesce(%(earliest)s::date, earliest), latest = coalesce(%(latest)s::date, latest),
            provisional = coalesce(%(provisional)s::boolean, provisional)
        WHERE id = %(withdrawal_id)s::uuid AND version = %(version)s::integer
        RETURNING id, status, version, updated_at, failure, verified_at, earliest, latest, provisional
    ), written AS (
        INSERT INTO withdrawal_events (withdrawal_id, kind, status, actor, door, data, operation_key, at)
        SELECT id, %(event)s::text, status, %(actor)s::text, %(door)s::text, %(data)s::jsonb, %(event_key)s::text,
               updated_at
        FROM moved
        RETURNING id, withdrawal_id, at
    ), told AS (
        INSERT INTO outbox (event_id, withdrawal_id, since, next_attempt_at)
        SELECT id, withdrawal_id, at, at FROM written
    )"""
_AS_IT_NOW_IS = """
    moved.status, moved.version, moved.updated_at, moved.failure, moved.verified_at,
    moved.earliest, moved.latest, moved.provisional, verifications.expires_at, verifications.sends,
    (SELECT count(*) FROM decisions
     WHERE decisions.withdrawal_id = moved.id AND decisions.decision = 'approve') AS approvals_given
    FROM moved JOIN verifications ON verifications.withdrawal_id = moved.id"""


def moving(*parts: str) -> Prepared:
    """One statement for status, event, outbox and whatever else belongs to a move; it answers with the new row."""
    is_booked = "EXISTS (SELECT FROM booked)" if BOOKED in parts else "NULL"
    return Prepared(f"WITH {', '.join([_MOVED, *parts])} SELECT {is_booked} AS is_booked, {_AS_IT_NOW_IS}")  # nosec B608


_MOVE_ON, _MOVE_ON_WITH_MONEY = moving(), moving(BOOKED)
EVENT = """
    INSERT INTO withdrawal_events (withdrawal_id, kind, status, actor, door, data, operation_key, at)
    VALUES (%(withdrawal_id)s::uuid, %(event)s::text, %(status)s::text, %(actor)s::text, %(door)s::text,
            %(data)s::jsonb, %(event_key)s::text, %(at)s::timestamptz)"""
"""What ``record`` sends, for whoever writes an event by the same statement as something else."""
_EVENT = Prepared(EVENT)
_ALREADY_HAPPENED = Prepared.of(
    select(withdrawal_events.c.id).where(withdrawal_events.c.operation_key == bindparam("operation_key"))
)


def lock_account(connection: Connection, account_id: str) -> Row:
    """Locks the account's balances row, under which everything that happens to one account takes its turn."""
    row = _LOCK_BY_ACCOUNT.first(connection, account_id=account_id)
    if row is None:
        raise NotFound
    return row


def lock_withdrawal(
    connection: Connection, withdrawal_id: UUID, reading: Prepared = _WITHDRAWAL, **more: object
) -> Row:
    """Locks the withdrawal's account, then reads the withdrawal as it is once the lock is held.

    In this order and in two statements: joined into one, the withdrawal's columns would be those from before
    the wait for the lock, and a cancel that just committed would be overlooked. ``reading`` is ``WITHDRAWAL`` with
    whatever else the caller has to know under the lock, and ``more`` its further parameters.
    """
    if _LOCK_BY_WITHDRAWAL.first(connection, withdrawal_id=withdrawal_id) is None:
        raise NotFound
    return read_withdrawal(connection, withdrawal_id, reading, **more)


def read_withdrawal(
    connection: Connection, withdrawal_id: UUID, reading: Prepared = _WITHDRAWAL, **more: object
) -> Row:
    """The withdrawal's row with its code's expiry and its approvals; ``NotFound`` if there is none."""
    row = reading.first(connection, withdrawal_id=withdrawal_id, **more)
    if row is None:
        raise NotFound
    return row


def window_of(row: Row | RowMapping) -> ArrivalWindow | None:
    """The arrival window of a row; None before the freeze."""
    if row["earliest"] is None:
        return None
    return ArrivalWindow(row["earliest"], row["latest"], row["provisional"])


def standing_of(row: Row) -> Standing:
    """What the workflow may know of a row."""
    return Standing(
        withdrawal_id=row["id"],
        version=row["version"],
        status=Status(row["status"]),
        account_id=row["account_id"],
        amount_fen=row["amount_fen"],
        verified=row["verified_at"] is not None,
        code_sent=row["sends"] > 0,
        code_expires_at=row["expires_at"],
        approvals_needed=row["approvals_needed"],
        approvals_given=row["approvals_given"],
        window=window_of(row),
        failure_code=row["failure"][0]["code"] if row["failure"] else None,
        changed_at=row["updated_at"],
    )


def already_happened(connection: Connection, operation_key: str | None) -> bool:
    """True if this operation was carried out before, so that a repeat answers with what the first one did."""
    if operation_key is None:
        return False
    return _ALREADY_HAPPENED.first(connection, operation_key=operation_key) is not None


def record(connection: Connection, row: Row, happening: Happening) -> None:
    """Writes an event that is no change, and of which nobody is told."""
    _EVENT.run(connection, withdrawal_id=row["id"], status=row["status"], **happening.parameters)


def move_on(  # noqa: PLR0913 - whatever can change together with a status
    connection: Connection,
    row: Row,
    status: Status,
    happening: Happening,
    *,
    entry: Entry | None = None,
    also: Also | None = None,
    failure: list[Reason] | None = None,
    verified_at: datetime | None = None,
    window: ArrivalWindow | None = None,
) -> Row:
    """Changes the status along an arrow of the diagram, writes the event and books the entry, all in one statement.

    ``also`` is a statement with more parts than these. Returns the row as it now is. The caller holds the account's
    lock; a version that moved all the same, or an entry that is in the book already, means that somebody did not.
    """
    before = Status(row["status"])
    if status is not before and not before.may_become(status):
        raise InvariantBroken(f"withdrawal {row['id']}: {before} does not become {status}")
    alone = _MOVE_ON if entry is None else _MOVE_ON_WITH_MONEY
    moved = (also.statement if also else alone).first(
        connection,
        withdrawal_id=row["id"],
        version=row["version"],
        status=str(status),
        failure=failure and json.dumps([{"code": reason.code, "message": reason.message} for reason in failure]),
        verified_at=verified_at,
        earliest=window and window.earliest,
        latest=window and window.latest,
        provisional=window and window.provisional,
        **happening.parameters,
        **(entry.parameters if entry else {}),
        **(also.parameters if also else {}),
    )
    if moved is None:
        raise InvariantBroken(f"withdrawal {row['id']} changed under its lock")
    if entry is not None and not moved["is_booked"]:
        raise InvariantBroken(f"withdrawal {row['id']}: {entry.operation_key} is in the book already")
    return {**row, **moved}


def read_applicant(
    connection: Connection, account_id: str, month: date, reading: Prepared = _APPLICANT, **more: object
) -> Row:
    """An account by one statement: its buckets, what the rules look at, and which application is not over yet.

    ``NotFound`` if there is none. Under the account's lock it stays true until the lock is given back. ``reading`` is
    ``APPLICANT`` with whatever else the caller has to know, and ``more`` its further parameters.
    """
    row = reading.first(connection, account_id=account_id, month=month, **more)
    if row is None:
        raise NotFound
    return row


def applicant_of(row: Row, keys: Keys, *, named: bool = True) -> Applicant:
    """What the rules look at, from a row that has it. The name is opened only where it is compared: ``named``."""
    account_id = row["account_id"]
    name = row["subject_name"] if named else None
    return Applicant(
        account_id=account_id,
        subject_type=SubjectType(row["subject_type"]),
        subject_name=name and keys.decrypt(name, column="accounts.subject_name", row=account_id),
        verified=row["subject_verified"],
        has_phone=row["has_phone"],
        suspended=row["suspended"],
        pay_as_you_use=row["pay_as_you_use"],
        available=row["available"],
        month_used=row["month_used"],
    )
