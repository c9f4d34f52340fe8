"""The first step of a withdrawal's run: the rules once more and the first code, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.shanghai import day_of
from domain.withdrawal import Standing, Status
from ledger.code_limits import wrong_tries
from ledger.moves import APPLICATION, Moves
from ledger.prepared import Prepared
from ledger.rows import lock_withdrawal, standing_of
from ledger.tables import withdrawals
from ledger.verifications import CODE, CodeToSend, Verifications

_TO_OPEN = Prepared.of(APPLICATION.add_columns(*CODE, wrong_tries(withdrawals.c.account_id)))


@dataclass(frozen=True)
class Opening:
    """Both halves under one lock: what each of them does alone, its own room tells."""

    moves: Moves
    verifications: Verifications

    def check_and_issue_code(self, withdrawal_id: UUID, *, send_key: str, now: datetime) -> CodeToSend | Standing:
        """The code to send; or where the withdrawal stands, if the rules said no or a code was sent already.

        Refuses as ``Verifications.issue_code``, and changes nothing then.
        """
        with self.moves.database.transaction() as connection:
            row = lock_withdrawal(connection, withdrawal_id, _TO_OPEN, day=day_of(now))
            if row["status"] == Status.AWAITING_VERIFICATION:
                row = self.moves.fail_if_refused(connection, row, now) or row
            if row["status"] != Status.AWAITING_VERIFICATION or row["sends"] > 0:
                return standing_of(row)
            return self.verifications.issue(connection, row, send_key=send_key, now=now)
