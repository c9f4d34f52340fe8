"""The bank's part of a withdrawal: prepared before it is asked, moved on only by its answers or finance's word."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select

from domain import failure
from domain.approval import resolutions_needed
from domain.bank_card import BankCard
from domain.errors import FourEyesViolated, InvariantBroken, NotPossibleNow, Reason
from domain.withdrawal import BankAnswer, Door, Standing, Status, TransferState
from ledger import book
from ledger.book import BOOKED
from ledger.database import Database
from ledger.encryption import Keys
from ledger.moves import Instruction, unfreezing
from ledger.prepared import Prepared, Row
from ledger.rows import (
    EVENT,
    WITHDRAWAL,
    Also,
    Happening,
    already_happened,
    lock_withdrawal,
    move_on,
    moving,
    record,
    standing_of,
)
from ledger.tables import resolutions, transactions, transfers, withdrawals

ASKED = (Status.PROCESSING, Status.UNDER_REVIEW)


@dataclass(frozen=True)
class TransferOrder:
    """What the bank is asked to pay.

    ``asked_before`` means that it may already know of it: query first. ``may_submit`` is False once finance was
    asked: from then on a submission could meet finance's word that it was not paid.
    """

    withdrawal_id: UUID
    amount_fen: int
    card: BankCard = field(repr=False)
    asked_before: bool
    may_submit: bool


_WITH_TRANSFER = Prepared.of(
    WITHDRAWAL.add_columns(
        transfers.c.state.label("transfer_state"), transfers.c.amount_fen.label("transfer_fen")
    ).outerjoin(transfers, transfers.c.withdrawal_id == withdrawals.c.id)
)
_WITH_MOVES = Prepared.of(
    WITHDRAWAL.add_columns(
        *(
            select(func.count())
            .where(transactions.c.withdrawal_id == withdrawals.c.id, *only)
            .scalar_subquery()
            .label(name)
            for name, only in (("moves", ()), ("freezes", (transactions.c.kind == "freeze",)))
        )
    )
)
_PREPARE = Prepared("""
    WITH prepared AS (
        INSERT INTO transfers (withdrawal_id, amount_fen, state, prepared_at, updated_at)
        VALUES (%(withdrawal_id)s::uuid, %(amount_fen)s::bigint, 'prepared', %(at)s::timestamptz, %(at)s::timestamptz)
        ON CONFLICT DO NOTHING RETURNING withdrawal_id
    )
    INSERT INTO withdrawal_events (withdrawal_id, kind, status, actor, door, data, operation_key, at)
    SELECT withdrawal_id, %(event)s::text, %(status)s::text, %(actor)s::text, %(door)s::text, %(data)s::jsonb,
           %(event_key)s::text, %(at)s::timestamptz
    FROM prepared
    RETURNING withdrawal_id""")
_NOTE = Prepared("""
    UPDATE transfers
    SET state = %(bank_state)s::text, reason_code = %(reason_code)s::text, updated_at = %(at)s::timestamptz,
        bank_ref = coalesce(%(bank_ref)s::text, bank_ref)
    WHERE withdrawal_id = %(withdrawal_id)s::uuid""")
_NOTE_AND_RECORD = Prepared(f"WITH noted AS ({_NOTE.sql}) {EVENT}")  # nosec B608
_MOVE_AS_ANSWERED = moving(BOOKED, f"noted AS ({_NOTE.sql})")
_RESOLVED = select(resolutions.c.resolver, resolutions.c.outcome).where(
    resolutions.c.withdrawal_id == bindparam("withdrawal_id")
)


@dataclass(frozen=True)
class Transfers:
    """What may be asked of the bank, and what its answers do to the money."""

    database: Database
    keys: Keys

    def prepare(self, withdrawal_id: UUID, *, now: datetime) -> TransferOrder | None:
        """Commits the transfer as ``prepared``, so that from here on the bank counts as asked.

        None if the withdrawal is not the bank's to pay (any more). Refuses to go on (``InvariantBroken``)
        without a live freeze and enough approvals.
        """
        with self.database.transaction() as connection:
            row = lock_withdrawal(connection, withdrawal_id, _WITH_MOVES)
            if row["status"] not in ASKED:
                return None
            if (row["moves"], row["freezes"]) != (1, 1) or row["approvals_given"] < row["approvals_needed"]:
                raise InvariantBroken(f"withdrawal {withdrawal_id} has no live freeze or too few approvals")
            prepared = _PREPARE.first(
                connection,
                withdrawal_id=withdrawal_id,
                amount_fen=row["amount_fen"],
                status=row["status"],
                **Happening("bank_asked", "system", Door.WORKFLOW, now).parameters,
            )
            return self._order(row, asked_before=prepared is None)

    def record_answer(self, withdrawal_id: UUID, answer: BankAnswer, *, now: datetime) -> Standing:
        """Lets the bank's answer move the money: success settles, a no unfreezes, a return is credited again.

        An answer that is no outcome is only noted. One that contradicts what the money has already done is
        written down for finance and moves nothing; one of another amount is ``InvariantBroken``.
        """
        with self.database.transaction() as connection:
            row = lock_withdrawal(connection, withdrawal_id, _WITH_TRANSFER)
            if row["transfer_state"] is None:
                raise InvariantBroken(f"the bank answers for withdrawal {withdrawal_id}, which we never asked")
            if answer.amount_fen not in (None, row["transfer_fen"]):
                raise InvariantBroken(f"the bank knows withdrawal {withdrawal_id} with another amount")
            status, known = Status(row["status"]), TransferState(row["transfer_state"])
            if answer.state == known and (status.is_final or not answer.is_outcome):
                return standing_of(row)  # Nothing new.
            if (status.is_final and not answer.is_outcome) or (status, answer.state) == _OVERTAKEN_BY_RETURN:
                # Two queries overtook each other: the older state must not replace the outcome.
                return standing_of(row)
            if (status, answer.state) in _CONTRADICTIONS:
                _write_down_contradiction(connection, row, answer, now)
                return standing_of(row)
            if status not in ASKED:  # Else it is noted by the statement that moves the money or records the answer.
                _NOTE.run(connection, withdrawal_id=withdrawal_id, at=now, **_noted(answer))
            return standing_of(self._act_on(connection, row, answer, now))

    def resolve(
        self, withdrawal_id: UUID, outcome: str, evidence: str, instruction: Instruction, *, now: datetime
    ) -> Standing:
        """Finance's recorded word, ``"paid"`` or ``"failed"``, on a transfer under review.

        Where the payment needed approval, money moves once two people have said the same; until then it stays
        frozen. ``NotPossibleNow`` in any other status, ``FourEyesViolated`` for the applicant and for a second
        word of the same person.
        """
        with self.database.transaction() as connection:
            row = lock_withdrawal(connection, withdrawal_id)
            if already_happened(connection, instruction.operation_key):
                return standing_of(row)
            if row["status"] != Status.UNDER_REVIEW:
                raise NotPossibleNow(status=row["status"])
            said = connection.execute(_RESOLVED, {"withdrawal_id": withdrawal_id}).all()
            if instruction.actor in (row["applicant"], *(resolver for resolver, _ in said)):
                raise FourEyesViolated
            connection.execute(
                resolutions.insert(),
                {
                    "withdrawal_id": withdrawal_id,
                    "resolver": instruction.actor,
                    "applicant": row["applicant"],
                    "outcome": outcome,
                    "evidence": evidence,
                    "door": str(instruction.door),
                    "resolved_at": now,
                },
            )
            agreeing = 1 + sum(word == outcome for _, word in said)
            if agreeing < resolutions_needed(row["approvals_needed"]):
                record(connection, row, instruction.happening("resolution_given", now, outcome=outcome))
                return standing_of(row)
            happening = instruction.happening("resolved", now, outcome=outcome)
            if outcome == "paid":
                return standing_of(_settle(connection, row, happening))
            return standing_of(_fail(connection, row, happening, failure.FOUND_UNPAID))

    def _order(self, row: Row, *, asked_before: bool) -> TransferOrder:
        row_id = str(row["id"])
        card = BankCard(
            account_name=self.keys.decrypt(row["account_name"], column="withdrawals.account_name", row=row_id),
            bank_name=row["bank_name"],
            branch_name=row["branch_name"],
            card_number=self.keys.decrypt(row["card_number"], column="withdrawals.card_number", row=row_id),
        )
        return TransferOrder(row["id"], row["amount_fen"], card, asked_before, row["status"] == Status.PROCESSING)

    def _act_on(self, connection: Connection, row: Row, answer: BankAnswer, now: datetime) -> Row:
        status, state = Status(row["status"]), answer.state
        answered = Also(_MOVE_AS_ANSWERED, _noted(answer))

        def said(kind: str) -> Happening:
            facts = {"bank_ref": answer.bank_ref, "reason_code": answer.reason_code}
            return Happening(kind, "bank", Door.BANK, now, {k: v for k, v in facts.items() if v is not None})

        if not answer.is_outcome:
            heard = said(f"bank_{state}").parameters
            _NOTE_AND_RECORD.run(connection, withdrawal_id=row["id"], status=row["status"], **heard, **_noted(answer))
            return row
        if status in ASKED and state is TransferState.FAILED:
            return _fail(connection, row, said("failed"), failure.bank_failure(answer.reason_code), answered)
        if status in ASKED:
            row = _settle(connection, row, said("paid"), answered)
            status = Status.PAID
        if status is Status.PAID and state is TransferState.RETURNED:
            return move_on(
                connection,
                row,
                Status.RETURNED,
                said("returned"),
                entry=book.credit_return(row["account_id"], row["id"], row["amount_fen"], now),
                failure=[Reason(failure.RETURNED_BY_BANK, failure.message_for(failure.RETURNED_BY_BANK))],
            )
        return row


_OVERTAKEN_BY_RETURN = (Status.RETURNED, TransferState.SUCCEEDED)

# What the bank can't mean once the money has moved.
_CONTRADICTIONS = {
    (Status.PAID, TransferState.FAILED),
    (Status.FAILED, TransferState.SUCCEEDED),
    (Status.FAILED, TransferState.RETURNED),
    (Status.RETURNED, TransferState.FAILED),
}


def _write_down_contradiction(connection: Connection, row: Row, answer: BankAnswer, now: datetime) -> None:
    """Once for each state, however often it is repeated; the transfer keeps the state the money followed."""
    operation_key = f"{row['id']}:bank_contradicts:{answer.state}"
    if not already_happened(connection, operation_key):
        facts = {"state": str(answer.state), "bank_ref": answer.bank_ref, "reason_code": answer.reason_code}
        data = {name: fact for name, fact in facts.items() if fact is not None}
        record(connection, row, Happening("bank_contradicts", "bank", Door.BANK, now, data, operation_key))


def _noted(answer: BankAnswer) -> dict[str, object]:
    return {"bank_state": str(answer.state), "reason_code": answer.reason_code, "bank_ref": answer.bank_ref}


def _settle(connection: Connection, row: Row, happening: Happening, also: Also | None = None) -> Row:
    entry = book.settle(row["account_id"], row["id"], row["amount_fen"], happening.at)
    return move_on(connection, row, Status.PAID, happening, entry=entry, also=also)


def _fail(connection: Connection, row: Row, happening: Happening, code: str, also: Also | None = None) -> Row:
    entry, reason = unfreezing(row, happening.at), Reason(code, failure.message_for(code))
    return move_on(connection, row, Status.FAILED, happening, entry=entry, also=also, failure=[reason])
