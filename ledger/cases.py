"""What an operator looks at: one withdrawal with everything on record of it, and those that take too long.

No key is needed for it: whatever is encrypted stays so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import RowMapping, bindparam, func, select, text

from domain.approval import resolutions_needed
from domain.errors import NotFound
from domain.shanghai import SHANGHAI, end_of
from domain.withdrawal import OPEN, Door, Status, TransferState
from domain.working_days import ArrivalWindow
from ledger.database import Database
from ledger.outbox import Snapshot, snapshot
from ledger.rows import APPROVALS_GIVEN, window_of
from ledger.tables import OUTBOX_WAITING, outbox, transactions, transfers, verifications, withdrawal_events, withdrawals

CODE_OVERDUE = timedelta(minutes=5)
BANK_OVERDUE = timedelta(minutes=15)
FINANCE_OVERDUE = timedelta(days=1)
"""How long each may take before somebody should look; the runbook says the same."""

MANY = 500


@dataclass(frozen=True)
class Happened:
    """One event; ``by`` is ``customer`` for whoever applied."""

    at: datetime
    kind: str
    status: Status
    by: str
    via: Door


@dataclass(frozen=True)
class Transfer:
    """What we know of the bank's transfer."""

    state: TransferState
    bank_ref: str | None
    reason_code: str | None
    updated_at: datetime


@dataclass(frozen=True)
class Case:
    """One withdrawal: as it stands, what happened, which money moved, and who is still to be told."""

    withdrawal: Snapshot
    events: Sequence[Happened]
    moves: Sequence[str]
    transfer: Transfer | None
    messages_waiting: int
    dead_letters: int


@dataclass(frozen=True)
class Unfinished:
    """A withdrawal that is not over. ``transfer`` is None while the bank was not asked. Amounts in fen."""

    id: UUID
    account_id: str
    amount_fen: int
    status: Status
    created_at: datetime
    updated_at: datetime
    verified: bool
    code_sent: bool
    code_expires_at: datetime
    approvals_needed: int
    approvals_given: int
    window: ArrivalWindow | None
    transfer: TransferState | None
    asked_at: datetime | None

    def trouble(self, *, now: datetime) -> str | None:
        """Why somebody should look at it, by its rows alone; None while it takes no longer than it may."""
        waited = now - self.updated_at
        match self.status:
            case Status.AWAITING_VERIFICATION:
                if self.verified and waited > CODE_OVERDUE:
                    return "the code was right, and nothing is frozen yet"
                if now - self.code_expires_at > CODE_OVERDUE:
                    return "the code is over, and the application is not expired yet"
            case Status.AWAITING_APPROVAL:
                if waited > FINANCE_OVERDUE:
                    return "finance has not decided"
            case Status.PROCESSING:
                return self._at_the_bank(now, waited)
            case Status.UNDER_REVIEW:
                return "finance has to find out what became of the transfer"
            case _:
                pass
        return None

    def waits_for(self) -> str:
        """Whom or what it waits for, and until when in Shanghai, in plain words."""
        match self.status:
            case Status.AWAITING_VERIFICATION if self.verified:
                return "the amount to be frozen: the code was right"
            case Status.AWAITING_VERIFICATION:
                whom = "the customer's code" if self.code_sent else "the SMS gateway, which has not taken the code yet"
                return f"{whom}, until {self.code_expires_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"
            case Status.AWAITING_APPROVAL:
                missing = self.approvals_needed - self.approvals_given
                return f"finance, {missing} of {self.approvals_needed} approvals missing; no deadline"
            case Status.UNDER_REVIEW:
                both = "; two people have to say the same" if resolutions_needed(self.approvals_needed) > 1 else ""
                return f"finance to find out what became of the transfer{both}; no deadline"
            case _:
                return f"{self._whose_step()}, until the end of {self.window.latest if self.window else 'the window'}"

    def _whose_step(self) -> str:
        match self.transfer:
            case None:
                return "a worker to ask the bank"
            case TransferState.PREPARED:
                return "the bank to answer that it has the transfer"
            case _:
                return "the bank"

    def _at_the_bank(self, now: datetime, waited: timedelta) -> str | None:
        if self.transfer is None:
            return "the bank was not asked yet" if waited > BANK_OVERDUE else None
        if self.transfer is TransferState.PREPARED and self.asked_at and now - self.asked_at > BANK_OVERDUE:
            return "the bank was asked, and its answer is not known"
        if self.window is not None and now > end_of(self.window.latest) + BANK_OVERDUE:
            return "the window is over, and finance was not asked yet"
        return None


@dataclass(frozen=True)
class DayLine:
    """One event of a day, for the day's export. Amount in fen."""

    at: datetime
    withdrawal_id: UUID
    account_id: str
    amount_fen: int
    bank_name: str
    card_last4: str
    kind: str
    status: Status
    by: str
    via: Door


