"""The moves of a withdrawal: each one transaction that changes status, event and money together.

Every move reads the facts that allow it again, under the account's lock, and may be called again after any
doubt: a repeat changes nothing and says how the withdrawal stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, true

from domain import failure
from domain.eligibility import EligibilityRules
from domain.errors import FourEyesViolated, NotPossibleNow, Reason
from domain.shanghai import end_of
from domain.withdrawal import Decision, Door, Standing, Status
from ledger import book
from ledger.book import Entry
from ledger.calendar import DAYS, window_by
from ledger.database import Database
from ledger.encryption import Keys
from ledger.prepared import Prepared, Row
from ledger.rows import (
    WITHDRAWAL,
    Happening,
    already_happened,
    applicant_of,
    lock_withdrawal,
    move_on,
    read_withdrawal,
    record,
    standing_of,
    what_rules_look_at,
)
from ledger.tables import accounts, balances, decisions, withdrawals

APPLICATION = (
    WITHDRAWAL.add_columns(*what_rules_look_at(withdrawals.c.account_id, withdrawals.c.month, withdrawals.c.id))
    .join(accounts, accounts.c.account_id == withdrawals.c.account_id)
    .join(balances, balances.c.account_id == withdrawals.c.account_id)
)
"""A withdrawal with what the rules look at."""
_WITH_APPLICANT = Prepared.of(APPLICATION)
_WITH_APPLICANT_AND_DAYS = Prepared.of(APPLICATION.add_columns(DAYS).join(DAYS, true()))
_HAS_DECIDED = select(decisions.c.approver).where(
    decisions.c.withdrawal_id == bindparam("withdrawal_id"), decisions.c.approver == bindparam("approver")
)


@dataclass(frozen=True)
class Instruction:
    """Who wants it, through which door, and the key under which it is carried out once."""

    actor: str
    door: Door
    operation_key: str

    def happening(self, kind: str, at: datetime, **data: object) -> Happening:
        """The event this instruction leaves."""
        return Happening(kind, self.actor, self.door, at, data, self.operation_key)


@dataclass(frozen=True)
class Moves:
    """From application to the bank's door."""

    database: Database
    keys: Keys
    rules: EligibilityRules

    def standing(self, withdrawal_id: UUID) -> Standing:
        """Where the withdrawal stands now."""
        with self.database.statement() as connection:
            return standing_of(read_withdrawal(connection, withdrawal_id))

    def check_eligibility(self, withdrawal_id: UUID, *, now: datetime) -> Standing:
        """Fails an application whose rules no longer hold before a code is sent; else only says how it stands."""
        return self._while(
            (Status.AWAITING_VERIFICATION,),
            withdrawal_id,
            lambda connection, row: self.fail_if_refused(connection, row, now) or row,
            _WITH_APPLICANT,
        )

    def freeze(self, withdrawal_id: UUID, *, now: datetime) -> Standing:
        """available → frozen, if the phone is verified and every rule still holds at this moment (rule 3).

        Fails the withdrawal with the reasons if they don't. Works the arrival window out from the day on which
        the phone was verified.
        """

        def attempt(connection: Connection, row: Row) -> Row:
            if row["verified_at"] is None:
                return row
            return self.fail_if_refused(connection, row, now) or self._freeze(connection, row, now)

        return self._while((Status.AWAITING_VERIFICATION,), withdrawal_id, attempt, _WITH_APPLICANT_AND_DAYS)

    def cancel(self, withdrawal_id: UUID, instruction: Instruction, *, now: datetime) -> Standing:
        """Ends it before the bank is asked, and unfreezes what was frozen; ``NotPossibleNow`` afterwards."""
        with self.database.transaction() as connection:
            row = lock_withdrawal(connection, withdrawal_id)
            if not already_happened(connection, instruction.operation_key):
                if not Status(row["status"]).may_become(Status.CANCELLED):
                    raise NotPossibleNow(status=row["status"])
                happening = instruction.happening("cancelled", now)
                row = move_on(connection, row, Status.CANCELLED, happening, entry=unfreezing(row, now))
            return standing_of(row)

    def decide(
        self, withdrawal_id: UUID, decision: Decision, note: str, instruction: Instruction, *, now: datetime
    ) -> Standing:
        """Finance's word. Enough approvals by different people let it go on; one rejection unfreezes.

        ``FourEyesViolated`` for the applicant and for a second word of the same person, ``NotPossibleNow`` in
        any other status.
        """
        with self.database.transaction() as connection:
            row = lock_withdrawal(connection, withdrawal_id)
            if already_happened(connection, instruction.operation_key):
                return standing_of(row)
            if row["status"] != Status.AWAITING_APPROVAL:
                raise NotPossibleNow(status=row["status"])
            approver = {"withdrawal_id": withdrawal_id, "approver": instruction.actor}
            if instruction.actor == row["applicant"] or connection.execute(_HAS_DECIDED, approver).first():
                raise FourEyesViolated
            connection.execute(
                decisions.insert(),
                {
                    **approver,
                    "applicant": row["applicant"],
                    "decision": str(decision),
                    "note": note,
                    "door": str(instruction.door),
                    "decided_at": now,
                },
            )
            return standing_of(self._after_decision(connection, row, decision, instruction, now))

    def remind_finance(self, withdrawal_id: UUID, *, now: datetime) -> Standing:
        """Notes that finance is still waited for, where people and metrics look."""

        def remind(connection: Connection, row: Row) -> Row:
            operation_key = f"{withdrawal_id}:finance_reminded:{now.isoformat()}"
            if not already_happened(connection, operation_key):
                happening = Happening("finance_reminded", "system", Door.WORKFLOW, now, {}, operation_key)
                record(connection, row, happening)
            return row

        return self._while((Status.AWAITING_APPROVAL, Status.UNDER_REVIEW), withdrawal_id, remind)

    def put_under_review(self, withdrawal_id: UUID, *, now: datetime) -> Standing:
        """Asks finance once the window has ended without an answer; the money stays frozen."""

        def review(connection: Connection, row: Row) -> Row:
            if row["latest"] is None or now < end_of(row["latest"]):
                return row
            happening = Happening("under_review", "system", Door.WORKFLOW, now)
            return move_on(connection, row, Status.UNDER_REVIEW, happening)

        return self._while((Status.PROCESSING,), withdrawal_id, review)

    def _while(
        self,
        statuses: tuple[Status, ...],
        withdrawal_id: UUID,
        move: Callable[[Connection, Row], Row],
        *reading: Prepared,
    ) -> Standing:
        """Makes the move if the withdrawal is still in one of ``statuses``; otherwise somebody else was first."""
        with self.database.transaction() as connection:
            row = lock_withdrawal(connection, withdrawal_id, *reading)
            return standing_of(move(connection, row) if row["status"] in statuses else row)

    def fail_if_refused(self, connection: Connection, row: Row, now: datetime) -> Row | None:
        """Fails the withdrawal of a row of ``APPLICATION`` with every reason against it; None if there is none."""
        account_name = self.keys.decrypt(row["account_name"], column="withdrawals.account_name", row=str(row["id"]))
        reasons = self.rules.reasons_against(
            applicant_of(row, self.keys), amount=row["amount_fen"], account_name=account_name, month=row["month"]
        )
        if not reasons:
            return None
        codes = [reason.code for reason in reasons]
        happening = Happening("failed", "system", Door.WORKFLOW, now, {"codes": codes})
        return move_on(connection, row, Status.FAILED, happening, failure=reasons)

    def _freeze(self, connection: Connection, row: Row, now: datetime) -> Row:
        status = Status.AWAITING_APPROVAL if row["approvals_needed"] else Status.PROCESSING
        return move_on(
            connection,
            row,
            status,
            Happening("frozen", "system", Door.WORKFLOW, now, {"approvals_needed": row["approvals_needed"]}),
            entry=book.freeze(row["account_id"], row["id"], row["amount_fen"], now),
            window=window_by(row),
        )

    def _after_decision(
        self,
        connection: Connection,
        row: Row,
        decision: Decision,
        instruction: Instruction,
        now: datetime,
    ) -> Row:
        if decision is Decision.REJECT:
            return move_on(
                connection,
                row,
                Status.REJECTED,
                instruction.happening("rejected", now),
                entry=unfreezing(row, now),
                failure=[Reason(failure.REJECTED_BY_FINANCE, failure.message_for(failure.REJECTED_BY_FINANCE))],
            )
        given = row["approvals_given"] + 1
        enough = given >= row["approvals_needed"]
        status = Status.PROCESSING if enough else Status.AWAITING_APPROVAL
        return move_on(connection, row, status, instruction.happening("approved", now, given=given))


def unfreezing(row: Row, now: datetime) -> Entry | None:
    """What gives exactly the frozen amount back; before the freeze there is nothing to give back."""
    if row["status"] == Status.AWAITING_VERIFICATION:
        return None
    return book.unfreeze(row["account_id"], row["id"], row["amount_fen"], now)
