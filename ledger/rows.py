"""Reading a withdrawal under its lock, and the one way its status changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select, update

from domain.bank_card import SubjectType
from domain.eligibility import Applicant
from domain.errors import InvariantBroken, NotFound, Reason
from domain.withdrawal import OPEN, USES_MONTH, Door, Standing, Status
from domain.working_days import ArrivalWindow
from ledger.encryption import Keys
from ledger.tables import (
    accounts,
    balances,
    decisions,
    outbox,
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


_LOCK_BY_ACCOUNT = select(balances).where(balances.c.account_id == bindparam("account_id")).with_for_update()
_LOCK_BY_WITHDRAWAL = (
    select(balances)
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

_WITHDRAWAL = (
    select(
        withdrawals,
        verifications.c.expires_at,
        verifications.c.sends,
        APPROVALS_GIVEN,
    )
    .join_from(withdrawals, verifications)
    .where(withdrawals.c.id == bindparam("withdrawal_id"))
)
_ACCOUNT = select(accounts).where(accounts.c.account_id == bindparam("account_id"))
_MONTH_USED = select(withdrawals.c.id).where(
    withdrawals.c.account_id == bindparam("account_id"),
    withdrawals.c.month == bindparam("month"),
    withdrawals.c.status.in_(sorted(USES_MONTH)),
    withdrawals.c.id.is_distinct_from(bindparam("but")),
)
_OPEN = select(withdrawals.c.id).where(
    withdrawals.c.account_id == bindparam("account_id"), withdrawals.c.status.in_(sorted(OPEN))
)
_MOVE_ON = (
    update(withdrawals)
    .where(withdrawals.c.id == bindparam("b_id"), withdrawals.c.version == bindparam("b_version"))
    .values(version=withdrawals.c.version + 1)
)
_EVENT = withdrawal_events.insert()
_WRITTEN = (
    _EVENT.values(
        {
            name: bindparam(name, type_=withdrawal_events.c[name].type)
            for name in (
                "withdrawal_id",
                "kind",
                "status",
                "actor",
                "door",
                "data",
                "operation_key",
                "at",
            )
        }
    )
    .returning(withdrawal_events.c.id, withdrawal_events.c.withdrawal_id, withdrawal_events.c.at)
    .cte("written")
)
# Event and outbox in one statement: telling the console costs the move of the money no round trip of its own.
_EVENT_TO_TELL = insert(outbox).from_select(
    ["event_id", "withdrawal_id", "since", "next_attempt_at"],
    select(_WRITTEN.c.id, _WRITTEN.c.withdrawal_id, _WRITTEN.c.at, _WRITTEN.c.at),
)
_ALREADY_HAPPENED = select(withdrawal_events.c.id).where(
    withdrawal_events.c.operation_key == bindparam("operation_key")
)


def lock_account(connection: Connection, account_id: str) -> RowMapping:
    """Locks the account's balances row, under which everything that happens to one account takes its turn."""
    row = connection.execute(_LOCK_BY_ACCOUNT, {"account_id": account_id}).mappings().first()
    if row is None:
        raise NotFound
    return row


def lock_withdrawal(connection: Connection, withdrawal_id: UUID) -> RowMapping:
    """Locks the withdrawal's account, then reads the withdrawal as it is once the lock is held.

    In this order and in two statements: joined into one, the withdrawal's columns would be those from before
    the wait for the lock, and a cancel that just committed would be overlooked.
    """
    if connection.execute(_LOCK_BY_WITHDRAWAL, {"withdrawal_id": withdrawal_id}).first() is None:
        raise NotFound
    return read_withdrawal(connection, withdrawal_id)


def read_withdrawal(connection: Connection, withdrawal_id: UUID) -> RowMapping:
    """The withdrawal's row with its code's expiry and its approvals; ``NotFound`` if there is none."""
    row = connection.execute(_WITHDRAWAL, {"withdrawal_id": withdrawal_id}).mappings().first()
    if row is None:
        raise NotFound
    return row


def window_of(row: RowMapping) -> ArrivalWindow | None:
    """The arrival window of a row; None before the freeze."""
    if row["earliest"] is None:
        return None
    return ArrivalWindow(row["earliest"], row["latest"], row["provisional"])


def standing_of(row: RowMapping) -> Standing:
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
    return connection.execute(_ALREADY_HAPPENED, {"operation_key": operation_key}).first() is not None


def record(connection: Connection, row: RowMapping, happening: Happening, *, status: Status | None = None) -> None:
    """Writes an event. With a status it is a change that the console's backend is told of; without, the row's own."""
    connection.execute(
        _EVENT if status is None else _EVENT_TO_TELL,
        {
            "withdrawal_id": row["id"],
            "kind": happening.kind,
            "status": str(status or row["status"]),
            "actor": happening.actor,
            "door": str(happening.door),
            "data": dict(happening.data),
            "operation_key": happening.operation_key,
            "at": happening.at,
        },
    )


def move_on(
    connection: Connection,
    row: RowMapping,
    status: Status,
    happening: Happening,
    *,
    failure: list[Reason] | None = None,
    **changes: Any,
) -> RowMapping:
    """Changes the status along an arrow of the diagram and writes the event; returns the row as it now is.

    The caller holds the account's lock; a version that moved all the same means that somebody did not.
    """
    before = Status(row["status"])
    if status is not before and not before.may_become(status):
        raise InvariantBroken(f"withdrawal {row['id']}: {before} does not become {status}")
    values: dict[str, Any] = {"status": str(status), "updated_at": happening.at, **changes}
    if failure is not None:
        values["failure"] = [{"code": reason.code, "message": reason.message} for reason in failure]
    moved = connection.execute(_MOVE_ON.values(**values), {"b_id": row["id"], "b_version": row["version"]})
    if moved.rowcount != 1:
        raise InvariantBroken(f"withdrawal {row['id']} changed under its lock")
    record(connection, row, happening, status=status)
    return read_withdrawal(connection, row["id"])


def applicant_of(
    connection: Connection,
    keys: Keys,
    balance: RowMapping,
    *,
    month: Any,
    but: UUID | None = None,
    named: bool = True,
) -> Applicant:
    """What the rules look at, read under the account's lock; ``but`` is the withdrawal that asks about itself.

    The name is opened only where it is compared: ``named``.
    """
    account_id = balance["account_id"]
    account = connection.execute(_ACCOUNT, {"account_id": account_id}).mappings().one()
    name = account["subject_name"] if named else None
    used = connection.execute(_MONTH_USED, {"account_id": account_id, "month": month, "but": but}).first()
    return Applicant(
        account_id=account_id,
        subject_type=SubjectType(account["subject_type"]),
        subject_name=name and keys.decrypt(name, column="accounts.subject_name", row=account_id),
        verified=account["verified"],
        has_phone=account["phone"] is not None,
        suspended=account["suspended"],
        pay_as_you_use=account["pay_as_you_use"],
        available=balance["available"],
        month_used=used is not None,
    )


def open_withdrawal(connection: Connection, account_id: str) -> UUID | None:
    """The account's application that is not over yet, if there is one."""
    return connection.execute(_OPEN, {"account_id": account_id}).scalar()
