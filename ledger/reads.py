"""What the API shows, read straight from PostgreSQL: it stays up for reads while Temporal is away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, DateTime, Uuid, bindparam, func, select, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by

from domain.eligibility import EligibilityRules
from domain.errors import NotFound, Reason
from domain.shanghai import month_after, month_of
from domain.withdrawal import OPEN, Decision, Door, Standing, Status
from domain.working_days import ArrivalWindow
from ledger.database import Database
from ledger.encryption import Keys
from ledger.outbox import backlog
from ledger.prepared import Prepared, Row
from ledger.rows import applicant_of, read_applicant
from ledger.tables import (
    decisions,
    differences,
    oversight,
    verifications,
    withdrawal_events,
    withdrawals,
)

BLANKED = "***"
"""What is shown in place of a name whose time of keeping is over."""


@dataclass(frozen=True)
class AccountView:
    """What can be withdrawn now and why not more. Amounts in fen; ``cash_balance`` includes what is frozen."""

    account_id: str
    cash_balance: int
    voucher_balance: int
    frozen: int
    reserved: int
    withdrawable: int
    blockers: Sequence[Reason]
    next_eligible_on: date | None


@dataclass(frozen=True)
class Oversight:
    """What the sweep and the daily matching last found; None before the first look."""

    looked_at: datetime | None
    broken_invariants: int | None
    open_differences: int
    messages_waiting: int
    dead_letters: int


@dataclass(frozen=True)
class Age:
    """How long a withdrawal can have stood where it stands."""

    label: str
    than: timedelta


AGES = (
    Age("1h", timedelta(hours=1)),
    Age("1d", timedelta(days=1)),
    Age("7d", timedelta(days=7)),
    Age("35d", timedelta(days=35)),
)
"""Longer than a code lives, than finance should take, than banks usually take, than a window with holidays lasts."""


@dataclass(frozen=True)
class Waiting:
    """The open withdrawals of one status; ``older`` counts those that last changed longer ago than each of ``AGES``."""

    count: int
    fen: int
    since: datetime
    older: Mapping[str, int]
    approvals_missing: int


@dataclass(frozen=True)
class GivenApproval:
    """One person's approval."""

    approver: str
    at: datetime


@dataclass(frozen=True)
class WithdrawalRecord:
    """One application as people see it: the card's last four, the phone masked, amounts in fen."""

    id: UUID
    account_id: str
    applicant: str
    amount_fen: int
    status: Status
    account_name: str = field(repr=False)
    bank_name: str
    branch_name: str
    card_last4: str
    phone_masked: str
    code_expires_at: datetime
    approvals_needed: int
    approvals_given: Sequence[GivenApproval]
    window: ArrivalWindow | None
    failure: Sequence[Reason]
    created_at: datetime
    updated_at: datetime

    def frozen(self, standing: Standing) -> WithdrawalRecord:
        """The same application as the freeze left it, from a record that was read while it was under way."""
        return replace(
            self,
            status=standing.status,
            window=standing.window,
            updated_at=standing.changed_at or self.updated_at,
        )


@dataclass(frozen=True)
class EventRecord:
    """What happened, when, by whom and through which door."""

    kind: str
    status: Status
    actor: str
    door: Door
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a page of the record ended: the next one starts after it."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True)
class RecordFilter:
    """Which applications; an absent field does not restrict. ``created_until`` is exclusive."""

    account_id: str | None = None
    status: Status | None = None
    created_since: datetime | None = None
    created_until: datetime | None = None