_EVENTS = (
    select(withdrawal_events)
    .where(withdrawal_events.c.withdrawal_id == bindparam("withdrawal_id"))
    .order_by(withdrawal_events.c.id)
)
_MOVES = (
    select(transactions.c.kind)
    .where(transactions.c.withdrawal_id == bindparam("withdrawal_id"))
    .order_by(transactions.c.id)
)
_TRANSFER = select(transfers).where(transfers.c.withdrawal_id == bindparam("withdrawal_id"))
_APPLICANT = select(withdrawals.c.applicant).where(withdrawals.c.id == bindparam("withdrawal_id"))
_MINE = select(func.count()).select_from(outbox).where(outbox.c.withdrawal_id == bindparam("withdrawal_id"))
_MESSAGES = select(
    _MINE.where(text(OUTBOX_WAITING)).scalar_subquery(), _MINE.where(outbox.c.dead_at.is_not(None)).scalar_subquery()
)
_UNFINISHED = (
    select(
        withdrawals,
        verifications.c.expires_at,
        verifications.c.sends,
        APPROVALS_GIVEN,
        transfers.c.state,
        transfers.c.prepared_at,
    )
    .join_from(withdrawals, verifications)
    .outerjoin(transfers)
    .where(withdrawals.c.status.in_(sorted(OPEN)))
    .order_by(withdrawals.c.id)
)
_DAY = (
    select(
        withdrawal_events,
        *(withdrawals.c[name] for name in ("account_id", "applicant", "amount_fen", "bank_name", "card_last4")),
    )
    .join_from(withdrawal_events, withdrawals)
    .where(withdrawal_events.c.at >= bindparam("since"), withdrawal_events.c.at < bindparam("until"))
    .order_by(withdrawal_events.c.at, withdrawal_events.c.id)
)


@dataclass(frozen=True)
class Cases:
    """Reads only; ``page`` is how many unfinished withdrawals are read at a time."""

    database: Database
    page: int = MANY

    def case(self, withdrawal_id: UUID) -> Case:
        """Everything on record, of one moment; ``NotFound`` if there is no such withdrawal."""
        named = {"withdrawal_id": withdrawal_id}
        with self.database.snapshot() as connection:
            applicant = connection.execute(_APPLICANT, named).scalar()
            if applicant is None:
                raise NotFound
            asked = connection.execute(_TRANSFER, named).mappings().first()
            transfer = (
                None
                if asked is None
                else Transfer(
                    TransferState(asked["state"]), asked["bank_ref"], asked["reason_code"], asked["updated_at"]
                )
            )
            waiting, dead = connection.execute(_MESSAGES, named).one()
            return Case(
                withdrawal=snapshot(connection, withdrawal_id),
                events=[
                    Happened(
                        row["at"],
                        row["kind"],
                        Status(row["status"]),
                        _who(row["actor"], applicant),
                        Door(row["door"]),
                    )
                    for row in connection.execute(_EVENTS, named).mappings()
                ],
                moves=connection.execute(_MOVES, named).scalars().all(),
                transfer=transfer,
                messages_waiting=waiting,
                dead_letters=dead,
            )

    def unfinished(self) -> Iterator[Unfinished]:
        """Every withdrawal that is not over, by id; page by page, so that any number of them is read."""
        query, after = _UNFINISHED, None
        while True:
            page = query if after is None else query.where(withdrawals.c.id > after)
            with self.database.transaction() as connection:
                rows = connection.execute(page.limit(self.page)).mappings().all()
            yield from map(_unfinished, rows)
            if len(rows) < self.page:
                return
            after = rows[-1]["id"]

    def unfinished_one(self, withdrawal_id: UUID) -> Unfinished | None:
        """One of them; None if it is over, or never was."""
        with self.database.transaction() as connection:
            row = connection.execute(_UNFINISHED.where(withdrawals.c.id == withdrawal_id)).mappings().first()
        return None if row is None else _unfinished(row)

    def day(self, day: date) -> Iterator[DayLine]:
        """What happened to withdrawals on a Shanghai day, in order."""
        with self.database.snapshot() as connection:
            rows = connection.execution_options(yield_per=1_000).execute(
                _DAY, {"since": end_of(day - timedelta(days=1)), "until": end_of(day)}
            )
            for row in rows.mappings():
                yield DayLine(
                    at=row["at"],
                    withdrawal_id=row["withdrawal_id"],
                    account_id=row["account_id"],
                    amount_fen=row["amount_fen"],
                    bank_name=row["bank_name"],
                    card_last4=row["card_last4"],
                    kind=row["kind"],
                    status=Status(row["status"]),
                    by=_who(row["actor"], row["applicant"]),
                    via=Door(row["door"]),
                )


def _unfinished(row: RowMapping) -> Unfinished:
    return Unfinished(
        id=row["id"],
        account_id=row["account_id"],
        amount_fen=row["amount_fen"],
        status=Status(row["status"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        verified=row["verified_at"] is not None,
        code_sent=row["sends"] > 0,
        code_expires_at=row["expires_at"],
        approvals_needed=row["approvals_needed"],
        approvals_given=row["approvals_given"],
        window=window_of(row),
        transfer=row["state"] and TransferState(row["state"]),
        asked_at=row["prepared_at"],
    )


def _who(actor: str, applicant: str) -> str:
    return "customer" if actor == applicant else actor
