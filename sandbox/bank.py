"""Sandbox: the bank's side of a transfer, from submission to outcome and perhaps a return (退票)."""

from __future__ import annotations

import base64
import binascii
import random
import sqlite3
import uuid
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from sandbox.book import Book, Clock, as_rfc3339, count_fault
from sandbox.cards import TIME_OUT_AFTER_BOOKING, CardNumber, Fate, find_card, use_up_a_refusal
from sandbox.errors import Refusal
from sandbox.notifications import Notifications
from sandbox.switches import Switches, current_switches, read_switches

SHANGHAI = ZoneInfo("Asia/Shanghai")
SETTLE_BATCH = 200

A_YUAN_OR_MORE = r"[1-9][0-9]{0,11}\.[0-9]{2}"
LESS_THAN_A_YUAN = r"0\.(0[1-9]|[1-9][0-9])"
Money = Annotated[str, Field(pattern=f"^({A_YUAN_OR_MORE}|{LESS_THAN_A_YUAN})$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class State(StrEnum):
    """Where a transfer stands. Only succeeded, failed and returned are outcomes."""

    ACCEPTED = "accepted"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETURNED = "returned"


OUTCOMES = {State.SUCCEEDED, State.FAILED, State.RETURNED}
ENTRY_KIND: dict[State, Literal["payment", "return"]] = {State.SUCCEEDED: "payment", State.RETURNED: "return"}


class TransferOrder(BaseModel):
    """A submission. `client_ref` is the client's idempotency key; `amount` is CNY, more than zero."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_ref: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    amount: Money
    payee_name: Name
    bank_name: Name
    branch_name: Name
    card_number: CardNumber


@dataclass(frozen=True)
class Transfer:
    """What the bank says of a transfer, or said of it at one change."""

    client_ref: str
    bank_ref: str
    amount: str
    state: State
    reason_code: str | None
    updated_at: str


@dataclass(frozen=True)
class ChangePage:
    """Changes in the order in which they happened; `next_cursor` is there on an empty page as well."""

    items: list[Transfer]
    next_cursor: str


@dataclass(frozen=True)
class Entry:
    """Money that moved: a payment, or a payment that came back."""

    bank_ref: str
    client_ref: str
    kind: Literal["payment", "return"]
    amount: str
    booked_at: str


@dataclass(frozen=True)
class Statement:
    """The entries of one Shanghai day; today's grows until the day ends."""

    date: date
    items: list[Entry]


class Answer(StrEnum):
    """How a submission is answered, which may differ from what was done."""

    TAKEN = "taken"
    HELD = "held"
    UNAVAILABLE = "unavailable"
    OTHER_BODY = "other_body"


@dataclass(frozen=True)
class Receipt:
    """`transfer` is the booked one, whether or not the caller gets to hear of it."""

    answer: Answer
    transfer: Transfer | None = None
    hold_answer_s: float = 0.0


class Bank:
    """Transfers in the book. Every method is one transaction or one read."""

    def __init__(self, book: Book, notifications: Notifications, clock: Clock) -> None:
        self._book = book
        self._notifications = notifications
        self._clock = clock

    def submit(self, order: TransferOrder) -> Receipt:
        """Book a transfer once for its reference, however often and however parallel it is submitted."""
        with self._book.transaction() as connection:
            connection.execute(
                "INSERT INTO submissions VALUES (?, 1) ON CONFLICT DO UPDATE SET attempts = attempts + 1",
                (order.client_ref,),
            )
            switches = read_switches(connection)
            card = find_card(connection, order.card_number)
            # Returned, not raised: a refusal has to commit the attempt it counted.
            if switches.unavailable or _chance(switches.failure_rate) or use_up_a_refusal(connection, card):
                count_fault(connection, "submissions_unavailable")
                return Receipt(Answer.UNAVAILABLE)

            booked_now = self._book_once(connection, order, card.fate, switches)
            row = _find(connection, order.client_ref)
            assert row is not None, "it was booked now or before"
            if not _same_body(row, order):
                return Receipt(Answer.OTHER_BODY)
            transfer = _as_transfer(row)
            if booked_now and card.behaviour == TIME_OUT_AFTER_BOOKING:
                count_fault(connection, "answers_held")
                return Receipt(Answer.HELD, transfer, switches.hold_answer_s)
            if _chance(switches.lost_answer_rate):
                count_fault(connection, "answers_lost")
                return Receipt(Answer.UNAVAILABLE, transfer)
            return Receipt(Answer.TAKEN, transfer)

    def refuse_to_answer(self) -> bool:
        """Whether a question is answered 503 now; counted if it is."""
        switches = current_switches(self._book)
        if not (switches.unavailable or _chance(switches.failure_rate)):
            return False
        with self._book.transaction() as connection:
            count_fault(connection, "questions_unavailable")
        return True

    def find(self, client_ref: str) -> Transfer | None:
        """The transfer as it stands, or None if no submission with this reference was booked."""
        rows = self._book.read("SELECT * FROM transfers WHERE client_ref = ?", (client_ref,))
        return _as_transfer(rows[0]) if rows else None

    def changes_since(self, cursor: str, limit: int) -> ChangePage:
        """The next changes behind the cursor; an empty cursor is the beginning of the book.

        Whoever follows `next_cursor` sees each change exactly once: numbers are given inside the one writer's
        transaction, so none appears behind a number that was already read. Raises Refusal for a cursor that
        this book never gave, since answering it with an empty page would hide changes.
        """
        seq = _parse_cursor(cursor)
        with self._book.transaction() as connection:
            (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM changes").fetchone()
            if seq > last:
                raise Refusal(422, "unknown_cursor", "This book never gave that cursor.")
            rows = connection.execute(
                """SELECT seq, client_ref, bank_ref, amount_fen, changes.state AS state,
                          changes.reason_code AS reason_code, changed_at AS updated_at
                   FROM changes JOIN transfers USING (client_ref) WHERE seq > ? ORDER BY seq LIMIT ?""",
                (seq, limit),
            ).fetchall()
        return ChangePage([_as_transfer(row) for row in rows], _as_cursor(rows[-1]["seq"] if rows else seq))

    def statement(self, day: date) -> Statement:
        """Payments and returns booked on that Shanghai date, in the order of booking."""
        rows = self._book.read(
            "SELECT * FROM entries JOIN transfers USING (client_ref) WHERE booked_on = ? ORDER BY id",
            (day.isoformat(),),
        )
        return Statement(day, [_as_entry(row) for row in rows])

    def everything_booked(self) -> dict[str, Any]:
        """All transfers, all entries, and how often each reference was submitted, as of one moment."""
        with self._book.transaction() as connection:
            transfers = connection.execute("SELECT * FROM transfers ORDER BY submitted_at, rowid").fetchall()
            entries = connection.execute(
                "SELECT * FROM entries JOIN transfers USING (client_ref) ORDER BY id"
            ).fetchall()
            submissions = connection.execute("SELECT * FROM submissions").fetchall()
        return {
            "transfers": [
                {
                    **asdict(_as_transfer(row)),
                    "submitted_at": as_rfc3339(row["submitted_at"]),
                    **{name: row[name] for name in ("payee_name", "bank_name", "branch_name", "card_number")},
                }
                for row in transfers
            ],
            "entries": [asdict(_as_entry(row)) for row in entries],
            "submissions": {row["client_ref"]: row["attempts"] for row in submissions},
        }

    def faults(self) -> dict[str, int]:
        """How often the bank answered badly or a notification went astray, by the way it did."""
        rows = self._book.read(
            """SELECT kind, times FROM faults
               UNION ALL SELECT 'notifications_dropped', count(*) FROM notifications WHERE state = 'dropped'
               UNION ALL SELECT 'notifications_doubled', count(*) FROM notifications WHERE copies > 1"""
        )
        return {row["kind"]: row["times"] for row in rows}

    def settle_due(self) -> int:
        """Move each transfer whose time has come one state on, a batch at most; returns how many moved.

        What is due follows from the rows and the clock alone, so a restarted process goes on by itself.
        """
        with self._book.transaction() as connection:
            now = self._clock()
            switches = read_switches(connection)
            half_way = now - switches.settle_after_s / 2
            due = connection.execute(
                """SELECT * FROM transfers
                   WHERE (state = 'accepted' AND updated_at <= :half_way)
                      OR (state = 'processing' AND updated_at <= :half_way
                          AND fate IN ('pay', 'reject', 'accept_then_fail', 'pay_then_return'))
                      OR (state = 'succeeded' AND fate = 'pay_then_return' AND updated_at <= :return_time)
                   ORDER BY updated_at LIMIT :batch""",
                {"half_way": half_way, "return_time": now - switches.return_after_s, "batch": SETTLE_BATCH},
            ).fetchall()
            for row in due:
                state, reason_code = _next_step(State(row["state"]), Fate(row["fate"]))
                connection.execute(
                    "UPDATE transfers SET state = ?, reason_code = ?, updated_at = ? WHERE client_ref = ?",
                    (state, reason_code, now, row["client_ref"]),
                )
                self._follow_up(connection, row["client_ref"], switches, now)
        return len(due)

    def _book_once(self, connection: sqlite3.Connection, order: TransferOrder, fate: Fate, switches: Switches) -> bool:
        """False if the reference is already in the book: the primary key decides, not a look beforehand."""
        now = self._clock()
        refused = fate is Fate.REJECT
        inserted = connection.execute(
            "INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                order.client_ref,
                f"{_shanghai_date(now):%Y%m%d}{uuid.uuid4().hex[:16].upper()}",
                _to_fen(order.amount),
                order.payee_name,
                order.bank_name,
                order.branch_name,
                order.card_number,
                fate,
                State.FAILED if refused else State.ACCEPTED,
                "card_not_accepted" if refused else None,
                now,
                now,
            ),
        )
        if inserted.rowcount == 0:
            return False
        self._follow_up(connection, order.client_ref, switches, now)
        return True

    def _follow_up(self, connection: sqlite3.Connection, client_ref: str, switches: Switches, now: float) -> None:
        """What every new state brings with it, in its own transaction: a change, an entry, a notification."""
        row = _find(connection, client_ref)
        assert row is not None, "only a booked transfer enters a state"
        connection.execute(
            "INSERT INTO changes (client_ref, state, reason_code, changed_at) VALUES (?, ?, ?, ?)",
            (client_ref, row["state"], row["reason_code"], now),
        )
        state = State(row["state"])
        if state in ENTRY_KIND:
            connection.execute(
                "INSERT INTO entries VALUES (NULL, ?, ?, ?, ?, ?)",
                (client_ref, ENTRY_KIND[state], row["amount_fen"], now, _shanghai_date(now).isoformat()),
            )
        if state in OUTCOMES:
            self._notifications.enqueue(connection, client_ref, row["bank_ref"], switches)


def _next_step(state: State, fate: Fate) -> tuple[State, str | None]:
    """The state that follows, with its reason code."""
    match state, fate:
        case State.ACCEPTED, _:
            return State.PROCESSING, None
        case State.PROCESSING, (Fate.PAY | Fate.PAY_THEN_RETURN):
            return State.SUCCEEDED, None
        case State.PROCESSING, Fate.ACCEPT_THEN_FAIL:
            return State.FAILED, "account_closed"
        case State.PROCESSING, Fate.REJECT:
            return State.FAILED, "card_not_accepted"
        case State.SUCCEEDED, Fate.PAY_THEN_RETURN:
            return State.RETURNED, "name_mismatch"
        case _:
            raise AssertionError(f"{state} with {fate} is never due")


def _find(connection: sqlite3.Connection, client_ref: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM transfers WHERE client_ref = ?", (client_ref,)
    ).fetchone()
    return row


def _same_body(row: sqlite3.Row, order: TransferOrder) -> bool:
    booked = {name: row[name] for name in TransferOrder.model_fields if name != "amount"}
    return {**booked, "amount": _as_money(row["amount_fen"])} == order.model_dump()


def _as_transfer(row: sqlite3.Row) -> Transfer:
    return Transfer(
        client_ref=row["client_ref"],
        bank_ref=row["bank_ref"],
        amount=_as_money(row["amount_fen"]),
        state=State(row["state"]),
        reason_code=row["reason_code"],
        updated_at=as_rfc3339(row["updated_at"]),
    )


def _as_entry(row: sqlite3.Row) -> Entry:
    return Entry(
        bank_ref=row["bank_ref"],
        client_ref=row["client_ref"],
        kind=row["kind"],
        amount=_as_money(row["amount_fen"]),
        booked_at=as_rfc3339(row["booked_at"]),
    )


def _to_fen(amount: str) -> int:
    return int(amount.replace(".", ""))


def _as_money(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _shanghai_date(moment: float) -> date:
    return datetime.fromtimestamp(moment, SHANGHAI).date()


def _as_cursor(seq: int) -> str:
    return base64.urlsafe_b64encode(f"change:{seq}".encode()).decode()


def _parse_cursor(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        kind, _, seq = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(":")
        if kind == "change":
            return int(seq)
    except (binascii.Error, ValueError):
        pass
    raise Refusal(422, "unknown_cursor", "This book never gave that cursor.")


def _chance(rate: float) -> bool:
    return random.random() < rate  # noqa: S311 - faults, not secrets # nosec B311