_APPROVALS = (
    select(
        func.coalesce(
            func.jsonb_agg(
                aggregate_order_by(
                    func.jsonb_build_array(decisions.c.approver, decisions.c.decided_at),
                    decisions.c.decided_at,
                )
            ),
            func.jsonb_build_array(),
        )
    )
    .where(decisions.c.withdrawal_id == withdrawals.c.id, decisions.c.decision == str(Decision.APPROVE))
    .scalar_subquery()
    .label("given")
)
_RECORD = select(withdrawals, verifications.c.expires_at, _APPROVALS).join_from(withdrawals, verifications)
_BY_ID = _RECORD.where(withdrawals.c.id == bindparam("withdrawal_id"))
_ONE = Prepared.of(_BY_ID)
_ONE_OF_ACCOUNT = Prepared.of(_BY_ID.where(withdrawals.c.account_id == bindparam("account_id")))
_EVENTS = Prepared.of(
    select(withdrawal_events)
    .where(withdrawal_events.c.withdrawal_id == bindparam("withdrawal_id"))
    .order_by(withdrawal_events.c.id)
)
_FILTERS: Mapping[str, ColumnElement[bool]] = MappingProxyType(
    {
        "account_id": withdrawals.c.account_id == bindparam("account_id"),
        "status": withdrawals.c.status == bindparam("status"),
        "created_since": withdrawals.c.created_at >= bindparam("created_since"),
        "created_until": withdrawals.c.created_at < bindparam("created_until"),
        "after_id": tuple_(withdrawals.c.created_at, withdrawals.c.id)
        < tuple_(bindparam("after_at", type_=DateTime(timezone=True)), bindparam("after_id", type_=Uuid)),
    }
)
_APPROVED = (
    select(func.count())
    .where(decisions.c.withdrawal_id == withdrawals.c.id, decisions.c.decision == str(Decision.APPROVE))
    .scalar_subquery()
)
_WAITING = (
    select(
        withdrawals.c.status,
        func.count().label("count"),
        func.sum(withdrawals.c.amount_fen).label("fen"),
        func.min(withdrawals.c.updated_at).label("since"),
        *(func.count().filter(withdrawals.c.updated_at < bindparam(age.label)).label(age.label) for age in AGES),
        func.coalesce(
            func.sum(withdrawals.c.approvals_needed - _APPROVED).filter(
                withdrawals.c.status == str(Status.AWAITING_APPROVAL)
            ),
            0,
        ).label("approvals_missing"),
    )
    .where(withdrawals.c.status.in_(sorted(OPEN)))
    .group_by(withdrawals.c.status)
)


