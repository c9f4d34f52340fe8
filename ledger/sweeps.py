"""What the sweep reads and keeps: up to where the bank's changes were seen, and who is not finished yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.dialects.postgresql import insert

from domain.withdrawal import OPEN, Status, TransferState
from ledger.database import Database
from ledger.tables import bank_cursor, oversight, transfers, verifications, withdrawals

OVERDUE = 1_000
"""How many one sweep prompts at the most; the next one goes on."""


@dataclass(frozen=True)
class Sweeps:
    """Reads over all withdrawals; changes nothing but the cursor and what the last look found."""

    database: Database

    def cursor(self) -> str:
        """Where to go on reading the bank's changes; empty for the beginning."""
        with self.database.transaction() as connection:
            return connection.execute(select(bank_cursor.c.cursor)).scalar() or ""

    def move_cursor(self, cursor: str, *, now: datetime) -> None:
        """Remembers how far was read; only once everyone concerned was prompted, or a crash would skip them."""
        with self.database.transaction() as connection:
            moved = insert(bank_cursor).values(singleton=True, cursor=cursor, moved_at=now)
            connection.execute(
                moved.on_conflict_do_update(
                    index_elements=[bank_cursor.c.singleton], set_={"cursor": cursor, "moved_at": now}
                )
            )

    def note_invariants(self, broken: Sequence[str], *, now: datetime) -> None:
        """Keeps what the newest look over the invariants found, for the metrics of every process."""
        found = {"broken_invariants": list(broken), "looked_at": now}
        with self.database.transaction() as connection:
            noted = insert(oversight).values(singleton=True, **found)
            connection.execute(noted.on_conflict_do_update(index_elements=[oversight.c.singleton], set_=found))

    def known(self, withdrawal_ids: Collection[UUID]) -> dict[UUID, tuple[Status, TransferState]]:
        """The status and the transfer's state of each of these that we asked the bank for; no one else's."""
        query = (
            select(withdrawals.c.id, withdrawals.c.status, transfers.c.state)
            .join_from(withdrawals, transfers)
            .where(withdrawals.c.id.in_(withdrawal_ids))
        )
        with self.database.transaction() as connection:
            return {
                withdrawal_id: (Status(status), TransferState(state))
                for withdrawal_id, status, state in connection.execute(query)
            }

    def unfinished(self, *, unchanged_since: datetime, after: UUID | None, limit: int) -> list[UUID]:
        """A page of the withdrawals that are not over, by id, without those that changed only just now."""
        query = select(withdrawals.c.id).where(
            withdrawals.c.status.in_(sorted(OPEN)), withdrawals.c.updated_at <= unchanged_since
        )
        if after is not None:
            query = query.where(withdrawals.c.id > after)
        with self.database.transaction() as connection:
            return list(connection.execute(query.order_by(withdrawals.c.id).limit(limit)).scalars())

    def overdue(self, *, by: datetime) -> list[UUID]:
        """Whose rows say that something should have been done by then: a run that was not told, or that is lost.

        Verified and not frozen, frozen and the bank not asked, or the code's time over and still waiting for it.
        A step's commit can outlive the workflow task that it was made in, and then the run never heard of it.
        """
        late = withdrawals.c.updated_at <= by
        query = (
            select(withdrawals.c.id)
            .join_from(withdrawals, verifications)
            .outerjoin(transfers)
            .where(
                or_(
                    and_(withdrawals.c.status == str(Status.PROCESSING), transfers.c.withdrawal_id.is_(None), late),
                    and_(
                        withdrawals.c.status == str(Status.AWAITING_VERIFICATION),
                        or_(and_(withdrawals.c.verified_at.is_not(None), late), verifications.c.expires_at <= by),
                    ),
                )
            )
        )
        with self.database.transaction() as connection:
            return list(connection.execute(query.order_by(withdrawals.c.id).limit(OVERDUE)).scalars())

    def over(self, withdrawal_ids: Collection[UUID], *, by: datetime) -> list[UUID]:
        """Which of these were over by then."""
        query = select(withdrawals.c.id).where(
            withdrawals.c.id.in_(withdrawal_ids),
            withdrawals.c.status.not_in(sorted(OPEN)),
            withdrawals.c.updated_at <= by,
        )
        with self.database.transaction() as connection:
            return list(connection.execute(query).scalars())
