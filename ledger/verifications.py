"""The phone code: drawn, stored as a MAC, tried against, and let expire (product.md, rule 8)."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam

from domain import failure
from domain.errors import CodeExpired, NotPossibleNow, Reason, Refusal, TooManyRequests, WrongCode
from domain.shanghai import day_of
from domain.verification import CODE_DIGITS, CODE_LIFE, RESEND_AFTER, SENDS, STANDARD_LIMITS, CodeLimits
from domain.withdrawal import FROZEN, Door, Standing, Status
from ledger.code_limits import count_code, count_wrong_try, refuse_without_tries, wrong_tries
from ledger.database import Database
from ledger.encryption import Keys
from ledger.prepared import Prepared, Row
from ledger.rows import (
    WITHDRAWAL,
    Also,
    Happening,
    lock_account,
    lock_withdrawal,
    move_on,
    moving,
    read_withdrawal,
    record,
    standing_of,
)
from ledger.tables import verifications, withdrawals


@dataclass(frozen=True)
class CodeToSend:
    """One SMS: the code, whom it goes to, and what it says besides. Never leaves the activity that sends it.

    ``standing`` is where the withdrawal stands with the code on record.
    """

    phone: str = field(repr=False)
    code: str = field(repr=False)
    amount_fen: int
    card_last4: str
    standing: Standing


CODE = tuple(verifications.c[name] for name in ("code_mac", "last_send_key", "tries_left", "sent_at"))
"""The columns that judging and issuing a code look at, beside a withdrawal's and the account's ``wrong_tries``."""
_CODE_OF = WITHDRAWAL.add_columns(*CODE, wrong_tries(withdrawals.c.account_id))
_WITH_CODE = Prepared.of(_CODE_OF)
_WITH_CODE_IF_OF_ACCOUNT = Prepared.of(_CODE_OF.where(withdrawals.c.account_id == bindparam("account_id")))

_KEEP_CODE = Prepared(
    "UPDATE verifications SET code_mac = %(code_mac)s::bytea WHERE withdrawal_id = %(withdrawal_id)s::uuid"
)
_COUNT_SEND = moving("""sent AS (
    UPDATE verifications SET sends = sends + 1, last_send_key = %(send_key)s::text, sent_at = %(at)s::timestamptz,
        code_mac = %(code_mac)s::bytea, expires_at = %(code_expires_at)s::timestamptz
    WHERE withdrawal_id = %(withdrawal_id)s::uuid)""")
_COUNT_TRY = Prepared(
    "UPDATE verifications SET tries_left = tries_left - 1 WHERE withdrawal_id = %(withdrawal_id)s::uuid"
)


@dataclass(frozen=True)
class Verifications:
    """Issues codes and judges tries; the counting is PostgreSQL's, under the account's lock."""

    database: Database
    keys: Keys
    limits: CodeLimits = STANDARD_LIMITS

    def issue_code(self, withdrawal_id: UUID, *, send_key: str, now: datetime) -> CodeToSend:
        """Draws a new code, which replaces the one before, and counts the send.

        The same ``send_key`` again is the same send tried again: it draws anew, since the SMS gateway may or
        may not have sent the first, but counts once. Refuses with ``TooManyRequests`` within 60 seconds of the
        last send or after five, and until the day or the hour is over where the account, the phone or everybody
        together have used theirs up; ``CodeExpired`` once the ten minutes are over, and ``NotPossibleNow``.
        """
        with self.database.transaction() as connection:
            row = lock_withdrawal(connection, withdrawal_id, _WITH_CODE, day=day_of(now))
            return self.issue(connection, row, send_key=send_key, now=now)

    def issue(self, connection: Connection, row: Row, *, send_key: str, now: datetime) -> CodeToSend:
        """``issue_code`` for a row with ``CODE`` and ``wrong_tries`` that was read under the account's lock."""
        if row["status"] != Status.AWAITING_VERIFICATION or row["verified_at"] is not None:
            raise _over(row)
        if now >= row["expires_at"]:
            raise CodeExpired
        code = "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS))
        code_mac = self.keys.code_mac(code, bound_to=_bound(row))
        phone = self.keys.decrypt(row["phone"], column="withdrawals.phone", row=str(row["id"]))
        if row["last_send_key"] == send_key:
            _KEEP_CODE.run(connection, withdrawal_id=row["id"], code_mac=code_mac)
            return CodeToSend(phone, code, row["amount_fen"], row["card_last4"], standing_of(row))
        counted = self._count_send(connection, row, send_key, code_mac, now)
        if row["sends"] > 0:  # The first was counted when the application was taken down.
            refuse_without_tries(self.limits, row, now)
            count_code(connection, self.keys, self.limits, phone, now)
        return CodeToSend(phone, code, row["amount_fen"], row["card_last4"], standing_of(counted))

    def try_code(self, withdrawal_id: UUID, code: str, *, of: str | None, by: str, now: datetime) -> Standing:
        """Judges a try. The right code is recorded as ``verified_at``; giving it again is no error.

        ``WrongCode`` says how many tries are left and uses one up; the fifth ends the withdrawal as ``expired``.
        ``CodeExpired`` and ``NotPossibleNow`` change nothing, nor does ``TooManyRequests``: an account that used its
        day's wrong tries up is refused before the code is looked at, so that the refusal says nothing about it.
        ``of`` is the only account it may be of: another's is ``NotFound``, and its lock is not waited for. None leaves
        that to the caller.
        """
        with self.database.transaction() as connection:
            row = self._to_judge(connection, withdrawal_id, of, now)
            if Status(row["status"]).is_final:
                raise _over(row)
            refuse_without_tries(self.limits, row, now)
            mac = row["code_mac"]
            right = mac is not None and hmac.compare_digest(mac, self.keys.code_mac(code, bound_to=_bound(row)))
            judged = self._judge(connection, row, right=right, by=by, now=now)
        # Outside the transaction: a wrong try has to be committed before it is refused.
        if isinstance(judged, Refusal):
            raise judged
        return judged

    def expire(self, withdrawal_id: UUID, *, now: datetime) -> Standing:
        """Ends the withdrawal if its code's time is over and the right code never came; else says how it stands."""
        with self.database.transaction() as connection:
            row = lock_withdrawal(connection, withdrawal_id)
            waiting = row["status"] == Status.AWAITING_VERIFICATION and row["verified_at"] is None
            if waiting and now >= row["expires_at"]:
                row = _expire(connection, row, failure.CODE_EXPIRED, "system", now)
            return standing_of(row)

    def _to_judge(self, connection: Connection, withdrawal_id: UUID, of: str | None, now: datetime) -> Row:
        if of is None:
            return lock_withdrawal(connection, withdrawal_id, _WITH_CODE, day=day_of(now))
        lock_account(connection, of)
        return read_withdrawal(connection, withdrawal_id, _WITH_CODE_IF_OF_ACCOUNT, day=day_of(now), account_id=of)

    def _judge(self, connection: Connection, row: Row, *, right: bool, by: str, now: datetime) -> Standing | Refusal:
        if row["status"] != Status.AWAITING_VERIFICATION:
            # The answer to the right code may have been lost on its way: giving it again finds it done.
            return standing_of(row) if right and Status(row["status"]) in FROZEN else _over(row)
        if row["verified_at"] is not None:
            return standing_of(row) if right else WrongCode(attempts_left=row["tries_left"])
        if now >= row["expires_at"]:
            return CodeExpired()
        if right:
            happening = Happening("verified", by, Door.API, now)
            verified = move_on(connection, row, Status.AWAITING_VERIFICATION, happening, verified_at=now)
            return standing_of(verified)
        left = row["tries_left"] - 1
        _COUNT_TRY.run(connection, withdrawal_id=row["id"])
        left_today = count_wrong_try(connection, self.limits, row["account_id"], now)
        record(connection, row, Happening("wrong_code", by, Door.API, now, {"attempts_left": left}))
        if left == 0:
            _expire(connection, row, failure.TOO_MANY_WRONG_CODES, by, now)
        return WrongCode(attempts_left=min(left, left_today))

    def _count_send(self, connection: Connection, row: Row, send_key: str, code_mac: bytes, now: datetime) -> Row:
        """Tries are not given back by a new code: five guesses are five guesses."""
        soonest = (row["sent_at"] or now) + RESEND_AFTER
        if row["sends"] >= SENDS:
            raise TooManyRequests(retry_after_s=_seconds(row["expires_at"] - now))
        if row["sent_at"] is not None and now < soonest:
            raise TooManyRequests(retry_after_s=_seconds(soonest - now))
        sends, expires_at = row["sends"] + 1, now + CODE_LIFE
        happening = Happening("code_sent", "system", Door.WORKFLOW, now, {"send": sends})
        sent = Also(_COUNT_SEND, {"send_key": send_key, "code_mac": code_mac, "code_expires_at": expires_at})
        moved = move_on(connection, row, Status.AWAITING_VERIFICATION, happening, also=sent)
        # The statement read the code's row as it was before itself.
        return {**moved, "sends": sends, "expires_at": expires_at}


def _expire(connection: Connection, row: Row, code: str, by: str, now: datetime) -> Row:
    reason = Reason(code, failure.message_for(code))
    happening = Happening("expired", by, Door.WORKFLOW, now, {"code": code})
    return move_on(connection, row, Status.EXPIRED, happening, failure=[reason])


def _over(row: Row) -> Refusal:
    if row["status"] == Status.EXPIRED:
        return CodeExpired()
    return NotPossibleNow(status=row["status"])


def _bound(row: Row) -> str:
    """What a code is good for: this withdrawal, this amount, this card, and nothing else."""
    return f"{row['id']}\x1f{row['amount_fen']}\x1f{row['card_last4']}"


def _seconds(wait: Any) -> int:
    return max(1, int(wait.total_seconds() + 0.999))