@dataclass(frozen=True)
class Reads:
    """Queries; nothing here locks or changes a row."""

    database: Database
    keys: Keys
    rules: EligibilityRules

    def account(self, account_id: str, *, now: datetime) -> AccountView:
        """What the account could withdraw at ``now``; ``NotFound`` if there is no such account."""
        month = month_of(now)
        with self.database.statement() as connection:
            balance = read_applicant(connection, account_id, month)
        applicant = applicant_of(balance, self.keys, named=False)
        blockers = self.rules.blockers(applicant, month)
        if balance["in_progress"] is not None:
            blockers.insert(0, Reason("withdrawal_in_progress", "Another withdrawal of this account is in progress."))
        return AccountView(
            account_id=account_id,
            cash_balance=balance["available"] + balance["frozen"],
            voucher_balance=balance["vouchers"],
            frozen=balance["frozen"],
            reserved=self.rules.reserved(applicant),
            withdrawable=self.rules.withdrawable(applicant),
            blockers=blockers,
            next_eligible_on=month_after(month) if applicant.month_used else None,
        )

    def withdrawal(self, withdrawal_id: UUID, *, of: str | None = None) -> WithdrawalRecord:
        """One application, of the account ``of`` if one is given; ``NotFound`` if there is none.

        Another account's is left out by the query itself, before a subquery runs or a name is decrypted: the answer
        takes as long as for one that does not exist.
        """
        with self.database.statement() as connection:
            if of is None:
                row = _ONE.first(connection, withdrawal_id=withdrawal_id)
            else:
                row = _ONE_OF_ACCOUNT.first(connection, withdrawal_id=withdrawal_id, account_id=of)
        if row is None:
            raise NotFound
        return self._record(row)

    def withdrawals(self, wanted: RecordFilter, *, limit: int, after: Place | None = None) -> list[WithdrawalRecord]:
        """The Withdrawal Record (rule 10), newest first; up to ``limit`` of those after ``after``."""
        asked = {
            "account_id": wanted.account_id,
            "status": wanted.status and str(wanted.status),
            "created_since": wanted.created_since,
            "created_until": wanted.created_until,
            "after_at": after and after.created_at,
            "after_id": after and after.id,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        with self.database.statement() as connection:
            rows = _page(frozenset(_FILTERS.keys() & given.keys())).all(connection, **given, limit=limit)
        return [self._record(row) for row in rows]

    def events(self, withdrawal_id: UUID) -> list[EventRecord]:
        """What happened to an application, oldest first."""
        with self.database.statement() as connection:
            rows = _EVENTS.all(connection, withdrawal_id=withdrawal_id)
        return [
            EventRecord(row["kind"], Status(row["status"]), row["actor"], Door(row["door"]), row["at"], row["data"])
            for row in rows
        ]

    def waiting(self, *, now: datetime) -> dict[str, Waiting]:
        """Per open status: how many applications, how much money, and how long they have been standing there."""
        with self.database.statement() as connection:
            rows = connection.execute(_WAITING, {age.label: now - age.than for age in AGES}).mappings().all()
        return {
            row["status"]: Waiting(
                count=row["count"],
                fen=int(row["fen"]),
                since=row["since"],
                older={age.label: row[age.label] for age in AGES},
                approvals_missing=int(row["approvals_missing"]),
            )
            for row in rows
        }

    def oversight(self) -> Oversight:
        """Whether the invariants held when they were last looked at, and how many differences are open."""
        return read_oversight(self.database)

    def _record(self, row: Row) -> WithdrawalRecord:
        window = None
        if row["earliest"] is not None:
            window = ArrivalWindow(row["earliest"], row["latest"], row["provisional"])
        return WithdrawalRecord(
            id=row["id"],
            account_id=row["account_id"],
            applicant=row["applicant"],
            amount_fen=row["amount_fen"],
            status=Status(row["status"]),
            account_name=self._account_name(row),
            bank_name=row["bank_name"],
            branch_name=row["branch_name"],
            card_last4=row["card_last4"],
            phone_masked=row["phone_masked"],
            code_expires_at=row["expires_at"],
            approvals_needed=row["approvals_needed"],
            approvals_given=[GivenApproval(who, datetime.fromisoformat(at)) for who, at in row["given"]],
            window=window,
            failure=[Reason(reason["code"], reason["message"]) for reason in row["failure"] or ()],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )

    def _account_name(self, row: Row) -> str:
        if row["account_name"] is None:
            return BLANKED
        return self.keys.decrypt(row["account_name"], column="withdrawals.account_name", row=str(row["id"]))


def read_oversight(database: Database) -> Oversight:
    """What the sweep and the daily matching last found; for whoever has no keys, too."""
    open_differences = select(func.count()).where(differences.c.closed_at.is_(None)).scalar_subquery()
    newest = select(oversight.c.looked_at, oversight.c.broken_invariants)
    with database.transaction() as connection:
        row = connection.execute(newest).first()
        count = connection.execute(select(open_differences)).scalar_one()
        waiting, dead = backlog(connection)
    broken = None if row is None else len(row.broken_invariants)
    return Oversight(row and row.looked_at, broken, count, waiting, dead)


@cache
def _page(names: frozenset[str]) -> Prepared:
    """A page of the record by those of ``_FILTERS``; there are no more of them than combinations of five."""
    newest_first = (withdrawals.c.created_at.desc(), withdrawals.c.id.desc())
    filtered = _RECORD.where(*(condition for name, condition in _FILTERS.items() if name in names))
    return Prepared.of(filtered.order_by(*newest_first).limit(bindparam("limit", type_=BigInteger)))
